/** Bytes of a page of the bitmap's memory, and the bits in it. */
export const PAGE_BYTES = 4096;
export const PAGE_BITS = BigInt(PAGE_BYTES * 8);
/** As many pages are pinned at once as one page holds pointers. */
export const WINDOW_PAGES = 512n;

/** An unsigned 64-bit number, wrapped around: the arithmetic of both forms, also where no caller should take them. */
export const u64 = (number: bigint): bigint => BigInt.asUintN(64, number);

/** IOVAs from `iova` on; `length` in bytes. */
export interface IovaRange {
  readonly iova: bigint;
  readonly length: bigint;
}

/** The part of a bitmap that is pinned, as the set function knows it. */
export interface Window extends IovaRange {
  /** A bit stands for 2^shift bytes. */
  readonly shift: bigint;
  /** The first pinned page, counted from the page in which the bitmap begins. */
  readonly page: number;
  /** Where the window's first bit is in that page, in bytes. */
  readonly offset: number;
  /** Pinned pages. */
  readonly pages: number;
}
