import { chmod, copyFile, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { OPS_HASH } from '../program/ops.ts';
import { skipBecause } from '../testing.ts';
import { converse, frameOf, helperOrSkip, IS_ROOT } from './testing.ts';

const withoutTimes = (lines: readonly string[]): readonly string[] =>
  lines.map((line) => line.replace(/^end (\d+) \d+ /, 'end $1 TIME '));

/** How many processes run a binary, the deleted ones included. */
const processesOf = async (binary: string): Promise<number> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const binaries = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/exe`).catch(() => '')));
  return binaries.filter((one) => one === binary).length;
};

/** Asks again and again until it is so. */
const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  for (let asked = 0; !(await isSo()); asked++) {
    if (asked > 5000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

describe('helper: conversation', () => {
  let path = '';
  let folder = '';
  /** The helper under a path of its own, so that its processes can be told from those of other tests. */
  let own = '';
  before(async function () {
    path = await helperOrSkip(this);
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-'));
    own = join(folder, 'helper');
    await copyFile(path, own);
    await chmod(own, 0o755);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('greets', async () => {
    const { stdout } = await execa(path, ['--version']);
    const release = (await execa('uname', ['-r'])).stdout;
    const [name, version, hash, kernel, page, pid, ...more] = stdout.split(' ');
    expect([name, version, hash, kernel, page]).to.deep.equal(['vfio-conform-helper', '1', OPS_HASH, release, '4096']);
    expect(Number(pid)).to.be.greaterThan(0);
    expect(more).to.deep.equal([]);
  });

  it('runs programs that were sent ahead, in their order, each on a clean slate', async () => {
    const programs = [0, 1, 2].map((id) => frameOf(id, 'main memfd f 8\nmain mem m 16\nmain pwrite f 0 ff\n'));
    const { lines, exitCode } = await converse(path, `${programs.join('')}${frameOf(3, '')}bye\n`);
    const each = (id: number): string[] => [`begin ${id}`, '0 3 0', '1 0 0', '2 1 0', `end ${id} TIME done`];
    expect(withoutTimes(lines)).to.deep.equal([...each(0), ...each(1), ...each(2), 'begin 3', 'end 3 TIME done']);
    expect(exitCode).to.equal(0);
  });

  it('goes on after a program that it refused', async () => {
    const { lines } = await converse(path, `${frameOf(4, 'main fds\nmain dance\n')}${frameOf(5, 'main fds')}bye\n`);
    expect(withoutTimes(lines)).to.deep.equal([
      'error 4 2 expected an operation of ops.def, found "dance"',
      'begin 5',
      '0 0 0',
      'end 5 TIME done',
    ]);
  });

  it('runs one program from standard input', async () => {
    const program = 'main mem m 8\nmain peek m 0 8';
    const { stdout } = await execa(path, ['run'], { input: program });
    expect(withoutTimes(stdout.split('\n').filter((line) => !line.startsWith('log')))).to.deep.equal([
      'begin 0',
      '0 0 0',
      '1 0 0',
      'end 0 TIME done',
    ]);
    const slow = await execa(path, ['run', '400', '60000'], { input: 'main mem m 8\nmain await m 0 1 1 1 3600000\n' });
    expect(slow.stdout).to.contain('\n1 !timeout step deadline of 400 ms\n');
    const refused = await execa(path, ['run'], { input: 'nobody fds', reject: false });
    expect([refused.stdout.startsWith('error 0 1 expected'), refused.exitCode]).to.deep.equal([true, 1]);
  });

  describe('answers a frame that it does not understand, and leaves', () => {
    const run = 'error - 0 expected run ID BYTES STEP_MS PROGRAM_MS, within their bounds';
    const frames: readonly [what: string, input: string | Uint8Array, answer: string][] = [
      ['another word', 'walk 1 2 3 4\n', 'error - 0 expected run or bye'],
      ['an empty line', '\n', 'error - 0 expected run or bye'],
      ['bytes', Uint8Array.of(0, 255, 10, 1), 'error - 0 expected run or bye'],
      [
        'a first line that does not end',
        'run '.padEnd(4096, '1'),
        "error - 0 expected a frame's first line to end within 128 bytes",
      ],
      ['a field too few', 'run 1 2 3\n', run],
      ['a field too many', 'run 1 0 3 4 5\n', run],
      ['two blanks', 'run 1  0 3 4\n', run],
      ['a blank at the end', 'run 1 0 3 4 \n', run],
      ['a number that is none', 'run 1 0x0 3 4\n', run],
      ['a negative number', 'run 1 -1 3 4\n', run],
      ['a number beyond 64 bits', 'run 99999999999999999999999999 0 3 4\n', run],
      ['more text than may be', 'run 1 8388609 3 4\n', run],
      ['no time for a step', 'run 1 0 0 4\n', run],
      ['too much time for a step', 'run 1 0 600001 4\n', run],
      ['too much time for a program', 'run 1 0 3 3600001\n', run],
      ['a farewell with more', 'bye bye\n', 'error - 0 expected run or bye'],
      ['input that ends in a frame', 'run 1 10 100 100\nmain', 'error - 0 the input ended within a frame'],
    ];
    for (const [what, input, answer] of frames) {
      it(what, async () => {
        const { lines, exitCode } = await converse(path, input);
        expect(lines).to.deep.equal([answer]);
        expect(exitCode).to.equal(65);
      });
    }

    it('after programs that it did', async () => {
      const { lines } = await converse(path, `${frameOf(1, 'main fds')}nonsense\n`);
      expect(withoutTimes(lines)).to.deep.equal([
        'begin 1',
        '0 0 0',
        'end 1 TIME done',
        'error - 0 expected run or bye',
      ]);
    });
  });

  it('leaves without a word when nothing was asked', async () => {
    expect(await converse(path, '')).to.deep.equal({ lines: [], log: [], exitCode: 0 });
    expect(await converse(path, 'bye\n')).to.deep.equal({ lines: [], log: [], exitCode: 0 });
  });

  describe('leaves nothing behind', () => {
    /** Actors with parents that are gone, of another image, and one that hangs. */
    const program = frameOf(
      1,
      [
        'main mem m 16',
        'main spawn a',
        'a spawn b',
        'main kill a',
        'b exec',
        'b spawn c',
        ...(IS_ROOT ? ['c user 65534'] : ['c fds']),
        'main await m 0 4 1 1 3600000',
      ].join('\n'),
    );

    /** The helper in the midst of the program, which is known by what it said. */
    const inMidProgram = async () => {
      const child = execa(own, [], { stdin: 'pipe', reject: false });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += String(chunk);
      });
      child.stdin.write(program);
      await until(() => said.includes('\n6 0 0\n'));
      expect(await processesOf(own)).to.equal(5);
      // A child process is awaited when it is returned as it is.
      return { child };
    };

    it('when it is killed', async () => {
      const { child } = await inMidProgram();
      child.kill('SIGKILL');
      await child;
      await until(async () => (await processesOf(own)) === 0);
    });

    it('when its input ends', async () => {
      const { child } = await inMidProgram();
      child.stdin.end();
      const { stdout } = await child;
      expect(stdout).not.to.contain('end 1');
      await until(async () => (await processesOf(own)) === 0);
    });

    it('when nobody listens any more', async () => {
      const { child } = await inMidProgram();
      child.stdout.destroy();
      child.stdin.end('bye\n');
      child.kill('SIGTERM');
      await child;
      await until(async () => (await processesOf(own)) === 0);
    });

    it('when its program ends', async () => {
      await converse(own, `${frameOf(1, 'main spawn a\na spawn b\nb exec\nmain exit 0')}bye\n`);
      await until(async () => (await processesOf(own)) === 0);
    });
  });

  it('ends what was sent before it is told goodbye', async () => {
    const { lines } = await converse(path, `${frameOf(1, 'main mem m 8\nmain await m 0 1 1 1 80')}bye\n`);
    expect(withoutTimes(lines)).to.deep.equal(['begin 1', '0 0 0', '1 -1 110', 'end 1 TIME done']);
  });

  it('reports what was added to the kernel log meanwhile, once', async function () {
    const mark = `vfio-conform test ${process.pid}`;
    const isOpen = await writeFile('/dev/kmsg', `<6>${mark} before\n`).then(
      () => true,
      () => false,
    );
    if (!isOpen) skipBecause(this, 'the kernel log cannot be written here (that takes root)');
    const hex = Buffer.from(`<6>${mark} \\ tab\there\n`).toString('hex');
    const shout = frameOf(1, `main open k /dev/kmsg flags=w\nmain pwrite k 0 ${hex}`);
    const { log } = await converse(path, `${shout}${frameOf(2, 'main fds')}bye\n`);
    const ours = log.filter((line) => line.includes(mark));
    expect(ours).to.have.length(1);
    // The kernel escapes what is not printable, and so does the helper.
    expect(ours[0]).to.match(/^log 14,\d+,\d+,[^;]*;vfio-conform test \d+ \\x5cx5c tab(\\x5cx09|\\x09)here$/);
  });

  it('bounds what it says of the kernel log', async function () {
    const hex = Buffer.from(`<7>vfio-conform ${'x'.repeat(900)}\n`).toString('hex');
    const program = ['main open k /dev/kmsg flags=w', 'repeat 250', `main pwrite k 0 ${hex}`, 'end'].join('\n');
    const { lines, log } = await converse(path, `${frameOf(1, program)}bye\n`);
    if (lines[1] !== '0 3 0') skipBecause(this, 'the kernel log cannot be written here (that takes root)');
    expect(log.length).to.be.within(1, 200);
    expect(log.every((line) => line.length <= 1000 + 'log '.length)).to.equal(true);
  });

  it('refuses to run when others could have changed it', async () => {
    for (const mode of [0o775, 0o757]) {
      await chmod(own, mode);
      const { exitCode, stderr, stdout } = await execa(own, [], { input: '', reject: false });
      expect([exitCode, stdout]).to.deep.equal([77, '']);
      expect(stderr).to.contain('can be written by others');
    }
    await chmod(own, 0o755);
  });

  it('says how it is used', async () => {
    for (const args of [['walk'], ['run', '5'], ['run', '0', '5'], ['run', '5', '9999999'], ['--version', 'x']]) {
      const { exitCode, stderr } = await execa(path, args, { input: '', reject: false });
      expect([exitCode, stderr.startsWith('usage: vfio-conform-helper')]).to.deep.equal([64, true]);
    }
    expect((await execa(path, ['actor', '0', '0'], { input: '', reject: false })).exitCode).to.equal(64);
  });
});
