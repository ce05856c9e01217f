import { greatest, least } from '../world/big.ts';
import type { MemoryObject } from '../world/memory-object.ts';
import type { PageStore } from '../world/page-store.ts';
import type { Pages } from './state.ts';

/* The pages of a memory that are pinned: where they are, whatever becomes of the address or the file that they stood at. */

/** Pages of a memory by number, [from, to). */
export type Span = readonly [from: bigint, to: bigint];

/** Neighbouring pages that are pinned, by number, and where the first of them is. */
export interface Stretch {
  readonly start: bigint;
  readonly end: bigint;
  readonly store: PageStore;
  readonly page: number;
}

/** Pins the spans of a memory, in which pages may be more than once; keeps what was pinned before, and lets go of the rest. */
export const hold = (pages: Pages, spans: readonly Span[], pageSize: bigint): void => {
  const { held } = pages;
  const stretches: Stretch[] = [];
  let done = 0n;
  for (const [from, to] of [...spans].sort(([one], [other]) => (one < other ? -1 : 1))) {
    let at = greatest(from, done);
    held.visit(at, to, ({ start, end, store, page }) => {
      const first = greatest(start, at);
      stretches.push(...pinned(pages, [at, first], pageSize));
      at = least(end, to);
      stretches.push({ start: first, end: at, store, page: page + Number(first - start) });
      return true;
    });
    stretches.push(...pinned(pages, [at, to], pageSize));
    done = greatest(to, done);
  }
  held.clear();
  for (const one of stretches) held.insert(one);
};

/** What pinning pages gets; less than all of them where not all are there. */
const pinned = (pages: Pages, [from, to]: Span, pageSize: bigint): readonly Stretch[] => {
  if (to <= from) return [];
  const { vaddr, object, owner, writable } = pages;
  const base = vaddr / pageSize;
  if (object !== undefined) return ofObject(object, base, [from, to]);
  const { runs } = owner.space.pin((base + from) * pageSize, Number(to - from), { write: writable, own: true });
  let start = from;
  return runs.map(({ pages: store, first, count }) => {
    const stretch = { start, end: start + BigInt(count), store, page: first };
    start = stretch.end;
    return stretch;
  });
};

const ofObject = (object: MemoryObject, base: bigint, [from, to]: Span): readonly Stretch[] => {
  const stretches: Stretch[] = [];
  object.visitStores(Number(base + from), Number(base + to), (store, first, end) => {
    stretches.push({ start: BigInt(first) - base, end: BigInt(end) - base, store, page: first });
  });
  return stretches;
};
