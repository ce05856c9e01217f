import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  vfioIommuType1DmaMap,
} from '../../uapi/vfio.ts';
import { objection, request, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Resolution } from '../world/address-space.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { CHARGED_PAGES, CHARGES_CALLER, exceedsLimit } from './accounting.ts';
import { type Found, readStruct } from './argument.ts';
import { DirtyMarks } from './dirty-marks.ts';
import type { IommuFile } from './files.ts';
import { addMapping } from './mappings.ts';
import { PINS_FOR_READING, PINS_WHEN_MAPPED, pinOptions } from './pinning.ts';
import { type Iommu, type Mapping, smallestPage } from './state.ts';
import { UPDATES_VADDR } from './vaddr-update.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA';
const DO_MAP = 'vfio_dma_do_map(), drivers/vfio/vfio_iommu_type1.c';
const TWO_TO_THE_64 = 1n << 64n;

/** The size of the argument in bytes. */
const SIZE = 32;
const KNOWN_FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;

/** What a MAP_DMA is about. Addresses and sizes in bytes. */
export interface MapCall {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioIommuType1DmaMap.fields>;
  readonly law: Law;
  readonly iommu: Iommu;
  readonly caller: Process;
  /** The smallest page of the IOMMU: what addresses and sizes must be multiples of. */
  readonly unit: bigint;
  /** The processor's page: what is pinned and charged. */
  readonly pageSize: number;
  /** It gives a mapping a new vaddr instead of making one. */
  readonly updates: boolean;
  /** It pins what it maps. */
  readonly pins: boolean;
  /** What could be pinned for it; looked up when first asked for. */
  pinnable(): Resolution;
}

/** The pages that a mapping is made of. */
const pagesOf = ({ asked, pageSize }: MapCall): number => Number(asked.size / BigInt(pageSize));

/** Whether the device may write what is mapped. */
const writes = ({ asked: { flags } }: Pick<MapCall, 'asked'>): boolean => (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;

const situation = ({ vfio, container, iommu }: IommuFile, { caller, argument }: IoctlCall): MapCall => {
  const asked = readStruct(argument, vfioIommuType1DmaMap, 0, SIZE);
  let resolution: Resolution | undefined;
  return {
    asked,
    law: vfio.law,
    iommu,
    caller,
    unit: smallestPage(vfio.platform),
    pageSize: vfio.platform.pageSizeBytes,
    updates: (asked.flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0,
    pins: vfio.law.of(PINS_WHEN_MAPPED).rule(container),
    pinnable() {
      resolution ??= this.pins
        ? caller.space.resolve(asked.vaddr, pagesOf(this), pinOptions(this.law, writes(this)))
        : { runs: [], pages: pagesOf(this) };
      return resolution;
    },
  };
};

/** Makes the mapping: pins, charges, and takes one of the entries that are left. */
const makeMapping = (call: MapCall): void => {
  const { law, iommu } = call;
  const { iova, vaddr, size, flags } = call.asked;
  const owner = law.of(CHARGES_CALLER).rule(call.caller);
  const { runs } = call.pins ? owner.space.pin(vaddr, pagesOf(call), pinOptions(call.law, writes(call))) : { runs: [] };
  const clause = law.of(CHARGED_PAGES);
  const charged = clause.rule(runs);
  owner.space.charge(charged, clause);
  const read = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
  const mapping: Mapping = {
    start: iova,
    end: iova + size,
    vaddr,
    vaddrValid: true,
    read,
    write: writes(call),
    iommuMapped: call.pins,
    runs,
    owner,
    charged,
    pins: new Map(),
    dirty: new DirtyMarks(),
  };
  addMapping(law, iommu, mapping);
};

export const MAP_DMA = request<IommuFile, MapCall>({
  id: 'map/maps',
  level: 'must',
  says: 'MAP_DMA pins size bytes of the calling process from vaddr on and makes devices of the container reach them from iova on; it returns 0 and leaves its argument as it was.',
  source: HEADER,
  on: 'iommu',
  request: VFIO_IOMMU_MAP_DMA,
  situation,
  stages: ['read', 'arguments', 'mappings', 'memory'],
  effect: (call) => (call.updates ? call.law.of(UPDATES_VADDR).rule(call) : makeMapping(call)),
});

const UNREADABLE = objection(MAP_DMA, {
  id: 'map/unreadable-argument',
  level: 'must',
  says: 'An argument that cannot be read is refused with EFAULT.',
  source: `vfio_iommu_type1_map_dma(), drivers/vfio/vfio_iommu_type1.c`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const ARGSZ = objection(MAP_DMA, {
  id: 'map/argsz',
  level: 'must',
  says: 'An argsz below 32 is refused with EINVAL; a larger one is accepted, and what lies behind the structure is ignored.',
  source: 'include/uapi/linux/vfio.h: argsz; vfio_iommu_type1_map_dma(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < SIZE,
});

const UNKNOWN_FLAGS = objection(MAP_DMA, {
  id: 'map/unknown-flags',
  level: 'must',
  says: 'Flags other than READ, WRITE and VADDR are refused with EINVAL.',
  source: `${HEADER}; vfio_iommu_type1_map_dma(), drivers/vfio/vfio_iommu_type1.c`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => (asked.flags & ~KNOWN_FLAGS) !== 0,
});

const NEEDS_ACCESS = objection(MAP_DMA, {
  id: 'map/needs-access',
  level: 'must',
  says: 'A mapping that the device may neither read nor write is refused with EINVAL.',
  source: `${HEADER}: READ &/ WRITE required`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked, updates }) => !updates && (asked.flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) === 0,
});

const ZERO_SIZE = objection(MAP_DMA, {
  id: 'map/zero-size',
  level: 'must',
  says: 'A size of 0 is refused with EINVAL.',
  source: DO_MAP,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.size === 0n,
});

const UNALIGNED = objection(MAP_DMA, {
  id: 'map/unaligned',
  level: 'must',
  says: 'An iova, vaddr or size that is no multiple of the smallest page size reported is refused with EINVAL.',
  source: DO_MAP,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { iova, vaddr, size }, unit }) => ((iova | vaddr | size) & (unit - 1n)) !== 0n,
});

export const IOVA_WRAPS = objection(MAP_DMA, {
  id: 'map/iova-wraps',
  level: 'must',
  says: 'A range of IOVA that goes beyond 2^64 is refused with EINVAL.',
  source: DO_MAP,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { iova, size } }) => iova + size > TWO_TO_THE_64,
});

export const VADDR_WRAPS = objection(MAP_DMA, {
  id: 'map/vaddr-wraps',
  level: 'must',
  says: 'A range of virtual addresses that goes beyond 2^64 is refused with EINVAL.',
  source: DO_MAP,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { vaddr, size } }) => vaddr + size > TWO_TO_THE_64,
});

const OVERLAP = objection(MAP_DMA, {
  id: 'map/overlap',
  level: 'must',
  says: 'A range that shares an IOVA with a mapping, in whatever shape, is refused with EEXIST; neighbours that only touch are not.',
  source: DO_MAP,
  stage: 'mappings',
  errnos: ['EEXIST'],
  when: ({ updates, iommu, asked: { iova, size } }) =>
    !updates && iommu.mappings.overlapping(iova, iova + size) !== undefined,
});

const ENTRY_LIMIT = objection(MAP_DMA, {
  id: 'map/entry-limit',
  level: 'must',
  says: 'When as many mappings are outstanding as the container takes (avail is 0) one more is refused with ENOSPC.',
  source: `include/uapi/linux/vfio.h: DMA available capability; ${DO_MAP}`,
  stage: 'mappings',
  errnos: ['ENOSPC'],
  when: ({ updates, iommu }) => !updates && iommu.available === 0,
});

const OUTSIDE_RANGES = objection(MAP_DMA, {
  id: 'map/outside-iova-ranges',
  level: 'must',
  says: 'A range that does not lie within a single valid IOVA range, both its ends included, is refused with EINVAL.',
  source: `include/uapi/linux/vfio.h: IOVA capability; vfio_iommu_iova_dma_valid(), drivers/vfio/vfio_iommu_type1.c`,
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: ({ updates, iommu, asked: { iova, size } }) =>
    !updates &&
    iommu.ranges.length > 0 &&
    !iommu.ranges.some(({ start, end }) => iova >= start && iova + size - 1n <= end),
});

/** How many pages stay charged of those that were pinned before a mapping failed. */
const ROLLS_BACK = rule<(pinned: number) => number>({
  id: 'map/rolls-back',
  level: 'must',
  says: 'A MAP_DMA that fails part of the way leaves nothing mapped, nothing charged and no entry taken.',
  source: 'vfio_pin_map_dma(), vfio_remove_dma(), drivers/vfio/vfio_iommu_type1.c',
  rule: () => 0,
});

const rollBack = (call: MapCall): void => {
  const { law, caller, asked } = call;
  // Pages that the process had not touched yet were made to be pinned, and stay with it.
  const { pages } = caller.space.pin(asked.vaddr, call.pinnable().pages, pinOptions(call.law, writes(call)));
  const clause = law.of(ROLLS_BACK);
  caller.space.charge(clause.rule(pages), clause);
};

const UNREACHABLE_MEMORY = objection(MAP_DMA, {
  id: 'map/unreachable-memory',
  level: 'must',
  says: 'Memory that the process itself cannot use that way is refused with EFAULT: not mapped, or not readable, or (with WRITE) not writable, be it only its last page.',
  source: `${HEADER}: Map process virtual addresses; vaddr_get_pfns(), drivers/vfio/vfio_iommu_type1.c`,
  stage: 'memory',
  errnos: ['EFAULT'],
  when: (call) => !call.updates && call.pinnable().pages < pagesOf(call),
  leaves: rollBack,
});

const LOCKED_MEMORY = objection(MAP_DMA, {
  id: 'map/locked-memory',
  level: 'must',
  says: 'A mapping that would take its process beyond RLIMIT_MEMLOCK is refused with ENOMEM, unless it has CAP_IPC_LOCK.',
  source: 'vfio_pin_pages_remote(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'memory',
  errnos: ['ENOMEM'],
  when: (call) =>
    !call.updates &&
    exceedsLimit(call.law, call.caller, call.law.of(CHARGED_PAGES).rule(call.pinnable().runs), call.pageSize),
  leaves: rollBack,
});

export const MAP_CLAUSES = [
  MAP_DMA,
  UNREADABLE,
  ARGSZ,
  UNKNOWN_FLAGS,
  NEEDS_ACCESS,
  ZERO_SIZE,
  UNALIGNED,
  IOVA_WRAPS,
  VADDR_WRAPS,
  OVERLAP,
  ENTRY_LIMIT,
  OUTSIDE_RANGES,
  ROLLS_BACK,
  PINS_FOR_READING,
  PINS_WHEN_MAPPED,
  UNREACHABLE_MEMORY,
  LOCKED_MEMORY,
];
