/**
 * include/uapi/linux/vfio.h as data: what containers, groups, devices and the type1 IOMMU take and give (Linux 6.1).
 * Constants have their names in C, structs their tags. Request numbers, and values that an ioctl takes as its argument,
 * are bigint, because the kernel takes them as unsigned long; flags and ids within structs are numbers.
 */
import { flexible, pointer, struct, u8, u16, u32, u64 } from './struct.ts';

/** `_IO(';', 100 + number)`: no direction and no size, because argsz says the size. */
const request = (number: number): bigint => BigInt((';'.charCodeAt(0) << 8) | (100 + number));

/** What VFIO_GET_API_VERSION returns. */
export const VFIO_API_VERSION = 0n;

/* Extensions: the argument of VFIO_CHECK_EXTENSION; those that name an IOMMU are also the argument of VFIO_SET_IOMMU. */

export const VFIO_TYPE1_IOMMU = 1n;
export const VFIO_SPAPR_TCE_IOMMU = 2n;
/** Type1 whose UNMAP_DMA refuses to split a mapping. */
export const VFIO_TYPE1v2_IOMMU = 3n;
/** The IOMMU enforces cache coherence of DMA; may change as groups come and go. */
export const VFIO_DMA_CC_IOMMU = 4n;
export const VFIO_EEH = 5n;
/** Two-stage translation; implies v2. */
export const VFIO_TYPE1_NESTING_IOMMU = 6n;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7n;
export const VFIO_NOIOMMU_IOMMU = 8n;
/** VFIO_DMA_UNMAP_FLAG_ALL is understood. */
export const VFIO_UNMAP_ALL = 9n;
/** The VADDR flags of map and unmap are understood; may change as groups come and go. */
export const VFIO_UPDATE_VADDR = 10n;

/* Requests on the container, /dev/vfio/vfio. */

/** No argument; returns VFIO_API_VERSION. */
export const VFIO_GET_API_VERSION = request(0);
/** Takes an extension id; returns 0, or a positive number when it is supported. */
export const VFIO_CHECK_EXTENSION = request(1);
/** Takes the id of an IOMMU; the container must have a group. */
export const VFIO_SET_IOMMU = request(2);

/* Requests on a group, /dev/vfio/NUMBER. */

/** Fills a vfio_group_status. */
export const VFIO_GROUP_GET_STATUS = request(3);
/** Takes a pointer to the container's descriptor (s32). */
export const VFIO_GROUP_SET_CONTAINER = request(4);
/** No argument; every device descriptor must be closed. */
export const VFIO_GROUP_UNSET_CONTAINER = request(5);
/** Takes a pointer to the device's name, NUL at the end; returns a descriptor. */
export const VFIO_GROUP_GET_DEVICE_FD = request(6);

/** Every device of the group is bound to a VFIO driver, or to none. */
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;

export const vfioGroupStatus = struct('vfio_group_status', {
  /** Size of the structure in bytes, set by the caller. */
  argsz: u32,
  /** VFIO_GROUP_FLAGS_*. */
  flags: u32,
});

/* Requests on a device. */

/** Fills a vfio_device_info. */
export const VFIO_DEVICE_GET_INFO = request(7);
/** Fills a vfio_region_info for the index that the caller set. */
export const VFIO_DEVICE_GET_REGION_INFO = request(8);
/** No argument; only devices with VFIO_DEVICE_FLAGS_RESET. */
export const VFIO_DEVICE_RESET = request(11);

export const VFIO_DEVICE_FLAGS_RESET = 1 << 0;
export const VFIO_DEVICE_FLAGS_PCI = 1 << 1;
export const VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2;
export const VFIO_DEVICE_FLAGS_AMBA = 1 << 3;
export const VFIO_DEVICE_FLAGS_CCW = 1 << 4;
export const VFIO_DEVICE_FLAGS_AP = 1 << 5;
export const VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6;
/** The structure is followed by a capability chain. */
export const VFIO_DEVICE_FLAGS_CAPS = 1 << 7;

export const vfioDeviceInfo = struct('vfio_device_info', {
  argsz: u32,
  /** VFIO_DEVICE_FLAGS_*. */
  flags: u32,
  /** The highest region index plus one. */
  num_regions: u32,
  /** The highest interrupt index plus one. */
  num_irqs: u32,
  /** Offset of the first capability from the start of the structure in bytes; 0 for none. */
  cap_offset: u32,
});

export const VFIO_REGION_INFO_FLAG_READ = 1 << 0;
export const VFIO_REGION_INFO_FLAG_WRITE = 1 << 1;
export const VFIO_REGION_INFO_FLAG_MMAP = 1 << 2;
export const VFIO_REGION_INFO_FLAG_CAPS = 1 << 3;

/** Region index of BAR 0 of a PCI device; BARs 1 to 5 follow. */
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
/** Region index of a PCI device's configuration space. */
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
/** Number of region indices that every PCI device has. */
export const VFIO_PCI_NUM_REGIONS = 9;

export const vfioRegionInfo = struct('vfio_region_info', {
  argsz: u32,
  /** VFIO_REGION_INFO_FLAG_*. */
  flags: u32,
  /** Which region, set by the caller. */
  index: u32,
  cap_offset: u32,
  /** In bytes; 0 for a region that is not there. */
  size: u64,
  /** Where the region starts in the device's descriptor, in bytes. */
  offset: u64,
});

/* Capability chains of the INFO requests. */

/** Head of every capability. Offsets are from the start of the INFO structure, in bytes. */
export const vfioInfoCapHeader = struct('vfio_info_cap_header', {
  id: u16,
  /** Version of what follows, for this id. */
  version: u16,
  /** Offset of the next capability; 0 ends the chain. */
  next: u32,
});

export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;

/** A part of a region that can be mapped; bytes from the region's start. */
export const vfioRegionSparseMmapArea = struct('vfio_region_sparse_mmap_area', { offset: u64, size: u64 });

export const vfioRegionInfoCapSparseMmap = struct('vfio_region_info_cap_sparse_mmap', {
  header: vfioInfoCapHeader,
  nr_areas: u32,
  reserved: u32,
  areas: flexible(vfioRegionSparseMmapArea),
});

/* Type1: information. */

/** Fills a vfio_iommu_type1_info, and the capability chain behind it. */
export const VFIO_IOMMU_GET_INFO = request(12);

/** iova_pgsizes is filled. */
export const VFIO_IOMMU_INFO_PGSIZES = 1 << 0;
/** A capability chain exists; cap_offset is 0 when argsz has no room for it, and argsz then says how much is needed. */
export const VFIO_IOMMU_INFO_CAPS = 1 << 1;

export const vfioIommuType1Info = struct('vfio_iommu_type1_info', {
  argsz: u32,
  /** VFIO_IOMMU_INFO_*. */
  flags: u32,
  /** Page sizes that the IOMMU supports: bit n is 2^n bytes. */
  iova_pgsizes: u64,
  /** Offset of the first capability in bytes. */
  cap_offset: u32,
});

/** Capability id: the ranges of IOVA that may be mapped. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
/** Capability id: dirty page tracking is supported, with these limits. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
/** Capability id: how many more mappings the container takes. */
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

/** A range of IOVA; both ends are part of it. */
export const vfioIovaRange = struct('vfio_iova_range', { start: u64, end: u64 });

export const vfioIommuType1InfoCapIovaRange = struct('vfio_iommu_type1_info_cap_iova_range', {
  header: vfioInfoCapHeader,
  nr_iovas: u32,
  reserved: u32,
  /** nr_iovas ranges. */
  iova_ranges: flexible(vfioIovaRange),
});

export const vfioIommuType1InfoCapMigration = struct('vfio_iommu_type1_info_cap_migration', {
  header: vfioInfoCapHeader,
  flags: u32,
  /** Page sizes that a dirty bitmap may have: bit n is 2^n bytes. */
  pgsize_bitmap: u64,
  /** The largest dirty bitmap that may be asked for, in bytes. */
  max_dirty_bitmap_size: u64,
});

export const vfioIommuType1InfoDmaAvail = struct('vfio_iommu_type1_info_dma_avail', {
  header: vfioInfoCapHeader,
  /** Mappings that may still be made. */
  avail: u32,
});

/* Type1: map and unmap. */

/** Takes a vfio_iommu_type1_dma_map. */
export const VFIO_IOMMU_MAP_DMA = request(13);
/** Takes a vfio_iommu_type1_dma_unmap, and writes the size that was unmapped into it. */
export const VFIO_IOMMU_UNMAP_DMA = request(14);

/** The device may read the memory. */
export const VFIO_DMA_MAP_FLAG_READ = 1 << 0;
/** The device may write the memory. */
export const VFIO_DMA_MAP_FLAG_WRITE = 1 << 1;
/** Nothing is mapped: a mapping whose vaddr was invalidated gets a new one. */
export const VFIO_DMA_MAP_FLAG_VADDR = 1 << 2;

export const vfioIommuType1DmaMap = struct('vfio_iommu_type1_dma_map', {
  argsz: u32,
  /** VFIO_DMA_MAP_FLAG_*. */
  flags: u32,
  /** Address in the caller's process. */
  vaddr: u64,
  /** Address for the device. */
  iova: u64,
  /** In bytes. */
  size: u64,
});

/** A dirty bitmap: one bit a page, in order from the first page of the range. */
export const vfioBitmap = struct('vfio_bitmap', {
  /** Bytes that one bit stands for. */
  pgsize: u64,
  /** Size of the bitmap in bytes. */
  size: u64,
  /** Where the bitmap is, in the caller's process. */
  data: pointer,
});

/** The data holds a vfio_bitmap, which receives the dirty pages of what is unmapped. */
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0;
/** Unmaps everything; iova and size must be 0. */
export const VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1;
/** Unmaps nothing: invalidates the vaddr of the mappings. */
export const VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2;

export const vfioIommuType1DmaUnmap = struct('vfio_iommu_type1_dma_unmap', {
  argsz: u32,
  /** VFIO_DMA_UNMAP_FLAG_*. */
  flags: u32,
  iova: u64,
  /** In bytes; on return what was unmapped. */
  size: u64,
  /** A vfio_bitmap when the flags say so. */
  data: flexible(u8),
});

/** Of sPAPR TCE, not of type1. */
export const VFIO_IOMMU_ENABLE = request(15);
export const VFIO_IOMMU_DISABLE = request(16);

/* Type1: dirty page tracking. */

/** Takes a vfio_iommu_type1_dirty_bitmap with exactly one flag. */
export const VFIO_IOMMU_DIRTY_PAGES = request(17);

export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1;
/** The data holds a vfio_iommu_type1_dirty_bitmap_get. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2;

export const vfioIommuType1DirtyBitmap = struct('vfio_iommu_type1_dirty_bitmap', {
  /** Includes the vfio_iommu_type1_dirty_bitmap_get in data, not the bitmap itself. */
  argsz: u32,
  /** VFIO_IOMMU_DIRTY_PAGES_FLAG_*. */
  flags: u32,
  data: flexible(u8),
});

export const vfioIommuType1DirtyBitmapGet = struct('vfio_iommu_type1_dirty_bitmap_get', {
  iova: u64,
  /** Size of the range in bytes. */
  size: u64,
  bitmap: vfioBitmap,
});
