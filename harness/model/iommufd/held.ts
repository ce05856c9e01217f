import type { Run } from '../world/address-space.ts';
import type { Pages } from './state.ts';

/* The pages that hardware reaches: those that stood there when they were pinned. */

/** A page of a run. */
interface Held {
  readonly run: Run;
  readonly page: number;
}

/** Pages of a memory by their number in it. */
const heldBy = new WeakMap<Pages, Map<bigint, Held>>();

/** Pages of a memory by number, [from, to). */
export type Span = readonly [from: bigint, to: bigint];

/** Gets hold of what is mapped of a memory now, and lets go of the rest. `pageSize` in bytes. */
export const hold = (pages: Pages, spans: readonly Span[], pageSize: bigint): void => {
  const before = heldBy.get(pages);
  const now = new Map<bigint, Held>();
  for (const [from, to] of spans) {
    for (let number = from; number < to; number++) {
      const held = now.get(number) ?? before?.get(number) ?? pin(pages, number, pageSize);
      if (held !== undefined) now.set(number, held);
    }
  }
  heldBy.set(pages, now);
};

const pin = ({ kind, vaddr, writable, owner }: Pages, number: bigint, pageSize: bigint): Held | undefined => {
  if (kind === 'file' || !owner.space.alive) return undefined;
  const at = vaddr - (vaddr % pageSize) + number * pageSize;
  const [run] = owner.space.pin(at, 1, { write: writable, own: true }).runs;
  return run && { run, page: run.first };
};

/** Whether any page of a memory was held since it was mapped. */
export const isHeld = (pages: Pages): boolean => heldBy.has(pages);

/** A page of a memory that hardware reaches. */
export const heldPage = (pages: Pages, number: bigint): Held | undefined => heldBy.get(pages)?.get(number);
