import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { AddressSpace, Resolution, Run } from '../world/address-space.ts';
import { CHARGED_PAGES } from './accounting.ts';
import { markAfterIommu } from './pin-dirty.ts';
import { pinOptions } from './pinning.ts';
import type { Iommu, Mapping } from './state.ts';

/* Mappings that are there already when the first group with an IOMMU comes to a container, or still when the last one leaves. */

const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';

/** Whose memory is pinned when an IOMMU takes over the mappings that are there. */
const IOMMU_COMES = rule<(mapping: Mapping, comer: AddressSpace) => AddressSpace | undefined>({
  id: 'pin/iommu-comes',
  level: 'must',
  says: 'When the first group with an IOMMU comes to a container all of its mappings are pinned for it and charged to their owners, but for the pages that devices pinned already, which are charged; its devices then reach them.',
  source: `vfio_iommu_replay(), vfio_pin_pages_remote(), ${DRIVER}: externally pinned pages are already counted`,
  rule: ({ iommuMapped }, comer) => (iommuMapped ? undefined : comer),
});

/** Which pages of a mapping stay pinned when the last group with an IOMMU leaves. */
const IOMMU_LEAVES = rule<(mapping: Mapping) => readonly Run[]>({
  id: 'pin/iommu-leaves',
  level: 'must',
  says: 'When the last group with an IOMMU leaves and others stay, the mappings stay too, but only the pages that devices pinned remain pinned and charged to their owner.',
  source: `vfio_iommu_unmap_unpin_reaccount(), ${DRIVER}`,
  rule: ({ pins }) => [...pins.values()].map(({ run }) => run),
});

const pagesOf = ({ start, end }: Mapping, pageSize: number): number => Number((end - start) / BigInt(pageSize));

/** What there is to be pinned of a mapping when a group with an IOMMU comes, and who owns it; nothing if an IOMMU holds it already. */
export const takenOver = (
  law: Law,
  mapping: Mapping,
  comer: AddressSpace,
  pageSize: number,
): (Resolution & { readonly asked: number; readonly charged: number }) | undefined => {
  const space = law.of(IOMMU_COMES).rule(mapping, comer);
  if (space === undefined) return undefined;
  const asked = pagesOf(mapping, pageSize);
  const found = space.resolve(mapping.vaddr, asked, pinOptions(law, mapping.write));
  return { ...found, asked, charged: chargeable(law, mapping, found.runs) };
};

/** How many pages of runs are charged beside those that devices pinned. */
const chargeable = (law: Law, { pins }: Mapping, runs: readonly Run[]): number => {
  const clause = law.of(CHARGED_PAGES);
  if (pins.size === 0) return clause.rule(runs);
  let charged = 0;
  let first = 0;
  for (const run of runs) {
    charged += clause.rule([run]);
    for (const page of pins.keys())
      if (page >= first && page < first + run.count) charged -= clause.rule([{ ...run, count: 1 }]);
    first += run.count;
  }
  return charged;
};

/** The first group with an IOMMU came: what is mapped is pinned for it. */
export const takeOver = (law: Law, { mappings }: Iommu, comer: AddressSpace, pageSize: number): void => {
  const clause = law.of(IOMMU_COMES);
  for (const mapping of mappings) {
    const space = clause.rule(mapping, comer);
    if (space === undefined) continue;
    const { runs } = space.pin(mapping.vaddr, pagesOf(mapping, pageSize), pinOptions(law, mapping.write));
    const charged = chargeable(law, mapping, runs);
    if (mapping.owner.space.alive) mapping.owner.space.charge(charged, clause);
    mapping.charged += charged;
    mapping.runs = runs;
    mapping.iommuMapped = true;
  }
};

/** A group with an IOMMU left, and perhaps it was the last. */
export const release = (law: Law, iommu: Iommu, last: boolean): void => {
  markAfterIommu(law, iommu);
  if (!last) return;
  const clause = law.of(IOMMU_LEAVES);
  for (const mapping of iommu.mappings) {
    const kept = law.of(CHARGED_PAGES).rule(clause.rule(mapping));
    if (mapping.owner.space.alive) mapping.owner.space.uncharge(mapping.charged - kept, clause);
    mapping.charged = kept;
    mapping.runs = [];
    mapping.iommuMapped = false;
  }
};

export const HARDWARE_GROUP_CLAUSES = [IOMMU_COMES, IOMMU_LEAVES];
