import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from '../../uapi/vfio.ts';
import { objection } from '../clauses.ts';
import { exceedsLimit } from './accounting.ts';
import { MAP_DMA } from './map.ts';
import { UNMAP_DMA } from './unmap.ts';
import { CHANGES_OWNER, INVALIDATES_VADDR, INVALIDATION_ROLLS_BACK, UPDATES_VADDR } from './vaddr-update.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DMA_MAP_FLAG_VADDR';
const DO_MAP = 'vfio_dma_do_map(), drivers/vfio/vfio_iommu_type1.c';

const EXCLUSIVE_FLAGS = objection(MAP_DMA, {
  id: 'vaddr/exclusive-flags',
  level: 'must',
  says: 'VADDR together with READ or WRITE is refused with EINVAL.',
  source: `${HEADER}: the READ & WRITE flags must be 0`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ updates, asked: { flags } }) =>
    updates && (flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) !== 0,
});

const NO_MAPPING = objection(MAP_DMA, {
  id: 'vaddr/no-mapping',
  level: 'must',
  says: 'Updating the vaddr where nothing is mapped is refused with ENOENT.',
  source: DO_MAP,
  stage: 'mappings',
  errnos: ['ENOENT'],
  when: ({ updates, iommu, asked: { iova, size } }) =>
    updates && iommu.mappings.overlapping(iova, iova + size) === undefined,
});

const OTHER_RANGE = objection(MAP_DMA, {
  id: 'vaddr/other-range',
  level: 'must',
  says: 'Updating the vaddr of a range that is not exactly one mapping (another start, another size, several mappings) is refused with EINVAL.',
  source: `${HEADER}: iova and size must match those in the original MAP_DMA call; ${DO_MAP}`,
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: ({ updates, iommu, asked: { iova, size } }) => {
    if (!updates) return false;
    const found = iommu.mappings.overlapping(iova, iova + size);
    return found !== undefined && (found.start !== iova || found.end !== iova + size);
  },
});

export const NOT_INVALIDATED = objection(MAP_DMA, {
  id: 'vaddr/not-invalidated',
  level: 'must',
  says: 'Updating a vaddr that was not invalidated, or was updated since, is refused with EINVAL.',
  source: `${HEADER}: The vaddr must have previously been invalidated; ${DO_MAP}`,
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: ({ updates, iommu, asked: { iova } }) => updates && iommu.mappings.get(iova)?.vaddrValid === true,
});

export const NEW_OWNER_LIMIT = objection(MAP_DMA, {
  id: 'vaddr/new-owner-limit',
  level: 'must',
  says: 'Updating a vaddr is refused with ENOMEM when the pages would take the new owner beyond its RLIMIT_MEMLOCK; the mapping then stays with the old one, and stays invalidated.',
  source: 'vfio_change_dma_owner(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'memory',
  errnos: ['ENOMEM'],
  when: ({ law, updates, iommu, asked: { iova }, caller, pageSize }) => {
    const mapping = updates ? iommu.mappings.get(iova) : undefined;
    if (mapping === undefined || law.of(CHANGES_OWNER).rule(law, mapping, caller) === undefined) return false;
    return exceedsLimit(law, caller, mapping.charged, pageSize);
  },
});

const INVALIDATED_TWICE = objection(UNMAP_DMA, {
  id: 'vaddr/invalidated-twice',
  level: 'must',
  says: 'Invalidating a range that holds a mapping which is invalidated already is refused with EINVAL.',
  source: 'vfio_dma_do_unmap(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: (call) => call.invalidates && call.selected().some(({ vaddrValid }) => !vaddrValid),
  leaves: (call) => {
    const { law, iommu } = call;
    const valid = call.selected().filter(({ vaddrValid }) => vaddrValid);
    law.of(INVALIDATES_VADDR).rule(iommu, law.of(INVALIDATION_ROLLS_BACK).rule(valid));
  },
});

export const VADDR_CLAUSES = [
  INVALIDATES_VADDR,
  INVALIDATED_TWICE,
  INVALIDATION_ROLLS_BACK,
  UPDATES_VADDR,
  EXCLUSIVE_FLAGS,
  NO_MAPPING,
  OTHER_RANGE,
  NOT_INVALIDATED,
  CHANGES_OWNER,
  NEW_OWNER_LIMIT,
];
