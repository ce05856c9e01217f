import { expect } from 'chai';
import fc from 'fast-check';
import { bounded, boundedLine, cleanLine, cleanText } from './clean.ts';

const ESC = '\u001b';

const CLEANED: Readonly<Record<string, readonly [from: string, to: string]>> = {
  'terminal colours, which say nothing': [`${ESC}[1;31mred${ESC}[0m`, 'red'],
  'other terminal commands': [`${ESC}[2J${ESC}]0;title\u0007`, '\\x1b[2J\\x1b]0;title\\x07'],
  NUL: ['a\0b', 'a\\x00b'],
  'a lone carriage return': ['over\rwritten', 'over\\x0dwritten'],
  'a line end of another system': ['one\r\ntwo', 'one\ntwo'],
  '8-bit terminal commands': ['\u009b2J', '\\x9b2J'],
  'what turns the writing direction': ['\u202eevil', '\\u202eevil'],
  'what XML forbids': ['\ufffe\uffff', '\\ufffe\\uffff'],
  'half a surrogate pair': ['a\ud800b\udc00c', 'a\ufffdb\ufffdc'],
  'nothing of plain text': ['tab\tand\nline, ünïcode 🙂, <&>"]]>', 'tab\tand\nline, ünïcode 🙂, <&>"]]>'],
};

describe('clean text', () => {
  for (const [name, [from, to]] of Object.entries(CLEANED)) {
    it(`takes care of ${name}`, () => {
      expect(cleanText(from)).to.equal(to);
    });
  }

  it('is the same when cleaned twice, and has nothing left that XML or a terminal minds', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) }),
        (text) => {
          const clean = cleanText(text);
          expect(cleanText(clean)).to.equal(clean);
          expect(clean).not.to.match(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\ufffe\uffff]/u);
        },
      ),
    );
  });

  it('becomes one line', () => {
    expect(cleanLine('  two\n\tlines \r\n')).to.equal('two lines');
  });
});

describe('bounded text', () => {
  it('stays whole within the limit', () => {
    expect(bounded('x'.repeat(100), 100)).to.equal('x'.repeat(100));
  });

  it('keeps beginning and end of a longer one, and says how much is cut', () => {
    const text = `${'a'.repeat(600)}${'b'.repeat(600)}`;
    expect(bounded(text, 400)).to.equal(`${'a'.repeat(300)}\n[... 800 of 1200 characters cut ...]\n${'b'.repeat(100)}`);
  });

  it('never splits a character', () => {
    for (const limit of [4, 5, 6, 7, 8, 9]) {
      expect(cleanText(bounded('🙂'.repeat(20), limit))).not.to.include('\ufffd');
      expect(cleanText(boundedLine('🙂'.repeat(20), limit))).not.to.include('\ufffd');
    }
  });

  it('ends a line that was cut with dots, within the limit', () => {
    expect(boundedLine('abcdefgh', 6)).to.equal('abc...');
  });
});
