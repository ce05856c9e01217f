import { VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP } from '../../uapi/vfio.ts';
import { objection } from '../clauses.ts';
import { deliverable, deliverUntilFault, MAX_BITMAP_BYTES, outsideUserSpace, tooSmall } from './dirty-pages.ts';
import { tellDevices } from './emulated-device.ts';
import { endMapping } from './mappings.ts';
import { deliveryOf, SIZE_WITH_BITMAP, UNMAP_DMA } from './unmap.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_UNMAP_DMA';
const UNMAP = 'vfio_iommu_type1_unmap_dma(), drivers/vfio/vfio_iommu_type1.c';
const DO_UNMAP = 'vfio_dma_do_unmap(), drivers/vfio/vfio_iommu_type1.c';

const BITMAP_ARGSZ = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-argsz',
  level: 'must',
  says: 'GET_DIRTY_BITMAP with an argsz below 48, which has no room for the vfio_bitmap, is refused with EINVAL.',
  source: `${HEADER}: the user must provide a struct vfio_bitmap in data[]; ${UNMAP}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked: { flags, argsz } }) =>
    (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0 && argsz < SIZE_WITH_BITMAP,
});

const BITMAP_UNREADABLE = objection(UNMAP_DMA, {
  id: 'unmap/unreadable-bitmap-argument',
  level: 'must',
  says: 'A vfio_bitmap that cannot be read is refused with EFAULT.',
  source: UNMAP,
  stage: 'range',
  errnos: ['EFAULT'],
  when: ({ bitmap }) => bitmap?.readable === false,
});

const NOT_TRACKING = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-while-not-tracking',
  level: 'must',
  says: 'GET_DIRTY_BITMAP while dirty pages are not logged (on v1: ever) is refused with EINVAL.',
  source: DO_UNMAP,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ bitmap, iommu }) => bitmap?.readable === true && !iommu.tracking,
});

const BITMAP_PAGE_SIZE = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-page-size',
  level: 'must',
  says: 'A bitmap for pages other than the smallest supported is refused with EINVAL.',
  source: DO_UNMAP,
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ bitmap, unit }) => bitmap?.readable === true && bitmap.pgsize !== unit,
});

const BITMAP_TOO_SMALL = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-too-small',
  level: 'must',
  says: 'A bitmap without a bit for each page of the range, in whole words of 64 bits, is refused with EINVAL.',
  source: 'verify_bitmap_size(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ bitmap, asked: { size }, unit }) => bitmap?.readable === true && tooSmall(bitmap.size, size, unit),
});

const BITMAP_TOO_LARGE = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-too-large',
  level: 'must',
  says: 'A bitmap of more than max_dirty_bitmap_size bytes is refused with EINVAL.',
  source: 'include/uapi/linux/vfio.h: migration capability; verify_bitmap_size(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'range',
  errnos: ['EINVAL'],
  when: ({ bitmap }) => bitmap?.readable === true && bitmap.size > MAX_BITMAP_BYTES,
});

const BITMAP_ADDRESS = objection(UNMAP_DMA, {
  id: 'unmap/bitmap-address',
  level: 'must',
  says: 'A bitmap beyond the end of user memory is refused with EINVAL (EFAULT is as good).',
  source: `${UNMAP}: access_ok()`,
  stage: 'range',
  errnos: ['EINVAL', 'EFAULT'],
  when: ({ bitmap }) => bitmap?.readable === true && outsideUserSpace(bitmap.data, bitmap.size),
});

const BITMAP_UNWRITABLE = objection(UNMAP_DMA, {
  id: 'unmap/unwritable-bitmap',
  level: 'must',
  says: 'When the dirty pages of a mapping cannot be reported the call fails with EFAULT, and that mapping and those behind it stay mapped.',
  source: `update_user_bitmap(), ${DO_UNMAP}`,
  stage: 'bitmap',
  errnos: ['EFAULT'],
  when: (call) => {
    const delivery = deliveryOf(call);
    return delivery !== undefined && !deliverable(delivery, call.selected());
  },
  leaves: (call) => {
    const { law, container, iommu } = call;
    const delivery = deliveryOf(call);
    if (delivery === undefined) return;
    const { reported, failing } = deliverUntilFault(delivery, call.selected());
    for (const mapping of reported) {
      tellDevices(law, container, mapping);
      endMapping(law, iommu, mapping);
    }
    if (failing !== undefined) tellDevices(law, container, failing);
  },
});

export const UNMAP_BITMAP_CLAUSES = [
  BITMAP_ARGSZ,
  BITMAP_UNREADABLE,
  NOT_TRACKING,
  BITMAP_PAGE_SIZE,
  BITMAP_TOO_SMALL,
  BITMAP_TOO_LARGE,
  BITMAP_ADDRESS,
  BITMAP_UNWRITABLE,
];
