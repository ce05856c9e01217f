import type { PageStore } from '../world/page-store.ts';
import type { Pages } from './state.ts';

/* The pages that hardware reaches: those that stood there when they were pinned. */

/** Where a page is. */
interface Held {
  readonly pages: PageStore;
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

const pin = (pages: Pages, number: bigint, pageSize: bigint): Held | undefined => {
  const { vaddr, writable, owner, object } = pages;
  const first = vaddr / pageSize + number;
  if (object !== undefined) return { pages: object.storeAt(Number(first)).store, page: Number(first) };
  if (!owner.space.alive) return undefined;
  const [run] = owner.space.pin(first * pageSize, 1, { write: writable, own: true }).runs;
  return run && { pages: run.pages, page: run.first };
};

/** Whether any page of a memory was held since it was mapped. */
export const isHeld = (pages: Pages): boolean => heldBy.has(pages);

/** A page of a memory that hardware reaches. */
export const heldPage = (pages: Pages, number: bigint): Held | undefined => heldBy.get(pages)?.get(number);
