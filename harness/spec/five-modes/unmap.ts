import { alike, type Cell, question } from './question.ts';
import { COMPAT, HEADER, NOT_FOUND, PAGETABLE, SAME_SIZE, TYPE1 } from './sources.ts';

/* UNMAP. Where a mapping is cut it is one of 0x4000 bytes. */

const UNMAP = `${TYPE1}: vfio_dma_do_unmap()`;
const V1 = `${UNMAP}: the comment on v1 and v2`;
const CUTS = `${COMPAT}: iommufd_vfio_set_iommu(): Then we can safely unmap within any range`;
const RETURNS = `${HEADER}: VFIO_IOMMU_UNMAP_DMA: The actual unmapped size is returned`;
const RANGE = `${PAGETABLE}: iopt_unmap_iova_range()`;
const WRITES_SIZE = `${RANGE}; ${COMPAT}: iommufd_vfio_unmap_dma() returns the size of what it refuses, too`;
const NO_SPLIT = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_UNMAP: Splitting or truncating ranges is not allowed';
const BACK = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_UNMAP: return back the bytes unmapped';
const BISECTED = `${UNMAP}: there must not be any previous mappings bisected by the range`;

/** Type1 v2 and what IOMMUFD has for it refuse to cut. */
const NOT_CUT = {
  'type1-v2': { refused: ['EINVAL'], source: BISECTED },
  'compat-v2': { refused: ['ENOENT'], value: 0n, source: WRITES_SIZE },
  iommufd: { refused: ['ENOENT'], source: NO_SPLIT },
} as const satisfies Record<string, Cell>;

export const UNMAP_NOTHING = question('unmap-nothing', {
  asks: 'UNMAP of a range in which nothing is mapped',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2'], { returns: 0n, value: 0n, source: RETURNS }),
    ...alike(['compat-v1', 'compat-v2'], {
      returns: 0n,
      value: 0n,
      source: `${RANGE}: If there are no mapped entries then success`,
    }),
    iommufd: { refused: ['ENOENT'], source: NOT_FOUND },
  },
});

export const CUT_FIRST_HALF = question('unmap-first-half', {
  asks: 'UNMAP of the first half of a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...NOT_CUT,
    'type1-v1': { returns: 0n, value: 0x4000n, source: V1 },
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
  },
});

export const CUT_SECOND_HALF = question('unmap-second-half', {
  asks: 'UNMAP of the second half of a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...NOT_CUT,
    'type1-v1': { returns: 0n, value: 0n, source: V1 },
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
  },
});

export const CUT_MIDDLE = question('unmap-middle', {
  asks: 'UNMAP of a page in the middle of a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...NOT_CUT,
    'type1-v1': { returns: 0n, value: 0n, source: V1 },
    'compat-v1': { returns: 0n, value: 0x1000n, source: CUTS },
  },
});

export const CUT_SECOND_MAPPING = question('unmap-into-next', {
  asks: 'UNMAP of a mapping and of the first half of the next',
  valueAt: SAME_SIZE,
  cells: {
    ...NOT_CUT,
    'type1-v1': { returns: 0n, value: 0x8000n, source: V1 },
    'compat-v1': { returns: 0n, value: 0x6000n, source: CUTS },
    'compat-v2': { refused: ['ENOENT'], value: 0x4000n, source: WRITES_SIZE },
  },
});

export const CUT_WITHIN_PAGE = question('unmap-within-page', {
  asks: 'UNMAP of a range that ends within a page of a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...NOT_CUT,
    ...alike(['type1-v1', 'type1-v2'], { refused: ['EINVAL'], source: `${UNMAP}: the mask of page sizes` }),
    'compat-v1': { refused: ['EINVAL'], source: `${PAGETABLE}: iopt_area_split()` },
  },
});

const LEFT = { returns: 0n, value: 0x4000n, source: RETURNS } as const;

export const LEFT_AFTER_CUT = question('left-after-first-half', {
  asks: 'After UNMAP of the first half of a mapping, UNMAP of everything',
  valueAt: SAME_SIZE,
  cells: {
    'type1-v1': { returns: 0n, value: 0n, source: V1 },
    'type1-v2': LEFT,
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
    'compat-v2': LEFT,
    iommufd: { ...LEFT, source: BACK },
  },
});

export const LEFT_AFTER_CUT_SECOND = question('left-after-into-next', {
  asks: 'After UNMAP of a mapping and of the first half of the next, UNMAP of everything',
  valueAt: SAME_SIZE,
  cells: {
    'type1-v1': { returns: 0n, value: 0n, source: V1 },
    'type1-v2': { returns: 0n, value: 0x8000n, source: `${UNMAP}; ${BISECTED}` },
    'compat-v1': { returns: 0n, value: 0x2000n, source: CUTS },
    'compat-v2': { returns: 0n, value: 0x4000n, source: RANGE },
    iommufd: { returns: 0n, value: 0x4000n, source: RANGE },
  },
});

export const UNMAP_HOLE = question('unmap-two-and-hole', {
  asks: 'UNMAP of a range with two mappings and a hole',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2', 'compat-v1', 'compat-v2'], { returns: 0n, value: 0x8000n, source: RETURNS }),
    iommufd: { returns: 0n, value: 0x8000n, source: BACK },
  },
});

const ALL = `${HEADER}: VFIO_DMA_UNMAP_FLAG_ALL: unmap all addresses`;

export const UNMAP_ALL = question('unmap-all', {
  asks: 'UNMAP of everything, with two mappings',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2', 'compat-v1', 'compat-v2'], { returns: 0n, value: 0x8000n, source: ALL }),
    iommufd: { returns: 0n, value: 0x8000n, source: BACK },
  },
});

export const UNMAP_ALL_EMPTY = question('unmap-all-empty', {
  asks: 'UNMAP of everything, with nothing mapped',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2'], { returns: 0n, value: 0n, source: ALL }),
    ...alike(['compat-v1', 'compat-v2', 'iommufd'], {
      returns: 0n,
      value: 0n,
      source: `${PAGETABLE}: iopt_unmap_all(): If the IOVAs are empty then unmap all succeeds`,
    }),
  },
});

export const UNMAP_EMPTY = question('unmap-no-size', {
  asks: 'UNMAP of 0 bytes',
  cells: {
    ...alike(['type1-v1', 'type1-v2'], { refused: ['EINVAL'], source: UNMAP }),
    ...alike(['compat-v1', 'compat-v2', 'iommufd'], { refused: ['EINVAL'], source: `${PAGETABLE}: iopt_unmap_iova()` }),
  },
});

const EOVERFLOWS = `${PAGETABLE}: iopt_unmap_iova(): check_add_overflow()`;

export const UNMAP_BEYOND = question('unmap-beyond-top', {
  asks: 'UNMAP of a range that goes beyond 2^64',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2'], {
      refused: ['EINVAL', 'EOVERFLOW'],
      source: `${UNMAP}: EOVERFLOW since check_add_overflow(), 7.2 has it`,
    }),
    ...alike(['compat-v1', 'compat-v2'], {
      refused: ['EOVERFLOW'],
      value: 0n,
      source: `${EOVERFLOWS}; ${WRITES_SIZE}`,
    }),
    iommufd: { refused: ['EOVERFLOW'], source: EOVERFLOWS },
  },
});

export const UNMAP_TO_TOP = question('unmap-to-top', {
  asks: 'UNMAP of a range that ends at 2^64',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2', 'compat-v1', 'compat-v2'], { returns: 0n, value: 0x4000n, source: RETURNS }),
    iommufd: { returns: 0n, value: 0x4000n, source: BACK },
  },
});

export const UNMAP_UNALIGNED = question('unmap-unaligned', {
  asks: 'UNMAP of a range round a mapping that begins and ends within pages',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(['type1-v1', 'type1-v2'], { refused: ['EINVAL'], source: `${UNMAP}: the mask of page sizes` }),
    ...alike(['compat-v1', 'compat-v2', 'iommufd'], { returns: 0n, value: 0x4000n, source: RANGE }),
  },
});

export const UNMAP_QUESTIONS = [
  UNMAP_NOTHING,
  CUT_FIRST_HALF,
  CUT_SECOND_HALF,
  CUT_MIDDLE,
  CUT_SECOND_MAPPING,
  CUT_WITHIN_PAGE,
  LEFT_AFTER_CUT,
  LEFT_AFTER_CUT_SECOND,
  UNMAP_HOLE,
  UNMAP_ALL,
  UNMAP_ALL_EMPTY,
  UNMAP_EMPTY,
  UNMAP_BEYOND,
  UNMAP_TO_TOP,
  UNMAP_UNALIGNED,
];
