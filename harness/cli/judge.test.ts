import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** Maps the same IOVAs twice. */
const PROGRAM = `# twice
let group0 /dev/vfio/7
main open container /dev/vfio/vfio
main open group $group0
main ioctl group 0x3b68 [00*4 @0=fd:container]
main ioctl container 0x3b66 =3
main mem ram 0x10000
main ioctl container 0x3b71 [20000000,03000000,00*8,0000010000000000,0000010000000000 @8=&ram+0x0]
main ioctl container 0x3b71 [20000000,03000000,00*8,0000010000000000,0000010000000000 @8=&ram+0x0]
`;
const OBSERVED = ['0 3 0', '1 4 0', '2 0 0', '3 0 0', '4 0 0', '5 0 0', '6 -1 17'];
const GREETING = 'vfio-conform-helper 1 0123456789abcdef 6.1.0-9 4096 7';
const told = (observed: readonly string[], ...end: readonly string[]): string =>
  [...observed, ...end].map((line) => `${line}\n`).join('');

const FILES: Readonly<Record<string, string>> = {
  'program.txt': PROGRAM,
  'right.txt': told(OBSERVED),
  'helper.txt': told(['begin 0', ...OBSERVED], 'end 0 1234 done'),
  'mapped.txt': told([...OBSERVED.slice(0, -1), '6 0 0']),
  'two-ways.txt': told([...OBSERVED.slice(0, 5), '5 -1 12', '6 -1 5']),
  'splat.txt': told(['begin 0', ...OBSERVED, 'log 4,1,2,-;BUG: KASAN: use-after-free in x'], 'end 0 1234 done'),
  'splat.log': '4,1,2,-;BUG: KASAN: use-after-free in x\n',
  'cut.txt': told(['begin 0', ...OBSERVED.slice(0, 4)]),
  'cut-wrong.txt': told(['begin 0', ...OBSERVED.slice(0, 5), '5 -1 5']),
  'refused.txt': told(['error 0 3 no such operation']),
  'two.txt': told(['begin 0', ...OBSERVED], 'end 0 1234 done', 'begin 1'),
  'other.txt': told([GREETING, 'begin 0', ...OBSERVED], 'end 0 1234 done'),
  'noise.txt': 'Last login: yesterday\n',
  'bad-program.txt': 'main open container /dev/vfio/vfio\nmain sing\n',
};

describe('vfio-conform judge', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-judge-'));
    for (const [name, text] of Object.entries(FILES)) await writeFile(join(folder, name), text);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const conform = (...args: readonly string[]) =>
    execa('node', [BIN, ...args], { reject: false, stdin: 'ignore', cwd: folder });

  const cases: readonly [what: string, args: readonly string[], exitCode: number, stdout: RegExp, stderr: RegExp][] = [
    ['what is allowed', ['right.txt'], EXIT.conforms, /^conforms: every call did what linux-6\.1 allows$/, /^$/],
    ['what a helper printed', ['helper.txt'], EXIT.conforms, /^conforms: /, /^$/],
    [
      'what no clause allows',
      ['mapped.txt'],
      EXIT.diverges,
      /^diverges: [\s\S]*expected\s+EEXIST,\s+observed\s+0\n\n {2}clause {4}map\/overlap: [\s\S]*\n {2}source {4}[\s\S]*\n {2}observed {2}0$/,
      /^$/,
    ],
    ['another errno', ['two-ways.txt'], EXIT.diverges, /observed {2}ENOMEM/, /^$/],
    ['a splat', ['splat.txt'], EXIT.diverges, /^damaged: the kernel log shows damage: .*KASAN/, /^$/],
    ['a splat in a log of its own', ['right.txt', '--log', 'splat.log'], EXIT.diverges, /^damaged: /, /^$/],
    ['answers that stop', ['cut.txt'], EXIT.hostTrouble, /^host-lost: what was answered stops before its end$/, /^$/],
    ['answers that stop behind a finding', ['cut-wrong.txt'], EXIT.diverges, /^diverges: /, /^$/],
    [
      'a program that was refused',
      ['refused.txt'],
      EXIT.usage,
      /^$/,
      /: refused\.txt: the helper refused the program: /,
    ],
    ['two programs', ['two.txt'], EXIT.usage, /^$/, /: two\.txt:10: expected nothing behind end: one program$/],
    ['another helper', ['other.txt'], EXIT.hostTrouble, /^$/, /: the helper was built from other operations /],
    ['noise', ['noise.txt'], EXIT.usage, /^$/, /: noise\.txt:1: expected begin, an observation, /],
    ['a folder', ['.'], EXIT.usage, /^$/, /: \. is no file: expected what was answered, as text$/],
    ['three files', ['right.txt', 'cut.txt'], EXIT.usage, /^$/, /: judge takes a program and what was answered, /],
  ];
  for (const [what, args, exitCode, stdout, stderr] of cases) {
    it(`tells of ${what}`, async () => {
      const done = await conform('judge', 'program.txt', ...args);
      expect(done.exitCode, done.stderr).to.equal(exitCode);
      expect(done.stdout).to.match(stdout);
      expect(done.stderr).to.match(stderr);
    });
  }

  it('names the line of a program that is none', async () => {
    const { exitCode, stderr } = await conform('judge', 'bad-program.txt');
    expect([exitCode, stderr]).to.deep.equal([EXIT.usage, stderr.split('\n')[0]]);
    expect(stderr).to.match(/: bad-program\.txt:2: /);
  });

  it('says what a revision allows of each call, and why', async () => {
    const { exitCode, stdout } = await conform('judge', 'program.txt', '--json');
    expect(exitCode).to.equal(EXIT.conforms);
    const { revision, calls } = JSON.parse(stdout);
    expect(revision).to.equal('linux-6.1');
    expect(
      calls.map(({ outcomes }: { outcomes: { text: string }[] }) => outcomes.map(({ text }) => text)),
    ).to.deep.equal([['a value of at least 0'], ['a value of at least 0'], ['0'], ['0'], ['0'], ['0'], ['EEXIST']]);
    expect(calls[6].outcomes[0].clauses[0].id).to.equal('map/overlap');
  });

  it('runs a program of somebody in place of the suites', async () => {
    const { exitCode } = await conform('run', '--program', 'program.txt', '--host', 'none', '--report', 'report');
    expect(exitCode).to.equal(EXIT.conforms);
    const { cases: run } = JSON.parse(await readFile(join(folder, 'report', 'results.json'), 'utf8'));
    expect(run.map(({ id, verdict }: { id: string; verdict: string }) => [id, verdict])).to.deep.equal([
      ['program/given: program.txt', 'conforms'],
    ]);
  });
});
