import { eduOf } from '../harness/cases/edu.ts';
import { type Ground, groundIn, inModes, type Mode, type Prepared, table } from '../harness/cases/five-modes.ts';
import { type Actor, doesNotReach, inline, type Said, type Scenario } from '../harness/cases/index.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* One program in five modes: what each must answer stands in the table (harness/spec/five-modes). */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
/** A mapping right behind. */
const NEXT = { iova: 0x14000n, size: 0x4000n };
const UNKNOWN_FLAG = 1 << 20;

/** A ground on which A is mapped. */
const mapped = (s: Scenario, mode: Mode, prepared?: Prepared): Ground => {
  const g = groundIn(s, mode, prepared);
  g.map(A).returns(0);
  return g;
};

const bothMapped = (s: Scenario, mode: Mode): Ground => {
  const g = mapped(s, mode);
  g.map(NEXT).returns(0);
  return g;
};

inModes(table.UNMAP_NOTHING, (s, mode) => mapped(s, mode).unmap(0x40000n, A.size));
inModes(table.CUT_FIRST_HALF, (s, mode) => mapped(s, mode).unmap(A.iova, 0x2000n));
inModes(table.CUT_SECOND_HALF, (s, mode) => mapped(s, mode).unmap(0x12000n, 0x2000n));
inModes(table.CUT_MIDDLE, (s, mode) => mapped(s, mode).unmap(0x11000n, PAGE));
inModes(table.CUT_SECOND_MAPPING, (s, mode) => bothMapped(s, mode).unmap(A.iova, 0x6000n));
inModes(table.CUT_WITHIN_PAGE, (s, mode) => mapped(s, mode).unmap(A.iova, 0x1080n));
inModes(table.LEFT_AFTER_CUT, (s, mode) => {
  const g = mapped(s, mode);
  g.unmap(A.iova, 0x2000n);
  return g.unmapAll();
});
inModes(table.LEFT_AFTER_CUT_SECOND, (s, mode) => {
  const g = bothMapped(s, mode);
  g.unmap(A.iova, 0x6000n);
  return g.unmapAll();
});
inModes(table.UNMAP_HOLE, (s, mode) => {
  const g = mapped(s, mode);
  g.map({ iova: 0x20000n, size: A.size }).returns(0);
  return g.unmap(0n, 0x100000n);
});
inModes(table.UNMAP_ALL, (s, mode) => bothMapped(s, mode).unmapAll());
inModes(table.UNMAP_ALL_EMPTY, (s, mode) => groundIn(s, mode).unmapAll());
inModes(table.UNMAP_EMPTY, (s, mode) => mapped(s, mode).unmap(A.iova, 0n));
inModes(table.UNMAP_BEYOND, (s, mode) => mapped(s, mode).unmap(0xfffffffffffff000n, 0x2000n));
inModes(table.UNMAP_TO_TOP, (s, mode) => mapped(s, mode).unmap(A.iova, (1n << 64n) - A.iova));
inModes(table.UNMAP_UNALIGNED, (s, mode) => mapped(s, mode).unmap(A.iova - 0x100n, A.size + 0x200n));

inModes(table.MAP_OVERLAP, (s, mode) => mapped(s, mode).map({ iova: 0x13000n, size: PAGE }));
inModes(table.MAP_EMPTY, (s, mode) => groundIn(s, mode).map({ ...A, size: 0n }));
inModes(table.MAP_NO_ACCESS, (s, mode) => groundIn(s, mode).map({ ...A, flags: 0 }));
inModes(table.MAP_NO_ACCESS_LAZY, (s, mode) => groundIn(s, mode, 'iommu').map({ ...A, flags: 0 }));
inModes(table.MAP_FLAGS, (s, mode) => {
  const g = groundIn(s, mode);
  const flags = uapi.VFIO_DMA_MAP_FLAG_READ | UNKNOWN_FLAG;
  if (mode !== 'iommufd') return g.map({ ...A, flags });
  return g.context.map({ iova: A.iova, length: A.size, vaddr: g.memory.at(), flags: 0x7 | UNKNOWN_FLAG });
});
const mapsWithinPage = (s: Scenario, mode: Mode, prepared: Prepared): Said => {
  const g = groundIn(s, mode, prepared);
  return g.map({ ...A, vaddr: g.memory.at(0x80n) });
};
inModes(table.MAP_UNALIGNED, (s, mode) => mapsWithinPage(s, mode, 'device'));
inModes(table.MAP_UNALIGNED_LAZY, (s, mode) => mapsWithinPage(s, mode, 'iommu'));
inModes(table.MAP_BEYOND, (s, mode) => groundIn(s, mode).map({ iova: 0xfffffffffffff000n, size: 0x2000n }));
inModes(table.MAP_MEMORY_BEYOND, (s, mode) => groundIn(s, mode).map({ ...A, vaddr: 0xffffffffffffe000n }));
inModes(table.MAP_MEMORY_TO_TOP, (s, mode) => groundIn(s, mode).map({ ...A, size: PAGE, vaddr: 0xfffffffffffff000n }));
const OUTSIDE = { iova: 1n << 60n, size: PAGE };
const mapsOutside = (s: Scenario, mode: Mode, prepared: Prepared): Said => {
  s.needs(doesNotReach(OUTSIDE.iova));
  return groundIn(s, mode, prepared).map(OUTSIDE);
};
inModes(table.MAP_OUTSIDE, (s, mode) => mapsOutside(s, mode, 'device'));
inModes(table.MAP_OUTSIDE_LAZY, (s, mode) => mapsOutside(s, mode, 'iommu'));
inModes(table.MAP_RESERVED, (s, mode) => groundIn(s, mode).map({ iova: 0xfee00000n, size: PAGE }));
const mapsHole = (s: Scenario, mode: Mode, prepared: Prepared): Said => {
  const g = groundIn(s, mode, prepared);
  g.memory.hole(0x3000n, PAGE).succeeds();
  return g.map(A);
};
inModes(table.MAP_HOLE, (s, mode) => mapsHole(s, mode, 'device'));
inModes(table.MAP_HOLE_LAZY, (s, mode) => mapsHole(s, mode, 'iommu'));
inModes(table.MAP_MMIO, (s, mode) => {
  const g = groundIn(s, mode, 'iommu');
  const device = g.open();
  device.opened.succeeds();
  return g.map({ ...A, vaddr: s.main.maps(device.fd, 0x100000).at() });
});

inModes(table.VADDR_EXTENSION, (s, mode) => groundIn(s, mode).container.extension(uapi.VFIO_UPDATE_VADDR));
inModes(table.VADDR_INVALIDATE, (s, mode) => mapped(s, mode).container.invalidateVaddr(A));
inModes(table.VADDR_UPDATE, (s, mode) => {
  const g = mapped(s, mode);
  if (!g.onIommufd) g.container.invalidateVaddr(A).returns(0);
  return g.container.updateVaddr({ ...A, vaddr: g.memory.at() });
});

const status = (actor: Actor, field: 'VmLck' | 'VmPin'): Said => actor.does({ op: 'status', field });
/** What a mode charges: type1 locked memory, IOMMUFD pinned memory. */
const charged = (g: Ground): Said => status(g.main, g.onIommufd ? 'VmPin' : 'VmLck');

inModes(table.LOCKED, (s, mode) => status(mapped(s, mode).main, 'VmLck'));
inModes(table.LOCKED_UNPRIVILEGED, (s, mode) => {
  const g = groundIn(s, mode);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', A.size).succeeds();
  g.map(A).returns(0);
  return status(s.main, 'VmLck');
});
inModes(table.PINNED, (s, mode) => status(mapped(s, mode).main, 'VmPin'));
inModes(table.CHARGED_TWICE, (s, mode) => charged(bothMapped(s, mode)));
inModes(table.CHARGED_LAZY, (s, mode) => charged(mapped(s, mode, 'iommu')));
inModes(table.CHARGED_WHEN_OPENED, (s, mode) => {
  const g = mapped(s, mode, 'iommu');
  g.open().opened.succeeds();
  return charged(g);
});
inModes(table.CHARGED_AFTER_CLOSE, (s, mode) => {
  const g = groundIn(s, mode, 'iommu');
  const device = g.open();
  device.opened.succeeds();
  g.map(A).returns(0);
  device.close().succeeds();
  return charged(g);
});
inModes(table.CHARGED_AFTER_CUT, (s, mode) => {
  const g = mapped(s, mode);
  g.unmap(A.iova, 0x2000n);
  return charged(g);
});
inModes(table.OVER_LIMIT, (s, mode) => {
  const g = groundIn(s, mode);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', A.size - PAGE).succeeds();
  return g.map(A);
});
inModes(table.LIMIT_OF_USER, (s, mode) => {
  const g = groundIn(s, mode);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', A.size).succeeds();
  const child = s.main.forks();
  g.map(A).returns(0);
  return g.of(child).map({ ...NEXT, vaddr: child.memory(NEXT.size).at() });
});

const typeOf = (mode: Mode): bigint => (mode.endsWith('v1') ? uapi.VFIO_TYPE1_IOMMU : uapi.VFIO_TYPE1v2_IOMMU);
inModes(table.SET_WITHOUT_GROUP, (s, mode) => groundIn(s, mode, 'bare').container.setIommu(typeOf(mode)));
inModes(table.SET_UNSUPPORTED, (s, mode) => groundIn(s, mode, 'group').container.setIommu(uapi.VFIO_SPAPR_TCE_IOMMU));
inModes(table.SET_TWICE, (s, mode) => groundIn(s, mode, 'iommu').container.setIommu(typeOf(mode)));
inModes(table.MAP_WITHOUT_GROUP, (s, mode) => groundIn(s, mode, 'bare').map(A));
inModes(table.MAP_BEFORE_SET, (s, mode) => groundIn(s, mode, 'group').map(A));
inModes(table.OPEN_BEFORE_SET, (s, mode) => groundIn(s, mode, 'group').open().opened);
inModes(table.UNSET_WITH_DEVICE, (s, mode) => groundIn(s, mode).group.unsetContainer());
inModes(table.LEFT_WITHOUT_GROUP, (s, mode) => {
  const g = mapped(s, mode, 'iommu');
  g.group.unsetContainer().returns(0);
  return g.unmapAll();
});
inModes(table.DIRTY_START, (s, mode) => {
  const bytes = encode(uapi.vfioIommuType1DirtyBitmap, { argsz: 8, flags: uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START });
  return groundIn(s, mode).container.ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, inline(bytes));
});
inModes(table.AVAILABLE, (s, mode) => mapped(s, mode).container.info(256));
inModes(table.INFO_ARGSZ, (s, mode) => groundIn(s, mode, 'iommu').container.info(256));

/** Cuts the first half off, has the device write to an IOVA, and reads the memory that was behind it. */
const writesAfterCut = (s: Scenario, mode: Mode, offset: bigint): Said => {
  const g = mapped(s, mode, 'iommu');
  const device = eduOf(s, { ...g.container, groups: [g.group], memory: g.memory });
  g.memory.fill(0x22);
  device.reads(A.iova);
  g.memory.fill(0x11);
  g.unmap(A.iova, 0x2000n);
  device.writes(A.iova + offset);
  return g.memory.read(offset, 16n);
};
inModes(table.REACHES_SECOND_HALF, (s, mode) => writesAfterCut(s, mode, 0x2000n));
inModes(table.REACHES_FIRST_HALF, (s, mode) => writesAfterCut(s, mode, 0n));
