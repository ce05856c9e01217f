import { expect } from 'chai';
import fc from 'fast-check';
import { builtOrSkip } from '../helper/testing.ts';
import { anyProgram } from '../program/arbitrary.ts';
import { printObservation, printObservations } from '../program/observation-text.ts';
import { BOUNDS, OPS } from '../program/ops.ts';
import type { Program, Run, Step } from '../program/step.ts';
import { parseProgram, printProgram } from '../program/text.ts';
import { UsageTrouble } from '../trouble.ts';
import type { Host } from './host.ts';
import { openLocalHost } from './local.ts';

const DEADLINES = { stepMs: 20_000, programMs: 60_000 };

/** The session and the local host with the real helper, on this machine's kernel. No VFIO is needed, and none is touched. */
describe('hosts/local with the real helper', () => {
  let host: Host;

  before(async function () {
    host = await openLocalHost({ helper: await builtOrSkip(this), devices: [] });
  });
  after(() => host?.close());

  const run = (text: string): Promise<Run> => host.run(parseProgram(text), DEADLINES);
  const observed = async (text: string): Promise<string> => printObservations((await run(text)).observations);

  const programs: readonly [what: string, program: string, observations: string][] = [
    [
      'memory that is filled and read',
      'main mem m 4096\nmain fill m 0 4096 0x5a\nmain read m 8 100',
      '0 0 0\n1 0 0\n2 0 0 out=5a*100\n',
    ],
    [
      'bytes that are written',
      'main mem m 4096\nmain write m 4 01020304*2,ff\nmain read m 0 16',
      '0 0 0\n1 0 0\n2 0 0 out=0000000001020304,01020304ff000000\n',
    ],
    ['a file that is not there', 'main open f /nothing/here', '0 -1 2\n'],
    ['a descriptor that could not be opened', 'main open f /nothing/here\nmain close f', '0 -1 2\n1 -1 9\n'],
    ['a descriptor that was closed', 'main memfd f 4096\nmain close f\nmain close f', '0 3 0\n1 0 0\n2 -1 9\n'],
    ['an ioctl on something else', 'main memfd f 4096\nmain ioctl f 0x3b64 =0', '0 3 0\n1 -1 25\n'],
    ['a let in a path', 'let where /nothing\nmain open f $where/here', '0 -1 2\n'],
    [
      'a repeat, as ranges',
      'main mem m 4096\nrepeat 1000\n  main peek m 0 4\n  main poke m 0 4 7\nend\nmain peek m 0 4',
      '0 0 0\n1 0 0\n1.1-999 7 0\n2.0-999 0 0\n3 7 0\n',
    ],
    [
      'a child that dies of a signal',
      'main spawn child\nmain kill child\nchild fds',
      '0 0 0\n1 9 0\n2 !gone actor child is gone\n',
    ],
  ];
  for (const [what, program, observations] of programs) {
    it(`observes ${what}`, async () => expect(await observed(program)).to.equal(observations));
  }

  it('says how long it took, and ends', async () => {
    const { ending, durationUs } = await run('main fds');
    expect(ending).to.deep.equal({ kind: 'done' });
    expect(durationUs).to.be.greaterThan(0);
  });

  it('runs many programs that were given at once, in order', async () => {
    const numbers = Array.from({ length: 30 }, (_, index) => index + 10);
    const texts = numbers.map((number) => `main mem m 4096\nmain poke m 0 1 ${number}\nmain peek m 0 1`);
    const expected = numbers.map((number) => `0 0 0\n1 0 0\n2 ${number} 0\n`);
    expect(await Promise.all(texts.map(observed))).to.deep.equal(expected);
  });

  it('carries any bytes there and back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 200 }),
        async (piece, count) => {
          const data = Uint8Array.from(Buffer.alloc(Math.min(piece.length * count, 4096), piece));
          const steps: readonly Step[] = [
            { actor: 'main', op: 'mem', name: 'm', size: 4096n },
            { actor: 'main', op: 'write', name: 'm', offset: 0n, data },
            { actor: 'main', op: 'read', name: 'm', offset: 0n, size: BigInt(data.length) },
          ];
          const [, , read] = (await host.run({ lets: {}, steps }, DEADLINES)).observations;
          expect(read !== undefined && 'out' in read ? read.out : undefined).to.deep.equal(data);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('brings a regular memory of 32 MiB back whole', async () => {
    const { observations } = await run('main mem m 0x2000000\nmain fill m 0 0x2000000 0xa7\nmain read m 0 0x2000000');
    const [, , read] = observations;
    const out = read !== undefined && 'out' in read ? read.out : undefined;
    expect(Buffer.compare(out ?? new Uint8Array(0), Buffer.alloc(0x2000000, 0xa7))).to.equal(0);
  });

  /** The helper reads all of a program before it runs any: with this at its end, nothing of it runs. */
  const UNREADABLE = { actor: 'main', op: 'open', fd: 'f', path: '$not-a-let' } as const;
  const refusalOf = async (program: Program): Promise<string> => {
    const steps = [...program.steps, UNREADABLE];
    const [first, ...more] = (await host.run({ ...program, steps }, DEADLINES)).observations;
    expect(more).to.deep.equal([]);
    return first === undefined ? 'nothing' : printObservation(first);
  };
  const linesOf = (program: Program): number => printProgram(program).split('\n').length - 1;

  it('reads every program as the harness writes it', async () => {
    await fc.assert(
      fc.asyncProperty(anyProgram, async (program) => {
        expect(await refusalOf(program)).to.match(
          new RegExp(`^0 !bad the helper refused the program at line ${linesOf(program) + 1} \\(main open`),
        );
      }),
      { numRuns: 200 },
    );
  });

  describe('bounds of numbers', () => {
    const line = (op: string, name: string, value: bigint): string => {
      const words: Record<string, string> = {
        fd: 'fd',
        mem: 'ram',
        newfd: 'f',
        newmem: 'm',
        num: '1',
        arg: '=0',
        place: '&ram+0x0',
        word: 'r',
      };
      const { required = [], options = [] } = OPS.get(op) ?? {};
      const given = required.map((parameter) => (parameter.name === name ? `${value}` : words[parameter.kind]));
      return [
        'main',
        op,
        ...given,
        ...(options.some((option) => option.name === name) ? [`${name}=${value}`] : []),
      ].join(' ');
    };
    const prelude = 'main mem ram 4096\nmain memfd fd 4096\n';

    for (const [key, { max }] of Object.entries(BOUNDS)) {
      const [op = '', name = ''] = key.split('.');
      it(`takes ${key} up to ${max}, as the helper does`, async () => {
        const program = parseProgram(prelude + line(op, name, max));
        expect(await refusalOf(program)).to.contain('at line 4 (main open');
        expect(() => parseProgram(prelude + line(op, name, max + 1n))).to.throw(UsageTrouble);
      });
    }
  });

  it('recovers with another process', async () => {
    await host.recover();
    expect(await observed('main fds')).to.equal('0 0 0\n');
  });
});
