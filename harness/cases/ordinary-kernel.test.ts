import { expect } from 'chai';
import fc from 'fast-check';
import { builtOrSkip } from '../helper/testing.ts';
import type { Host } from '../hosts/host.ts';
import { openLocalHost } from '../hosts/local.ts';
import { createMachine } from '../model/machine.ts';
import { judge } from '../oracle/judge.ts';
import type { Program } from '../program/step.ts';
import { parseProgram, printProgram } from '../program/text.ts';

/** What random programs begin with: every kind of memory and file, each of at least two pages. */
const SETTING = [
  'main mem own 0x3000',
  'main mem both 0x2fe0 offset=0x10 share=shared',
  'main memfd memfd 0x3000',
  'main file file 0x1800',
  'main map shown memfd 0 0x3000',
  'main map copied memfd 0 0x3000 share=private',
  'main map short file 0 0x3000',
  'main map odd memfd 0 0x2ff1',
  'main spawn child',
];

const from = (...words: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...words);
const memory = from('own', 'both', 'shown', 'copied', 'short', 'odd');
const file = from('memfd', 'file');
const offset = from('0', '1', '0xff8', '0xfff', '0x1000', '0x17ff', '0x1ffc', '0x2000', '0x2fd0');
const size = from('0', '1', '8', '0x10', '0x1001', '0x1010');
const data = from('01', '0203', 'aa*8', 'ee*4096', '0102030405060708*512');
const width = from('1', '2', '4', '8');
const pages = fc.tuple(from('0', '0x1000', '0x2000', '1'), from('0', '1', '0x1000')).map((range) => range.join(' '));
const pagesOfBoth = fc.tuple(from('0xff0', '0x1ff0'), from('1', '0x1000')).map((range) => range.join(' '));

const line = (...words: readonly fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...words).map((parts) => parts.join(' '));
const word = (text: string): fc.Arbitrary<string> => fc.constant(text);

/** Steps that the setting can carry out: none goes so far off a memory that the helper refuses it. */
const step = line(
  from('main', 'child'),
  fc.oneof(
    line(word('write'), memory, offset, data),
    line(word('fill'), memory, offset, size, from('0', '7', '0xa5')),
    line(word('read'), memory, offset, size),
    line(word('hash'), memory, offset, size),
    line(word('peek'), memory, offset, width),
    line(word('poke'), memory, offset, width, word('0x8899aabbccddeeff')),
    line(word('guards'), memory),
    line(word('protect'), from('own', 'shown', 'copied', 'short', 'odd'), pages, from('none', 'r', 'w', 'rw')),
    line(word('protect both'), pagesOfBoth, from('none', 'r', 'w', 'rw')),
    line(word('unmap'), from('own', 'shown', 'copied', 'short', 'odd'), pages),
    line(word('unmap both'), pagesOfBoth),
    line(word('truncate'), file, from('0', '0x800', '0x1000', '0x1801', '0x3000')),
    line(word('pread'), file, offset, size),
    line(word('pwrite'), file, offset, data),
    from('fds', 'status VmLck', 'status VmPin'),
  ),
);

describe('the model of an ordinary kernel', () => {
  let host: Host | undefined;
  before(async function () {
    host = await openLocalHost({ helper: await builtOrSkip(this), devices: [] });
  });
  after(() => host?.close());

  const verdictOn = async (program: Program) => {
    if (host === undefined) throw new Error('there is no host');
    const run = await host.run(program, { stepMs: 10_000, programMs: 60_000 });
    const { platform } = host.facts;
    const makeMachine = () => createMachine({ platform, lets: {}, files: () => undefined });
    // What else the kernel logs meanwhile is not about these programs.
    return judge(makeMachine, program, { ...run, kernelLog: [] });
  };

  it('says what the kernel that runs this does with memory, files and processes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), async (steps) => {
        const program = parseProgram([...SETTING, ...steps].join('\n'));
        expect(await verdictOn(program), printProgram(program)).to.deep.equal({ kind: 'conforms' });
      }),
      { numRuns: 150, seed: 61 },
    );
  });

  it('calls a range that is far off its memory a fault of the program, as the helper does', async () => {
    for (const far of ['read own 0x5001 1', 'write odd 0x4fff 0102', 'peek both 0xffffffffffff0000 8']) {
      const verdict = await verdictOn(parseProgram([...SETTING, `main ${far}`].join('\n')));
      expect(verdict.kind, far).to.equal('harness-error');
    }
  });

  it('passes descriptors on, one after the other, and keeps them over an exec', async () => {
    const program = parseProgram(
      [
        'main spawn one',
        'main spawn two',
        ...['a', 'b', 'c', 'd'].map((name) => `main memfd ${name} 8`),
        'main pwrite c 0 0102',
        ...['a', 'b', 'c', 'd'].flatMap((name) => [`main send ${name} one`, `main send ${name} two`]),
        'one exec',
        'one pread c 0 8',
        'one fds',
        'two fds',
      ].join('\n'),
    );
    expect(await verdictOn(program)).to.deep.equal({ kind: 'conforms' });
  });
});
