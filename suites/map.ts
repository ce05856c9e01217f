import {
  clause,
  doesNotReach,
  each,
  HYPERTRANSPORT_RANGE,
  LAST_PAGES,
  lastIova,
  MSI_RANGE,
  NULL,
  pointerTo,
  READ,
  readyContainer,
  reserves,
  type Scenario,
  test,
  translates,
  u32,
  u64,
  type Width,
  WRITE,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const PAGE = 0x1000n;
const READ_WRITE = READ | WRITE;
const A = { iova: 0x10000n, size: 0x4000n };

clause('map/maps', () => {
  each(
    {
      'one page': { iova: 0x1000n, size: PAGE },
      'iova 0': { iova: 0n, size: PAGE },
      'many pages': { iova: 0x100000n, size: 0x10000n },
      'to be read only': { iova: 0x1000n, size: PAGE, flags: READ },
      'to be written only': { iova: 0x1000n, size: PAGE, flags: WRITE },
    },
    (s, row) => {
      const c = readyContainer(s);
      c.map(row).succeeds();
      c.unmap({ iova: row.iova, size: row.size }).succeeds();
    },
  );
});

clause('map/argsz', () => {
  each(Object.fromEntries([0, 8, 24, 31].map((argsz) => [`${argsz}`, argsz])), (s, argsz) => {
    readyContainer(s)
      .map({ ...A, argsz })
      .refused('EINVAL');
  });
  each({ exact: 32, 'one more': 33, 'far more': 4096, 'the largest': 0xffffffff }, (s, argsz) => {
    readyContainer(s)
      .map({ ...A, argsz })
      .succeeds();
  });
});

clause('map/unreadable-argument', () => {
  test('null', (s) => void readyContainer(s).ioctl(uapi.VFIO_IOMMU_MAP_DMA, NULL).refused('EFAULT'));
  test('unreadable', (s) => {
    const c = readyContainer(s);
    const place = s.main.memory(PAGE, { prot: 'none' });
    c.ioctl(uapi.VFIO_IOMMU_MAP_DMA, pointerTo(place.at())).refused('EFAULT');
  });
  test('cut off by the end of memory', (s) => {
    const c = readyContainer(s);
    const place = s.main.memory(PAGE);
    c.ioctl(uapi.VFIO_IOMMU_MAP_DMA, pointerTo(place.at(PAGE - 31n))).refused('EFAULT');
  });
});

clause('map/unknown-flags', () => {
  const bits = Array.from({ length: 29 }, (_, index) => index + 3);
  each(Object.fromEntries(bits.map((bit) => [`bit ${bit}`, bit])), (s, bit) => {
    readyContainer(s)
      .map({ ...A, flags: (READ_WRITE | (1 << bit)) >>> 0 })
      .refused('EINVAL');
  });
});

clause('map/needs-access', () => {
  test('no flags', (s) =>
    void readyContainer(s)
      .map({ ...A, flags: 0 })
      .refused('EINVAL'));
});

clause('map/zero-size', () => {
  test('size 0', (s) =>
    void readyContainer(s)
      .map({ ...A, size: 0n })
      .refused('EINVAL'));
});

clause('map/unaligned', () => {
  each(
    {
      'iova by one byte': { ...A, iova: 0x10001n },
      'iova by half a page': { ...A, iova: 0x10800n },
      'size by one byte more': { ...A, size: 0x1001n },
      'size below a page': { ...A, size: 0x800n },
    },
    (s, row) => void readyContainer(s).map(row).refused('EINVAL'),
  );
  each({ 'vaddr by one byte': 1n, 'vaddr by half a page': 0x800n }, (s, offset) => {
    const c = readyContainer(s);
    c.map({ iova: 0x1000n, size: PAGE, vaddr: c.memory.at(offset) }).refused('EINVAL');
  });
});

clause('map/iova-wraps', () => {
  each(
    {
      'by one page': { iova: 0xfffffffffffff000n, size: 2n * PAGE },
      'from the middle': { iova: 0x8000000000000000n, size: 0x8000000000001000n },
      'by all but a page': { iova: 0xfffffffffffff000n, size: 0xfffffffffffff000n },
    },
    (s, row) => void readyContainer(s).map(row).refused('EINVAL', 'EOVERFLOW'),
  );
});

clause('map/vaddr-wraps', () => {
  test('by one page', (s) => {
    readyContainer(s)
      .map({ iova: 0x1000n, size: 2n * PAGE, vaddr: 0xfffffffffffff000n })
      .refused('EINVAL', 'EOVERFLOW');
  });
});

clause('map/overlap', () => {
  /** Three mappings of two pages, with a hole of one page between each and the next. */
  const three = (s: Scenario) => {
    const c = readyContainer(s);
    for (const page of [0x10n, 0x13n, 0x16n]) c.map({ iova: page * PAGE, size: 2n * PAGE }).succeeds();
    return c;
  };
  each(
    {
      'two of three': { iova: 0x11000n, size: 3n * PAGE },
      'all of three': { iova: 0xf000n, size: 9n * PAGE },
      'a hole and a page more': { iova: 0x12000n, size: 2n * PAGE },
    },
    (s, row) => {
      const c = three(s);
      c.map(row).refused('EEXIST');
      for (const page of [0x12n, 0x15n, 0x18n]) c.map({ iova: page * PAGE, size: PAGE }).succeeds();
      c.unmapAll().shows(16, u64(9n * PAGE));
    },
  );
  each(
    {
      identical: A,
      'contained, at its start': { iova: 0x10000n, size: PAGE },
      'contained, in its middle': { iova: 0x11000n, size: PAGE },
      'contained, at its end': { iova: 0x13000n, size: PAGE },
      containing: { iova: 0xf000n, size: 0x6000n },
      'containing, same start': { iova: 0x10000n, size: 0x5000n },
      'containing, same end': { iova: 0xf000n, size: 0x5000n },
      'straddling its low end': { iova: 0xf000n, size: 2n * PAGE },
      'straddling its high end': { iova: 0x13000n, size: 2n * PAGE },
      'containing, larger on both sides by a MiB': { iova: 0n, size: 0x200000n },
    },
    (s, row) => {
      const c = readyContainer(s, { memory: 0x200000n });
      c.map(A).succeeds();
      c.map(row).refused('EEXIST');
      c.unmap(A).succeeds();
      c.map(row).succeeds();
    },
  );
  each(
    {
      'not by the neighbour below': { iova: 0xf000n, size: PAGE },
      'not by the neighbour above': { iova: 0x14000n, size: PAGE },
    },
    (s, row) => {
      const c = readyContainer(s);
      c.map(A).succeeds();
      c.map(row).succeeds();
    },
  );
});

clause('map/outside-iova-ranges', () => {
  const reserved = { 'the reserved range': MSI_RANGE, "HyperTransport's range": HYPERTRANSPORT_RANGE };
  for (const [range, { start, end }] of Object.entries(reserved)) {
    const needed = reserves({ start, end });
    each(
      {
        [`the last page below ${range}`]: { iova: start - PAGE, size: PAGE },
        [`the first page above ${range}`]: { iova: end + 1n, size: PAGE },
      },
      (s, row) => {
        s.needs(needed);
        readyContainer(s).map(row).succeeds();
      },
    );
    each(
      {
        [`one page into ${range}`]: { iova: start - PAGE, size: 2n * PAGE },
        [`the first page of ${range}`]: { iova: start, size: PAGE },
        [`the last page of ${range}`]: { iova: end + 1n - PAGE, size: PAGE },
        [`from ${range} into the next`]: { iova: end + 1n - PAGE, size: 2n * PAGE },
        [`from below ${range} to above it`]: { iova: start - PAGE, size: end + 1n - start + 2n * PAGE },
      },
      (s, row) => {
        s.needs(needed);
        readyContainer(s).map(row).refused('EINVAL');
      },
    );
  }
  each(LAST_PAGES, (s, width) => {
    s.needs(translates(width));
    const c = readyContainer(s);
    c.map({ iova: lastIova(width) + 1n - PAGE, size: PAGE }).succeeds();
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
  const beyond = (width: Width) => ({
    [`one page beyond ${width} bits`]: { iova: lastIova(width) + 1n - PAGE, size: 2n * PAGE },
    [`the first page beyond ${width} bits`]: { iova: lastIova(width) + 1n, size: PAGE },
  });
  each(
    {
      ...beyond(39),
      ...beyond(48),
      'far beyond': { iova: 0xffffffffffff0000n, size: PAGE },
      'the last page of all': { iova: 0xfffffffffffff000n, size: PAGE },
    },
    (s, row) => {
      s.needs(doesNotReach(row.iova + row.size - 1n));
      readyContainer(s).map(row).refused('EINVAL');
    },
  );
});

clause('map/unreachable-memory', () => {
  test('not mapped', (s) =>
    void readyContainer(s)
      .map({ ...A, vaddr: 0x1000n })
      .refused('EFAULT'));
  test('without access', (s) => {
    const c = readyContainer(s);
    c.memory.protect('none').succeeds();
    c.map(A).refused('EFAULT');
  });
  test('read-only, to be written', (s) => {
    const c = readyContainer(s);
    c.memory.protect('r').succeeds();
    c.map(A).refused('EFAULT');
    c.map({ ...A, flags: READ }).succeeds();
  });
  each({ 'only its last page': 0x3000n, 'only its first page': 0n }, (s, at) => {
    const c = readyContainer(s);
    c.memory.hole(at, PAGE).succeeds();
    c.map(A).refused('EFAULT');
  });
});

clause('map/rolls-back', () => {
  /** The number of entries that are left, in GET_INFO's second capability. */
  const AVAILABLE_AT = 24 + 32 + 8;
  each({ 'no page there': 0n, 'the third page missing': 0x2000n, 'the last page missing': 0x3000n }, (s, hole) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.memory.hole(hole, PAGE).succeeds();
    for (const _ of ['once', 'twice']) c.map(A).refused('EFAULT');
    c.info(160).shows(AVAILABLE_AT, u32(65_535));
    s.main.lockedKb().returns(0);
  });
  test('a hole at the end', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.memory.hole(0x3000n, PAGE).succeeds();
    s.main.lockedKb().returns(0);
    c.map(A).refused('EFAULT');
    s.main.lockedKb().returns(0);
    c.unmap(A).succeeds();
    c.map({ ...A, size: 0x3000n }).succeeds();
    s.main.lockedKb().returns(12);
  });
});

clause('map/locked-memory', () => {
  each({ 'N - 1 pages': [3, false], 'N pages': [4, true], 'N + 1 pages': [5, true] } as const, (s, [pages, fits]) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', BigInt(pages) * PAGE).succeeds();
    if (fits) c.map(A).succeeds();
    else c.map(A).refused('ENOMEM');
    s.main.lockedKb().returns(fits ? 16 : 0);
  });
});

clause('map/entry-limit', () => {
  test('65,536 mappings', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1, 0n, PAGE);
    s.repeat(65_535, () => void c.map({ iova: 0n, size: PAGE, stride: { iova: PAGE } }).succeeds());
    c.map({ iova: 0x20000000n, size: PAGE }).refused('ENOSPC');
    c.unmap({ iova: 0n, size: PAGE }).succeeds();
    c.map({ iova: 0x20000000n, size: PAGE }).succeeds();
  });
});
