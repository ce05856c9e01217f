import { expect } from 'chai';
import fc from 'fast-check';
import { VALID_RANGES } from './iova-ranges.ts';

const range = (start: number, end: number) => ({ start: BigInt(start), end: BigInt(end) });
const ranges = (...pairs: readonly [number, number][]) => pairs.map(([start, end]) => range(start, end));

describe('valid IOVA ranges', () => {
  const rows: Record<string, [reserved: readonly [number, number][], left: readonly [number, number][]]> = {
    'nothing reserved': [[], [[0, 99]]],
    'a hole': [
      [[40, 49]],
      [
        [0, 39],
        [50, 99],
      ],
    ],
    'the same hole twice': [
      [
        [40, 49],
        [40, 49],
      ],
      [
        [0, 39],
        [50, 99],
      ],
    ],
    'holes that overlap': [
      [
        [40, 49],
        [45, 60],
      ],
      [
        [0, 39],
        [61, 99],
      ],
    ],
    'the start': [[[0, 9]], [[10, 99]]],
    'the end': [[[90, 200]], [[0, 89]]],
    'all of it': [[[0, 99]], []],
    'what is outside': [[[100, 200]], [[0, 99]]],
    'two neighbours': [
      [
        [10, 19],
        [20, 29],
      ],
      [
        [0, 9],
        [30, 99],
      ],
    ],
  };
  for (const [title, [reserved, left]] of Object.entries(rows)) {
    it(`leaves out ${title}`, () => {
      expect(VALID_RANGES.rule(range(0, 99), ranges(...reserved))).to.deep.equal(ranges(...left));
    });
  }

  it('holds exactly the numbers that are not reserved, ascending', () => {
    const someRange = fc.tuple(fc.nat(60), fc.nat(20)).map(([start, size]) => range(start, start + size));
    fc.assert(
      fc.property(fc.array(someRange, { maxLength: 5 }), (reserved) => {
        const left = VALID_RANGES.rule(range(0, 63), reserved);
        const numbers = left.flatMap(({ start, end }) =>
          Array.from({ length: Number(end - start) + 1 }, (_, i) => Number(start) + i),
        );
        const free = Array.from({ length: 64 }, (_, i) => i).filter(
          (n) => !reserved.some(({ start, end }) => n >= start && n <= end),
        );
        expect(numbers).to.deep.equal(free);
      }),
    );
  });
});
