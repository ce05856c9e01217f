import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import { least } from '../world/big.ts';
import type { LoggedRange } from './state.ts';

/* Ranges that are to be logged, and devices with room for fewer. */

/** How many ranges the test device has room for, at a granularity (fixtures/modules/emulated/README.md). */
export const roomFor = (pageSize: bigint, largest: bigint): number => (pageSize === largest ? 1 : 4);

/** The ranges, ascending, as so many of them as there is room for. Since Linux 6.6. */
export const COMBINES = rule<(ranges: readonly LoggedRange[], room: number) => readonly LoggedRange[]>({
  id: 'logging/combines-ranges',
  level: 'must',
  says: 'Where a device has room for fewer ranges VFIO makes those two one that have the smallest gap between them (the lowest such), until they fit, and what lies between is logged, too; for a device with room for one they are one from the first to the last.',
  source: 'vfio_combine_iova_ranges(), drivers/vfio/vfio_main.c',
  rule: (ranges, room) => {
    const left = [...ranges];
    while (left.length > room) {
      const gaps = left.slice(1).map(({ start }, index) => start - (left[index]?.last ?? 0n));
      const smallest = gaps.indexOf(gaps.reduce(least));
      const [lower, upper] = left.slice(smallest, smallest + 2);
      if (lower !== undefined && upper !== undefined)
        left.splice(smallest, 2, { start: lower.start, last: upper.last });
    }
    return left;
  },
});

/** The ranges as a device takes them; `undefined` where it has no room and nobody makes them fewer. */
export const fitted = (law: Law, ranges: readonly LoggedRange[], room: number): readonly LoggedRange[] | undefined => {
  if (ranges.length <= room) return ranges;
  return law.clauses.has(COMBINES.id) ? law.of(COMBINES).rule(ranges, room) : undefined;
};
