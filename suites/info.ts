import {
  clause,
  each,
  HYPERTRANSPORT_RANGE,
  lastIova,
  MSI_RANGE,
  mapsPagesOf,
  NULL,
  PAGE_SIZES,
  pointerTo,
  readyContainer,
  reservesOnly,
  test,
  translates,
  u32,
  u64,
  type Width,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/** The structure without and with cap_offset, and padded; capabilities: migration 32, DMA available 12 (16 with padding), ranges 16 + 2 x 16. */
const FIXED = 16;
const WITH_CAP_OFFSET = 20;
const STRUCT = 24;
const WHOLE = STRUCT + 32 + 16 + 48;
const ROOM = 160;
const AT = { argsz: 0, flags: 4, pageSizes: 8, capOffset: 16 } as const;

clause('info/get-info', () => {
  each(
    { v1: uapi.VFIO_TYPE1_IOMMU, v2: uapi.VFIO_TYPE1v2_IOMMU },
    (s, type) => void readyContainer(s, { type }).info(ROOM).returns(0),
  );
});

clause('info/argsz', () => {
  each(Object.fromEntries(Array.from({ length: FIXED }, (_, argsz) => [`${argsz}`, argsz])), (s, argsz) => {
    readyContainer(s).info(ROOM, argsz).refused('EINVAL');
  });
});

clause('info/within-argsz', () => {
  const sizes = Array.from({ length: WHOLE + 2 - FIXED }, (_, index) => FIXED + index);
  each(Object.fromEntries(sizes.map((argsz) => [`argsz ${argsz}`, argsz])), (s, argsz) => {
    readyContainer(s).info(argsz).succeeds();
  });
});

clause('info/flags', () => {
  test('page sizes and capabilities', (s) => void readyContainer(s).info(ROOM).shows(AT.flags, u32(3)));
  test('also without room for the chain', (s) => void readyContainer(s).info(FIXED).shows(AT.flags, u32(3)));
});

clause('info/page-sizes', () => {
  each(PAGE_SIZES, (s, sizes) => {
    s.needs(mapsPagesOf(sizes));
    readyContainer(s).info(ROOM).shows(AT.pageSizes, u64(sizes));
  });
});

clause('info/argsz-hint', () => {
  each({ 'without cap_offset': FIXED, 'with cap_offset': WITH_CAP_OFFSET, 'one byte short': WHOLE - 1 }, (s, argsz) => {
    s.needs(reservesOnly(MSI_RANGE));
    readyContainer(s).info(ROOM, argsz).shows(AT.argsz, u32(WHOLE));
  });
  test('stays when the chain fits', (s) => void readyContainer(s).info(ROOM).shows(AT.argsz, u32(ROOM)));
});

clause('info/cap-offset', () => {
  test('behind the structure when the chain fits', (s) =>
    void readyContainer(s).info(ROOM).shows(AT.capOffset, u32(STRUCT)));
  test('0 when it does not', (s) => void readyContainer(s).info(STRUCT).shows(AT.capOffset, u32(0)));
});

clause('info/capability-chain', () => {
  test('ends with 0', (s) => void readyContainer(s).info(ROOM).succeeds());
});

clause('info/capability-alignment', () => {
  each({ exact: WHOLE, 'more room': ROOM }, (s, room) => void readyContainer(s).info(room).succeeds());
});

clause('info/migration-capability', () => {
  test('page size and largest bitmap', (s) => {
    readyContainer(s)
      .info(ROOM)
      .shows(STRUCT + 16, u64(0x1000n))
      .shows(STRUCT + 24, u64(1n << 28n));
  });
});

clause('info/dma-available-capability', () => {
  test('counts down and up', (s) => {
    const c = readyContainer(s);
    const avail = STRUCT + 32 + 8;
    c.info(ROOM).shows(avail, u32(65_535));
    c.map({ iova: 0n, size: 0x1000n }).succeeds();
    c.map({ iova: 0x2000n, size: 0x1000n }).succeeds();
    c.info(ROOM).shows(avail, u32(65_533));
    c.unmap({ iova: 0n, size: 0x1000n }).succeeds();
    c.info(ROOM).shows(avail, u32(65_534));
    c.map({ iova: 0x2000n, size: 0x1000n }).refused('EEXIST');
    c.info(ROOM).shows(avail, u32(65_534));
    c.unmapAll().succeeds();
    c.info(ROOM).shows(avail, u32(65_535));
  });
});

clause('info/iova-range-capability', () => {
  const ranges = STRUCT + 32 + 16 + 16;
  each<Width>({ '39 bits': 39, '48 bits': 48, '64 bits': 64 }, (s, width) => {
    s.needs(translates(width));
    s.needs(reservesOnly(MSI_RANGE));
    readyContainer(s)
      .info(ROOM)
      .shows(ranges, u64(0n))
      .shows(ranges + 8, u64(MSI_RANGE.start - 1n))
      .shows(ranges + 16, u64(MSI_RANGE.end + 1n))
      .shows(ranges + 24, u64(lastIova(width)));
  });
  const withoutHyperTransport = {
    '48 bits without the range of HyperTransport': 48,
    '64 bits without the range of HyperTransport': 64,
  } as const;
  each<Width>(withoutHyperTransport, (s, width) => {
    s.needs(translates(width));
    s.needs(reservesOnly(MSI_RANGE, HYPERTRANSPORT_RANGE));
    readyContainer(s)
      .info(ROOM)
      .shows(ranges + 8, u64(MSI_RANGE.start - 1n))
      .shows(ranges + 16, u64(MSI_RANGE.end + 1n))
      .shows(ranges + 24, u64(HYPERTRANSPORT_RANGE.start - 1n))
      .shows(ranges + 32, u64(HYPERTRANSPORT_RANGE.end + 1n))
      .shows(ranges + 40, u64(lastIova(width)));
  });
});

clause('info/unreadable-argument', () => {
  test('null', (s) => void readyContainer(s).ioctl(uapi.VFIO_IOMMU_GET_INFO, NULL).refused('EFAULT'));
  test('no access', (s) => {
    const c = readyContainer(s);
    c.ioctl(uapi.VFIO_IOMMU_GET_INFO, pointerTo(s.main.memory(0x1000, { prot: 'none' }).at())).refused('EFAULT');
  });
});

clause('info/unwritable-argument', () => {
  test('read-only', (s) => {
    const c = readyContainer(s);
    const place = s.main.memory(0x1000);
    place.write(u32(ROOM)).succeeds();
    place.protect('r').succeeds();
    c.ioctl(uapi.VFIO_IOMMU_GET_INFO, pointerTo(place.at())).refused('EFAULT');
  });
});
