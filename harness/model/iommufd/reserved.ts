import type { IovaRange } from '../../program/platform.ts';
import { apertureOf, type Ioas, type NestedTable, type PageTable } from './state.ts';

/* IOVAs that no mapping can have: those beyond what page tables translate, and those that mean something else to devices. */

/** Whether two ranges have an IOVA in common. */
export const meet = (one: IovaRange, other: IovaRange): boolean => one.start <= other.end && other.start <= one.end;

/** What can be mapped in an IO address space, ascending, in ranges as large as they can be. */
export const usableIn = (ioas: Ioas): readonly IovaRange[] =>
  [...ioas.reserved.values()]
    .flat()
    .reduce<readonly IovaRange[]>(
      (usable, taken) => usable.flatMap((range) => without(range, taken)),
      [apertureOf(ioas)],
    );

const without = (range: IovaRange, taken: IovaRange): readonly IovaRange[] => {
  if (!meet(range, taken)) return [range];
  return [
    { start: range.start, end: taken.start - 1n },
    { start: taken.end + 1n, end: range.end },
  ].filter(({ start, end }) => start <= end);
};

/** Whether all of a range can be mapped. */
export const isUsable = (ioas: Ioas, { start, end }: IovaRange): boolean =>
  usableIn(ioas).some((range) => range.start <= start && end <= range.end);

/** The IO address space that a page table translates, or the one in which it is nested. */
export const ioasOf = (table: PageTable | NestedTable | undefined): Ioas | undefined => {
  if (table === undefined) return undefined;
  return table.kind === 'page table' ? table.ioas : table.parent.ioas;
};
