import { A, type Arg, B, bare, both, commands, holds, pinnedKb, readOnly, v1, v2 } from '../harness/cases/compat.ts';
import { groundIn, type Mode } from '../harness/cases/five-modes.ts';
import {
  clause,
  doesNotReach,
  each,
  NULL,
  pointerTo,
  READ,
  type Scenario,
  test,
  u64,
  unmapArgument,
  WRITE,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* /dev/iommu as a VFIO container: mapping and unmapping. */

const PAGE = 0x1000n;
const SIZE_AT = 16;
const TOP_PAGE = 0xfffffffffffff000n;
const OUTSIDE = 1n << 60n;
const TYPES = { v1: 'compat-v1', v2: 'compat-v2' } as const satisfies Record<string, Mode>;
const cutOff = (s: Scenario, bytes: bigint): Arg => pointerTo(s.main.memory(PAGE).at(PAGE - bytes));

clause('compat/map', () => {
  for (const [name, mode] of Object.entries(TYPES)) {
    test(`as ${name}`, (s) => {
      const g = groundIn(s, mode);
      g.map(A).returns(0);
      pinnedKb(s.main).returns(16);
      holds(g, A.size);
      pinnedKb(s.main).returns(0);
    });
  }
  test('before SET_IOMMU', (s) => {
    const g = v2(s, 'group');
    g.map(A).returns(0);
    holds(g, A.size);
  });
  test('by another process', (s) => {
    const g = v2(s);
    const child = s.main.forks();
    g.of(child)
      .map({ ...A, vaddr: child.memory(A.size).at() })
      .returns(0);
    pinnedKb(child).returns(16);
    pinnedKb(s.main).returns(0);
    holds(g, A.size);
  });
});

clause('compat/map-unreadable', () => {
  test('null', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_MAP_DMA, NULL).refused('EFAULT'));
  test('cut off', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_MAP_DMA, cutOff(s, 31n)).refused('EFAULT'));
});

clause('compat/map-argsz', () => {
  each(
    { 0: 0, 31: 31 },
    (s, argsz) =>
      void v2(s)
        .map({ ...A, argsz })
        .refused('EINVAL'),
  );
  test('more than there is', (s) =>
    void v2(s)
      .map({ ...A, argsz: 0x1000 })
      .returns(0));
});

clause('compat/map-flags', () => {
  const bits = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`bit ${index + 2}`, index + 2]));
  each(
    bits,
    (s, bit) =>
      void v2(s)
        .map({ ...A, flags: (READ | WRITE | (1 << bit)) >>> 0 })
        .refused('EINVAL'),
  );
});

clause('compat/map-without-group', () => {
  test('before one came', (s) => void bare(s).map(A).refused('ENODEV'));
  test('an IO address space that was not set is none', (s) => {
    const g = bare(s);
    commands(g).alloc(1);
    g.map(A).refused('ENODEV');
  });
});

clause('compat/map-memory-overflow', () => {
  each(
    { 'to 2^64': PAGE, beyond: 2n * PAGE },
    (s, size) =>
      void v2(s)
        .map({ ...A, size, vaddr: TOP_PAGE })
        .refused('EOVERFLOW'),
  );
});

clause('compat/map-needs-access', () => {
  test('before a device is opened', (s) =>
    void v2(s, 'iommu')
      .map({ ...A, flags: 0 })
      .refused('EINVAL'));
  test('with a device', (s) =>
    void v2(s)
      .map({ ...A, flags: 0 })
      .refused('EINVAL'));
});

clause('compat/map-empty', () => {
  test('0 bytes', (s) =>
    void v2(s)
      .map({ ...A, size: 0n })
      .refused('EINVAL'));
  test('all but a page of 2^64, from 0', (s) =>
    void v2(s).map({ iova: 0n, size: TOP_PAGE, vaddr: 0n }).refused('EINVAL'));
});

clause('compat/map-range-overflow', () => {
  test('by a page', (s) =>
    void v2(s)
      .map({ iova: TOP_PAGE, size: 2n * PAGE })
      .refused('EOVERFLOW'));
});

clause('compat/map-unaligned', () => {
  each(
    { iova: { iova: 0x10080n }, size: { size: 0x3f80n }, 'size of a byte': { size: 1n } },
    (s, row) =>
      void v2(s)
        .map({ ...A, ...row })
        .refused('EINVAL'),
  );
  test('as type1 before a device is opened', (s) =>
    void v1(s, 'iommu')
      .map({ ...A, size: 0x3f80n })
      .refused('EINVAL'));
  test('as type1 v2 not before a device is opened', (s) => void v2(s, 'iommu').map({ iova: 1n, size: 1n }).returns(0));
});

clause('compat/map-occupied', () => {
  each({ same: A, within: { iova: 0x11000n, size: PAGE }, around: { iova: 0n, size: 0x30000n } }, (s, row) => {
    const g = v2(s);
    g.map(A).returns(0);
    g.map(row).refused('EEXIST');
    holds(g, A.size);
  });
});

clause('compat/map-beyond-aperture', () => {
  each({ 'behind it': OUTSIDE, reserved: 0xfee00000n, 'into a reserved region': 0xfedff000n }, (s, iova) => {
    if (iova === OUTSIDE) s.needs(doesNotReach(OUTSIDE));
    v2(s)
      .map({ iova, size: 2n * PAGE })
      .refused('EINVAL');
  });
  test('not before a device is opened, and again once it is closed', (s) => {
    s.needs(doesNotReach(OUTSIDE));
    const g = v2(s, 'iommu');
    const device = g.open();
    device.opened.succeeds();
    g.map({ iova: OUTSIDE, size: PAGE }).refused('EINVAL');
    device.close().succeeds();
    g.map({ iova: OUTSIDE, size: PAGE }).returns(0);
  });
});

clause('compat/map-no-memory', () => {
  test('a hole', (s) => {
    const g = v2(s);
    g.memory.hole(0x3000n, PAGE).succeeds();
    g.map(A).refused('EFAULT');
    pinnedKb(s.main).returns(0);
    holds(g, 0n);
  });
  test('to be written, what may be read only', (s) => {
    const g = v2(s);
    g.memory.protect('r').succeeds();
    g.map(A).refused('EFAULT');
    g.map({ ...A, flags: READ }).returns(0);
  });
});

clause('compat/map-over-limit', () => {
  test('a page too many, and exactly enough', (s) => {
    const g = v2(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', A.size).succeeds();
    g.map({ ...A, size: A.size + PAGE }).refused('ENOMEM');
    g.map(A).returns(0);
    s.main.lockedKb().returns(0);
  });
});

clause('compat/unmap', () => {
  for (const [name, mode] of Object.entries(TYPES)) {
    test(`two mappings and a hole, as ${name}`, (s) => {
      const g = both(groundIn(s, mode));
      g.unmap(0n, 0x100000n).returns(0).shows(SIZE_AT, u64(0x8000n));
      holds(g, 0n);
    });
    test(`nothing, as ${name}`, (s) => {
      const g = both(groundIn(s, mode));
      g.unmap(0x14000n, 0x2000n).returns(0).shows(SIZE_AT, u64(0n));
      holds(g, 0x8000n);
    });
  }
  test('what a command mapped', (s) => {
    const g = v2(s);
    commands(g).map({ iova: A.iova, length: A.size, vaddr: g.memory.at() }).returns(0);
    holds(g, A.size);
  });
});

clause('compat/unmap-cuts', () => {
  each(
    {
      'the first page': [0x10000n, PAGE, PAGE],
      'the last page': [0x13000n, PAGE, PAGE],
      'a page within': [0x11000n, PAGE, PAGE],
      'the end of one and the beginning of the next': [0x12000n, 0x6000n, 0x4000n],
      'one and a part of the next': [0x10000n, 0x7000n, 0x5000n],
    } as const,
    (s, [iova, size, unmapped]) => {
      const g = both(v1(s));
      g.unmap(iova, size).returns(0).shows(SIZE_AT, u64(unmapped));
      pinnedKb(s.main).returns(Number((0x8000n - unmapped) / 1024n));
      g.map({ iova, size: PAGE }).returns(0);
      g.unmap(iova, PAGE).returns(0).shows(SIZE_AT, u64(PAGE));
      holds(g, 0x8000n - unmapped);
    },
  );
  test('page by page', (s) => {
    const g = v1(s);
    g.map(A).returns(0);
    for (const page of [1n, 3n, 0n, 2n]) g.unmap(A.iova + page * PAGE, PAGE).shows(SIZE_AT, u64(PAGE));
    holds(g, 0n);
  });
});

clause('compat/unmap-returns-size', () => {
  each(
    {
      one: [A.iova, A.size, A.size],
      'all but the hole': [0x8000n, 0x20000n, 0x8000n],
      none: [0x40000n, PAGE, 0n],
    } as const,
    (s, [iova, size, unmapped]) => void both(v2(s)).unmap(iova, size).returns(0).shows(SIZE_AT, u64(unmapped)),
  );
});

clause('compat/unmap-size-when-refused', () => {
  test('a mapping, and then one that is cut', (s) =>
    void both(v2(s)).unmap(A.iova, 0x8000n).refused('ENOENT').shows(SIZE_AT, u64(A.size)));
  test('beyond 2^64', (s) =>
    void both(v2(s))
      .unmap(TOP_PAGE, 2n * PAGE)
      .refused('EOVERFLOW')
      .shows(SIZE_AT, u64(0n)));
});

clause('compat/unmap-unreadable', () => {
  test('null', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, NULL).refused('EFAULT'));
  test('cut off', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, cutOff(s, 23n)).refused('EFAULT'));
});

clause('compat/unmap-argsz', () => {
  each(
    { 0: 0, 23: 23 },
    (s, argsz) =>
      void v2(s)
        .container.unmap({ ...A, argsz })
        .refused('EINVAL'),
  );
});

clause('compat/unmap-flags', () => {
  const bits = [0, ...Array.from({ length: 30 }, (_, index) => index + 2)];
  each(Object.fromEntries(bits.map((bit) => [`bit ${bit}`, bit])), (s, bit) => {
    const g = both(v2(s));
    g.container.unmap({ ...A, flags: (1 << bit) >>> 0 }).refused('EINVAL');
    holds(g, 0x8000n);
  });
});

clause('compat/unmap-without-group', () => {
  test('before one came', (s) => void bare(s).unmap(A.iova, A.size).refused('ENODEV'));
  test('all', (s) => void bare(s).unmapAll().refused('ENODEV'));
});

clause('compat/unmap-all-with-range', () => {
  each({ iova: { iova: PAGE }, size: { size: PAGE }, both: A }, (s, row) => {
    const g = both(v2(s));
    g.container.unmapAll(row).refused('EINVAL');
    holds(g, 0x8000n);
  });
});

clause('compat/unmap-cuts-within-page', () => {
  each({ 'at its end': [A.iova, 0x1080n], 'at its beginning': [0x10080n, 0x3f80n] } as const, (s, [iova, size]) => {
    const g = both(v1(s));
    g.unmap(iova, size).refused('EINVAL');
    holds(g, 0x8000n);
  });
});

clause('compat/unmap-empty', () => {
  each(TYPES, (s, mode) => {
    const g = both(groundIn(s, mode));
    g.unmap(0x12000n, 0n).refused('EINVAL');
    holds(g, 0x8000n);
  });
});

clause('compat/unmap-overflow', () => {
  each(TYPES, (s, mode) => {
    const g = both(groundIn(s, mode));
    g.unmap(A.iova, TOP_PAGE).refused('EOVERFLOW');
    holds(g, 0x8000n);
  });
});

clause('compat/unmap-v2-cuts', () => {
  each(
    {
      'the first page': [0x10000n, PAGE, 0x8000n],
      'the last page': [0x13000n, PAGE, 0x8000n],
      'a page within': [0x11000n, PAGE, 0x8000n],
      'one and a part of the next': [0x10000n, 0x7000n, 0x4000n],
    } as const,
    (s, [iova, size, left]) => {
      const g = both(v2(s));
      g.unmap(iova, size).refused('ENOENT');
      pinnedKb(s.main).returns(Number(left / 1024n));
      holds(g, left);
    },
  );
});

clause('compat/unmap-unwritable', () => {
  test('read-only', (s) => {
    const g = both(v2(s));
    g.container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, readOnly(s, unmapArgument(A))).refused('EFAULT');
    holds(g, B.size);
  });
});
