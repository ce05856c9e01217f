import { greatest, least } from '../world/big.ts';
import type { MemoryObject } from '../world/memory-object.ts';
import type { PageStore } from '../world/page-store.ts';
import type { Area, Pages } from './state.ts';

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
  const stretches = stretchesOf(pages, spans, pageSize, 'pin');
  pages.held.clear();
  for (const one of stretches) pages.held.insert(one);
};

/** A page that is pinned, and how far into it, in bytes. */
export interface Pinned {
  readonly store: PageStore;
  readonly page: number;
  readonly within: bigint;
}

/** Where a byte of an area is, counted from its start; `undefined` where no page is pinned. */
export const pinnedAt = ({ pages, from }: Area, byte: bigint, pageSize: bigint): Pinned | undefined => {
  const at = (pages.vaddr % pageSize) + from + byte;
  const number = at / pageSize;
  const stretch = pages.held.containing(number);
  return (
    stretch && {
      store: stretch.store,
      page: stretch.page + Number(number - stretch.start),
      within: at % pageSize,
    }
  );
};

/** How pages are come by that are not pinned: `resolve` is without effect. */
export type Getting = 'pin' | 'resolve';

/** Where the pages of spans are, of which those that are pinned stay where they are. */
export const stretchesOf = (
  pages: Pages,
  spans: readonly Span[],
  pageSize: bigint,
  get: Getting,
): readonly Stretch[] => {
  const { held } = pages;
  const stretches: Stretch[] = [];
  let done = 0n;
  for (const [from, to] of [...spans].sort(([one], [other]) => (one < other ? -1 : 1))) {
    let at = greatest(from, done);
    held.visit(at, to, ({ start, end, store, page }) => {
      const first = greatest(start, at);
      stretches.push(...pinned(pages, [at, first], pageSize, get));
      at = least(end, to);
      stretches.push({ start: first, end: at, store, page: page + Number(first - start) });
      return true;
    });
    stretches.push(...pinned(pages, [at, to], pageSize, get));
    done = greatest(to, done);
  }
  return stretches;
};

/** The pages of a span that are not pinned. */
export const unpinned = ({ held }: Pages, [from, to]: Span): readonly Span[] => {
  const gaps: Span[] = [];
  let done = from;
  held.visit(from, to, ({ start, end }) => {
    if (start > done) gaps.push([done, start]);
    done = end;
    return true;
  });
  return done < to ? [...gaps, [done, to]] : gaps;
};

/** What pinning pages gets; less than all of them where not all are there. */
const pinned = (pages: Pages, [from, to]: Span, pageSize: bigint, get: Getting): readonly Stretch[] => {
  if (to <= from) return [];
  const { vaddr, object, owner, writable } = pages;
  const base = vaddr / pageSize;
  if (object !== undefined) return ofObject(object, base, [from, to]);
  const { runs } = owner.space[get]((base + from) * pageSize, Number(to - from), { write: writable, own: true });
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
