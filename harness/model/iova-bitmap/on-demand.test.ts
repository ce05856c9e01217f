import { expect } from 'chai';
import fc from 'fast-check';
import { LATER_IOVA_BITMAP_CLAUSES } from './later.ts';
import { type BitmapWalk, type InForce, walkBitmap } from './walk.ts';

const K4 = 0x1000n;
const M = 0x10_0000n;
const G = 0x4000_0000n;

const landed: InForce = (stated) => stated;
const later: InForce = (stated) =>
  (LATER_IOVA_BITMAP_CLAUSES.find(({ id }) => id === stated.id) ?? stated) as typeof stated;

const walk = (changes: Partial<BitmapWalk>): BitmapWalk => ({
  iova: G,
  length: 384n * M,
  pageSize: K4,
  offset: 0,
  writable: () => true,
  marks: [],
  ...changes,
});

/** Pages of IOVA space from the start of the range on. */
const at = (page: bigint, pages: bigint) => ({ iova: G + page * K4, length: pages * K4 });
/** A page of the bitmap has bits for as many pages. */
const BITS = 32768n;
const WINDOW = 512n * BITS;

/** Errno, how often the callback was called, and the bits. */
const line = (of: InForce, changes: Partial<BitmapWalk>): string => {
  const { errno, windows, bits } = walkBitmap(of, walk(changes));
  return `${errno} | ${windows.length} | ${bits.map(({ first, count }) => `${first}+${count}`).join(',')}`;
};

const ROWS: Readonly<Record<string, { readonly walk: Partial<BitmapWalk>; readonly line: string }>> = {
  'nothing is set, and nothing is pinned': { walk: { writable: () => false }, line: '0 | 1 | ' },
  'two windows are one call': {
    walk: { length: 128n * G, marks: [at(0n, 1n), at(WINDOW, 1n)] },
    line: `0 | 1 | 0+1,${WINDOW}+1`,
  },
  'back and forth': {
    walk: { length: 128n * G, marks: [at(WINDOW, 2n), at(1n, 1n), at(WINDOW + 9n, 1n)] },
    line: `0 | 1 | 1+1,${WINDOW}+2,${WINDOW + 9n}+1`,
  },
  'a range across what is pinned at once': {
    walk: { length: 128n * G, marks: [at(1n, 1n), at(WINDOW - 3n, 6n)] },
    line: `0 | 1 | 1+1,${WINDOW - 3n}+6`,
  },
  'from the middle of a page on': {
    walk: { length: 128n * G, marks: [at(1n, 1n), { iova: G + (WINDOW - 1n) * K4 + 0x800n, length: K4 }] },
    line: `0 | 1 | 1+1,${WINDOW - 1n}+2`,
  },
  'more than is pinned at once': {
    walk: { length: 192n * G, marks: [at(3n, 2n * WINDOW)] },
    line: `0 | 1 | 3+${2n * WINDOW}`,
  },
  'the same, from the middle of a page to the next': {
    walk: { length: 192n * G, marks: [{ iova: G + 0x800n, length: WINDOW * K4 + K4 }] },
    line: `0 | 1 | 0+${WINDOW + 2n}`,
  },
  'all of it': { walk: { marks: [at(0n, 3n * BITS)] }, line: `0 | 1 | 0+${3n * BITS}` },
  'a page that is missing where nothing is set': {
    walk: { writable: (page) => page !== 1, marks: [at(1n, 1n), at(2n * BITS, 1n)] },
    line: `0 | 1 | 1+1,${2n * BITS}+1`,
  },
  'a page that is missing where something is set': {
    walk: { writable: (page) => page !== 1, marks: [at(BITS - 1n, 2n)] },
    line: `EFAULT | 1 | ${BITS - 1n}+1`,
  },
  'that, from the middle of a page on': {
    walk: { writable: (page) => page !== 1, marks: [{ iova: G + (BITS - 1n) * K4 + 0x800n, length: K4 }] },
    line: `EFAULT | 1 | ${BITS - 1n}+1`,
  },
  'below and behind the range': {
    walk: { marks: [{ iova: G - K4, length: K4 }, at(3n * BITS, 8n)] },
    line: '0 | 1 | ',
  },
  'the callback fails': { walk: { fails: { window: 0, errno: 'EAGAIN' } }, line: 'EAGAIN | 1 | ' },
  'it would fail in a second window': {
    walk: { length: 128n * G, fails: { window: 1, errno: 'EAGAIN' } },
    line: '0 | 1 | ',
  },
};

describe('a walk over a user bitmap that is pinned on demand', () => {
  for (const [when, row] of Object.entries(ROWS)) {
    it(when, () => expect(line(later, row.walk)).to.equal(row.line));
  }

  it('sets what a careful caller sets in windows', () => {
    const marks = fc.array(fc.tuple(fc.bigInt(0n, 3n * WINDOW), fc.bigInt(1n, 2n * BITS)), { maxLength: 5 });
    fc.assert(
      fc.property(marks, fc.integer({ min: 0, max: 4095 }), (pages, offset) => {
        const changes = {
          length: 192n * G,
          offset,
          marks: pages.map(([page, count]) => ({ ...at(page, count), clipped: true })),
        };
        expect(walkBitmap(later, walk(changes)).bits).to.deep.equal(walkBitmap(landed, walk(changes)).bits);
      }),
      { numRuns: 50 },
    );
  });
});
