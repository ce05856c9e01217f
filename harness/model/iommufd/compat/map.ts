import { MAP_FLAGS, MAP_MEMORY_TO_TOP, MAP_WITHOUT_GROUP, refusal } from '../../../spec/five-modes/index.ts';
import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from '../../../uapi/iommufd.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  vfioIommuType1DmaMap,
} from '../../../uapi/vfio.ts';
import { refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { newPages } from '../pinned.ts';
import { carryOut, type Placing, placingObjections, writes } from '../placing.ts';
import type { Context } from '../state.ts';
import { compatIoasOf } from './state.ts';

/* MAP_DMA on /dev/iommu. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA';
const SOURCE = 'iommufd_vfio_map_dma(), drivers/iommu/iommufd/vfio_compat.c';
const SIZE = 32;
const TWO_TO_THE_64 = 1n << 64n;

interface MapCall extends Placing {
  /** The structure that it was given. */
  readonly given: Found<typeof vfioIommuType1DmaMap.fields>;
}

/** What MAP_DMA asks for, in the words of IOAS_MAP. */
const flagsOf = (flags: number): number =>
  IOMMU_IOAS_MAP_FIXED_IOVA |
  ((flags & VFIO_DMA_MAP_FLAG_READ) === 0 ? 0 : IOMMU_IOAS_MAP_READABLE) |
  ((flags & VFIO_DMA_MAP_FLAG_WRITE) === 0 ? 0 : IOMMU_IOAS_MAP_WRITEABLE);

const MAP_DMA = request<Context, MapCall>({
  id: 'compat/map',
  level: 'must',
  says: "MAP_DMA on /dev/iommu maps memory of the caller at iova in the groups' IO address space, as IOAS_MAP does, whether SET_IOMMU was called or not; it returns 0 and leaves its argument as it was.",
  source: `${HEADER}; ${SOURCE}`,
  on: 'iommufd',
  request: VFIO_IOMMU_MAP_DMA,
  situation: (context, { caller, argument }) => {
    const given = readStruct(argument, vfioIommuType1DmaMap, 0, SIZE);
    const found = compatIoasOf(context);
    const flags = flagsOf(given.flags);
    return {
      context,
      given,
      asked: { flags, ioas_id: found?.id ?? 0, length: given.size, iova: given.iova },
      ioas: found?.ioas,
      writable: true,
      from: { vaddr: given.vaddr, known: caller.space.alignmentAt(given.vaddr) },
      pages: () => newPages(context, caller, { kind: 'memory', vaddr: given.vaddr, writable: writes(flags) }),
      places: () => [given.iova],
    };
  },
  stages: ['read', 'arguments', 'object', 'memory', 'place', 'pins'],
  effect: carryOut,
});

const refuses = refusing(MAP_DMA);

/** What refuses IOAS_MAP and cannot be asked of MAP_DMA, or is answered otherwise. */
const OTHERWISE = new Set(['compat/map-unknown-ioas', 'compat/map-overflow', 'compat/map-no-space']);

const OBJECTIONS = [
  refuses({
    id: 'compat/map-unreadable',
    says: 'MAP_DMA on /dev/iommu with an argument that cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ given }) => !given.readable,
  }),
  refuses({
    id: 'compat/map-argsz',
    says: 'MAP_DMA on /dev/iommu with an argsz below 32 is refused with EINVAL.',
    source: `include/uapi/linux/vfio.h: argsz; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ given }) => given.argsz < SIZE,
  }),
  refuses({
    id: 'compat/map-flags',
    says: 'MAP_DMA on /dev/iommu with flags other than READ and WRITE, VADDR among them, is refused with EINVAL.',
    source: `${SOURCE}; iommufd_vfio_check_extension(): UPDATE_VADDR is not supported`,
    stage: 'arguments',
    errnos: refusal(MAP_FLAGS, 'compat-v2'),
    when: ({ given }) => (given.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) !== 0,
  }),
  refuses({
    id: 'compat/map-without-group',
    says: 'MAP_DMA on /dev/iommu before a group was given it is refused with ENODEV.',
    source: `get_compat_ioas(), ${SOURCE}`,
    stage: 'object',
    errnos: refusal(MAP_WITHOUT_GROUP, 'compat-v2'),
    when: ({ ioas }) => ioas === undefined,
  }),
  refuses({
    id: 'compat/map-memory-overflow',
    says: 'MAP_DMA on /dev/iommu of memory that ends at 2^64 or goes beyond it is refused with EOVERFLOW.',
    source: 'iopt_alloc_user_pages(), drivers/iommu/iommufd/pages.c: check_add_overflow()',
    stage: 'memory',
    errnos: refusal(MAP_MEMORY_TO_TOP, 'compat-v2'),
    when: ({ given: { vaddr, size } }) => vaddr + size >= TWO_TO_THE_64,
  }),
  ...placingObjections(MAP_DMA, 'compat/map', SOURCE)
    .filter(({ id }) => !OTHERWISE.has(id))
    .map((one) => ({ ...one, says: `On /dev/iommu, for MAP_DMA: ${one.says}` }))
    .map((one) =>
      one.id === 'compat/map-needs-access' ? { ...one, source: `${HEADER}: READ &/ WRITE required` } : one,
    ),
];

export const COMPAT_MAP_CLAUSES = [MAP_DMA, ...OBJECTIONS];
