/** The commands of /dev/iommu, and how long their structures are and were at first. */
import * as uapi from './iommufd.ts';
import { type AnyStruct, array, offsetOf, sizeOf, struct, u8, u32, u64 } from './struct.ts';

/* Structures of commands that are about devices, their page tables and what virtual machines see of them. */

export const iommuHwptAlloc = struct('iommu_hwpt_alloc', {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  __reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  __reserved2: u32,
});

/** IOMMU_GET_HW_INFO */
export const iommuHwInfo = struct('iommu_hw_info', {
  size: u32,
  flags: u32,
  dev_id: u32,
  /** In: room for the data; out: how much there is. */
  data_len: u32,
  data_uptr: u64,
  /** In with IOMMU_HW_INFO_FLAG_INPUT_TYPE, and out: IOMMU_HW_INFO_TYPE_*. */
  out_data_type: u32,
  out_max_pasid_log2: u8,
  __reserved: array(u8, 3),
  /** IOMMU_HW_CAP_*. */
  out_capabilities: u64,
});

/** in_data_type says what is asked for. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0;
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;

export const IOMMU_HW_CAP_DIRTY_TRACKING = 1n << 0n;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1n << 3n;

/** The data of IOMMU_HW_INFO_TYPE_INTEL_VTD. */
export const iommuHwInfoVtd = struct('iommu_hw_info_vtd', { flags: u32, __reserved: u32, cap_reg: u64, ecap_reg: u64 });

export const iommuHwptSetDirtyTracking = struct('iommu_hwpt_set_dirty_tracking', {
  size: u32,
  flags: u32,
  hwpt_id: u32,
  __reserved: u32,
});

export const iommuHwptGetDirtyBitmap = struct('iommu_hwpt_get_dirty_bitmap', {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
});

export const iommuHwptInvalidate = struct('iommu_hwpt_invalidate', {
  size: u32,
  hwpt_id: u32,
  data_uptr: u64,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  __reserved: u32,
});

export const iommuFaultAlloc = struct('iommu_fault_alloc', {
  size: u32,
  flags: u32,
  out_fault_id: u32,
  out_fault_fd: u32,
});

/** What is read from a fault queue. */
export const iommuHwptPgfault = struct('iommu_hwpt_pgfault', {
  /** IOMMU_PGFAULT_FLAGS_*. */
  flags: u32,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  __reserved: u32,
  addr: u64,
  length: u32,
  cookie: u32,
});

/** What is written to a fault queue. */
export const iommuHwptPageResponse = struct('iommu_hwpt_page_response', { cookie: u32, code: u32 });

export const iommuViommuAlloc = struct('iommu_viommu_alloc', {
  size: u32,
  flags: u32,
  type: u32,
  dev_id: u32,
  hwpt_id: u32,
  out_viommu_id: u32,
  data_len: u32,
  __reserved: u32,
  data_uptr: u64,
});

export const iommuVdeviceAlloc = struct('iommu_vdevice_alloc', {
  size: u32,
  viommu_id: u32,
  dev_id: u32,
  out_vdevice_id: u32,
  virt_id: u64,
});

export const iommuVeventqAlloc = struct('iommu_veventq_alloc', {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  veventq_depth: u32,
  out_veventq_id: u32,
  out_veventq_fd: u32,
  __reserved: u32,
});

export const iommuHwQueueAlloc = struct('iommu_hw_queue_alloc', {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  index: u32,
  out_hw_queue_id: u32,
  nesting_parent_iova: u64,
  length: u64,
});

export const IOMMU_HWPT_ALLOC = 0x3b89n;
export const IOMMU_GET_HW_INFO = 0x3b8an;
export const IOMMU_HWPT_SET_DIRTY_TRACKING = 0x3b8bn;
export const IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8cn;
export const IOMMU_HWPT_INVALIDATE = 0x3b8dn;

export const IOMMU_FAULT_QUEUE_ALLOC = 0x3b8en;

export const IOMMU_VIOMMU_ALLOC = 0x3b90n;
export const IOMMU_VDEVICE_ALLOC = 0x3b91n;
export const IOMMU_VEVENTQ_ALLOC = 0x3b93n;
export const IOMMU_HW_QUEUE_ALLOC = 0x3b94n;

/** What stands in front of each event of a virtual IOMMU. */
export const iommufdVeventHeader = struct('iommufd_vevent_header', {
  /** IOMMU_VEVENTQ_FLAG_*. */
  flags: u32,
  sequence: u32,
});
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1 << 0;
/** Types of queues of virtual IOMMUs and of hardware that the header defines. */
export const IOMMU_VEVENTQ_TYPES: readonly number[] = [1, 2];
/** The type of a virtual IOMMU or of a queue that is reserved. */
export const IOMMU_TYPE_DEFAULT = 0;

export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1;
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
export const IOMMU_HWPT_FAULT_ID_VALID = 1 << 2;
export const IOMMU_HWPT_ALLOC_PASID = 1 << 3;
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

/** A command: how long its structure is, and how much of it must be there. */
export interface Command {
  readonly name: string;
  readonly request: bigint;
  readonly type: AnyStruct;
  /** Bytes up to the last field that there was from the beginning. */
  readonly least: number;
}

const command = (name: string, request: bigint, type: AnyStruct, least = sizeOf(type)): Command => ({
  name,
  request,
  type,
  least,
});

/** All commands. */
export const IOMMUFD_COMMANDS: readonly Command[] = [
  command('IOMMU_DESTROY', uapi.IOMMU_DESTROY, uapi.iommuDestroy),
  command('IOMMU_IOAS_ALLOC', uapi.IOMMU_IOAS_ALLOC, uapi.iommuIoasAlloc),
  command('IOMMU_IOAS_ALLOW_IOVAS', uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommuIoasAllowIovas),
  command('IOMMU_IOAS_COPY', uapi.IOMMU_IOAS_COPY, uapi.iommuIoasCopy),
  command('IOMMU_IOAS_IOVA_RANGES', uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommuIoasIovaRanges),
  command('IOMMU_IOAS_MAP', uapi.IOMMU_IOAS_MAP, uapi.iommuIoasMap),
  command('IOMMU_IOAS_UNMAP', uapi.IOMMU_IOAS_UNMAP, uapi.iommuIoasUnmap),
  command('IOMMU_OPTION', uapi.IOMMU_OPTION, uapi.iommuOption),
  command('IOMMU_VFIO_IOAS', uapi.IOMMU_VFIO_IOAS, uapi.iommuVfioIoas),
  command('IOMMU_HWPT_ALLOC', IOMMU_HWPT_ALLOC, iommuHwptAlloc, offsetOf(iommuHwptAlloc, 'data_type')),
  command('IOMMU_GET_HW_INFO', IOMMU_GET_HW_INFO, iommuHwInfo, offsetOf(iommuHwInfo, 'out_capabilities')),
  command('IOMMU_HWPT_SET_DIRTY_TRACKING', IOMMU_HWPT_SET_DIRTY_TRACKING, iommuHwptSetDirtyTracking),
  command('IOMMU_HWPT_GET_DIRTY_BITMAP', IOMMU_HWPT_GET_DIRTY_BITMAP, iommuHwptGetDirtyBitmap),
  command('IOMMU_HWPT_INVALIDATE', IOMMU_HWPT_INVALIDATE, iommuHwptInvalidate),
  command('IOMMU_FAULT_QUEUE_ALLOC', IOMMU_FAULT_QUEUE_ALLOC, iommuFaultAlloc),
  command('IOMMU_IOAS_MAP_FILE', uapi.IOMMU_IOAS_MAP_FILE, uapi.iommuIoasMapFile),
  command('IOMMU_VIOMMU_ALLOC', IOMMU_VIOMMU_ALLOC, iommuViommuAlloc, offsetOf(iommuViommuAlloc, 'data_len')),
  command('IOMMU_VDEVICE_ALLOC', IOMMU_VDEVICE_ALLOC, iommuVdeviceAlloc),
  command('IOMMU_IOAS_CHANGE_PROCESS', uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommuIoasChangeProcess),
  command('IOMMU_VEVENTQ_ALLOC', IOMMU_VEVENTQ_ALLOC, iommuVeventqAlloc, offsetOf(iommuVeventqAlloc, '__reserved')),
  command('IOMMU_HW_QUEUE_ALLOC', IOMMU_HW_QUEUE_ALLOC, iommuHwQueueAlloc),
];
