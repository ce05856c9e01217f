import type { Clause } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import { greatest, least } from '../world/big.ts';
import { type BitRun, joined } from './bits.ts';
import {
  BITMAP_UNITS,
  CALLBACK_ERROR,
  EARLIER_BITS_STAY,
  LOWEST_BIT,
  MARKED,
  NEXT_WINDOW,
  OFFERED,
  STARTS_PINNED,
  UNREACHABLE,
} from './landed.ts';
import { type SetRange, setsOnDemand } from './on-demand.ts';
import { pin } from './pin.ts';
import { type IovaRange, u64 } from './window.ts';

/** A range that the user of the bitmap marks while it is called for a window. */
interface Mark extends IovaRange {
  /** The window (from 0) in which it is marked; in each if absent. */
  readonly window?: number;
  /**
   * Only what lies in the window is marked, as a careful caller does; otherwise the range goes in as it is. A window whose end has
   * wrapped has nothing in it, unless its user takes it to end with the last IOVA.
   */
  readonly clipped?: boolean | 'up to the last IOVA';
}

/** Everything that a walk over a user's bitmap depends on. */
export interface BitmapWalk extends IovaRange {
  /** Bytes that one bit stands for. */
  readonly pageSize: bigint;
  /** Where the bitmap begins in its first page, in bytes. */
  readonly offset: number;
  /** Whether a page of the bitmap's memory can be written; page 0 is the one that the bitmap begins in. */
  readonly writable: (page: number) => boolean;
  readonly marks: readonly Mark[];
  /** The callback returns this error for this window. */
  readonly fails?: { readonly window: number; readonly errno: Errno };
  /** The walk is stopped with the errno by the caller when it would see one window more; 4096 if absent. */
  readonly patience?: { readonly windows: number; readonly errno: Errno };
}

/** What becomes of a walk. */
export interface BitmapWalked {
  readonly errno: Errno | 0;
  /** Whether it failed while it was set up (no window was offered yet) or walked. */
  readonly stage: 'start' | 'walk';
  /** The windows that were offered, in order. */
  readonly windows: readonly IovaRange[];
  /** The bits that are set; all others are as they were. */
  readonly bits: readonly BitRun[];
  /** Bits that the set function said it did not set. Only the posted form says so. */
  readonly lost: bigint;
}

/** Looks up the clause in force under the id of the one given. */
export type InForce = <C extends Clause>(stated: C) => C;

const PATIENCE = { windows: 4096, errno: 'E122' } as const;

/** Walks a user's bitmap as the clauses in force say. Never throws for odd arguments; see `objections` for those. */
export const walkBitmap = (of: InForce, walk: BitmapWalk): BitmapWalked => {
  const shift = of(LOWEST_BIT).rule(walk.pageSize);
  const total = of(BITMAP_UNITS).rule(walk.length, shift);
  const patience = walk.patience ?? PATIENCE;
  const windows: IovaRange[] = [];
  const bits: BitRun[] = [];
  let lost = 0n;
  const ended = (errno: Errno | 0): BitmapWalked => {
    const stage = errno !== 0 && windows.length === 0 && of(STARTS_PINNED).rule ? 'start' : 'walk';
    return { errno, stage, windows, bits: joined(of(EARLIER_BITS_STAY).rule(bits)), lost };
  };

  const offer = of(OFFERED).rule === 'range' ? offersRange(of, walk) : offersWindows(of, walk);
  for (let base = 0n; base < total; ) {
    const offered = offer(shift, base);
    if (offered === undefined) return ended(of(UNREACHABLE).rule);
    if (windows.length >= patience.windows) return ended(patience.errno);
    const index = windows.length;
    const { iova, length } = offered;
    windows.push({ iova, length });
    const set = marksFor(walk.marks, offered, index).map((mark) => offered.set(mark));
    bits.push(...set.flatMap((marked) => marked.bits));
    lost += set.reduce((sum, marked) => sum + marked.lost, 0n);
    if (walk.fails?.window === index) return ended(of(CALLBACK_ERROR).rule(walk.fails.errno));
    if (set.some(({ unreachable = false }) => unreachable)) return ended(of(UNREACHABLE).rule);
    base += of(NEXT_WINDOW).rule(length, shift);
  }
  return ended(0);
};

/** What the callback is called for, and what setting a range does meanwhile. */
interface Offer extends IovaRange {
  readonly set: (range: IovaRange) => SetRange;
}

/** Makes the offer that begins at a unit of the bitmap; `undefined` if its first page cannot be pinned. */
type Offers = (shift: bigint, base: bigint) => Offer | undefined;

const offersWindows =
  (of: InForce, walk: BitmapWalk): Offers =>
  (shift, base) => {
    const window = pin(of, walk, shift, base);
    return window && { iova: window.iova, length: window.length, set: (range) => of(MARKED).rule(window, range) };
  };

const offersRange =
  (of: InForce, walk: BitmapWalk): Offers =>
  (shift) => ({ iova: walk.iova, length: walk.length, set: setsOnDemand(of, walk, shift) });

/** What is marked in one window: the marks for it, cut to it where that was asked for. */
const marksFor = (marks: readonly Mark[], window: IovaRange, index: number): readonly IovaRange[] =>
  marks.flatMap((mark): readonly IovaRange[] => {
    if (mark.window !== undefined && mark.window !== index) return [];
    if (!mark.clipped) return [mark];
    const from = greatest(mark.iova, window.iova);
    const wrapped = mark.clipped === 'up to the last IOVA' && lastOf(window) < window.iova;
    const to = wrapped ? lastOf(mark) : least(lastOf(mark), lastOf(window));
    return mark.length !== 0n && window.length !== 0n && from <= to ? [{ iova: from, length: to - from + 1n }] : [];
  });

const lastOf = (range: IovaRange): bigint => u64(range.iova + range.length - 1n);
