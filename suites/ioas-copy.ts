import { clause, each, test, u64 } from '../harness/cases/index.ts';
import { holds, inReadOnly, maps, ready } from '../harness/cases/ioases.ts';
import { FIXED, READ, WRITE } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Mappings that are copied from one IO address space to another. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const TARGET_AT = offsetOf(uapi.iommuIoasCopy, 'dst_iova');

clause('ioas/copy', () => {
  test('to another IO address space', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0x1000n, 0x4000n);
    c.copy({ source: 0x1000n, target: 0x8000n, length: 0x4000n }).returns(0);
    holds(c, 0x4000n, 2);
    holds(c, 0x4000n);
  });
  test('within the same', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0x1000n, 0x1000n);
    c.copy({ to: 1, source: 0x1000n, target: 0x2000n, length: 0x1000n }).returns(0);
    c.unmap(0x1000n, 0x1000n).returns(0);
    c.copy({ to: 1, source: 0x2000n, target: 0n, length: 0x1000n }).returns(0);
    holds(c, 0x2000n);
  });
  test('of a copy', (s) => {
    const { c, memory } = ready(s, 3);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0x1000n, length: PAGE }).returns(0);
    c.destroy(1).returns(0);
    c.copy({ from: 2, to: 3, source: 0x1000n, target: 0x2000n, length: PAGE }).returns(0);
    holds(c, PAGE, 3);
  });
  test('of two mappings side by side, which stay two', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    maps(c, memory, PAGE, PAGE);
    c.copy({ source: 0n, target: 0x8000n, length: 2n * PAGE }).returns(0);
    c.unmap(0x8000n, PAGE, 2).returns(0);
    holds(c, PAGE, 2);
  });
  test('with less access', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0n, length: PAGE, flags: FIXED | READ }).returns(0);
  });
});

clause('ioas/copy-returns-iova', () => {
  test('given', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0x7000n, length: PAGE }).returns(0).shows(TARGET_AT, u64(0x7000n));
  });
  test('chosen', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0x100000n, 0x4000n);
    c.copy({ source: 0x100000n, length: 0x4000n }).returns(0).shows(TARGET_AT, u64(0x4000n));
    c.copy({ source: 0x100000n, length: 0x4000n }).returns(0).shows(TARGET_AT, u64(0x8000n));
  });
});

clause('ioas/copy-flags', () => {
  each({ 'a flag': 8, 'the highest flag': 0x8000_0000 }, (s, flag) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0n, length: PAGE, flags: (FIXED | READ | flag) >>> 0 }).refused('EOPNOTSUPP');
    holds(c, 0n, 2);
  });
});

clause('ioas/copy-needs-access', () => {
  test('neither', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0n, length: PAGE, flags: FIXED }).refused('EINVAL');
  });
});

clause('ioas/copy-overflow', () => {
  each(
    {
      source: { source: TOP, target: 0n, length: 1n },
      target: { source: 0n, target: TOP, length: 1n },
      length: { source: 0n, target: 0n, length: TOP },
    },
    (s, request) => {
      const { c, memory } = ready(s, 2);
      maps(c, memory, 0n, PAGE);
      c.copy(request).refused('EOVERFLOW');
    },
  );
});

clause('ioas/copy-unknown-ioas', () => {
  test('of the source', (s) =>
    void ready(s, 1).c.copy({ from: 7, to: 1, source: 0n, target: 0n, length: PAGE }).refused('ENOENT'));
});

clause('ioas/copy-unknown-target', () => {
  test('of the target', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, PAGE);
    c.copy({ to: 7, source: 0n, target: 0n, length: PAGE }).refused('ENOENT');
  });
});

clause('ioas/copy-empty', () => {
  test('no bytes', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: 0n, length: 0n }).refused('EINVAL');
  });
});

clause('ioas/copy-source-overflow', () => {
  test('by a byte', (s) => {
    const { c } = ready(s, 2);
    c.copy({ source: TOP - 1n, target: 0n, length: 3n }).refused('EOVERFLOW');
  });
});

clause('ioas/copy-unmapped', () => {
  each(
    {
      'nothing there': [0x9000n, PAGE],
      'a byte too many': [0n, 0x2001n],
      'from before': [0x3000n, 0x2000n],
      'over a hole': [0n, 0x6000n],
    } as const,
    (s, [source, length]) => {
      const { c, memory } = ready(s, 2);
      maps(c, memory, 0n, 0x2000n);
      maps(c, memory, 0x4000n, 0x2000n);
      c.copy({ source, target: 0n, length }).refused('ENOENT');
      holds(c, 0n, 2);
    },
  );
});

clause('ioas/copy-beyond-access', () => {
  test('to be written, of what is read only', (s) => {
    const { c, memory } = ready(s, 2);
    c.map({ iova: 0n, length: PAGE, vaddr: memory.at(), flags: FIXED | READ }).returns(0);
    c.copy({ source: 0n, target: 0n, length: PAGE, flags: FIXED | WRITE }).refused('EPERM');
    holds(c, 0n, 2);
    c.copy({ source: 0n, target: 0n, length: PAGE, flags: FIXED | READ }).returns(0);
  });
});

clause('ioas/copy-target-overflow', () => {
  test('by a byte', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.copy({ source: 0n, target: TOP - PAGE + 2n, length: PAGE }).refused('EOVERFLOW');
    c.copy({ source: 0n, target: TOP - PAGE + 1n, length: PAGE }).returns(0);
  });
});

clause('ioas/copy-unaligned', () => {
  test('target and length', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, 0x2000n);
    c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: 2, val64: 0n }).returns(0);
    c.copy({ source: 0n, target: 1n, length: PAGE }).refused('EINVAL');
    c.copy({ source: 0n, target: 0n, length: PAGE - 1n }).refused('EINVAL');
    holds(c, 0n, 2);
    c.copy({ source: 0n, target: 0n, length: PAGE }).returns(0);
  });
});

clause('ioas/copy-occupied', () => {
  test('in the target', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    c.map({ ioas: 2, iova: 0x1000n, length: PAGE, vaddr: memory.at() }).returns(0);
    c.copy({ source: 0n, target: 0x1000n, length: PAGE }).refused('EEXIST');
    holds(c, PAGE, 2);
  });
  test('onto itself', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, 0x2000n);
    c.copy({ to: 1, source: 0n, target: 0x1000n, length: PAGE }).refused('EEXIST');
  });
});

clause('ioas/copy-unwritable', () => {
  test('the copy is there all the same', (s) => {
    const { c, memory } = ready(s, 2);
    maps(c, memory, 0n, PAGE);
    const fields = {
      size: sizeOf(uapi.iommuIoasCopy),
      flags: FIXED | READ,
      dst_ioas_id: 2,
      src_ioas_id: 1,
      length: PAGE,
    };
    inReadOnly(s, c, uapi.IOMMU_IOAS_COPY, encode(uapi.iommuIoasCopy, fields)).refused('EFAULT');
    holds(c, PAGE, 2);
  });
});
