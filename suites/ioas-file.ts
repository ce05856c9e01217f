import { clause, each, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { type Context, FIXED, openIommufd, READ, WRITE } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { offsetOf } from '../harness/uapi/struct.ts';

/* Files in IO address spaces, and the process that is charged for them, without a device. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const SIZE = 0x10000n;
const IOVA_AT = offsetOf(uapi.iommuIoasMapFile, 'iova');
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

/** A context with IO address spaces 1, 2, ..., and a memfd. */
const ready = (s: Scenario, ioases = 1): { readonly c: Context; readonly fd: string } => {
  const c = openIommufd(s);
  for (let id = 1; id <= ioases; id++) c.alloc(id);
  return { c, fd: s.main.memfd(SIZE) };
};

/** What is mapped: unmapping everything tells how much. */
const holds = (c: Context, bytes: bigint, ioas = 1) => c.unmap(0n, TOP, ioas).returns(0).shows(LENGTH_AT, u64(bytes));

clause('ioas/map-file', () => {
  each({ 'a page': PAGE, 'the whole file': SIZE, 'a byte': 1n, 'more than the file has': SIZE + 1n }, (s, length) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0x100000n, length }).returns(0);
    holds(c, length);
  });
  each({ 'a page': PAGE, 'a byte': 1n, 'behind its end': SIZE }, (s, start) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, start, iova: 0x100000n, length: PAGE }).returns(0);
    holds(c, PAGE);
  });
  each({ 'to be read': READ, 'to be written': WRITE }, (s, access) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: PAGE, flags: FIXED | access }).returns(0);
    holds(c, PAGE);
  });
  test('a file that is closed then', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    s.main.does({ op: 'close', fd }).returns(0);
    holds(c, SIZE);
  });
  test('twice, and copied', (s) => {
    const { c, fd } = ready(s, 2);
    c.mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    c.mapFile({ fd, iova: SIZE, length: SIZE }).returns(0);
    c.copy({ source: PAGE, length: SIZE, target: 0n }).returns(0);
    holds(c, 2n * SIZE);
    holds(c, SIZE, 2);
  });
  test('nobody is charged', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    s.main.lockedKb().returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(0);
  });
});

clause('ioas/map-file-returns-iova', () => {
  test('where it was asked for', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0x12340000n, length: PAGE }).returns(0).shows(IOVA_AT, u64(0x12340000n));
  });
  test('where there is room', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, length: PAGE }).returns(0).shows(IOVA_AT, u64(PAGE));
    c.mapFile({ fd, start: 0x123n, length: 0x10n }).returns(0).shows(IOVA_AT, u64(0x2123n));
    c.mapFile({ fd, start: 0x8000n, length: 0x8000n }).returns(0).shows(IOVA_AT, u64(0x8000n));
    holds(c, PAGE + 0x10n + 0x8000n);
  });
});

clause('ioas/map-file-flags', () => {
  each({ 'the next': 8, 'the highest': 0x8000_0000 }, (s, flag) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: PAGE, flags: (FIXED | READ | flag) >>> 0 }).refused('EOPNOTSUPP');
    holds(c, 0n);
  });
});

clause('ioas/map-file-bad-descriptor', () => {
  test('none', (s) => {
    const { c } = ready(s);
    c.mapFile({ fd: -1, iova: 0n, length: PAGE }).refused('EBADF');
    holds(c, 0n);
  });
});

clause('ioas/map-file-start-overflow', () => {
  each(
    { 'by a byte': [TOP - PAGE + 2n, PAGE], 'nearly everything': [0x4000n, TOP - 0x2fffn] } as const,
    (s, [start, length]) => {
      const { c, fd } = ready(s);
      c.mapFile({ fd, start, iova: 0n, length }).refused('EOVERFLOW');
      holds(c, 0n);
    },
  );
  test('not up to it', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, start: TOP - PAGE + 1n, iova: 0n, length: PAGE }).returns(0);
    holds(c, PAGE);
  });
});

clause('ioas/map-file-needs-access', () => {
  each({ nothing: 0, 'only an IOVA': FIXED }, (s, flags) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: PAGE, flags }).refused('EINVAL');
    holds(c, 0n);
  });
});

clause('ioas/map-file-unknown-ioas', () => {
  each({ none: 0, 'never given': 9 }, (s, ioas) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, ioas, iova: 0n, length: PAGE }).refused('ENOENT');
  });
});

clause('ioas/map-file-overflow', () => {
  test('the highest iova', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: TOP, length: PAGE }).refused('EOVERFLOW');
    holds(c, 0n);
  });
  test('the highest length', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: TOP }).refused('EOVERFLOW');
    holds(c, 0n);
  });
});

clause('ioas/map-file-empty', () => {
  each({ nothing: 0n, 'nearly everything': TOP - PAGE + 1n }, (s, length) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length }).refused('EINVAL');
    holds(c, 0n);
  });
});

clause('ioas/map-file-range-overflow', () => {
  test('by a byte', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: TOP - PAGE + 2n, length: PAGE }).refused('EOVERFLOW');
    holds(c, 0n);
  });
  test('half of everything, wherever', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, length: (1n << 63n) - 1n }).refused('EOVERFLOW');
    holds(c, 0n);
  });
});

clause('ioas/map-file-unaligned', () => {
  each(
    {
      'an odd iova': { iova: 1n, start: 0n, length: PAGE },
      'an odd length': { iova: 0n, start: 0n, length: PAGE - 1n },
      'an odd start': { iova: 0n, start: 8n, length: PAGE },
    },
    (s, request) => {
      const { c, fd } = ready(s);
      c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, op: uapi.IOMMU_OPTION_OP_SET, object_id: 1 }).returns(0);
      c.mapFile({ fd, ...request }).refused('EINVAL');
      holds(c, 0n);
    },
  );
});

clause('ioas/map-file-occupied', () => {
  each({ itself: 0x10000n, 'its first page': 0xf000n, 'its last page': 0x13000n }, (s, iova) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0x10000n, length: 0x4000n }).returns(0);
    c.mapFile({ fd, iova, length: 0x2000n }).refused('EEXIST');
    holds(c, 0x4000n);
  });
  test('not beside it', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0x10000n, length: 0x4000n }).returns(0);
    c.mapFile({ fd, iova: 0xe000n, length: 0x2000n }).returns(0);
    c.mapFile({ fd, iova: 0x14000n, length: 0x2000n }).returns(0);
    holds(c, 0x8000n);
  });
});

clause('ioas/map-file-no-space', () => {
  test('everything is mapped', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: TOP - PAGE }).returns(0);
    c.mapFile({ fd, length: 2n * PAGE }).refused('ENOSPC');
    holds(c, TOP - PAGE);
  });
});

clause('ioas/change-process', () => {
  test('with nothing mapped', (s) => {
    const { c } = ready(s, 3);
    c.changeProcess().returns(0);
  });
  test('without an object', (s) => void openIommufd(s).changeProcess().returns(0));
  test('by the same process, and by a child', (s) => {
    const { c, fd } = ready(s, 2);
    c.mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    c.copy({ source: 0n, length: SIZE, target: 0n }).returns(0);
    const child = s.main.forks();
    for (const actor of [s.main, child, child, s.main]) c.of(actor).changeProcess().returns(0);
    child.lockedKb().returns(0);
    s.main.lockedKb().returns(0);
    holds(c, SIZE);
    holds(c.of(child), SIZE, 2);
  });
  test('by a child, when the first process is gone', (s) => {
    const { c, fd } = ready(s);
    const child = s.main.forks();
    c.of(child).mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    s.main.kills(child).succeeds();
    c.changeProcess().returns(0);
    holds(c, SIZE);
  });
  test('after exec', (s) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: SIZE }).returns(0);
    s.main.execs().succeeds();
    c.changeProcess().returns(0);
    holds(c, SIZE);
  });
});

clause('ioas/change-process-reserved', () => {
  each({ 'the lowest bit': 1, 'the highest': 0x8000_0000 }, (s, reserved) => {
    const { c, fd } = ready(s);
    c.mapFile({ fd, iova: 0n, length: PAGE }).returns(0);
    c.changeProcess(reserved).refused('EOPNOTSUPP');
    holds(c, PAGE);
  });
});

clause('ioas/change-process-files-only', () => {
  each({ 'in the first IO address space': 1, 'in the last': 3 }, (s, ioas) => {
    const { c, fd } = ready(s, 3);
    const memory = s.main.memory(PAGE);
    for (const id of [1, 2, 3]) c.mapFile({ ioas: id, fd, iova: 0n, length: PAGE }).returns(0);
    c.changeProcess().returns(0);
    c.map({ ioas, iova: PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
    c.changeProcess().refused('EINVAL');
    const child = s.main.forks();
    c.of(child).changeProcess().refused('EINVAL');
    c.unmap(PAGE, PAGE, ioas).returns(0);
    c.of(child).changeProcess().returns(0);
  });
  test('a copy whose first mapping is gone', (s) => {
    const { c } = ready(s, 2);
    const memory = s.main.memory(PAGE);
    c.map({ iova: 0n, length: PAGE, vaddr: memory.at() }).returns(0);
    c.copy({ source: 0n, length: PAGE, target: 0n }).returns(0);
    c.destroy(1).returns(0);
    c.changeProcess().refused('EINVAL');
    c.unmap(0n, PAGE, 2).returns(0);
    c.changeProcess().returns(0);
  });
  test('not what is mapped in another context', (s) => {
    const { c, fd } = ready(s);
    const other = openIommufd(s);
    other.alloc(1);
    other.map({ iova: 0n, length: PAGE, vaddr: s.main.memory(PAGE).at() }).returns(0);
    c.mapFile({ fd, iova: 0n, length: PAGE }).returns(0);
    c.changeProcess().returns(0);
    other.changeProcess().refused('EINVAL');
  });
});
