import { expect } from 'chai';
import fc from 'fast-check';
import { decodeBytes, encodeBytes } from './bytes.ts';
import { Malformed } from './malformed.ts';

const MAX = 64 * 2 ** 20;
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const filled = (size: number, patternHex: string): Uint8Array =>
  Uint8Array.from(Buffer.alloc(size, fromHex(patternHex)));

describe('program/bytes', () => {
  const encodings: readonly [what: string, bytes: Uint8Array, text: string][] = [
    ['no bytes', new Uint8Array(0), '-'],
    ['one byte', fromHex('7f'), '7f'],
    ['one unit of zeros', filled(8, '00'), '00*8'],
    ['zeros up to an odd end', filled(100, '00'), '00*100'],
    ['a run with a period of two', filled(64, '0102'), '0102*32'],
    ['a run with a period of four', filled(64, '01020304'), '01020304*16'],
    ['a run and a part of its pattern', fromHex(`${'0102030405060708'.repeat(3)}010203`), '0102030405060708*3,010203'],
    [
      'fields of a struct',
      fromHex('2000000003000000000000000000000000001000000000000010000000000000'),
      '2000000003000000,00*8,0000100000000000,0010000000000000',
    ],
    ['two equal fields', fromHex('00100000000000000010000000000000'), '0010000000000000*2'],
    [
      'a bitmap with one bit',
      fromHex(`${'ff'.repeat(24)}fffffffeffffffff${'ff'.repeat(32)}`),
      'ff*24,fffffffeffffffff,ff*32',
    ],
    ['32 MiB of one pattern', filled(32 * 2 ** 20, '0123456789abcdef'), '0123456789abcdef*4194304'],
  ];
  for (const [what, bytes, text] of encodings) {
    it(`writes and reads ${what}`, () => {
      expect(encodeBytes(bytes)).to.equal(text);
      expect(Buffer.compare(decodeBytes(text, MAX), bytes)).to.equal(0);
    });
  }

  it('finds the end of a long run to the byte', () => {
    for (const length of [64, 65, 127, 128, 4096, 70_000, 70_001]) {
      const bytes = new Uint8Array(length + 8).fill(5);
      bytes[length] = 6;
      expect(Buffer.compare(decodeBytes(encodeBytes(bytes), MAX), bytes)).to.equal(0);
    }
  });

  it('reads any period from 1 to 8, and any way to cut the items', () => {
    expect(decodeBytes('010203*3,ff', MAX)).to.deep.equal(fromHex('010203010203010203ff'));
    expect(decodeBytes('01020304050607*2', MAX)).to.deep.equal(fromHex('0102030405060701020304050607'));
    expect(decodeBytes('AB,cd*1', MAX)).to.deep.equal(fromHex('abcd'));
  });

  const refused: readonly [what: string, text: string][] = [
    ['an empty text', ''],
    ['an empty item', '00,,00'],
    ['a comma at the end', '00,'],
    ['half a byte', '000'],
    ['a letter that is no digit', '0g'],
    ['a letter that is no digit in long data', `${'00'.repeat(100)}0g`],
    ['a sign that is not ASCII', '0é'],
    ['a pattern of nine bytes', '010203040506070809*2'],
    ['no pattern', '*2'],
    ['no count', '00*'],
    ['a count of zero', '00*0'],
    ['a count in hex', '00*0x10'],
    ['a count with a sign', '00*-1'],
    ['two counts', '00*2*2'],
    ['a dash among items', '00,-'],
    ['more than the bound', '00*67108865'],
    ['far more than the bound', '00*999999999999'],
  ];
  for (const [what, text] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => decodeBytes(text, MAX)).to.throw(Malformed, /^expected .*, found /);
    });
  }

  const runs = fc
    .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 40 })), { maxLength: 8 })
    .map((parts) =>
      Uint8Array.from(Buffer.concat(parts.map(([pattern, count]) => Buffer.alloc(pattern.length * count, pattern)))),
    );
  it('reads back whatever it writes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), runs), (bytes) => {
        expect(decodeBytes(encodeBytes(bytes), MAX)).to.deep.equal(bytes);
      }),
    );
  });

  it('never answers text with anything but bytes or Malformed', () => {
    const texts = fc.string({ unit: fc.constantFrom(...'0123456789abcdefABF*,-x '), maxLength: 30 });
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(decodeBytes(text, 1000).length).to.be.at.most(1000);
        } catch (error) {
          expect(error).to.be.instanceOf(Malformed);
        }
      }),
    );
  });
});
