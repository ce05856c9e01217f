/** IOMMUFD (include/uapi/linux/iommufd.h): commands on /dev/iommu. Addresses and sizes in bytes. */
import { s32, struct, u16, u32, u64 } from './struct.ts';

/** IOMMU_DESTROY: any object by its id. */
export const iommuDestroy = struct('iommu_destroy', { size: u32, id: u32 });

/** IOMMU_IOAS_ALLOC */
export const iommuIoasAlloc = struct('iommu_ioas_alloc', { size: u32, flags: u32, out_ioas_id: u32 });

/** Both ends inclusive. */
export const iommuIovaRange = struct('iommu_iova_range', { start: u64, last: u64 });

/** IOMMU_IOAS_IOVA_RANGES */
export const iommuIoasIovaRanges = struct('iommu_ioas_iova_ranges', {
  size: u32,
  ioas_id: u32,
  /** In: room for ranges; out: how many there are. */
  num_iovas: u32,
  __reserved: u32,
  /** Where the ranges go. */
  allowed_iovas: u64,
  out_iova_alignment: u64,
});

/** IOMMU_IOAS_ALLOW_IOVAS */
export const iommuIoasAllowIovas = struct('iommu_ioas_allow_iovas', {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
});

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;
export const IOMMU_IOAS_MAP_WRITEABLE = 1 << 1;
export const IOMMU_IOAS_MAP_READABLE = 1 << 2;

/** IOMMU_IOAS_MAP */
export const iommuIoasMap = struct('iommu_ioas_map', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  user_va: u64,
  length: u64,
  /** In with FIXED_IOVA; out: where the mapping was placed. */
  iova: u64,
});

/** IOMMU_IOAS_MAP_FILE: flags and the rest as in IOMMU_IOAS_MAP. */
export const iommuIoasMapFile = struct('iommu_ioas_map_file', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  /** A memfd. */
  fd: s32,
  /** Where in the file the memory begins. */
  start: u64,
  length: u64,
  iova: u64,
});

/** IOMMU_IOAS_CHANGE_PROCESS */
export const iommuIoasChangeProcess = struct('iommu_ioas_change_process', { size: u32, __reserved: u32 });

/** IOMMU_IOAS_COPY */
export const iommuIoasCopy = struct('iommu_ioas_copy', {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});

/** IOMMU_IOAS_UNMAP */
export const iommuIoasUnmap = struct('iommu_ioas_unmap', {
  size: u32,
  ioas_id: u32,
  iova: u64,
  /** Out: how much was unmapped. */
  length: u64,
});

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

/** IOMMU_OPTION */
export const iommuOption = struct('iommu_option', {
  size: u32,
  option_id: u32,

  op: u16,
  __reserved: u16,
  object_id: u32,
  val64: u64,
});

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

/** IOMMU_VFIO_IOAS: the IO address space that the requests of a VFIO container are about. */
export const iommuVfioIoas = struct('iommu_vfio_ioas', { size: u32, ioas_id: u32, op: u16, __reserved: u16 });

export const IOMMU_DESTROY = 0x3b80n;
export const IOMMU_IOAS_ALLOC = 0x3b81n;
export const IOMMU_IOAS_ALLOW_IOVAS = 0x3b82n;
export const IOMMU_IOAS_COPY = 0x3b83n;
export const IOMMU_IOAS_IOVA_RANGES = 0x3b84n;
export const IOMMU_IOAS_MAP = 0x3b85n;
export const IOMMU_IOAS_UNMAP = 0x3b86n;
export const IOMMU_OPTION = 0x3b87n;
export const IOMMU_VFIO_IOAS = 0x3b88n;
export const IOMMU_IOAS_MAP_FILE = 0x3b8fn;
export const IOMMU_IOAS_CHANGE_PROCESS = 0x3b92n;
