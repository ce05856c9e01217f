import type { Clause } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import { type Rule, rule } from '../clauses.ts';
import { least } from '../world/big.ts';
import type { BitRun } from './bits.ts';
import { type IovaRange, PAGE_BITS, PAGE_BYTES, u64, WINDOW_PAGES, type Window } from './window.ts';

/*
 * The form that landed: a bitmap is made for a range of IOVAs, a callback is called for each window of it, and sets
 * ranges. All arithmetic is that of unsigned 64-bit numbers, also for arguments that no caller should pass.
 */

const FILE = 'drivers/vfio/iova_bitmap.c';
const THEORY = `${FILE}: struct iova_bitmap`;
/* What landed is what the review asked for; so its points stand beside the code. */
const REVIEW = 'Alex Williamson, re [PATCH V2 vfio 05/11] vfio: Add an IOVA bitmap support, 19 July 2022';
const PAGE_HANDLING = `${REVIEW}: "I found this really difficult to review and the page handling is still not clear to me"`;

const roundedUp = (bytes: bigint, unit: bigint): bigint => (bytes + unit - 1n) / unit;

/** `page_size` to the number of bits to shift by. */
export const LOWEST_BIT = rule<(pageSize: bigint) => bigint>({
  id: 'iova-bitmap/page-size-lowest-bit',
  level: 'may',
  says: 'Of a page size that is no power of two, the lowest bit that is set counts, and nothing is said about the others.',
  source: `${FILE}: iova_bitmap_alloc()`,
  rule: (pageSize) => BigInt((pageSize & -pageSize).toString(2).length - 1),
});

/** A rule about counts in units of the bitmap, which are bytes or words. */
interface UnitRule extends Rule<(length: bigint, shift: bigint) => bigint> {
  /** Bytes of one unit. */
  readonly unitBytes: bigint;
}

/** How many units of the bitmap a length needs. */
export const BITMAP_UNITS: UnitRule = {
  ...rule<(length: bigint, shift: bigint) => bigint>({
    id: 'iova-bitmap/bitmap-extent',
    level: 'must',
    says: 'The bitmap is as long as the pages of the range need, to the byte: no byte behind it has to be there.',
    source: `${FILE}: iova_bitmap_offset_to_index(), which counts in bytes; ${REVIEW}: "ROUND_UP here doesn't make sense to me"`,
    rule: (length, shift) => (u64(length - 1n) >> shift) / 8n + 1n,
  }),
  unitBytes: 1n,
};

/** Whether the first window is pinned before the walk begins. */
export const STARTS_PINNED = rule<boolean>({
  id: 'iova-bitmap/starts-pinned',
  level: 'must',
  says: 'Making the bitmap pins its first window, and fails if it cannot.',
  source: `${FILE}: iova_bitmap_alloc(), "including the first user pages"; ${REVIEW}, of init() and iter_init(): "Why are these separate functions given this use case?"`,
  rule: true,
});

/** What the callback is called for. */
export const OFFERED = rule<'windows' | 'range'>({
  id: 'iova-bitmap/offered',
  level: 'must',
  says: 'The callback is called for one window of the range after the other, and each is pinned while it is offered.',
  source: `${FILE}: iova_bitmap_for_each(); ${THEORY}`,
  rule: 'windows',
});

/** How many pages of the bitmap a window asks for. */
export const PAGES_OF_WINDOW = rule<(unitsLeft: bigint, offset: number) => bigint>({
  id: 'iova-bitmap/window-pages',
  level: 'must',
  says: 'A window pins the pages that the rest of the bitmap lies in, at most 512 (2 MiB, 64 GiB of IOVA at 4 KiB); one that begins inside a page counts a page more.',
  source: `${THEORY} and iova_bitmap_get(); ${PAGE_HANDLING}`,
  rule: (unitsLeft, offset) => {
    const pages = roundedUp(unitsLeft, BigInt(PAGE_BYTES)) + (offset === 0 ? 0n : 1n);
    return least(pages, WINDOW_PAGES);
  },
});

/** How many units of the bitmap lie in pinned pages. */
export const UNITS_PINNED = rule<(pages: number, offset: number) => bigint>({
  id: 'iova-bitmap/window-is-pinned',
  level: 'must',
  says: 'A window covers no more than what is pinned: it ends with the last pinned page, counted from where the bitmap begins in the first.',
  source: `${FILE}: iova_bitmap_mapped_remaining(); ${REVIEW}: "dirty.npages is zero'd on bitmap init, allocated on get and left with stale data on put"`,
  rule: (pages, offset) => BigInt(pages * PAGE_BYTES - offset),
});

/** The first IOVA of the window that begins at a unit of the bitmap. */
export const WINDOW_IOVA = rule<(iova: bigint, base: bigint, shift: bigint) => bigint>({
  id: 'iova-bitmap/window-base',
  level: 'must',
  says: 'The first bit of the bitmap stands for the first IOVA of the range, whatever its alignment, and windows follow each other without a gap.',
  source: `${FILE}: iova_bitmap_mapped_iova(); ${REVIEW}: "ROUND_UP here ... is not symmetric with the below index-to-iova function"`,
  rule: (iova, base, shift) => u64(iova + ((base * 8n) << shift)),
});

/** The length of a window that begins at an IOVA and has so many units of the bitmap. */
export const WINDOW_LENGTH = rule<(whole: IovaRange, iova: bigint, units: bigint, shift: bigint) => bigint>({
  id: 'iova-bitmap/window-end',
  level: 'must',
  says: 'The last window ends where the range ends; every window lies within the range.',
  source: `${FILE}: iova_bitmap_mapped_length(), "capped to only cover the IOVA range"; ${REVIEW}: "this is returning the iova free space in the bitmap, not the length of the bitmap??"`,
  rule: (whole, iova, units, shift) => {
    const end = least(iova + ((units * 8n) << shift), whole.iova + whole.length);
    return u64(end - iova);
  },
});

/** By how many units the walk goes on after a window of a length. */
export const NEXT_WINDOW = rule<(length: bigint, shift: bigint) => bigint>({
  id: 'iova-bitmap/next-window',
  level: 'must',
  says: 'The next window begins at the first unit of the bitmap that the last one did not cover.',
  source: `${FILE}: iova_bitmap_advance(); ${REVIEW}: "fudging an index count based on bogus index value"`,
  rule: (length, shift) => (u64(length - 1n) >> shift) / 8n + 1n,
});

/** The errno of a walk whose next page cannot be pinned for writing. */
export const UNREACHABLE = rule<Errno>({
  id: 'iova-bitmap/unreachable-page',
  level: 'must',
  says: 'A bitmap page that is not there or cannot be written ends the window before it, and then the walk, with EFAULT.',
  source: `${FILE}: iova_bitmap_get()`,
  rule: 'EFAULT',
});

/** What is in the bitmap after a walk, of what was set in it. */
export const EARLIER_BITS_STAY = rule<(bits: readonly BitRun[]) => readonly BitRun[]>({
  id: 'iova-bitmap/only-set-bits-change',
  level: 'must',
  says: 'Only bits that were set change, also when the walk fails later: the others are as the user left them.',
  source: `${FILE}: iova_bitmap_set(), which sets and never clears`,
  rule: (bits) => bits,
});

/** The errno of a walk whose callback failed. */
export const CALLBACK_ERROR = rule<(errno: Errno) => Errno>({
  id: 'iova-bitmap/callback-error',
  level: 'must',
  says: 'An error of the callback ends the walk at once and is its result.',
  source: `${FILE}: iova_bitmap_for_each(), "an error on failure either upon iteration or when the callback returns an error"`,
  rule: (errno) => errno,
});

/** What setting a range does while a window is pinned. */
export interface Marked {
  readonly bits: readonly BitRun[];
  /** Bits that the function said it did not set. */
  readonly lost: bigint;
  /** Bits that lie behind the pinned pages. */
  readonly behind: bigint;
}

/** Bits that a range has in a window, as far as they lie in pinned pages. */
export const MARKED = rule<(window: Window, range: IovaRange) => Marked>({
  id: 'iova-bitmap/set-range',
  level: 'must',
  says: 'Setting a range sets the bit of each page that the range touches, wherever in a byte, word or page of the bitmap it lies, and nothing outside the pinned pages.',
  source: `${FILE}: iova_bitmap_set(), "Set the bits corresponding to the range"; ${PAGE_HANDLING}`,
  rule: (window, { iova, length }) => {
    const origin = BigInt(window.offset * 8);
    const last = (u64(iova + length - 1n - window.iova) >> window.shift) + origin;
    let bit = (u64(iova - window.iova) >> window.shift) + origin;
    const bits: BitRun[] = [];
    do {
      // The number of the page is kept in 32 bits, and the number of bits too.
      const page = Number(BigInt.asUintN(32, bit / PAGE_BITS));
      const at = bit % PAGE_BITS;
      const left = u64(last - bit + 1n);
      const count = least(PAGE_BITS - at, left);
      if (page >= window.pages) break;
      bits.push({ first: (window.page + page) * PAGE_BYTES * 8 + Number(at), count: Number(count) });
      bit += count;
    } while (bit <= last);
    return { bits, lost: 0n, behind: bit > last ? 0n : u64(last - bit + 1n) };
  },
});

/** Everything that is said about the form that landed. */
export const IOVA_BITMAP_CLAUSES: readonly Clause[] = [
  LOWEST_BIT,
  BITMAP_UNITS,
  STARTS_PINNED,
  OFFERED,
  PAGES_OF_WINDOW,
  UNITS_PINNED,
  WINDOW_IOVA,
  WINDOW_LENGTH,
  NEXT_WINDOW,
  UNREACHABLE,
  EARLIER_BITS_STAY,
  CALLBACK_ERROR,
  MARKED,
];
