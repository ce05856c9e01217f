import { question } from './question.ts';
import { COMPAT, HEADER, NOT_FOUND, PAGETABLE, TYPE1 } from './sources.ts';

/* UNMAP. Where a mapping is cut it is one of 0x4000 bytes. */

const SIZE = { name: 'size', at: 16, width: 8 } as const;
const UNMAP = `${TYPE1}: vfio_dma_do_unmap()`;
const V1 = `${UNMAP}: the comment on v1 and v2`;
const CUTS = `${COMPAT}: iommufd_vfio_set_iommu(): Then we can safely unmap within any range`;
const RETURNS = `${HEADER}: VFIO_IOMMU_UNMAP_DMA: The actual unmapped size is returned`;
const WRITES_SIZE = `${PAGETABLE}: iopt_unmap_iova_range(); ${COMPAT}: iommufd_vfio_unmap_dma() returns the size of a refused one, too`;
const NO_SPLIT = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_UNMAP: Splitting or truncating ranges is not allowed';
const BISECTED = `${UNMAP}: there must not be any previous mappings bisected by the range`;

export const UNMAP_NOTHING = question('unmap-nothing', {
  asks: 'UNMAP of a range in which nothing is mapped',
  valueAt: SIZE,
  cells: {
    'type1-v1': { returns: 0n, value: 0n, source: RETURNS },
    'type1-v2': { returns: 0n, value: 0n, source: RETURNS },
    'compat-v1': { returns: 0n, value: 0n, source: `${PAGETABLE}: iopt_unmap_iova_range()` },
    'compat-v2': { returns: 0n, value: 0n, source: `${PAGETABLE}: iopt_unmap_iova_range()` },
    iommufd: { refused: ['ENOENT'], source: NOT_FOUND },
  },
});

export const CUT_FIRST_HALF = question('unmap-first-half', {
  asks: 'UNMAP of the first half of a mapping',
  valueAt: SIZE,
  cells: {
    'type1-v1': { returns: 0n, value: 0x4000n, source: V1 },
    'type1-v2': { refused: ['EINVAL'], source: BISECTED },
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
    'compat-v2': { refused: ['ENOENT'], value: 0n, source: WRITES_SIZE },
    iommufd: { refused: ['ENOENT'], source: NO_SPLIT },
  },
});

export const CUT_SECOND_HALF = question('unmap-second-half', {
  asks: 'UNMAP of the second half of a mapping',
  valueAt: SIZE,
  cells: {
    'type1-v1': { returns: 0n, value: 0n, source: V1 },
    'type1-v2': { refused: ['EINVAL'], source: BISECTED },
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
    'compat-v2': { refused: ['ENOENT'], value: 0n, source: WRITES_SIZE },
    iommufd: { refused: ['ENOENT'], source: NO_SPLIT },
  },
});

export const UNMAP_QUESTIONS = [UNMAP_NOTHING, CUT_FIRST_HALF, CUT_SECOND_HALF];
