import { expect } from 'chai';
import fc from 'fast-check';
import { bitmapBytes, merged, type Span, setBits, stretches } from './dirty-bitmap.ts';

/** The same rules bit by bit: words that hold a bit of a span are written span after span, each keeping what is below it. */
const naive = (spans: readonly Span[], memory: readonly boolean[]): boolean[] => {
  const bits = [...memory];
  for (const { firstBit, bits: count, dirty } of spans) {
    const endOfWord = Math.ceil((firstBit + count) / 64) * 64;
    for (let bit = firstBit; bit < endOfWord; bit++) bits[bit] = false;
    for (const pages of dirty) {
      for (let page = pages.first; page < pages.first + pages.count; page++) bits[firstBit + page] = true;
    }
  }
  return bits;
};

const toBytes = (bits: readonly boolean[]): Uint8Array => {
  const bytes = new Uint8Array(bits.length / 8);
  for (const [bit, set] of bits.entries()) if (set) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  return bytes;
};

const apply = (spans: readonly Span[], memory: Uint8Array): Uint8Array => {
  const result = memory.slice();
  for (const stretch of stretches(spans)) result.set(merged(stretch, result.subarray(stretch.at)), stretch.at);
  return result;
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
      fc.property(someSpans, fc.array(fc.boolean(), { minLength: 1728, maxLength: 1728 }), (spans, memory) => {
        expect(apply(spans, toBytes(memory))).to.deep.equal(toBytes(naive(spans, memory)));
      }),
      { numRuns: 300 },
    );
  });

  it('writes each word once, and no word without a page', () => {
    const whole = (firstBit: number, bits: number): Span => ({ firstBit, bits, dirty: [{ first: 0, count: bits }] });
    const found = stretches([whole(3, 2), whole(60, 8), whole(256, 64), whole(320, 1), whole(390, 1)]);
    expect(found.map(({ at, keep, bytes }) => [at, keep, bytes.length])).to.deep.equal([
      [0, 3, 16],
      [32, 0, 16],
      [48, 6, 8],
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
