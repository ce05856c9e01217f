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

/** What info[] holds: include/uapi/linux/iommu.h of both forms. */
export const iommuNestingInfo = struct('iommu_nesting_info', {
  /** Bytes of the whole structure. */
  size: u32,
  format: u32,
  features: u32,
  flags: u32,
  data: flexible(u8),
});
