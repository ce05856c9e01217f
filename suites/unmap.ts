import {
  clause,
  each,
  LAST_PAGES,
  lastIova,
  NULL,
  pointerTo,
  readyContainer,
  type Scenario,
  test,
  translates,
  u64,
  unmapArgument,
} from '../harness/cases/index.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const PAGE = 0x1000n;
const V1 = uapi.VFIO_TYPE1_IOMMU;
const A = { iova: 0x10000n, size: 0x4000n };
/** Where the argument holds the size that is returned. */
const SIZE_AT = 16;

/** A container with two mappings of four pages and a hole of two between them: 0x10000-0x13fff and 0x16000-0x19fff. */
const twoMappings = (s: Scenario, type?: bigint) => {
  const c = readyContainer(s, type === undefined ? {} : { type });
  c.memory.fill(1);
  c.map(A).succeeds();
  c.map({ iova: 0x16000n, size: 0x4000n, vaddr: c.memory.at(0x8000n) }).succeeds();
  return c;
};

clause('unmap/unmaps', () => {
  test('the range can be mapped again', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    c.unmap(A).returns(0);
    c.map(A).succeeds();
  });
  test('backwards, page by page', (s) => {
    const c = readyContainer(s);
    for (const page of [0n, 1n, 2n, 3n]) c.map({ iova: page * PAGE, size: PAGE }).succeeds();
    for (const page of [3n, 2n, 1n, 0n]) c.unmap({ iova: page * PAGE, size: PAGE }).shows(SIZE_AT, u64(PAGE));
  });
});

clause('unmap/returned-size', () => {
  each(
    {
      'one mapping': [A, 0x4000n],
      nothing: [{ iova: 0x40000n, size: PAGE }, 0n],
      'the hole': [{ iova: 0x14000n, size: 0x2000n }, 0n],
      'both mappings and the hole': [{ iova: 0x10000n, size: 0xa000n }, 0x8000n],
      'more than is mapped': [{ iova: 0n, size: 0x100000n }, 0x8000n],
    } as const,
    (s, [range, size]) => void twoMappings(s).unmap(range).shows(SIZE_AT, u64(size)),
  );
  test('nothing changes when the call fails', (s) => {
    const c = twoMappings(s);
    c.unmap({ iova: 0x11000n, size: PAGE }).refused('EINVAL');
    c.unmap({ iova: 0x10000n, size: 0xa000n }).shows(SIZE_AT, u64(0x8000n));
  });
});

clause('unmap/v2-whole-mappings', () => {
  each(
    Object.fromEntries(
      [1n, 2n, 16n, 0x100n, 0x1000_0000n, 0xf_ffff_ffff_ffefn].map((pages) => [`of ${pages} pages`, pages]),
    ),
    (s, pages) => {
      const c = readyContainer(s);
      for (const page of [0n, 1n, 4n, 14n]) c.map({ iova: (0x10n + page) * PAGE, size: PAGE }).succeeds();
      const inside = [0n, 1n, 4n, 14n].filter((page) => page < pages).length;
      c.unmap({ iova: 0x10000n, size: pages * PAGE }).shows(SIZE_AT, u64(BigInt(inside) * PAGE));
      c.unmapAll().shows(SIZE_AT, u64(BigInt(4 - inside) * PAGE));
    },
  );
  test('1,000 at once', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1, 0n, PAGE);
    s.repeat(1000, () => void c.map({ iova: 0n, size: PAGE, stride: { iova: 2n * PAGE } }).succeeds());
    c.unmap({ iova: 0n, size: 1000n * PAGE }).shows(SIZE_AT, u64(500n * PAGE));
    s.main.lockedKb().returns(2000);
    c.unmapAll().shows(SIZE_AT, u64(500n * PAGE));
  });
  test('several at once, with holes', (s) => {
    const c = twoMappings(s);
    c.unmap({ iova: 0x8000n, size: 0x20000n }).shows(SIZE_AT, u64(0x8000n));
    s.main.lockedKb().returns(0);
  });
  test('an empty container', (s) => void readyContainer(s).unmap(A).shows(SIZE_AT, u64(0n)));
});

clause('unmap/v2-bisects', () => {
  each(
    {
      'its first half': { iova: 0x10000n, size: 0x2000n },
      'its second half': { iova: 0x12000n, size: 0x2000n },
      'its middle': { iova: 0x11000n, size: PAGE },
      'from below into it': { iova: 0xf000n, size: 0x2000n },
      'from it into the hole': { iova: 0x13000n, size: 0x2000n },
      'all of one and a part of the next': { iova: 0x10000n, size: 0x7000n },
      'a part of one and all of the next': { iova: 0x13000n, size: 0x7000n },
    },
    (s, range) => {
      const c = twoMappings(s);
      c.unmap(range).refused('EINVAL');
      s.main.lockedKb().returns(32);
      c.map({ iova: 0x10000n, size: PAGE }).refused('EEXIST');
      c.map({ iova: 0x16000n, size: PAGE }).refused('EEXIST');
    },
  );
});

clause('unmap/v1-first-iova', () => {
  each(
    {
      'whole mapping': [A, 0x4000n],
      'its first page takes all of it': [{ iova: 0x10000n, size: PAGE }, 0x4000n],
      'its second page takes nothing': [{ iova: 0x11000n, size: PAGE }, 0n],
      'its last page takes nothing': [{ iova: 0x13000n, size: PAGE }, 0n],
      'from below over its first page': [{ iova: 0xf000n, size: 0x2000n }, 0x4000n],
      'from within into the next takes nothing': [{ iova: 0x11000n, size: 0x8000n }, 0n],
      'from its start into the next takes both': [{ iova: 0x10000n, size: 0x7000n }, 0x8000n],
    } as const,
    (s, [range, size]) => void twoMappings(s, V1).unmap(range).shows(SIZE_AT, u64(size)),
  );
});

clause('unmap/all', () => {
  each({ v1: V1, v2: uapi.VFIO_TYPE1v2_IOMMU }, (s, type) => {
    const c = twoMappings(s, type);
    c.unmapAll().shows(SIZE_AT, u64(0x8000n));
    s.main.lockedKb().returns(0);
    c.unmapAll().shows(SIZE_AT, u64(0n));
  });
  each(LAST_PAGES, (s, width) => {
    s.needs(translates(width));
    const c = readyContainer(s);
    c.map({ iova: lastIova(width) + 1n - PAGE, size: PAGE }).succeeds();
    c.unmapAll().shows(SIZE_AT, u64(PAGE));
    s.main.lockedKb().returns(0);
  });
});

clause('unmap/all-with-range', () => {
  each({ 'an iova': { iova: PAGE }, 'a size': { size: PAGE }, both: { iova: PAGE, size: PAGE } }, (s, range) => {
    const c = twoMappings(s);
    c.unmapAll(range).refused('EINVAL');
    s.main.lockedKb().returns(32);
  });
});

clause('unmap/argsz', () => {
  each(
    { '0': 0, '8': 8, '23': 23 },
    (s, argsz) =>
      void twoMappings(s)
        .unmap({ ...A, argsz })
        .refused('EINVAL'),
  );
  each(
    { '24': 24, '25': 25, '4096': 4096 },
    (s, argsz) =>
      void twoMappings(s)
        .unmap({ ...A, argsz })
        .succeeds(),
  );
});

clause('unmap/unreadable-argument', () => {
  test('null', (s) => void twoMappings(s).ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, NULL).refused('EFAULT'));
  test('cut off by the end of memory', (s) => {
    const c = twoMappings(s);
    c.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, pointerTo(s.main.memory(PAGE).at(PAGE - 23n))).refused('EFAULT');
  });
});

clause('unmap/unwritable-argument', () => {
  test('read-only', (s) => {
    const c = twoMappings(s);
    const place = s.main.memory(PAGE);
    const arg = unmapArgument(A);
    if (arg.kind === 'inline') for (const part of arg.segments) if ('bytes' in part) place.write(part.bytes);
    place.protect('r').succeeds();
    c.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, pointerTo(place.at())).refused('EFAULT');
    s.main.lockedKb().returns(16);
  });
});

clause('unmap/unknown-flags', () => {
  const bits = Array.from({ length: 29 }, (_, index) => index + 3);
  each(Object.fromEntries(bits.map((bit) => [`bit ${bit}`, bit])), (s, bit) => {
    const c = twoMappings(s);
    c.unmap({ ...A, flags: (1 << bit) >>> 0 }).refused('EINVAL');
    s.main.lockedKb().returns(32);
  });
});

clause('unmap/exclusive-flags', () => {
  const {
    VFIO_DMA_UNMAP_FLAG_ALL: ALL,
    VFIO_DMA_UNMAP_FLAG_VADDR: VADDR,
    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: BITMAP,
  } = uapi;
  each(
    { 'a bitmap of all': ALL | BITMAP, 'a bitmap and vaddr': VADDR | BITMAP, 'all three': ALL | VADDR | BITMAP },
    (s, flags) => {
      const c = twoMappings(s);
      const data = s.main.memory(8);
      c.startDirty().succeeds();
      c.unmap({ iova: 0n, size: 0n, flags, bitmap: { data: data.at(), size: 8n } }).refused('EINVAL');
      s.main.lockedKb().returns(32);
    },
  );
  test('vaddr of all', (s) => {
    const c = twoMappings(s);
    c.unmapAll({ flags: ALL | VADDR }).shows(SIZE_AT, u64(0x8000n));
    s.main.lockedKb().returns(32);
  });
});

clause('unmap/zero-size', () => {
  test('size 0', (s) => void twoMappings(s).unmap({ iova: A.iova, size: 0n }).refused('EINVAL'));
});

clause('unmap/unaligned', () => {
  each(
    {
      'iova by one byte': { ...A, iova: 0x10001n },
      'size by one byte': { ...A, size: 0x4001n },
      'size below a page': { ...A, size: 1n },
    },
    (s, range) => void twoMappings(s).unmap(range).refused('EINVAL'),
  );
});

clause('unmap/wraps', () => {
  each(
    {
      'by one page': { iova: 0xfffffffffffff000n, size: 2n * PAGE },
      'from the middle': { iova: 1n << 63n, size: (1n << 63n) + PAGE },
    },
    (s, range) => void twoMappings(s).unmap(range).refused('EINVAL', 'EOVERFLOW'),
  );
});

clause('unmap/up-to-the-top', () => {
  each({ v1: V1, v2: uapi.VFIO_TYPE1v2_IOMMU }, (s, type) => {
    const c = twoMappings(s, type);
    c.unmap({ iova: 0x10000n, size: (1n << 64n) - 0x10000n }).shows(SIZE_AT, u64(0x8000n));
  });
});

/** An argument that lies at the end of its memory, so that what stands behind it cannot be read. */
const atTheEnd = (s: Scenario, bytes: Uint8Array) => {
  const memory = s.main.memory(PAGE, { offset: 0 });
  const at = PAGE - BigInt(bytes.length);
  memory.write(bytes, at).succeeds();
  return pointerTo(memory.at(at));
};

clause('unmap/unreadable-bitmap-argument', () => {
  test('only the range can be read', (s) => {
    const c = twoMappings(s);
    c.startDirty().succeeds();
    const flags = uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
    const bytes = encode(uapi.vfioIommuType1DmaUnmap, { argsz: 48, flags, ...A });
    c.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, atTheEnd(s, bytes)).refused('EFAULT');
    s.main.lockedKb().returns(32);
  });
});

clause('unmap/bitmap-address', () => {
  each({ 'beyond user memory': 0xffff_8000_0000_0000n, 'at the top': 0xffff_ffff_ffff_f000n }, (s, data) => {
    const c = twoMappings(s);
    c.startDirty().succeeds();
    c.unmap({ ...A, bitmap: { data, size: 8n } }).refused('EINVAL', 'EFAULT');
    s.main.lockedKb().returns(32);
  });
});
