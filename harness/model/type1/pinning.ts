import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { PinOptions } from '../world/address-space.ts';
import { type Container, hasIommu } from './state.ts';

/** Whether memory that is pinned for reading only becomes the process's own first. */
export const PINS_FOR_READING = rule<() => boolean>({
  id: 'map/pins-for-reading',
  level: 'may',
  says: 'Private memory that is mapped to be read only is pinned as it is: what nobody wrote yet stands there as the page of zeros, which is charged to nobody, or as the page of a file.',
  source: 'mm/gup.c: FOLL_LONGTERM without FOLL_WRITE; vaddr_get_pfns(), drivers/vfio/vfio_iommu_type1.c',
  rule: () => false,
});

/** Whether mappings of a container are pinned when they are made. */
export const PINS_WHEN_MAPPED = rule<(container: Container) => boolean>({
  id: 'pin/maps-without-pinning',
  level: 'must',
  says: 'While no group of a container has an IOMMU behind it MAP_DMA pins and charges nothing, and does not look at the memory: what the process does not have can be mapped as well, and any IOVA. The devices pin what they use.',
  source:
    'vfio_dma_do_map(), drivers/vfio/vfio_iommu_type1.c: no pinning without an IOMMU capable domain; Documentation/driver-api/vfio-mediated-device.rst: Translation APIs for Mediated Devices',
  rule: ({ groups }) => groups.some(hasIommu),
});

/** How memory is pinned that devices may write, or only read. */
export const pinOptions = (law: Law, write: boolean): PinOptions => ({
  write,
  own: write || law.of(PINS_FOR_READING).rule(),
});
