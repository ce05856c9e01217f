import { rule } from '../clauses.ts';
import type { Vfio } from './state.ts';

const SOURCE = 'drivers/vfio/vfio_iommu_type1.c';

/** How many mappings a container takes whose IOMMU is set now. */
export const ENTRIES_AT_SET_IOMMU = rule<(vfio: Vfio) => number>({
  id: 'limit/taken-at-set-iommu',
  level: 'must',
  says: 'A container takes as many mappings as the module parameter dma_entry_limit says when its IOMMU is set; a later change of the parameter does not concern it.',
  source: `vfio_iommu_type1_open(), ${SOURCE}`,
  rule: ({ dmaEntryLimit }) => dmaEntryLimit,
});

/** The number of mappings that may still be made, after one was made (-1) or ended (+1). */
export const COUNTS_ENTRIES = rule<(available: number, change: 1 | -1) => number>({
  id: 'limit/counts-entries',
  level: 'must',
  says: 'The number of mappings that may still be made goes down by one for each that is made, whatever its size, and up by one for each that ends.',
  source: `include/uapi/linux/vfio.h: DMA available capability; vfio_dma_do_map(), vfio_remove_dma(), ${SOURCE}`,
  rule: (available, change) => available + change,
});

/** What the parameter's file reads as. */
export const PARAMETER_SHOWS = rule<(limit: number) => string>({
  id: 'limit/parameter-shows',
  level: 'must',
  says: 'The parameter dma_entry_limit reads as its decimal value and a newline.',
  source: `module_param_named(dma_entry_limit, uint, 0644), ${SOURCE}`,
  rule: (limit) => `${limit}\n`,
});

/** What writing the parameter's file sets; `undefined` for text that the rule says nothing of. */
export const PARAMETER_SETS = rule<(text: string) => number | undefined>({
  id: 'limit/parameter-sets',
  level: 'must',
  says: 'Writing a decimal number, with or without a newline, sets the parameter dma_entry_limit.',
  source: `module_param_named(dma_entry_limit, uint, 0644), ${SOURCE}`,
  rule: (text) => {
    const [digits] = /^(0|[1-9]\d{0,9})(?=\n?$)/.exec(text) ?? [];
    return digits === undefined || Number(digits) > 0xffff_ffff ? undefined : Number(digits);
  },
});

export const LIMIT_CLAUSES = [ENTRIES_AT_SET_IOMMU, COUNTS_ENTRIES, PARAMETER_SHOWS, PARAMETER_SETS];
