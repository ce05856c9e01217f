import { HostTrouble, UsageTrouble } from '../trouble.ts';
import type { Done } from './done.ts';
import type { Cell, Plan } from './plan.ts';

/** A cell of the plan, with what came of it. */
export interface Ran extends Done {
  readonly cell: Cell;
}

/**
 * Every cell of a plan once, in its order. Throws UsageTrouble for results of another plan and for a cell that was run twice
 * (which of the two is meant cannot be told), HostTrouble for cells that are missing.
 */
export const complete = (plan: Plan, done: readonly Done[]): readonly Ran[] => {
  const byCell = new Map<number, Done>();
  for (const one of done) {
    const { note, folder } = one;
    if (note.plan !== plan.id) {
      throw new UsageTrouble(`${folder} is of another plan: expected ${plan.id}, found ${note.plan}`);
    }
    if (note.cell > plan.cells) throw new UsageTrouble(`${folder}: the plan has no cell ${note.cell}`);
    const other = byCell.get(note.cell);
    if (other !== undefined) {
      throw new UsageTrouble(`cell ${note.cell} is there twice: ${other.folder} and ${folder}; remove one of them`);
    }
    byCell.set(note.cell, one);
  }
  const missing = plan.list.filter(({ cell }) => !byCell.has(cell)).map(({ cell }) => cell);
  if (missing.length > 0) {
    throw new HostTrouble(
      `${missing.length} of ${plan.cells} cells are missing: ${rangesOf(missing)}; run them (vfio-conform cell N) and merge again`,
    );
  }
  return plan.list.flatMap((cell) => {
    const one = byCell.get(cell.cell);
    return one === undefined ? [] : [{ ...one, cell }];
  });
};

/** Ranges told before the rest is only counted. */
const MOST_RANGES = 12;

/** Ascending numbers as `1-3, 7, 9-10`. */
export const rangesOf = (numbers: readonly number[]): string => {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  const shown = ranges.slice(0, MOST_RANGES).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return [...shown, ...(ranges.length > MOST_RANGES ? ['...'] : [])].join(', ');
};
