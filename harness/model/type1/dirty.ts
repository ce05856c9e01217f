import { sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfioIommuType1DirtyBitmap,
  vfioIommuType1DirtyBitmapGet,
} from '../../uapi/vfio.ts';
import { objection, request, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { type Found, readStruct } from './argument.ts';
import { type Delivery, DIRTY_PAGE_CLAUSES, deliver } from './dirty-pages.ts';
import type { IommuFile } from './files.ts';
import { mappingsIn } from './mappings.ts';
import { markReported, startMarking } from './pin-dirty.ts';
import { type Iommu, type Mapping, smallestPage } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_DIRTY_PAGES';
const IOCTL = 'vfio_iommu_type1_dirty_pages(), drivers/vfio/vfio_iommu_type1.c';

/** Sizes of the argument in bytes: without and with a range. */
const SIZE = sizeOf(vfioIommuType1DirtyBitmap);
export const SIZE_WITH_RANGE = SIZE + sizeOf(vfioIommuType1DirtyBitmapGet);
const KNOWN_FLAGS =
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START | VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP | VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;

/** What a DIRTY_PAGES is about. Addresses and sizes in bytes. */
export interface DirtyCall {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioIommuType1DirtyBitmap.fields>;
  readonly law: Law;
  readonly iommu: Iommu;
  readonly caller: Process;
  /** The smallest page of the IOMMU. */
  readonly unit: bigint;
  /** The range whose bitmap is asked for, if it is and argsz has room for it. */
  readonly range: Found<typeof vfioIommuType1DirtyBitmapGet.fields> | undefined;
  /** The mappings in that range, ascending; looked up when first asked for. */
  mappings(): readonly Mapping[];
}

const situation = ({ vfio, iommu }: IommuFile, { caller, argument }: IoctlCall): DirtyCall => {
  const asked = readStruct(argument, vfioIommuType1DirtyBitmap, 0, SIZE);
  const wantsBitmap = (asked.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) !== 0 && asked.argsz >= SIZE_WITH_RANGE;
  const range = wantsBitmap ? readStruct(argument, vfioIommuType1DirtyBitmapGet, SIZE) : undefined;
  let mappings: readonly Mapping[] | undefined;
  return {
    asked,
    law: vfio.law,
    iommu,
    caller,
    unit: smallestPage(vfio.platform),
    range,
    mappings() {
      mappings ??= range === undefined ? [] : mappingsIn(iommu, range.iova, range.iova + range.size);
      return mappings;
    },
  };
};

/** Where the dirty pages of the range go, if they are asked for. */
export const deliveryOf = ({ law, caller, range, unit }: DirtyCall): Delivery | undefined =>
  range === undefined ? undefined : { law, space: caller.space, data: range.bitmap.data, base: range.iova, unit };

/** Whether dirty pages are logged after START. */
const STARTS = rule<(tracking: boolean) => boolean>({
  id: 'dirty/start',
  level: 'must',
  says: 'START begins logging dirty pages, which goes on until STOP; START while they are logged changes nothing and succeeds.',
  source: `${HEADER}; ${IOCTL}`,
  rule: () => true,
});

/** Whether dirty pages are logged after STOP. */
const STOPS = rule<(tracking: boolean) => boolean>({
  id: 'dirty/stop',
  level: 'must',
  says: 'STOP ends logging dirty pages; STOP while they are not logged changes nothing and succeeds.',
  source: `${HEADER}; ${IOCTL}`,
  rule: () => false,
});

const carryOut = (call: DirtyCall): void => {
  const { law, iommu } = call;
  const { flags } = call.asked;
  if ((flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_START) !== 0) {
    if (!iommu.tracking) startMarking(law, iommu);
    iommu.tracking = law.of(STARTS).rule(iommu.tracking);
  }
  if ((flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) !== 0) iommu.tracking = law.of(STOPS).rule(iommu.tracking);
  const delivery = deliveryOf(call);
  if (delivery === undefined) return;
  deliver(delivery, call.mappings());
  markReported(law, call.mappings());
};

export const DIRTY_PAGES_CALL = request<IommuFile, DirtyCall>({
  id: 'dirty/get-bitmap',
  level: 'must',
  says: 'DIRTY_PAGES with START, STOP or GET_BITMAP does what the flag says and returns 0; GET_BITMAP writes the dirty pages of the range into the bitmap, and the argument stays as it was.',
  source: HEADER,
  on: 'iommu',
  request: VFIO_IOMMU_DIRTY_PAGES,
  situation,
  stages: ['read', 'arguments', 'range', 'mappings', 'bitmap'],
  effect: carryOut,
});

const NEEDS_V2 = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/needs-v2',
  level: 'must',
  says: 'On a v1 container every DIRTY_PAGES is refused with EACCES.',
  source: IOCTL,
  stage: 'read',
  errnos: ['EACCES'],
  when: ({ iommu }) => !iommu.v2,
});

const UNREADABLE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/unreadable-argument',
  level: 'must',
  says: 'An argument that cannot be read is refused with EFAULT.',
  source: IOCTL,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const ARGSZ = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/argsz',
  level: 'must',
  says: 'An argsz below 8 is refused with EINVAL; a larger one is accepted.',
  source: `include/uapi/linux/vfio.h: argsz; ${IOCTL}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < SIZE,
});

const UNKNOWN_FLAGS = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/unknown-flags',
  level: 'must',
  says: 'Flags other than START, STOP and GET_BITMAP are refused with EINVAL.',
  source: `${HEADER}; ${IOCTL}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { flags } }) => (flags & ~KNOWN_FLAGS) !== 0,
});

const ONE_FLAG = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/one-flag',
  level: 'must',
  says: 'No flag, or more than one, is refused with EINVAL.',
  source: `${HEADER}: Only one of the flags _START, _STOP and _GET may be specified at a time`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { flags } }) => flags === 0 || (flags & (flags - 1)) !== 0,
});

export const DIRTY_CLAUSES = [
  STARTS,
  STOPS,
  DIRTY_PAGES_CALL,
  ...DIRTY_PAGE_CLAUSES,
  NEEDS_V2,
  UNREADABLE,
  ARGSZ,
  UNKNOWN_FLAGS,
  ONE_FLAG,
];
