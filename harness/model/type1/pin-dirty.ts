import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { DirtyPages } from './dirty-bitmap.ts';
import type { Iommu, Mapping } from './state.ts';
import { witness } from './witness.ts';

/* Which pages are dirty where devices have no IOMMU behind them: they tell what they use. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_DIRTY_PAGES';
const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';

/** Which pages of a mapping are dirty that no IOMMU holds. */
export const MARKED_PAGES = rule<(mapping: Mapping, pages: number) => readonly DirtyPages[]>({
  id: 'pin/dirty-scope',
  level: 'must',
  says: 'While no group of the container has an IOMMU only those pages are dirty that a device pinned or that were written for it; a page that no device used is clean. With one group that has an IOMMU every page is.',
  source: `update_user_bitmap(), ${DRIVER}: num_non_pinned_groups; vfio_iommu_type1_attach_group(): an emulated IOMMU group cannot dirty memory directly`,
  rule: ({ dirty }, pages) => dirty.of(pages),
});

/** The pages of a mapping that are dirty as soon as logging starts. */
const DIRTY_AT_START = rule<(mapping: Mapping) => readonly number[]>({
  id: 'pin/dirty-at-start',
  level: 'must',
  says: 'Pages that are pinned when START comes are dirty; what was pinned, written or dirty before and is not pinned any more is not.',
  source: `vfio_dma_bitmap_alloc_all(), ${DRIVER}`,
  rule: ({ pins }) => [...pins.keys()],
});

/** Pages that are pinned become dirty. */
const PINNING_DIRTIES = witness({
  id: 'pin/dirty-when-pinned',
  level: 'must',
  says: 'A page that is pinned while dirty pages are logged is dirty at the next reading, for reading or writing alike, also when it was unpinned before that.',
  source: `vfio_iommu_type1_pin_pages(), ${DRIVER}: dirty_page_tracking`,
  sees: (use, self) => {
    if (use.how === 'pinned' && use.anew && use.iommu.tracking) use.mapping.dirty.mark(self, use.first, use.count);
  },
});

/** So do those that were pinned before another of the same call could not be. */
const PINNING_IN_VAIN_DIRTIES = witness({
  id: 'pin/dirty-when-pinned-in-vain',
  level: 'may',
  says: 'When a page cannot be pinned while dirty pages are logged, those before it in the same call are dirty at the next reading, though none stays pinned.',
  source: `vfio_iommu_type1_pin_pages(), ${DRIVER}: pin_unwind`,
  sees: ({ how, iommu, mapping, first, count }, self) => {
    if (how === 'pinned in vain' && iommu.tracking) mapping.dirty.mark(self, first, count);
  },
});

/** Pages that are written for a device become dirty. */
const WRITING_DIRTIES = witness({
  id: 'pin/dirty-when-written',
  level: 'must',
  says: 'While dirty pages are logged every page that was written for a device is dirty, once, be it a single byte of it, pinned or not; reading makes none dirty.',
  source: `vfio_iommu_type1_dma_rw_chunk(), ${DRIVER}: bitmap_set()`,
  sees: ({ how, iommu, mapping, first, count }, self) => {
    if (how === 'written' && iommu.tracking) mapping.dirty.mark(self, first, count);
  },
});

/** So does what was written before a write failed. */
const FAILED_WRITE_DIRTIES = witness({
  id: 'pin/dirty-when-partly-written',
  level: 'should',
  says: 'What was written before a write failed part of the way is dirty as well.',
  source: `${HEADER}: pages that are dirtied or potentially dirtied`,
  sees: ({ how, iommu, mapping, first, count }, self) => {
    if (how === 'partly written' && iommu.tracking) mapping.dirty.mark(self, first, count);
  },
});

/** The pages of a mapping that stay dirty after they were reported. */
const STAYS_DIRTY = rule<(mapping: Mapping) => readonly number[]>({
  id: 'pin/dirty-while-pinned',
  level: 'must',
  says: 'A page that is pinned when dirty pages are reported is dirty at the next reading too, as its device may write it until it lets go; all others are clean after they were reported.',
  source: `vfio_iova_dirty_bitmap(), ${DRIVER}: exclude pages which are unpinned and pages which are marked dirty by vfio_dma_rw()`,
  rule: ({ pins }) => [...pins.keys()],
});

/** The pages that are dirty after they could not be reported. */
const FAILED_READING = rule<(dirty: readonly number[]) => readonly number[]>({
  id: 'pin/dirty-after-failed-reading',
  level: 'should',
  says: 'A reading that fails loses nothing: the pages that it could not report are dirty at the next one, and no others.',
  source: `${HEADER}: the dirty bitmap is what migration goes by; vfio_iova_dirty_bitmap(), ${DRIVER}`,
  rule: (dirty) => dirty,
});

/** Whether all pages are dirty since a group with an IOMMU left. */
const LEAVING_DIRTIES = rule<() => boolean>({
  id: 'pin/dirty-after-iommu',
  level: 'must',
  says: 'When a group with an IOMMU leaves while dirty pages are logged, every page of every mapping is dirty at the next reading, as the devices of that group may have written it.',
  source: `vfio_iommu_type1_detach_group(), ${DRIVER}: vfio_iommu_populate_bitmap_full()`,
  rule: () => true,
});

/** Logging starts. */
export const startMarking = (law: Law, iommu: Iommu): void => {
  const clause = law.of(DIRTY_AT_START);
  for (const mapping of iommu.mappings) mapping.dirty.reset(clause, clause.rule(mapping));
};

/** The dirty pages of mappings were reported. */
export const markReported = (law: Law, mappings: readonly Mapping[]): void => {
  const clause = law.of(STAYS_DIRTY);
  for (const mapping of mappings) mapping.dirty.reset(clause, clause.rule(mapping));
};

/** The dirty pages of a mapping could not be reported. */
export const markUnreported = (law: Law, { dirty }: Mapping, pages: number): void => {
  const clause = law.of(FAILED_READING);
  const marked = dirty.of(pages);
  const kept = marked.flatMap(({ first, count }) => Array.from({ length: count }, (_, page) => first + page));
  dirty.reset(clause, clause.rule(kept));
};

/** A group with an IOMMU left. */
export const markAfterIommu = (law: Law, iommu: Iommu): void => {
  if (!iommu.tracking) return;
  const clause = law.of(LEAVING_DIRTIES);
  if (!clause.rule()) return;
  for (const { dirty } of iommu.mappings) dirty.markAll(clause);
};

export const PIN_DIRTY_CLAUSES = [
  MARKED_PAGES,
  DIRTY_AT_START,
  PINNING_DIRTIES,
  PINNING_IN_VAIN_DIRTIES,
  WRITING_DIRTIES,
  FAILED_WRITE_DIRTIES,
  STAYS_DIRTY,
  FAILED_READING,
  LEAVING_DIRTIES,
];
