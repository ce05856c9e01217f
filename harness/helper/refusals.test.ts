import { expect } from 'chai';
import { converse, frameOf, helperOrSkip, observe } from './testing.ts';

/** Every program here opens a file first, so that one that was run in part would show it. */
const FIRST = 'main open z /dev/zero';

type Refusal = readonly [what: string, line: string, reason: string];

const LINES: readonly Refusal[] = [
  [
    'an actor that nobody made',
    'kid fds',
    'expected let, repeat, end, or an actor that an earlier line makes, found "kid"',
  ],
  ['no operation', 'main', 'expected an operation'],
  ['an unknown operation', 'main opens z', 'expected an operation of ops.def, found "opens"'],
  ['a name in the wrong form', 'main memfd Z 1', 'expected a name ([a-z][a-z0-9_-]{0,30}, no keyword), found "Z"'],
  ['a name that is too long', `main memfd ${'z'.repeat(32)} 1`, 'expected a name'],
  ['an actor with the name of a keyword', 'main spawn end', 'expected a name'],
  ['a parameter too few', 'main memfd m', 'expected size of memfd'],
  [
    'a parameter too many',
    'main memfd m 1 2',
    'expected the end of the line, or an option of the operation, found "2"',
  ],
  ['an unknown option', 'main memfd m 1 large=2', 'expected the end of the line, or an option'],
  ['an option twice', 'main memfd m 1 huge=1 huge=1', 'expected each option once'],
  ['bytes that are not printable', 'main fds \u0001', 'expected printable ASCII, found "\\x01"'],
  ['letters of other alphabets', 'main fds ä', 'expected printable ASCII, found "\\xc3"'],
  ['a carriage return', 'main fds\r', 'expected printable ASCII, found "\\x0d"'],
  ['a let behind other lines', 'let a b', 'expected let lines before all others'],
  ['an end without a repeat', 'end', 'expected end alone, after repeat'],
  ['an empty repeat', 'repeat 2\nend', 'expected a call within repeat'],
  ['a repeat without end', 'repeat 2\nmain fds', 'expected end of a repeat'],
  ['a repeat in a repeat', 'repeat 2\nmain fds\nrepeat 2', 'expected end: repeats do not nest'],
  ['a repeat of nothing', 'repeat 0', 'expected repeat and a count of 1 to 1048576'],
  ['a repeat that is too long', 'repeat 1048577', 'expected repeat and a count'],
  ['two actors in a repeat', 'main spawn a\nrepeat 2\nmain fds\na fds', 'expected the same actor in all of a repeat'],
];

const VALUES: readonly Refusal[] = [
  [
    'a number that is none',
    'main memfd m ten',
    'expected a number, decimal or 0x hex, of at most 64 bits, found "ten"',
  ],
  ['a negative number', 'main memfd m -1', 'expected a number'],
  ['hex without digits', 'main memfd m 0x', 'expected a number'],
  ['a number beyond 64 bits', 'main memfd m 18446744073709551616', 'expected a number'],
  ['hex beyond 64 bits', 'main memfd m 0x10000000000000000', 'expected a number'],
  ['a memory that is too large', 'main mem m 0x10000000001', 'expected a size of at most 1099511627776'],
  ['a width that no load has', 'main mem m 8\nmain peek m 0 3', 'expected a width of 1, 2, 4 or 8'],
  ['an alignment that is none', 'main mem m 8 align=0x3000', 'expected a power of two'],
  ['a byte that is none', 'main mem m 8\nmain fill m 0 8 256', 'expected a byte of at most 255'],
  ['a request beyond 32 bits', 'main ioctl z 0x100000000 =0', 'expected a request of at most 4294967295'],
  ['a read that is too large', 'main mem m 8\nmain read m 0 0x4000001', 'expected a size of at most 67108864'],
  ['a descriptor that no line makes', 'main close y', 'expected a descriptor that an earlier line makes, found "y"'],
  ['a descriptor that the same line makes', 'main dup y y', 'expected a descriptor that an earlier line makes'],
  ['a memory that no line makes', 'main read m 0 1', 'expected a memory that an earlier line makes'],
  ['a victim that no line makes', 'main kill kid', 'expected an actor that an earlier line makes'],
  ['a word of another list', 'main open y /x flags=rwx', 'expected one of rw r w, found "rwx"'],
  ['a field that is no word', 'main status Vm-Lck', 'expected a word'],
  ['a path that is not absolute', 'main open y dev/zero', 'expected an absolute path'],
  ['a let that is none', 'main open y $group0', 'expected a let, found "$group0"'],
  ['a path that is too long', `main open y /${'x'.repeat(4095)}`, 'expected a path of at most 4095 bytes'],
  ['half a byte', 'main pwrite z 0 0', 'expected an even number of hex digits'],
  ['bytes that are none', 'main pwrite z 0 0g', 'expected hex digits'],
  ['an empty item', 'main pwrite z 0 00,,00', 'expected an even number of hex digits'],
  ['a pattern that is too long', 'main pwrite z 0 000000000000000000*2', 'expected a pattern of 1 to 8 bytes before *'],
  ['a pattern without a count', 'main pwrite z 0 00*', 'expected a count'],
  ['a pattern no times', 'main pwrite z 0 00*0', 'expected a count of at least 1'],
  ['more bytes than may be', 'main pwrite z 0 00*67108865', 'too many bytes'],
  ['more bytes than 64 bits can count', 'main pwrite z 0 0000000000000000*999999999999,00', 'too many bytes'],
];

const ARGUMENTS: readonly Refusal[] = [
  ['nothing behind the equals sign', 'main ioctl z 1 =', 'expected a number'],
  ['an argument without end', 'main ioctl z 1 [00', 'expected ] at the end of an argument'],
  ['an argument with something behind it', 'main ioctl z 1 [00]00', 'expected ] at the end of an argument'],
  ['an argument without bytes', 'main ioctl z 1 []', 'expected an even number of hex digits'],
  ['an argument that is too large', 'main ioctl z 1 [00*1048577]', 'too many bytes'],
  ['a place without an offset', 'main mem m 8\nmain ioctl z 1 &m', 'expected &MEMORY+0xOFFSET'],
  ['a place with a decimal offset', 'main mem m 8\nmain ioctl z 1 &m+8', 'expected &MEMORY+0xOFFSET'],
  ['a place in a memory that is none', 'main ioctl z 1 &m+0x0', 'expected a memory that an earlier line makes'],
  ['a patch of another form', 'main ioctl z 1 [00*8 0=1]', 'expected @OFFSET=PLACE, @OFFSET=fd:NAME or +OFFSET=STRIDE'],
  ['a patch with a hex offset', 'main ioctl z 1 [00*16 @0x8=1]', 'expected @OFFSET=PLACE'],
  ['a pointer beyond the end', 'main ioctl z 1 [00*8 @1=0]', 'expected a patch within the argument'],
  ['a descriptor beyond the end', 'main ioctl z 1 [00*4 @1=fd:z]', 'expected a patch within the argument'],
  ['a stride beyond the end', 'main ioctl z 1 [00*8 +1=1]', 'expected a patch within the argument'],
  ['a descriptor that is none', 'main ioctl z 1 [00*4 @0=fd:y]', 'expected a descriptor that an earlier line makes'],
  ['a let in bytes that is none', 'main ioctl z 1 [$y,00]', 'expected a let, found "$y"'],
];

describe('helper: refuses a program whole, before any of it runs', () => {
  let path = '';
  before(async function () {
    path = await helperOrSkip(this);
  });

  const itRefuses = (refusals: readonly Refusal[]): void => {
    for (const [what, text, reason] of refusals) {
      it(what, async () => {
        const lines = text.split('\n').length;
        const [answer = '', ...more] = await observe(path, `${FIRST}\n${text}\n`);
        const at = reason === 'expected end of a repeat' ? lines + 2 : lines + 1;
        expect(answer.startsWith(`error 1 ${at} ${reason}`), `${answer}, expected ${at} ${reason}`).to.equal(true);
        expect(more).to.deep.equal([]);
      });
    }
  };

  describe('lines', () => itRefuses(LINES));
  describe('values', () => itRefuses(VALUES));
  describe('arguments', () => itRefuses(ARGUMENTS));

  const bounds: readonly [what: string, within: string, beyond: string, reason: string][] = [
    ['calls', 'main fds\n'.repeat(65_536), 'main fds\n'.repeat(65_537), 'expected at most 65536 calls'],
    [
      'actors',
      Array.from({ length: 15 }, (_, index) => `main spawn a${index}\n`).join(''),
      Array.from({ length: 16 }, (_, index) => `main spawn a${index}\n`).join(''),
      'expected at most 16 actors',
    ],
    [
      'names of an actor',
      Array.from({ length: 256 }, (_, index) => `main memfd f${index} 0\nmain close f${index}\n`).join(''),
      Array.from({ length: 257 }, (_, index) => `main memfd f${index} 0\nmain close f${index}\n`).join(''),
      'expected at most 256 names a kind and actor',
    ],
    [
      'lets',
      Array.from({ length: 256 }, (_, index) => `let l${index} x\n`).join(''),
      Array.from({ length: 257 }, (_, index) => `let l${index} x\n`).join(''),
      'expected at most 256 lets',
    ],
    ['bytes a line', `# ${'x'.repeat(131_070)}`, `# ${'x'.repeat(131_071)}`, 'expected at most 131072 bytes a line'],
  ];
  for (const [what, within, beyond, reason] of bounds) {
    it(`bounds ${what}`, async () => {
      const { lines } = await converse(path, `${frameOf(1, within)}${frameOf(2, beyond)}bye\n`);
      expect([lines[0], lines.at(-2)?.replace(/\d+ done/, 'done')]).to.deep.equal(['begin 1', 'end 1 done']);
      expect(lines.some((line) => line.includes('!bad'))).to.equal(false);
      expect(lines.at(-1)).to.match(new RegExp(`^error 2 \\d+ ${reason}`));
    });
  }

  it('takes text of 8 MiB', async () => {
    const text = `${`#${'x'.repeat(1022)}\n`.repeat(8191)}${'main fds'.padEnd(1024)}`;
    expect(text.length).to.equal(8 << 20);
    expect(await observe(path, text)).to.deep.equal(['0 0 0']);
  });
});
