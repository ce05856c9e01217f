/** Where the answers stand. */
export const HEADER = 'include/uapi/linux/vfio.h';
export const TYPE1 = 'drivers/vfio/vfio_iommu_type1.c';
export const COMPAT = 'drivers/iommu/iommufd/vfio_compat.c';
export const COMPAT_MAP = `${COMPAT}: iommufd_vfio_map_dma()`;
export const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';
export const PAGES = 'drivers/iommu/iommufd/pages.c';
export const IOMMUFD_HEADER = 'include/uapi/linux/iommufd.h';
export const IOMMUFD_ERRNOS = `${IOMMUFD_HEADER}: ioctls use a standard meaning for common errnos`;
export const NOT_FOUND = `${IOMMUFD_HEADER}: ENOENT: An ID or IOVA provided does not exist`;

/** Where UNMAP_DMA and IOAS_UNMAP both return how much was unmapped. */
export const SAME_SIZE = { name: 'size', at: 16, width: 8 } as const;
