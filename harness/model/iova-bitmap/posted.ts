import type { Clause } from '../../spec/clause.ts';
import { rule } from '../clauses.ts';
import { least } from '../world/big.ts';
import type { BitRun } from './bits.ts';
import {
  BITMAP_UNITS,
  MARKED,
  NEXT_WINDOW,
  PAGES_OF_WINDOW,
  STARTS_PINNED,
  UNITS_PINNED,
  WINDOW_IOVA,
  WINDOW_LENGTH,
} from './landed.ts';
import { PAGE_BITS, PAGE_BYTES, u64, WINDOW_PAGES } from './window.ts';

/*
 * The form that was posted: an iterator whose user gets, puts and advances. What is the same in both forms is stated with
 * the one that landed. The port that is run writes nothing where the posted arithmetic leaves the pinned pages; it counts.
 */

const POSTED = 'Joao Martins, [PATCH V2 vfio 05/11] vfio: Add an IOVA bitmap support, 14 July 2022';
const ANSWER = 'Joao Martins, re [PATCH V2 vfio 05/11], 20 July 2022';

const PAGE_WORDS = BigInt(PAGE_BYTES / 8);
const WORD_BYTES = 8n;

/** Words for a length; the sum wraps near the top, and then they are too few. */
const wordsOf = (length: bigint, shift: bigint): bigint => {
  const span = 64n << shift;
  return u64(length + span - 1n) / span;
};

const units = {
  ...rule<(length: bigint, shift: bigint) => bigint>({
    id: BITMAP_UNITS.id,
    level: 'must',
    says: 'The bitmap is made of whole 64-bit words, as many as the length needs; a length of zero needs none, and one near 2^64 too few.',
    source: `${POSTED}: iova_bitmap_iova_to_index()`,
    rule: wordsOf,
  }),
  unitBytes: WORD_BYTES,
};

const startsPinned = rule<boolean>({
  id: STARTS_PINNED.id,
  level: 'must',
  says: 'Making the iterator pins nothing: its user gets, puts and advances.',
  source: `${POSTED}: iova_bitmap_iter_get()`,
  rule: false,
});

const pages = rule<(unitsLeft: bigint, offset: number) => bigint>({
  id: PAGES_OF_WINDOW.id,
  level: 'must',
  says: 'A window is made of at most 512 pages of the bitmap; they are counted from its words alone, wherever in its first page it begins.',
  source: `${POSTED}: iova_bitmap_iter_get(); ${ANSWER}: "calculating the number of pages based of @offset and @count"`,
  rule: (unitsLeft) => least((unitsLeft * WORD_BYTES + BigInt(PAGE_BYTES) - 1n) / BigInt(PAGE_BYTES), WINDOW_PAGES),
});

const pinned = rule<(pages: number, offset: number) => bigint>({
  id: UNITS_PINNED.id,
  level: 'must',
  says: 'A window covers as many words as its pages could hold, wherever the bitmap begins in the first.',
  source: `${POSTED}: iova_bitmap_iter_left()`,
  rule: (count) => BigInt(count) * PAGE_WORDS,
});

const windowIova = rule<(iova: bigint, base: bigint, shift: bigint) => bigint>({
  ...WINDOW_IOVA,
  source: `${POSTED}: iova_bitmap_iova()`,
  rule: (iova, base, shift) => u64(iova + base * (64n << shift)),
});

const windowLength: typeof WINDOW_LENGTH = {
  ...WINDOW_LENGTH,
  says: 'A window ends at most the length of the whole range above its own first IOVA: the first one ends with the range, later ones may end behind it.',
  source: `${POSTED}: iova_bitmap_length()`,
  rule: (whole, iova, words, shift) => u64(least(u64(iova + words * (64n << shift)), u64(iova + whole.length)) - iova),
};

const next: typeof NEXT_WINDOW = {
  ...NEXT_WINDOW,
  says: 'The next window begins as many words on as the length of the last one needs.',
  source: `${POSTED}: iova_bitmap_iter_advance()`,
  rule: wordsOf,
};

const marked: typeof MARKED = {
  ...MARKED,
  says: 'Setting a range sets as many bits as it has whole pages, at least one; the offset of the bitmap shifts the bits within the first page touched, and not from page to page.',
  source: `${POSTED}: iova_bitmap_set(); ${ANSWER}: "accounting to the offset that user bitmap address had"`,
  rule: (window, { iova, length }) => {
    const bits: BitRun[] = [];
    const first = u64(iova - window.iova) >> window.shift;
    let left = length >> window.shift || 1n;
    let shifted = BigInt(window.offset * 8);
    let at = first % PAGE_BITS;
    let lost = 0n;
    for (let page = first / PAGE_BITS; left > 0n && page < BigInt(window.pages); page += 1n) {
      const wanted = least(PAGE_BITS - at, left);
      const room = PAGE_BITS - least(at + shifted, PAGE_BITS);
      const fits = least(wanted, room);
      const start = (window.page + Number(page)) * PAGE_BYTES * 8;
      if (fits > 0n) bits.push({ first: start + Number(at + shifted), count: Number(fits) });
      lost += wanted - fits;
      left -= wanted;
      at = 0n;
      shifted = 0n;
    }
    return { bits, lost: least(lost + left, 0xffff_ffffn), behind: left };
  },
};

/** What the posted form states otherwise than the one that landed. */
export const POSTED_IOVA_BITMAP_CLAUSES: readonly Clause[] = [
  units,
  startsPinned,
  pages,
  pinned,
  windowIova,
  windowLength,
  next,
  marked,
];
