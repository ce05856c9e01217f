import { rule } from '../clauses.ts';

/** Whether memory that is pinned for reading only becomes the process's own first. */
export const PINS_FOR_READING = rule<() => boolean>({
  id: 'map/pins-for-reading',
  level: 'may',
  says: 'Private memory that is mapped to be read only is pinned as it is: what nobody wrote yet stands there as the page of zeros, which is charged to nobody, or as the page of a file.',
  source: 'mm/gup.c: FOLL_LONGTERM without FOLL_WRITE; vaddr_get_pfns(), drivers/vfio/vfio_iommu_type1.c',
  rule: () => false,
});
