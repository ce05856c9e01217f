import { BITMAP_UNITS, MARKED, type Marked } from './landed.ts';
import { pin } from './pin.ts';
import type { BitmapWalk, InForce } from './walk.ts';
import { type IovaRange, u64, type Window } from './window.ts';

/** What setting a range did. */
export interface SetRange extends Pick<Marked, 'bits' | 'lost'> {
  /** Whether it came to a page of the bitmap that cannot be written. */
  readonly unreachable?: boolean;
}

/**
 * Sets ranges where no window is offered: what a range needs is pinned when it is set, and stays pinned until a range is
 * set that is not in it. A range outside the bitmap sets nothing.
 */
export const setsOnDemand = (of: InForce, walk: BitmapWalk, shift: bigint): ((range: IovaRange) => SetRange) => {
  const { rule: units } = of(BITMAP_UNITS);
  const total = units(walk.length, shift);
  let pinned: Window | undefined;
  return (range) => {
    const bits: SetRange['bits'][number][] = [];
    let { iova, length } = range;
    for (;;) {
      if (pinned === undefined || !covers(pinned, { iova, length })) {
        const base = (u64(iova - walk.iova) >> shift) / 8n;
        if (base >= total) return { bits, lost: 0n };
        pinned = pin(of, walk, shift, base);
        if (pinned === undefined) return { bits, lost: 0n, unreachable: true };
      }
      const marked = of(MARKED).rule(pinned, { iova, length });
      bits.push(...marked.bits);
      const left = marked.behind << shift;
      if (left === 0n) return { bits, lost: 0n };
      // Where a range begins inside a page the rest is no shorter than what was asked for: it is looked at from its bit.
      const next = pinned.iova + ((u64(iova + length - 1n - pinned.iova) >> shift) << shift) + (1n << shift) - left;
      [iova, length] = [next, u64(iova + length - next)];
    }
  };
};

const covers = (window: Window, { iova, length }: IovaRange): boolean =>
  iova >= window.iova && u64(iova + length - 1n) <= u64(window.iova + window.length - 1n);
