import { expect } from 'chai';
import { type AnyStruct, array, flexible, I386, struct, u8, u16, u32, u64, X86_64 } from '../uapi/struct.ts';
import { rowsOf, textMap } from './byte-map.ts';
import { factsOfLayout } from './structs.ts';

/** Structs, and their maps on x86-64. */
const MAPS: Readonly<Record<string, readonly [type: AnyStruct, lines: readonly string[]]>> = {
  'fields side by side': [struct('s', { id: u16, version: u16, next: u32 }), ['|id     |version|next           |']],
  'a hole, and padding at the end': [
    struct('s', { a: u8, b: u64, c: u32 }),
    ['|a  |...........................|', '|b                              |', '|c              |...............|'],
  ],
  'a field over several rows, and a long name in a short field': [
    struct('s', { entries: array(u32, 3), version: u8 }),
    ['|entries                        |', '|               |ve~|...........|'],
  ],
  'a long field, of which the middle is left out': [
    struct('s', { head: u32, entries: array(u8, 36), tail: u64 }),
    [
      '|head           |entries        |',
      '|                               |',
      '| ... 16 more bytes              ',
      '|                               |',
      '|tail                           |',
    ],
  ],
  'a tail of any length, which begins within what padding would be': [
    struct('s', { start: u64, flags: u32, data: flexible(u8) }),
    ['|start                          |', '|flags          |data[]          '],
  ],
  'a struct that ends within a row': [struct('s', { flags: u32 }), ['|flags          |                ']],
  'no fields': [struct('s', {}), []],
};

describe('diff/byte-map', () => {
  for (const [title, [type, lines]] of Object.entries(MAPS)) {
    it(`draws ${title}`, () => {
      expect(textMap(factsOfLayout(type, X86_64))).to.deep.equal(lines);
    });
  }

  it('follows the architecture', () => {
    const type = struct('s', { a: u32, b: u64 });
    expect([X86_64, I386].map((abi) => rowsOf(factsOfLayout(type, abi)).length)).to.deep.equal([2, 2]);
    expect(textMap(factsOfLayout(type, I386))).to.deep.equal([
      '|a              |b              |',
      '|               |                ',
    ]);
  });
});
