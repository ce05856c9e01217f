/** Where the answers stand. */
export const HEADER = 'include/uapi/linux/vfio.h';
export const TYPE1 = 'drivers/vfio/vfio_iommu_type1.c';
export const COMPAT = 'drivers/iommu/iommufd/vfio_compat.c';
export const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';
export const NOT_FOUND = 'include/uapi/linux/iommufd.h: ENOENT: An ID or IOVA provided does not exist';
