/** The capability of the series nesting-cap, as it was posted and as its review asked for it. */
import { flexible, struct, u8, u32 } from './struct.ts';
import { vfioInfoCapHeader } from './vfio.ts';

export const capNestingPosted = struct('vfio_iommu_type1_info_cap_nesting', {
  header: vfioInfoCapHeader,
  flags: u32,
  /** A struct iommu_nesting_info, which the header does not say. */
  info: flexible(u8),
});

export const capNestingReviewed = struct('vfio_iommu_type1_info_cap_nesting', {
  header: vfioInfoCapHeader,
  flags: u32,
  reserved: u32,
  /** A struct iommu_nesting_info. */
  info: flexible(u8),
});
