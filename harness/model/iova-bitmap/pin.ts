import { least } from '../world/big.ts';
import { BITMAP_UNITS, PAGES_OF_WINDOW, UNITS_PINNED, WINDOW_IOVA, WINDOW_LENGTH } from './landed.ts';
import type { BitmapWalk, InForce } from './walk.ts';
import { PAGE_BYTES, type Window } from './window.ts';

/**
 * Pins what can be pinned of the bitmap from one of its units on, which is within it; a bit stands for 2^shift bytes.
 * `undefined` if the first page cannot be pinned.
 */
export const pin = (of: InForce, walk: BitmapWalk, shift: bigint, base: bigint): Window | undefined => {
  const { unitBytes } = of(BITMAP_UNITS);
  const left = of(BITMAP_UNITS).rule(walk.length, shift) - base;
  const start = BigInt(walk.offset) + base * unitBytes;
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
