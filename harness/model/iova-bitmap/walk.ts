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
  PAGES_OF_WINDOW,
  STARTS_PINNED,
  UNITS_PINNED,
  UNREACHABLE,
  WINDOW_IOVA,
  WINDOW_LENGTH,
} from './landed.ts';
import { type IovaRange, PAGE_BYTES, u64, type Window } from './window.ts';

/** A range that the user of the bitmap marks while it is called for a window. */
interface Mark extends IovaRange {
  /** The window (from 0) in which it is marked; in each if absent. */
  readonly window?: number;
  /** Only what lies in the window is marked, as a careful caller does; otherwise the range goes in as it is. */
  readonly clipped?: boolean;
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
  const unit = of(BITMAP_UNITS).unitBytes;
  const patience = walk.patience ?? PATIENCE;
  const windows: IovaRange[] = [];
  const bits: BitRun[] = [];
  let lost = 0n;
  const ended = (errno: Errno | 0): BitmapWalked => {
    const stage = errno !== 0 && windows.length === 0 && of(STARTS_PINNED).rule ? 'start' : 'walk';
    return { errno, stage, windows, bits: joined(of(EARLIER_BITS_STAY).rule(bits)), lost };
  };

  for (let base = 0n; base < total; ) {
    const window = pin(of, walk, { shift, base, at: base * unit, left: total - base });
    if (window === undefined) return ended(of(UNREACHABLE).rule);
    if (windows.length >= patience.windows) return ended(patience.errno);
    const index = windows.length;
    windows.push({ iova: window.iova, length: window.length });
    for (const mark of marksFor(walk.marks, window, index)) {
      const marked = of(MARKED).rule(window, mark);
      bits.push(...marked.bits);
      lost += marked.lost;
    }
    if (walk.fails?.window === index) return ended(of(CALLBACK_ERROR).rule(walk.fails.errno));
    base += of(NEXT_WINDOW).rule(window.length, shift);
  }
  return ended(0);
};

/** Where a window begins: in units, and in bytes of the bitmap. */
interface Begin {
  readonly shift: bigint;
  readonly base: bigint;
  readonly at: bigint;
  /** Units of the bitmap from there to its end. */
  readonly left: bigint;
}

/** Pins what can be pinned of the bitmap from there on; undefined if the first page cannot be. */
const pin = (of: InForce, walk: BitmapWalk, { shift, base, at, left }: Begin): Window | undefined => {
  const start = BigInt(walk.offset) + at;
  const page = Number(start / BigInt(PAGE_BYTES));
  const offset = Number(start % BigInt(PAGE_BYTES));
  const wanted = Number(of(PAGES_OF_WINDOW).rule(left, offset));
  let pages = 0;
  while (pages < wanted && walk.writable(page + pages)) pages += 1;
  if (pages === 0) return undefined;
  const units = least(left, of(UNITS_PINNED).rule(pages, offset));
  const iova = of(WINDOW_IOVA).rule(walk.iova, base, shift);
  return { iova, length: of(WINDOW_LENGTH).rule(walk, iova, units, shift), shift, offset, pages, page };
};

/** What is marked in one window: the marks for it, cut to it where that was asked for. */
const marksFor = (marks: readonly Mark[], window: IovaRange, index: number): readonly IovaRange[] =>
  marks.flatMap((mark): readonly IovaRange[] => {
    if (mark.window !== undefined && mark.window !== index) return [];
    if (!mark.clipped) return [mark];
    const from = greatest(mark.iova, window.iova);
    const to = least(lastOf(mark), lastOf(window));
    return mark.length !== 0n && window.length !== 0n && from <= to ? [{ iova: from, length: to - from + 1n }] : [];
  });

const lastOf = (range: IovaRange): bigint => u64(range.iova + range.length - 1n);
