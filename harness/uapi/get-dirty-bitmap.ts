/** VFIO_IOMMU_GET_DIRTY_BITMAP of the series get-dirty-bitmap, as it was posted and as its review asked for it. */
import { flexible, struct, u8, u32, u64 } from './struct.ts';

export const getDirtyBitmapPosted = struct('vfio_iommu_get_dirty_bitmap', {
  start_addr: u64,
  page_nr: u64,
  /** One bit a page, from start_addr on. */
  dirty_bitmap: flexible(u8),
});

export const getDirtyBitmapReviewed = struct('vfio_iommu_get_dirty_bitmap', {
  /** Size of the structure and the bitmap in bytes. */
  argsz: u32,
  flags: u32,
  start_addr: u64,
  page_nr: u64,
  /** Whole 64-bit words. */
  dirty_bitmap: flexible(u8),
});

/** The number that both forms take; VFIO_IOMMU_DIRTY_PAGES has it today. */
export const VFIO_IOMMU_GET_DIRTY_BITMAP = 0x3b75n;
