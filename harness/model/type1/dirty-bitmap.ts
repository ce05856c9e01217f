import type { Clause } from '../../spec/clause.ts';

/*
 * Dirty bitmaps as memory: which bytes are written for which mappings. Bit n of a bitmap is bit n % 8 of byte n / 8, and
 * the bitmap is written in words of 64 bits.
 */

/** Neighbouring dirty pages of a mapping, counted from its first page. */
export interface DirtyPages {
  readonly first: number;
  readonly count: number;
  /** The clause that says why, where it is not that of the whole bitmap. */
  readonly by?: Clause;
}

/** Where the pages of one mapping lie in a bitmap, and which of them are dirty. */
export interface Span {
  readonly firstBit: number;
  readonly bits: number;
  readonly dirty: readonly DirtyPages[];
  /** The clause that says why the other pages are clean, where it is not that of the whole bitmap. */
  readonly clean?: Clause;
}

/** Whole words to be written: `bytes` at byte offset `at`. */
export interface Stretch {
  readonly at: number;
  readonly bytes: Uint8Array;
  /** Not every bit in it is a page of a mapping. */
  readonly holes: boolean;
}

const WORD_BITS = 64;

/** The bytes of the smallest bitmap for that many pages: whole words. */
export const bitmapBytes = (pages: bigint): bigint => ((pages + 63n) / 64n) * 8n;

/** What is written for spans in ascending order that do not overlap: every word that holds a bit of one of them, and no other. */
export const stretches = (spans: readonly Span[]): readonly Stretch[] => {
  const groups: Span[][] = [];
  let endWord = -1;
  for (const span of spans) {
    if (Math.floor(span.firstBit / WORD_BITS) <= endWord) groups.at(-1)?.push(span);
    else groups.push([span]);
    endWord = Math.ceil((span.firstBit + span.bits) / WORD_BITS);
  }
  return groups.map(stretch);
};

const stretch = (spans: readonly Span[]): Stretch => {
  const first = spans[0]?.firstBit ?? 0;
  const last = spans.at(-1);
  const end = last === undefined ? first : last.firstBit + last.bits;
  const firstWord = Math.floor(first / WORD_BITS);
  const words = Math.ceil(end / WORD_BITS) - firstWord;
  const bytes = new Uint8Array(words * 8);
  let pages = 0;
  for (const { firstBit, bits, dirty } of spans) {
    pages += bits;
    for (const run of dirty) setBits(bytes, firstBit + run.first - firstWord * WORD_BITS, run.count);
  }
  return { at: firstWord * 8, bytes, holes: pages < words * WORD_BITS };
};

/** Sets `count` bits from bit `first` on; takes time by bytes only at fill speed. */
export const setBits = (bytes: Uint8Array, first: number, count: number): void => {
  if (count <= 0) return;
  const end = first + count;
  const firstByte = Math.floor(first / 8);
  const lastByte = Math.floor((end - 1) / 8);
  const head = (0xff << (first % 8)) & 0xff;
  const tail = 0xff >> (7 - ((end - 1) % 8));
  if (firstByte === lastByte) {
    bytes[firstByte] = (bytes[firstByte] ?? 0) | (head & tail);
    return;
  }
  bytes[firstByte] = (bytes[firstByte] ?? 0) | head;
  bytes.fill(0xff, firstByte + 1, lastByte);
  bytes[lastByte] = (bytes[lastByte] ?? 0) | tail;
};
