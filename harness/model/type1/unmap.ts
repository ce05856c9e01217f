import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_UNMAP_DMA,
  vfioBitmap,
  vfioIommuType1DmaUnmap,
} from '../../uapi/vfio.ts';
import { type Deviation, field, objection, request, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { type Found, readStruct } from './argument.ts';
import { u64Bytes } from './bytes.ts';
import { type Delivery, deliver } from './dirty-pages.ts';
import { tellDevices } from './emulated-device.ts';
import type { IommuFile } from './files.ts';
import { ALL_SELECTS, bisects, endMapping, SELECTION_CLAUSES, V1_SELECTS, V2_SELECTS } from './mappings.ts';
import { type Container, type Iommu, type Mapping, smallestPage } from './state.ts';
import { INVALIDATES_VADDR } from './vaddr-update.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_UNMAP_DMA';
const UNMAP = 'vfio_iommu_type1_unmap_dma(), drivers/vfio/vfio_iommu_type1.c';
const DO_UNMAP = 'vfio_dma_do_unmap(), drivers/vfio/vfio_iommu_type1.c';
const TWO_TO_THE_64 = 1n << 64n;

/** Sizes of the argument in bytes: without and with a bitmap. */
const SIZE = sizeOf(vfioIommuType1DmaUnmap);
export const SIZE_WITH_BITMAP = SIZE + sizeOf(vfioBitmap);
const KNOWN_FLAGS = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;

/** What an UNMAP_DMA is about. Addresses and sizes in bytes. */
export interface UnmapCall {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioIommuType1DmaUnmap.fields>;
  readonly law: Law;
  readonly container: Container;
  readonly iommu: Iommu;
  readonly caller: Process;
  /** The smallest page of the IOMMU. */
  readonly unit: bigint;
  readonly all: boolean;
  /** It takes vaddrs away instead of unmapping. */
  readonly invalidates: boolean;
  /** Where dirty pages are to be reported, if they are asked for and argsz has room for it. */
  readonly bitmap: Found<typeof vfioBitmap.fields> | undefined;
  /** The argument can be written. */
  readonly writable: boolean;
  /** The mappings it is about, ascending; looked up when first asked for. */
  selected(): readonly Mapping[];
}

/** The mappings that a range is about. */
const selectRange = (law: Law, iommu: Iommu, start: bigint, end: bigint): readonly Mapping[] =>
  law.of(iommu.v2 ? V2_SELECTS : V1_SELECTS).rule(iommu, start, end);

const situation = ({ vfio, container, iommu }: IommuFile, { caller, argument }: IoctlCall): UnmapCall => {
  const { law } = vfio;
  const asked = readStruct(argument, vfioIommuType1DmaUnmap, 0, SIZE);
  const { flags, iova } = asked;
  const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const wantsBitmap = (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0 && asked.argsz >= SIZE_WITH_BITMAP;
  let selected: readonly Mapping[] | undefined;
  return {
    asked,
    law,
    container,
    iommu,
    caller,
    unit: smallestPage(vfio.platform),
    all,
    invalidates: (flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0,
    bitmap: wantsBitmap ? readStruct(argument, vfioBitmap, SIZE) : undefined,
    writable: argument.writable(0, SIZE),
    selected() {
      selected ??= all ? law.of(ALL_SELECTS).rule(iommu) : selectRange(law, iommu, iova, endOf(this));
      return selected;
    },
  };
};

/** The first IOVA behind a range: first as it should be, then as it is known to be mistaken. */
const RANGE_ENDS = rule<(iova: bigint, size: bigint) => readonly [bigint, ...bigint[]]>({
  id: 'unmap/up-to-the-top',
  level: 'must',
  says: 'A range that ends exactly at 2^64 does not wrap: it is about the mappings in it like any other.',
  source: `${DO_UNMAP}: iova + size - 1 < iova is what is refused, and success with a size of zero only means that nothing was mapped there`,
  rule: (iova, size) => [iova + size, BigInt.asUintN(64, iova + size)],
});

/** Where the range of a request ends. */
const endOf = ({ law, asked: { iova, size } }: Pick<UnmapCall, 'law' | 'asked'>): bigint =>
  law.of(RANGE_ENDS).rule(iova, size)[0];

/** Where the dirty pages of what is unmapped go, if they are asked for. */
export const deliveryOf = ({ law, caller, bitmap, asked, unit }: UnmapCall): Delivery | undefined =>
  bitmap === undefined ? undefined : { law, space: caller.space, data: bitmap.data, base: asked.iova, unit };

const carryOut = (call: UnmapCall): void => {
  const { law, container, iommu } = call;
  const mappings = call.selected();
  if (call.invalidates) {
    law.of(INVALIDATES_VADDR).rule(iommu, mappings);
    return;
  }
  for (const mapping of mappings) tellDevices(law, container, mapping);
  const delivery = deliveryOf(call);
  if (delivery !== undefined) deliver(delivery, mappings);
  for (const mapping of mappings) endMapping(law, iommu, mapping);
};

const deviations = (call: UnmapCall): readonly Deviation<UnmapCall>[] => {
  const { law, iommu, all, asked } = call;
  const clause = law.of(RANGE_ENDS);
  const [end, ...mistaken] = clause.rule(asked.iova, asked.size);
  if (all || mistaken.every((other) => other === end) || call.selected().length === 0) return [];
  return mistaken.map((other) => {
    const selected = selectRange(law, iommu, asked.iova, other);
    return { situation: { ...call, selected: () => selected }, breaks: [clause] };
  });
};

export const UNMAP_DMA = request<IommuFile, UnmapCall>({
  id: 'unmap/unmaps',
  level: 'must',
  says: 'UNMAP_DMA ends the mappings in its range: devices reach them no more, and 0 is returned.',
  source: HEADER,
  on: 'iommu',
  request: VFIO_IOMMU_UNMAP_DMA,
  situation,
  stages: ['read', 'arguments', 'range', 'mappings', 'bitmap', 'reply'],
  effect: carryOut,
  deviations,
});

const RETURNED_SIZE = field(UNMAP_DMA, {
  id: 'unmap/returned-size',
  level: 'must',
  says: 'The size field returns how many bytes were unmapped (or invalidated): the sum of the whole mappings, 0 if there were none; nothing else of the argument changes, and nothing at all when the call fails.',
  source: `${HEADER}: The actual unmapped size is returned in the size field`,
  at: () => offsetOf(vfioIommuType1DmaUnmap, 'size'),
  bytes: (call) => u64Bytes(call.selected().reduce((sum, { start, end }) => sum + (end - start), 0n)),
});

const UNREADABLE = objection(UNMAP_DMA, {
  id: 'unmap/unreadable-argument',
  level: 'must',
  says: 'An argument that cannot be read is refused with EFAULT.',
  source: UNMAP,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const ARGSZ = objection(UNMAP_DMA, {
  id: 'unmap/argsz',
  level: 'must',
  says: 'An argsz below 24 is refused with EINVAL; a larger one is accepted.',
  source: `include/uapi/linux/vfio.h: argsz; ${UNMAP}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < SIZE,
});

const UNKNOWN_FLAGS = objection(UNMAP_DMA, {
  id: 'unmap/unknown-flags',
  level: 'must',
  says: 'Flags other than GET_DIRTY_BITMAP, ALL and VADDR are refused with EINVAL.',
  source: `${HEADER}; ${UNMAP}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => (asked.flags & ~KNOWN_FLAGS) !== 0,
});

const EXCLUSIVE_FLAGS = objection(UNMAP_DMA, {
  id: 'unmap/exclusive-flags',
  level: 'must',
  says: 'GET_DIRTY_BITMAP together with ALL or VADDR is refused with EINVAL; ALL and VADDR may be combined.',
  source: `${HEADER}: This cannot be combined with the get-dirty-bitmap flag`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { flags }, all, invalidates }) =>
    (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0 && (all || invalidates),
});

const ALL_WITH_RANGE = objection(UNMAP_DMA, {
  id: 'unmap/all-with-range',
  level: 'must',
  says: 'ALL with an iova or a size other than 0 is refused with EINVAL.',
  source: `${HEADER}: iova and size must be 0`,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ all, asked: { iova, size } }) => all && (iova !== 0n || size !== 0n),
});

const ZERO_SIZE = objection(UNMAP_DMA, {
  id: 'unmap/zero-size',
  level: 'must',
  says: 'A size of 0 without ALL is refused with EINVAL.',
  source: DO_UNMAP,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ all, asked: { size } }) => !all && size === 0n,
});

const UNALIGNED = objection(UNMAP_DMA, {
  id: 'unmap/unaligned',
  level: 'must',
  says: 'An iova or size that is no multiple of the smallest page size reported is refused with EINVAL.',
  source: DO_UNMAP,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ asked: { iova, size }, unit }) => ((iova | size) & (unit - 1n)) !== 0n,
});

export const UNMAP_WRAPS = objection(UNMAP_DMA, {
  id: 'unmap/wraps',
  level: 'must',
  says: 'A range that goes beyond 2^64 is refused with EINVAL.',
  source: DO_UNMAP,
  stage: 'range',
  errnos: ['EINVAL'],
  when: (call) => endOf(call) > TWO_TO_THE_64,
});

const BISECTS = objection(UNMAP_DMA, {
  id: 'unmap/v2-bisects',
  level: 'must',
  says: 'On v2 a range that begins or ends within a mapping is refused with EINVAL, and nothing is unmapped.',
  source: `${DO_UNMAP}: there must not be any previous mappings bisected by the range`,
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: (call) => call.iommu.v2 && !call.all && bisects(call.iommu, call.asked.iova, endOf(call)),
});

const UNWRITABLE = objection(UNMAP_DMA, {
  id: 'unmap/unwritable-argument',
  level: 'must',
  says: 'When the size cannot be returned the call fails with EFAULT; what it was to unmap is unmapped all the same.',
  source: UNMAP,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
  leaves: carryOut,
});

export const UNMAP_CLAUSES = [
  UNMAP_DMA,
  RETURNED_SIZE,
  ...SELECTION_CLAUSES,
  RANGE_ENDS,
  UNREADABLE,
  ARGSZ,
  UNKNOWN_FLAGS,
  EXCLUSIVE_FLAGS,
  ALL_WITH_RANGE,
  ZERO_SIZE,
  UNALIGNED,
  UNMAP_WRAPS,
  BISECTS,
  UNWRITABLE,
];
