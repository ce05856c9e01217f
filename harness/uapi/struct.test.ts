import { expect } from 'chai';
import fc from 'fast-check';
import {
  type Abi,
  array,
  decode,
  encode,
  flexible,
  I386,
  offsetOf,
  pointer,
  s32,
  sizeOf,
  struct,
  u8,
  u16,
  u32,
  u64,
  X86_64,
} from './struct.ts';

const pair = struct('pair', { low: u32, high: u64 });
const all = struct('all', {
  a: u8,
  b: u16,
  c: u32,
  d: s32,
  e: u64,
  p: pointer,
  bytes: array(u8, 3),
  pairs: array(pair, 2),
});
const tailed = struct('tailed', { count: u32, tail: flexible(pair) });
const BIG: Abi = { name: 'a big-endian ABI', pointerBytes: 8, maxAlignment: 8, byteOrder: 'big' };

describe('uapi/struct', () => {
  const layouts: readonly [what: string, found: () => number, expected: number][] = [
    ['a 64-bit number is aligned to 8 on x86-64', () => offsetOf(pair, 'high'), 8],
    ['the end is padded to the strictest alignment', () => sizeOf(struct('s', { e: u64, c: u32 })), 16],
    ['a 64-bit number is aligned to 4 on i386', () => offsetOf(pair, 'high', I386), 4],
    ['so the struct is shorter there', () => sizeOf(pair, I386), 12],
    ['a pointer has 8 bytes on x86-64', () => sizeOf(struct('s', { p: pointer })), 8],
    ['a pointer has 4 bytes on i386', () => sizeOf(struct('s', { p: pointer }), I386), 4],
    ['bytes need no alignment', () => offsetOf(all, 'bytes'), 32],
    ['an array is aligned as its elements are', () => offsetOf(all, 'pairs'), 40],
    ['a flexible tail starts at its alignment', () => offsetOf(tailed, 'tail'), 8],
    ['a flexible tail counts nothing', () => sizeOf(tailed), 8],
  ];
  for (const [what, found, expected] of layouts) it(what, () => expect(found()).to.equal(expected));

  it('encodes little-endian, with zero for what is not named', () => {
    expect(Buffer.from(encode(pair, { high: 0x1000n })).toString('hex')).to.equal('00000000000000000010000000000000');
  });

  it('encodes big-endian for an ABI that is', () => {
    expect(Buffer.from(encode(pair, { low: 1, high: 0x1000n }, BIG)).toString('hex')).to.equal(
      '00000001000000000000000000001000',
    );
  });

  it('puts the elements of a flexible tail behind the fixed part', () => {
    const bytes = encode(tailed, { count: 2, tail: [{ low: 1 }, { high: 2n }] });
    expect(bytes).to.have.length(8 + 2 * 16);
    expect(decode(tailed, bytes).tail).to.deep.equal([
      { low: 1, high: 0n },
      { low: 0, high: 2n },
    ]);
  });

  it('leaves a part of an element at the end out of a flexible tail', () => {
    expect(decode(tailed, new Uint8Array(8 + 16 + 15)).tail).to.have.length(1);
  });

  it('reads from the middle of a buffer', () => {
    const whole = new Uint8Array(24);
    whole[8] = 7;
    expect(decode(pair, whole.subarray(8)).low).to.equal(7);
  });

  it('refuses values that a field cannot hold, and too few bytes', () => {
    expect(() => encode(pair, { low: 2 ** 32 })).to.throw(RangeError, 'pair.low is a u32 and cannot hold 4294967296');
    expect(() => encode(pair, { high: -1n })).to.throw(RangeError, 'pair.high');
    expect(() => encode(all, { bytes: new Uint8Array(4) })).to.throw(RangeError, 'holds 3 elements, not 4');
    expect(() => decode(pair, new Uint8Array(15))).to.throw(RangeError, '16 bytes, not 15');
  });

  for (const abi of [X86_64, BIG]) {
    it(`decodes what it encoded (${abi.name})`, () => {
      const number = (bits: number) => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });
      const small = (bits: number) => number(bits).map(Number);
      const pairs = fc.record({ low: small(32), high: number(64) });
      const values = fc.record({
        a: small(8),
        b: small(16),
        c: small(32),
        d: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        e: number(64),
        p: number(64),
        bytes: fc.uint8Array({ minLength: 3, maxLength: 3 }),
        pairs: fc.array(pairs, { minLength: 2, maxLength: 2 }),
      });
      fc.assert(
        fc.property(values, (given) => {
          expect(decode(all, encode(all, given, abi), abi)).to.deep.equal(given);
        }),
      );
    });
  }
});
