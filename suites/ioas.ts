import { clause, each, inline, test, u64 } from '../harness/cases/index.ts';
import { allows, holds, inReadOnly, maps, ready } from '../harness/cases/ioases.ts';
import { FIXED, READ, WRITE } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, offsetOf } from '../harness/uapi/struct.ts';

/* IO address spaces without a device: what can be mapped in them, and unmapped. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const IOVA_AT = offsetOf(uapi.iommuIoasMap, 'iova');
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

clause('ioas/map', () => {
  each({ 'a page': PAGE, 'many pages': 0x10000n, 'a byte': 1n, 'an odd number of bytes': 0x1235n }, (s, length) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x100000n, length);
    holds(c, length);
  });
  test('nobody is charged', (s) => {
    const { c, memory } = ready(s);
    memory.fill(1);
    maps(c, memory, 0n, 0x10000n);
    s.main.lockedKb().returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(0);
  });
  test('memory that is not there', (s) => {
    const { c, memory } = ready(s);
    memory.hole(0n, 0x10000n);
    maps(c, memory, 0n, 0x10000n);
    holds(c, 0x10000n);
  });
  test('memory that may not be written', (s) => {
    const { c, memory } = ready(s);
    memory.protect('r');
    maps(c, memory, 0n, PAGE);
  });
  test('addresses of nobody', (s) => {
    const { c } = ready(s);
    c.map({ iova: 0n, length: PAGE, vaddr: 0n }).returns(0);
    c.map({ iova: PAGE, length: PAGE, vaddr: 1n << 63n }).returns(0);
  });
  each({ 'at 0': 0n, 'beyond 39 bits': 1n << 39n, 'at the top': TOP - PAGE }, (s, iova) => {
    const { c, memory } = ready(s);
    maps(c, memory, iova, PAGE);
    c.unmap(iova, PAGE).returns(0).shows(LENGTH_AT, u64(PAGE));
  });
  each({ 'to be read': READ, 'to be written': WRITE }, (s, access) => {
    const { c, memory } = ready(s);
    c.map({ iova: 0n, length: PAGE, vaddr: memory.at(), flags: FIXED | access }).returns(0);
  });
  test('in one IO address space and not in another', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.unmap(0n, PAGE, 2).refused('ENOENT');
    c.map({ ioas: 2, iova: 0n, length: PAGE, vaddr: memory.at() }).returns(0);
    holds(c, PAGE);
    holds(c, PAGE, 2);
  });
  test('side by side', (s) => {
    const { c, memory } = ready(s);
    for (const iova of [0n, 0x3000n, 0x1000n, 0x2000n]) maps(c, memory, iova, PAGE);
    c.unmap(0x1000n, 0x2000n).returns(0).shows(LENGTH_AT, u64(0x2000n));
    holds(c, 0x2000n);
  });
});

clause('ioas/map-returns-iova', () => {
  test('where it was asked for', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x12340000n, PAGE).shows(IOVA_AT, u64(0x12340000n));
  });
});

clause('ioas/chosen-iova', () => {
  test('behind the first page', (s) => {
    const { c, memory } = ready(s);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(PAGE));
    c.map({ length: PAGE, vaddr: memory.at(PAGE) })
      .returns(0)
      .shows(IOVA_AT, u64(2n * PAGE));
    holds(c, 2n * PAGE);
  });
  test('with the offset in the page', (s) => {
    const { c, memory } = ready(s);
    c.map({ length: 0x10n, vaddr: memory.at(0x123) })
      .returns(0)
      .shows(IOVA_AT, u64(0x1123n));
  });
  test('as far aligned as length and address', (s) => {
    const { c, memory } = ready(s);
    c.map({ length: 0x8000n, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x8000n));
    c.map({ length: 0x8000n, vaddr: memory.at(0x2000) })
      .returns(0)
      .shows(IOVA_AT, u64(0x2000n + 0x10000n - 0x2000n));
  });
  test('in a hole that is large enough', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x1000n, PAGE);
    maps(c, memory, 0x3000n, PAGE);
    c.map({ length: 0x2000n, vaddr: memory.at(0x1000) })
      .returns(0)
      .shows(IOVA_AT, u64(0x4000n));
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x2000n));
  });
  test('where something was unmapped', (s) => {
    const { c, memory } = ready(s);
    for (const _ of ['once', 'twice']) {
      c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(PAGE));
      c.unmap(PAGE, PAGE).returns(0);
    }
  });
});

clause('ioas/map-flags', () => {
  each({ 'a flag': 8, 'the highest flag': 0x8000_0000 }, (s, flag) => {
    const { c, memory } = ready(s);
    c.map({ iova: 0n, length: PAGE, vaddr: memory.at(), flags: (FIXED | READ | flag) >>> 0 }).refused('EOPNOTSUPP');
    holds(c, 0n);
  });
  test('the reserved field', (s) => {
    const { c } = ready(s);
    const bytes = encode(uapi.iommuIoasMap, { size: 40, flags: FIXED | READ, ioas_id: 1, __reserved: 1, length: PAGE });
    c.command(uapi.IOMMU_IOAS_MAP, inline(bytes)).refused('EOPNOTSUPP');
  });
});

clause('ioas/map-needs-access', () => {
  each({ fixed: FIXED, chosen: 0 }, (s, flags) => {
    const { c, memory } = ready(s);
    c.map({ iova: 0n, length: PAGE, vaddr: memory.at(), flags }).refused('EINVAL');
    holds(c, 0n);
  });
});

clause('ioas/map-unknown-ioas', () => {
  each({ none: 0, 'never given': 2 }, (s, ioas) => {
    const { c, memory } = ready(s);
    c.map({ ioas, iova: 0n, length: PAGE, vaddr: memory.at() }).refused('ENOENT');
  });
});

clause('ioas/map-overflow', () => {
  test('the highest iova', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: TOP, length: 1n, vaddr: memory.at() }).refused('EOVERFLOW');
    c.map({ iova: TOP - 1n, length: 1n, vaddr: memory.at() }).returns(0);
  });
  test('the highest length', (s) => void ready(s).c.map({ iova: 0n, length: TOP, vaddr: 0n }).refused('EOVERFLOW'));
});

clause('ioas/map-empty', () => {
  test('nothing', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: 0n, length: 0n, vaddr: memory.at() }).refused('EINVAL');
    c.map({ length: 0n, vaddr: memory.at() }).refused('EINVAL');
  });
  test('nearly everything', (s) => {
    const { c } = ready(s);
    c.map({ iova: 0n, length: TOP - PAGE + 1n, vaddr: 0n }).refused('EINVAL');
    c.map({ iova: 0n, length: TOP - PAGE, vaddr: 0n }).returns(0);
    holds(c, TOP - PAGE);
  });
});

clause('ioas/map-memory-overflow', () => {
  each({ 'by a byte': TOP - 0xffen, 'up to the top': TOP - 0xfffn }, (s, vaddr) => {
    const { c } = ready(s);
    c.map({ iova: 0n, length: PAGE, vaddr }).refused('EOVERFLOW');
    c.map({ iova: 0n, length: PAGE, vaddr: TOP - PAGE }).returns(0);
  });
});

clause('ioas/map-range-overflow', () => {
  test('by a byte', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: TOP - PAGE + 2n, length: PAGE, vaddr: memory.at() }).refused('EOVERFLOW');
    c.map({ iova: TOP - PAGE + 1n, length: PAGE, vaddr: memory.at() }).returns(0);
  });
  test('half of everything, wherever', (s) => {
    const { c } = ready(s);
    c.map({ length: 1n << 63n, vaddr: 0n }).refused('EOVERFLOW');
    holds(c, 0n);
  });
});

clause('ioas/map-unaligned', () => {
  each(
    {
      iova: { iova: 1n, length: PAGE, offset: 0 },
      length: { iova: 0n, length: PAGE + 1n, offset: 0 },
      memory: { iova: 0n, length: PAGE, offset: 0x800 },
    },
    (s, { iova, length, offset }) => {
      const { c, memory } = ready(s);
      c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: 1, val64: 0n }).returns(0);
      c.map({ iova, length, vaddr: memory.at(offset) }).refused('EINVAL');
      holds(c, 0n);
      c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: 1, val64: 1n }).returns(0);
      c.map({ iova, length, vaddr: memory.at(offset) }).returns(0);
    },
  );
});

clause('ioas/map-occupied', () => {
  each(
    {
      'all of it': [0x2000n, 0x2000n],
      'its first byte': [0x1000n, 0x1001n],
      'its last byte': [0x3fffn, 0x1000n],
      'within it': [0x3000n, 1n],
      'around it': [0x1000n, 0x4000n],
    } as const,
    (s, [iova, length]) => {
      const { c, memory } = ready(s);
      maps(c, memory, 0x2000n, 0x2000n);
      c.map({ iova, length, vaddr: memory.at() }).refused('EEXIST');
      holds(c, 0x2000n);
    },
  );
  test('not beside it', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x2000n, 0x2000n);
    maps(c, memory, 0x1000n, 0x1000n);
    maps(c, memory, 0x4000n, 0x1000n);
  });
});

clause('ioas/map-no-space', () => {
  test('everything is mapped', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: 0n, length: TOP - PAGE, vaddr: 0n }).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).refused('ENOSPC');
  });
  test('the allowed range is full', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x10000n, 0x10fffn]]).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x10000n));
    c.map({ length: PAGE, vaddr: memory.at() }).refused('ENOSPC');
  });
  test('the allowed range is a byte short', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x10000n, 0x10ffen]]).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).refused('ENOSPC');
    c.map({ length: PAGE - 1n, vaddr: memory.at() })
      .returns(0)
      .shows(IOVA_AT, u64(0x10000n));
  });
  test('the gap between mappings is a byte short', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x10000n, 0x12fffn]]).returns(0);
    maps(c, memory, 0x10000n, PAGE);
    maps(c, memory, 0x11fffn, PAGE + 1n);
    c.map({ length: PAGE, vaddr: memory.at() }).refused('ENOSPC');
    c.map({ length: PAGE - 1n, vaddr: memory.at() })
      .returns(0)
      .shows(IOVA_AT, u64(0x11000n));
  });
});

clause('ioas/map-unwritable', () => {
  test('it is mapped all the same', (s) => {
    const { c } = ready(s);
    const bytes = encode(uapi.iommuIoasMap, { size: 40, flags: FIXED | READ, ioas_id: 1, length: PAGE, iova: 0x5000n });
    inReadOnly(s, c, uapi.IOMMU_IOAS_MAP, bytes).refused('EFAULT');
    holds(c, PAGE);
  });
});

clause('ioas/unmap', () => {
  test('one of several', (s) => {
    const { c, memory } = ready(s);
    for (const iova of [0n, 0x4000n, 0x8000n]) maps(c, memory, iova, 0x2000n);
    c.unmap(0x4000n, 0x2000n).returns(0).shows(LENGTH_AT, u64(0x2000n));
    c.unmap(0x4000n, 0x2000n).refused('ENOENT');
    holds(c, 0x4000n);
  });
  test('several, and the holes between them', (s) => {
    const { c, memory } = ready(s);
    for (const iova of [0x1000n, 0x4000n, 0x8000n]) maps(c, memory, iova, 0x2000n);
    c.unmap(0n, 0x6000n).returns(0).shows(LENGTH_AT, u64(0x4000n));
    holds(c, 0x2000n);
  });
  test('what is unmapped can be mapped again', (s) => {
    const { c, memory } = ready(s);
    for (const _ of ['once', 'twice']) {
      maps(c, memory, 0n, PAGE);
      c.unmap(0n, PAGE).returns(0);
    }
  });
});

clause('ioas/unmap-returns-length', () => {
  test('of everything', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, 1n);
    maps(c, memory, 0x5000n, 0x1234n);
    holds(c, 0x1235n);
    holds(c, 0n);
  });
});

clause('ioas/unmap-cuts', () => {
  each(
    {
      'its first half': [0x2000n, 0x1000n],
      'its second half': [0x3000n, 0x1000n],
      'all but a byte': [0x2000n, 0x1fffn],
      'a byte within': [0x2800n, 1n],
    } as const,
    (s, [iova, length]) => {
      const { c, memory } = ready(s);
      maps(c, memory, 0x2000n, 0x2000n);
      c.unmap(iova, length).refused('ENOENT');
      holds(c, 0x2000n);
    },
  );
});

clause('ioas/unmap-up-to-cut', () => {
  test('two whole ones before it', (s) => {
    const { c, memory } = ready(s);
    for (const iova of [0n, 0x1000n, 0x4000n]) maps(c, memory, iova, PAGE);
    maps(c, memory, 0x8000n, 0x2000n);
    c.unmap(0n, 0x9000n).refused('ENOENT');
    holds(c, 0x2000n);
  });
  test('none behind it', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, 0x2000n);
    maps(c, memory, 0x4000n, PAGE);
    c.unmap(0x1000n, 0x4000n).refused('ENOENT');
    holds(c, 0x3000n);
  });
});

clause('ioas/unmap-nothing', () => {
  test('where nothing ever was', (s) => void ready(s).c.unmap(0x1000n, PAGE).refused('ENOENT'));
  test('beside what is mapped', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x2000n, PAGE);
    c.unmap(0x1000n, PAGE).refused('ENOENT');
    c.unmap(0x3000n, PAGE).refused('ENOENT');
    holds(c, PAGE);
  });
  test('everything may be nothing', (s) => void holds(ready(s).c, 0n));
});

clause('ioas/unmap-empty', () => {
  test('no bytes', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, PAGE);
    c.unmap(0n, 0n).refused('EINVAL');
    holds(c, PAGE);
  });
});

clause('ioas/unmap-overflow', () => {
  each(
    { 'the highest iova': [TOP, 1n], 'the highest length': [1n, TOP], 'beyond the top': [TOP - 1n, 3n] } as const,
    (s, [iova, length]) => {
      const { c, memory } = ready(s);
      maps(c, memory, 0n, PAGE);
      c.unmap(iova, length).refused('EOVERFLOW');
      holds(c, PAGE);
    },
  );
});

clause('ioas/unmap-unknown-ioas', () => {
  each({ none: 0, 'never given': 2 }, (s, ioas) => {
    const { c } = ready(s);
    c.unmap(0n, PAGE, ioas).refused('ENOENT');
    c.unmap(0n, TOP, ioas).refused('ENOENT');
  });
});

clause('ioas/unmap-unwritable', () => {
  test('it is unmapped all the same', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, PAGE);
    inReadOnly(
      s,
      c,
      uapi.IOMMU_IOAS_UNMAP,
      encode(uapi.iommuIoasUnmap, { size: 24, ioas_id: 1, length: PAGE }),
    ).refused('EFAULT');
    holds(c, 0n);
  });
});
