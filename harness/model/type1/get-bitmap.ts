import { VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP } from '../../uapi/vfio.ts';
import { objection } from '../clauses.ts';
import { DIRTY_PAGES_CALL, deliveryOf, SIZE_WITH_RANGE } from './dirty.ts';
import {
  deliverable,
  deliverUntilFault,
  MAX_BITMAP_BYTES,
  outsideUserSpace,
  pagesIn,
  tooSmall,
} from './dirty-pages.ts';
import { bisects } from './mappings.ts';
import { markReported, markUnreported } from './pin-dirty.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_DIRTY_PAGES';
const IOCTL = 'vfio_iommu_type1_dirty_pages(), drivers/vfio/vfio_iommu_type1.c';
const TWO_TO_THE_64 = 1n << 64n;

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

export const DIRTY_WRAPS = objection(DIRTY_PAGES_CALL, {
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
    if (delivery === undefined) return;
    const { reported, failing } = deliverUntilFault(delivery, call.mappings());
    markReported(call.law, reported);
    if (failing !== undefined) markUnreported(call.law, failing, pagesIn(failing, call.unit));
  },
});

export const GET_BITMAP_CLAUSES = [
  RANGE_ARGSZ,
  RANGE_UNREADABLE,
  NOT_TRACKING,
  ZERO_SIZE,
  UNALIGNED,
  DIRTY_WRAPS,
  PAGE_SIZE,
  BITMAP_TOO_SMALL,
  BITMAP_TOO_LARGE,
  BITMAP_ADDRESS,
  BISECTS,
  BITMAP_UNWRITABLE,
];
