import { alike, question } from './question.ts';
import {
  COMPAT,
  COMPAT_MAP,
  HEADER,
  IOMMUFD_ERRNOS,
  IOMMUFD_HEADER,
  PAGES,
  PAGETABLE,
  SAME_SIZE,
  TYPE1,
} from './sources.ts';

/* MAP, with the device open unless the question says otherwise. */

const TYPE1_MODES = ['type1-v1', 'type1-v2'] as const;
const COMPAT_MODES = ['compat-v1', 'compat-v2'] as const;
const ON_IOMMUFD = ['compat-v1', 'compat-v2', 'iommufd'] as const;

const MAP = `${TYPE1}: vfio_dma_do_map()`;
const PLACE = `${PAGETABLE}: iopt_check_iova()`;

export const MAP_OVERLAP = question('map-overlap', {
  asks: 'MAP where something is mapped',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EEXIST'], source: MAP }),
    ...alike(COMPAT_MODES, { refused: ['EEXIST'], source: PLACE }),
    iommufd: {
      refused: ['EEXIST'],
      source: `${IOMMUFD_HEADER}: IOMMU_IOAS_MAP: existing IOVA cannot be replaced; ${PLACE}`,
    },
  },
});

export const MAP_EMPTY = question('map-no-size', {
  asks: 'MAP of 0 bytes',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: MAP }),
    ...alike(ON_IOMMUFD, { refused: ['EINVAL'], source: `${PAGES}: iopt_alloc_pages()` }),
  },
});

export const MAP_NO_ACCESS = question('map-no-access', {
  asks: 'MAP with neither READ nor WRITE',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${HEADER}: READ &/ WRITE required` }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: `${HEADER}: READ &/ WRITE required` }),
    iommufd: { refused: ['EINVAL'], source: 'drivers/iommu/iommufd/ioas.c: iommufd_ioas_map()' },
  },
});

export const MAP_NO_ACCESS_LAZY = question('map-no-access-before-open', {
  asks: 'MAP with neither READ nor WRITE, before the device is opened',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${HEADER}: READ &/ WRITE required` }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: `${HEADER}: READ &/ WRITE required` }),
    iommufd: { refused: ['EINVAL'], source: 'drivers/iommu/iommufd/ioas.c: iommufd_ioas_map()' },
  },
});

export const MAP_FLAGS = question('map-unknown-flag', {
  asks: 'MAP with a flag that is not known',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${TYPE1}: vfio_iommu_type1_map_dma()` }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: COMPAT_MAP }),
    iommufd: { refused: ['EOPNOTSUPP'], source: `${IOMMUFD_ERRNOS}: EOPNOTSUPP` },
  },
});

export const MAP_UNALIGNED = question('map-unaligned', {
  asks: 'MAP of memory that begins within a page',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${MAP}: the mask of page sizes` }),
    ...alike(ON_IOMMUFD, { refused: ['EINVAL'], source: `${PAGETABLE}: iopt_insert_area(), iopt_table_add_domain()` }),
  },
});

export const MAP_UNALIGNED_LAZY = question('map-unaligned-before-open', {
  asks: 'MAP of memory that begins within a page, before the device is opened',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${MAP}: the mask of page sizes` }),
    'compat-v1': { refused: ['EINVAL'], source: `${PAGETABLE}: iopt_calculate_iova_alignment(): disable_large_pages` },
    ...alike(['compat-v2', 'iommufd'], {
      returns: 0n,
      source: `${PAGETABLE}: iopt_init_table(): They have no alignment restriction`,
    }),
  },
});

export const MAP_BEYOND = question('map-beyond-top', {
  asks: 'MAP at a range of IOVAs that goes beyond 2^64',
  cells: {
    ...alike(TYPE1_MODES, {
      refused: ['EINVAL', 'EOVERFLOW'],
      source: `${MAP}: EOVERFLOW since check_add_overflow(), 7.2 has it`,
    }),
    ...alike(ON_IOMMUFD, { refused: ['EOVERFLOW'], source: `${PLACE}: check_add_overflow()` }),
  },
});

const MEMORY_OVERFLOWS = `${PAGES}: iopt_alloc_user_pages(): check_add_overflow()`;

export const MAP_MEMORY_BEYOND = question('map-memory-beyond-top', {
  asks: 'MAP of memory that goes beyond 2^64',
  cells: {
    ...alike(TYPE1_MODES, {
      refused: ['EINVAL', 'EOVERFLOW'],
      source: `${MAP}: EOVERFLOW since check_add_overflow(), 7.2 has it`,
    }),
    ...alike(ON_IOMMUFD, { refused: ['EOVERFLOW'], source: MEMORY_OVERFLOWS }),
  },
});

export const MAP_MEMORY_TO_TOP = question('map-memory-to-top', {
  asks: 'MAP of memory that ends at 2^64',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EFAULT'], source: `${TYPE1}: vaddr_get_pfns()` }),
    ...alike(ON_IOMMUFD, { refused: ['EOVERFLOW'], source: MEMORY_OVERFLOWS }),
  },
});

export const MAP_OUTSIDE = question('map-beyond-aperture', {
  asks: 'MAP at an IOVA that the hardware does not translate',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${TYPE1}: vfio_iommu_iova_dma_valid()` }),
    ...alike(ON_IOMMUFD, { refused: ['EINVAL'], source: PLACE }),
  },
});

export const MAP_OUTSIDE_LAZY = question('map-beyond-aperture-before-open', {
  asks: 'MAP at an IOVA that the hardware does not translate, before the device is opened',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${TYPE1}: vfio_iommu_iova_dma_valid()` }),
    ...alike(ON_IOMMUFD, {
      returns: 0n,
      source: `${IOMMUFD_HEADER}: IOMMU_IOAS_IOVA_RANGES: A fresh empty IOAS will have a full range`,
    }),
  },
});

export const MAP_RESERVED = question('map-reserved', {
  asks: 'MAP in a reserved region of the device',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${TYPE1}: vfio_iommu_iova_dma_valid()` }),
    ...alike(ON_IOMMUFD, { refused: ['EINVAL'], source: PLACE }),
  },
});

export const MAP_HOLE = question('map-no-memory', {
  asks: 'MAP of a range of addresses of which a page is not mapped',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EFAULT'], source: `${TYPE1}: vaddr_get_pfns()` }),
    ...alike(ON_IOMMUFD, { refused: ['EFAULT'], source: `${PAGES}: pfn_reader_user_pin()` }),
  },
});

export const MAP_HOLE_LAZY = question('map-no-memory-before-open', {
  asks: 'MAP of a range of addresses of which a page is not mapped, before the device is opened',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EFAULT'], source: `${TYPE1}: vaddr_get_pfns()` }),
    ...alike(ON_IOMMUFD, {
      returns: 0n,
      source: `${PAGETABLE}: iopt_map_user_pages(): For non-domain page tables this will only setup a lazy reference`,
    }),
  },
});

export const MAP_MMIO = question('map-mmio', {
  asks: "MAP of a device's registers (BAR 0, mapped by the process)",
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, source: `${TYPE1}: follow_fault_pfn()` }),
    ...alike(COMPAT_MODES, {
      refused: ['EFAULT'],
      source: `drivers/iommu/iommufd/Kconfig: known to lack peer-to-peer DMA mapping; ${PAGES}: pfn_reader_user_pin()`,
    }),
    iommufd: { refused: ['EFAULT'], source: `${PAGES}: pfn_reader_user_pin()` },
  },
});

const NO_VADDR = 'IOMMUFD has nothing of the kind: IOAS_CHANGE_PROCESS needs no new address, and takes files only';
const VADDR = `${COMPAT}: iommufd_vfio_check_extension(): VFIO_UPDATE_VADDR`;

export const VADDR_EXTENSION = question('vaddr-extension', {
  asks: 'CHECK_EXTENSION for UPDATE_VADDR',
  cells: {
    ...alike(TYPE1_MODES, {
      returns: 1n,
      source: `${HEADER}: VFIO_UPDATE_VADDR; ${TYPE1}: vfio_iommu_type1_check_extension()`,
    }),
    ...alike(COMPAT_MODES, { returns: 0n, source: VADDR }),
    iommufd: { none: NO_VADDR },
  },
});

export const VADDR_INVALIDATE = question('vaddr-invalidate', {
  asks: 'UNMAP with VADDR of a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, value: 0x4000n, source: `${HEADER}: VFIO_DMA_UNMAP_FLAG_VADDR` }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: `${VADDR}; iommufd_vfio_unmap_dma()` }),
    iommufd: { none: NO_VADDR },
  },
});

export const VADDR_UPDATE = question('vaddr-update', {
  asks: 'MAP with VADDR of a mapping (where that can be, after its address was invalidated)',
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, source: `${HEADER}: VFIO_DMA_MAP_FLAG_VADDR` }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: `${VADDR}; ${COMPAT_MAP}` }),
    iommufd: { none: NO_VADDR },
  },
});

export const MAP_QUESTIONS = [
  MAP_OVERLAP,
  MAP_EMPTY,
  MAP_NO_ACCESS,
  MAP_NO_ACCESS_LAZY,
  MAP_FLAGS,
  MAP_UNALIGNED,
  MAP_UNALIGNED_LAZY,
  MAP_BEYOND,
  MAP_MEMORY_BEYOND,
  MAP_MEMORY_TO_TOP,
  MAP_OUTSIDE,
  MAP_OUTSIDE_LAZY,
  MAP_RESERVED,
  MAP_HOLE,
  MAP_HOLE_LAZY,
  MAP_MMIO,
  VADDR_EXTENSION,
  VADDR_INVALIDATE,
  VADDR_UPDATE,
];
