import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import { refund } from './accounting.ts';
import { COUNTS_ENTRIES } from './limits.ts';
import type { Iommu, Mapping } from './state.ts';

const V1_AND_V2 = 'vfio_dma_do_unmap() and the comment in it, drivers/vfio/vfio_iommu_type1.c';

/** Ends a mapping: devices reach it no more, its owner is refunded, its entry is free. */
export const endMapping = (law: Law, iommu: Iommu, mapping: Mapping): void => {
  iommu.mappings.delete(mapping.start);
  if (!mapping.vaddrValid) iommu.invalidated--;
  iommu.available = law.of(COUNTS_ENTRIES).rule(iommu.available, 1);
  refund(law, mapping);
};

/** Adds a mapping. */
export const addMapping = (law: Law, iommu: Iommu, mapping: Mapping): void => {
  iommu.mappings.insert(mapping);
  iommu.available = law.of(COUNTS_ENTRIES).rule(iommu.available, -1);
};

/** The mappings that have an IOVA in [start, end), ascending. */
export const mappingsIn = (iommu: Iommu, start: bigint, end: bigint): readonly Mapping[] => {
  const mappings: Mapping[] = [];
  iommu.mappings.visit(start, end, (mapping) => {
    mappings.push(mapping);
    return true;
  });
  return mappings;
};

/** Whether a range begins or ends within a mapping. `end` is the first IOVA behind it. */
export const bisects = (iommu: Iommu, start: bigint, end: bigint): boolean => {
  const first = iommu.mappings.containing(start);
  const last = iommu.mappings.containing(end - 1n);
  return (first !== undefined && first.start !== start) || (last !== undefined && last.end !== end);
};

/** Finds the mappings that an UNMAP_DMA is about. */
type Select = (iommu: Iommu, start: bigint, end: bigint) => readonly Mapping[];

export const V2_SELECTS = rule<Select>({
  id: 'unmap/v2-whole-mappings',
  level: 'must',
  says: 'On v2 all mappings in the range are unmapped, be they one or many and with holes between them; only a range without mappings unmaps nothing and succeeds.',
  source: V1_AND_V2,
  rule: mappingsIn,
});

export const V1_SELECTS = rule<Select>({
  id: 'unmap/v1-first-iova',
  level: 'must',
  says: 'On v1 a range that begins within a mapping unmaps nothing and succeeds; otherwise every mapping whose first IOVA lies in it is unmapped whole.',
  source: V1_AND_V2,
  rule: (iommu, start, end) => {
    const first = iommu.mappings.containing(start);
    return first !== undefined && first.start !== start ? [] : mappingsIn(iommu, start, end);
  },
});

export const ALL_SELECTS = rule<(iommu: Iommu) => readonly Mapping[]>({
  id: 'unmap/all',
  level: 'must',
  says: 'UNMAP_DMA with ALL is about every mapping of the container.',
  source: 'include/uapi/linux/vfio.h: VFIO_DMA_UNMAP_FLAG_ALL',
  rule: (iommu) => [...iommu.mappings],
});

export const SELECTION_CLAUSES = [V2_SELECTS, V1_SELECTS, ALL_SELECTS];
