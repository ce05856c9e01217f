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
import {
  type Delivery,
  DIRTY_PAGE_CLAUSES,
  deliver,
  deliverable,
  deliverUntilFault,
  MAX_BITMAP_BYTES,
  outsideUserSpace,
  tooSmall,
} from './dirty-pages.ts';
import type { IommuFile } from './files.ts';
import { bisects, mappingsIn } from './mappings.ts';
import { type Iommu, type Mapping, smallestPage } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_DIRTY_PAGES';
const IOCTL = 'vfio_iommu_type1_dirty_pages(), drivers/vfio/vfio_iommu_type1.c';
const TWO_TO_THE_64 = 1n << 64n;

/** Sizes of the argument in bytes: without and with a range. */
const SIZE = sizeOf(vfioIommuType1DirtyBitmap);
const SIZE_WITH_RANGE = SIZE + sizeOf(vfioIommuType1DirtyBitmapGet);
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

const deliveryOf = ({ law, caller, range, unit }: DirtyCall): Delivery | undefined =>
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
  if ((flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_START) !== 0) iommu.tracking = law.of(STARTS).rule(iommu.tracking);
  if ((flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) !== 0) iommu.tracking = law.of(STOPS).rule(iommu.tracking);
  const delivery = deliveryOf(call);
  if (delivery !== undefined) deliver(delivery, call.mappings());
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

const RANGE_ARGSZ = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/range-argsz',
  level: 'must',
  says: 'GET_BITMAP with an argsz below 48, which has no room for the range, is refused with EINVAL.',
  source: `${HEADER}: argsz to a value including the size of structure vfio_iommu_type1_dirty_bitmap_get`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { flags, argsz } }) =>
    (flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) !== 0 && argsz < SIZE_WITH_RANGE,
});

const RANGE_UNREADABLE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/unreadable-range',
  level: 'must',
  says: 'A range that cannot be read is refused with EFAULT.',
  source: IOCTL,
  stage: 'range',
  errnos: ['EFAULT'],
  when: ({ range }) => range?.readable === false,
});

const NOT_TRACKING = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/not-tracking',
  level: 'must',
  says: 'GET_BITMAP before START or after STOP is refused with EINVAL.',
  source: `${HEADER}: If dirty pages logging is not enabled, an error will be returned; ${IOCTL}`,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range, iommu }) => range?.readable === true && !iommu.tracking,
});

const ZERO_SIZE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/zero-size',
  level: 'must',
  says: 'A range of size 0 is refused with EINVAL.',
  source: IOCTL,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range }) => range?.readable === true && range.size === 0n,
});

const UNALIGNED = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/unaligned',
  level: 'must',
  says: 'A range whose iova or size is no multiple of the smallest page size is refused with EINVAL.',
  source: IOCTL,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range, unit }) => range?.readable === true && ((range.iova | range.size) & (unit - 1n)) !== 0n,
});

const WRAPS = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/wraps',
  level: 'must',
  says: 'A range that goes beyond 2^64 is refused with EINVAL; one that ends exactly there may be.',
  source: `${IOCTL}: iova + size < iova`,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range }) => {
    if (range?.readable !== true) return false;
    const end = range.iova + range.size;
    return end === TWO_TO_THE_64 ? 'perhaps' : end > TWO_TO_THE_64;
  },
});

const PAGE_SIZE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/page-size',
  level: 'must',
  says: 'A bitmap for pages other than the smallest supported (0 and sizes that are no power of two among them) is refused with EINVAL.',
  source: `${HEADER}: This interface supports getting a bitmap of the smallest supported pgsize only`,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range, unit }) => range?.readable === true && range.bitmap.pgsize !== unit,
});

const BITMAP_TOO_SMALL = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/bitmap-too-small',
  level: 'must',
  says: 'A bitmap without a bit for each page of the range, in whole words of 64 bits, is refused with EINVAL.',
  source: 'verify_bitmap_size(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range, unit }) => range?.readable === true && tooSmall(range.bitmap.size, range.size, unit),
});

const BITMAP_TOO_LARGE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/bitmap-too-large',
  level: 'must',
  says: 'A bitmap of more than max_dirty_bitmap_size bytes is refused with EINVAL; a larger one than the range needs is not.',
  source: 'include/uapi/linux/vfio.h: migration capability; verify_bitmap_size(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ range }) => range?.readable === true && range.bitmap.size > MAX_BITMAP_BYTES,
});

const BITMAP_ADDRESS = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/bitmap-address',
  level: 'must',
  says: 'A bitmap beyond the end of user memory is refused with EINVAL (EFAULT is as good).',
  source: `${IOCTL}: access_ok()`,
  stage: 'range',
  errnos: ['EINVAL', 'EFAULT'],
  when: ({ range }) => range?.readable === true && outsideUserSpace(range.bitmap.data, range.bitmap.size),
});

const BISECTS = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/bisects',
  level: 'must',
  says: 'A range that begins or ends within a mapping is refused with EINVAL; it must cover the mappings in it whole.',
  source: 'vfio_iova_dirty_bitmap() and the comment in it, drivers/vfio/vfio_iommu_type1.c',
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: ({ range, iommu }) => range !== undefined && bisects(iommu, range.iova, range.iova + range.size),
});

const BITMAP_UNWRITABLE = objection(DIRTY_PAGES_CALL, {
  id: 'dirty/unwritable-bitmap',
  level: 'must',
  says: 'A bitmap that cannot be written where a mapping has its bits is refused with EFAULT; one that is null is no trouble while the range holds no mapping.',
  source: 'update_user_bitmap(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'bitmap',
  errnos: ['EFAULT'],
  when: (call) => {
    const delivery = deliveryOf(call);
    return delivery !== undefined && !deliverable(delivery, call.mappings());
  },
  leaves: (call) => {
    const delivery = deliveryOf(call);
    if (delivery !== undefined) deliverUntilFault(delivery, call.mappings());
  },
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
  RANGE_ARGSZ,
  RANGE_UNREADABLE,
  NOT_TRACKING,
  ZERO_SIZE,
  UNALIGNED,
  WRAPS,
  PAGE_SIZE,
  BITMAP_TOO_SMALL,
  BITMAP_TOO_LARGE,
  BITMAP_ADDRESS,
  BISECTS,
  BITMAP_UNWRITABLE,
];
