import { expect } from 'chai';
import fc from 'fast-check';
import { bitmapBytes, type Span, setBits, stretches } from './dirty-bitmap.ts';

/** The same rules bit by bit: the bits of dirty pages, and the words in which a page of a span lies. */
const naive = (spans: readonly Span[], words: number): { bits: boolean[]; written: boolean[] } => {
  const bits = new Array<boolean>(words * 64).fill(false);
  const written = new Array<boolean>(words).fill(false);
  for (const { firstBit, bits: count, dirty } of spans) {
    for (let bit = firstBit; bit < firstBit + count; bit++) written[Math.floor(bit / 64)] = true;
    for (const pages of dirty) {
      for (let page = pages.first; page < pages.first + pages.count; page++) bits[firstBit + page] = true;
    }
  }
  return { bits, written };
};

const toBytes = (bits: readonly boolean[]): Uint8Array => {
  const bytes = new Uint8Array(bits.length / 8);
  for (const [bit, set] of bits.entries()) if (set) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  return bytes;
};

/** Spans in ascending order with gaps, some of them none, and dirty pages anywhere in them. */
const someSpans = fc
  .array(
    fc.tuple(
      fc.nat(140),
      fc.integer({ min: 1, max: 140 }),
      fc.array(fc.tuple(fc.nat(139), fc.nat(139)), { maxLength: 3 }),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((rows) => {
    let next = 0;
    return rows.map(([gap, bits, runs]): Span => {
      const firstBit = next + gap;
      next = firstBit + bits;
      const dirty = runs.map(([a, b]) => ({
        first: Math.min(a, bits - 1),
        count: Math.min(b, bits - Math.min(a, bits - 1)),
      }));
      return { firstBit, bits, dirty };
    });
  });

describe('dirty bitmap', () => {
  it('agrees with the rules applied bit by bit', () => {
    fc.assert(
      fc.property(someSpans, (spans) => {
        const { bits, written } = naive(spans, 27);
        const found = new Uint8Array(27 * 8);
        const touched = new Array<boolean>(27).fill(false);
        for (const { at, bytes } of stretches(spans)) {
          found.set(bytes, at);
          for (let word = at / 8; word < (at + bytes.length) / 8; word++) {
            expect(touched[word], 'a word written twice').to.equal(false);
            touched[word] = true;
          }
        }
        expect(found).to.deep.equal(toBytes(bits));
        expect(touched).to.deep.equal(written);
      }),
      { numRuns: 300 },
    );
  });

  it('joins words that follow one another, and knows which have holes', () => {
    const whole = (firstBit: number, bits: number): Span => ({ firstBit, bits, dirty: [{ first: 0, count: bits }] });
    const found = stretches([whole(3, 2), whole(60, 8), whole(256, 64), whole(320, 64), whole(448, 1)]);
    expect(found.map(({ at, holes, bytes }) => [at, bytes.length, holes])).to.deep.equal([
      [0, 16, true],
      [32, 16, false],
      [56, 8, true],
    ]);
  });

  for (const [first, count] of [
    [0, 0],
    [0, 1],
    [7, 1],
    [7, 2],
    [0, 8],
    [3, 40],
    [63, 2],
    [0, 128],
  ] as const) {
    it(`sets ${count} bits from ${first} on`, () => {
      const bytes = new Uint8Array(16);
      setBits(bytes, first, count);
      expect(bytes).to.deep.equal(
        toBytes(Array.from({ length: 128 }, (_, bit) => bit >= first && bit < first + count)),
      );
    });
  }

  for (const [pages, bytes] of [
    [1n, 8n],
    [64n, 8n],
    [65n, 16n],
    [(1n << 31n) - 1n, 1n << 28n],
  ] as const) {
    it(`has ${bytes} bytes for ${pages} pages`, () => {
      expect(bitmapBytes(pages)).to.equal(bytes);
    });
  }
});
