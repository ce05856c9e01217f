import type { TakenNumber } from '../spec/revision.ts';

/** `VFIO_BASE`: what VFIO's requests count from. */
export const BASE = 100;

/** Numbers of one space, counted from one of them: `BASE` for requests of VFIO, 0 for ids. */
export const numbers = (space: TakenNumber['space'], from: number, all: Readonly<Record<string, number>>) =>
  Object.entries(all).map(([name, number]): TakenNumber => ({ space, name, number: from + number }));

/** What include/uapi/linux/vfio.h of Linux 6.1 has given out. */
export const NUMBERS_OF_6_1: readonly TakenNumber[] = [
  ...numbers('container', BASE, { VFIO_GET_API_VERSION: 0, VFIO_CHECK_EXTENSION: 1, VFIO_SET_IOMMU: 2 }),
  ...numbers('group', BASE, {
    VFIO_GROUP_GET_STATUS: 3,
    VFIO_GROUP_SET_CONTAINER: 4,
    VFIO_GROUP_UNSET_CONTAINER: 5,
    VFIO_GROUP_GET_DEVICE_FD: 6,
  }),
  ...numbers('device', BASE, {
    VFIO_DEVICE_GET_INFO: 7,
    VFIO_DEVICE_GET_REGION_INFO: 8,
    VFIO_DEVICE_GET_IRQ_INFO: 9,
    VFIO_DEVICE_SET_IRQS: 10,
    VFIO_DEVICE_RESET: 11,
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 12,
    VFIO_DEVICE_PCI_HOT_RESET: 13,
    VFIO_DEVICE_QUERY_GFX_PLANE: 14,
    VFIO_DEVICE_GET_GFX_DMABUF: 15,
    VFIO_DEVICE_IOEVENTFD: 16,
    VFIO_DEVICE_FEATURE: 17,
  }),
  ...numbers('type1', BASE, {
    VFIO_IOMMU_GET_INFO: 12,
    VFIO_IOMMU_MAP_DMA: 13,
    VFIO_IOMMU_UNMAP_DMA: 14,
    VFIO_IOMMU_DIRTY_PAGES: 17,
  }),
  ...numbers('spapr', BASE, {
    VFIO_IOMMU_SPAPR_TCE_GET_INFO: 12,
    VFIO_IOMMU_ENABLE: 15,
    VFIO_IOMMU_DISABLE: 16,
    VFIO_IOMMU_SPAPR_REGISTER_MEMORY: 17,
    VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: 18,
    VFIO_IOMMU_SPAPR_TCE_CREATE: 19,
    VFIO_IOMMU_SPAPR_TCE_REMOVE: 20,
    VFIO_EEH_PE_OP: 21,
  }),
  ...numbers('extension', 0, {
    VFIO_TYPE1_IOMMU: 1,
    VFIO_SPAPR_TCE_IOMMU: 2,
    VFIO_TYPE1v2_IOMMU: 3,
    VFIO_DMA_CC_IOMMU: 4,
    VFIO_EEH: 5,
    VFIO_TYPE1_NESTING_IOMMU: 6,
    VFIO_SPAPR_TCE_v2_IOMMU: 7,
    VFIO_NOIOMMU_IOMMU: 8,
    VFIO_UNMAP_ALL: 9,
    VFIO_UPDATE_VADDR: 10,
  }),
  ...numbers('type1-info capability', 0, {
    VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: 1,
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: 2,
    VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: 3,
  }),
  ...numbers('region-info capability', 0, {
    VFIO_REGION_INFO_CAP_SPARSE_MMAP: 1,
    VFIO_REGION_INFO_CAP_TYPE: 2,
    VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: 3,
    VFIO_REGION_INFO_CAP_NVLINK2_SSATGT: 4,
    VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD: 5,
  }),
  ...numbers('device-info capability', 0, {
    VFIO_DEVICE_INFO_CAP_ZPCI_BASE: 1,
    VFIO_DEVICE_INFO_CAP_ZPCI_GROUP: 2,
    VFIO_DEVICE_INFO_CAP_ZPCI_UTIL: 3,
    VFIO_DEVICE_INFO_CAP_ZPCI_PFIP: 4,
  }),
  ...numbers('device feature', 0, {
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: 0,
    VFIO_DEVICE_FEATURE_MIGRATION: 1,
    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE: 2,
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: 3,
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: 4,
    VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: 5,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_START: 6,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP: 7,
    VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT: 8,
  }),
];

/** What Linux 6.12 has given out besides, in the same header and in include/uapi/linux/iommufd.h. */
export const NUMBERS_OF_6_12: readonly TakenNumber[] = [
  ...numbers('device', BASE, {
    VFIO_DEVICE_BIND_IOMMUFD: 18,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT: 19,
    VFIO_DEVICE_DETACH_IOMMUFD_PT: 20,
  }),
  ...numbers('migration', BASE, { VFIO_MIG_GET_PRECOPY_INFO: 21 }),
  ...numbers('device-info capability', 0, { VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: 5 }),
  ...numbers('device feature', 0, { VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: 9, VFIO_DEVICE_FEATURE_BUS_MASTER: 10 }),
  ...numbers('iommufd', 0x80, {
    IOMMU_DESTROY: 0,
    IOMMU_IOAS_ALLOC: 1,
    IOMMU_IOAS_ALLOW_IOVAS: 2,
    IOMMU_IOAS_COPY: 3,
    IOMMU_IOAS_IOVA_RANGES: 4,
    IOMMU_IOAS_MAP: 5,
    IOMMU_IOAS_UNMAP: 6,
    IOMMU_OPTION: 7,
    IOMMU_VFIO_IOAS: 8,
    IOMMU_HWPT_ALLOC: 9,
    IOMMU_GET_HW_INFO: 10,
    IOMMU_HWPT_SET_DIRTY_TRACKING: 11,
    IOMMU_HWPT_GET_DIRTY_BITMAP: 12,
    IOMMU_HWPT_INVALIDATE: 13,
    IOMMU_FAULT_QUEUE_ALLOC: 14,
  }),
];
