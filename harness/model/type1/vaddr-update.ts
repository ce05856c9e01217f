import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Process } from '../world/process.ts';
import { CHARGES_CALLER, refund } from './accounting.ts';
import type { MapCall } from './map.ts';
import type { Iommu, Mapping, Owner } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';

/** Who owns a mapping after its vaddr was updated; `undefined` when that is who owned it before. */
export const CHANGES_OWNER = rule<(law: Law, mapping: Mapping, caller: Process) => Owner | undefined>({
  id: 'vaddr/changes-owner',
  level: 'must',
  says: 'A process that updates the vaddr of a mapping made in another address space (by its parent, or by itself before exec) becomes its owner: the pages are charged to it and given back to the owner before.',
  source: `vfio_change_dma_owner(), ${DRIVER}`,
  rule: (law, mapping, caller) => {
    const owner = law.of(CHARGES_CALLER).rule(caller);
    return owner.space === mapping.owner.space ? undefined : owner;
  },
});

/** Gives a mapping its new vaddr. */
export const UPDATES_VADDR = rule<(call: MapCall) => void>({
  id: 'vaddr/updates',
  level: 'must',
  says: 'MAP_DMA with VADDR gives an invalidated mapping a new vaddr: its IOVA, pages and permissions stay as they are, and no entry is taken.',
  source: `${HEADER}: VFIO_DMA_MAP_FLAG_VADDR`,
  rule: ({ law, iommu, caller, asked: { iova, vaddr } }) => {
    const mapping = iommu.mappings.get(iova);
    if (mapping === undefined) throw new RangeError('only a mapping that is there can be updated');
    const clause = law.of(CHANGES_OWNER);
    const owner = clause.rule(law, mapping, caller);
    if (owner !== undefined) {
      owner.space.charge(mapping.charged, clause);
      refund(law, mapping);
      mapping.owner = owner;
    }
    mapping.vaddr = vaddr;
    mapping.vaddrValid = true;
    iommu.invalidated--;
  },
});

/** Takes the vaddr of mappings away. */
export const INVALIDATES_VADDR = rule<(iommu: Iommu, mappings: readonly Mapping[]) => void>({
  id: 'vaddr/invalidates',
  level: 'must',
  says: 'UNMAP_DMA with VADDR unmaps nothing but invalidates the vaddr of the mappings in its range, and returns their size; devices go on reaching the pages, and nobody is refunded.',
  source: `${HEADER}: VFIO_DMA_UNMAP_FLAG_VADDR`,
  rule: (iommu, mappings) => {
    for (const mapping of mappings) mapping.vaddrValid = false;
    iommu.invalidated += mappings.length;
  },
});

/** Which of the mappings that a refused request had invalidated stay so. */
export const INVALIDATION_ROLLS_BACK = rule<(invalidated: readonly Mapping[]) => readonly Mapping[]>({
  id: 'vaddr/rolls-back',
  level: 'must',
  says: 'An UNMAP_DMA with VADDR that meets a mapping which is invalidated already changes nothing: those before it are valid again.',
  source: `vfio_dma_do_unmap(), ${DRIVER}`,
  rule: () => [],
});
