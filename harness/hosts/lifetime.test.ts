import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { childrenOf, isRunning, until, vmInputs } from './testing.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** What a test started and that may still run if it failed. */
const started: ChildProcess[] = [];

/** A node process that runs this script; what it prints, and how it ends. */
const startScript = (script: string) => {
  const words = ['--import', 'tsx', '--input-type=module', '--eval', script];
  const child = spawn(process.execPath, words, { cwd: HERE, stdio: ['ignore', 'pipe', 'ignore'] });
  started.push(child);
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const end = new Promise<string>((resolve) => {
    child.on('close', (code, signal) => resolve(`${signal ?? code}`));
  });
  return { child, printed: () => printed, end };
};

describe('hosts/lifetime', () => {
  let folder = '';
  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL');
  });
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  after(() => rm(folder, { recursive: true }));

  const LIFETIME = `import { appendFileSync } from 'node:fs';
    import { endWithProcess } from './lifetime.ts';`;

  /** What the endings wrote, and how the process ended, when it runs this script and is then sent these signals. */
  const whatEnds = async (script: string, signal?: NodeJS.Signals): Promise<readonly [string, string]> => {
    const file = join(folder, 'endings');
    await rm(file, { force: true });
    const say = (text: string): string => `endWithProcess(() => appendFileSync(${JSON.stringify(file)}, '${text} '));`;
    const { child, printed, end } = startScript(`${LIFETIME} ${say('first')} ${say('second')} ${script}`);
    if (signal !== undefined) {
      await until(() => printed().includes('started'));
      child.kill(signal);
    }
    const how = await end;
    return [existsSync(file) ? (await readFile(file, 'utf8')).trim() : '', how];
  };

  const WAIT = `console.log('started'); setInterval(() => {}, 1000);`;
  const ends: readonly [what: string, script: string, signal: NodeJS.Signals | undefined, how: string][] = [
    ['returns', '', undefined, '0'],
    ['leaves', 'process.exit(3);', undefined, '3'],
    ['has an error that nobody expected', `throw new Error('unexpected');`, undefined, '1'],
    ['is interrupted', WAIT, 'SIGINT', '130'],
    ['is told to end', WAIT, 'SIGTERM', '143'],
    ['loses its terminal', WAIT, 'SIGHUP', '129'],
    [
      'is interrupted while another program runs for it',
      `import { execa } from 'execa'; void execa('sleep', ['1000'], { reject: false }); ${WAIT}`,
      'SIGINT',
      '130',
    ],
    [
      'is interrupted and has something to finish',
      `process.on('SIGINT', () => setTimeout(() => process.exit(9), 10)); ${WAIT}`,
      'SIGINT',
      '9',
    ],
  ];
  for (const [what, script, signal, how] of ends) {
    it(`ends everything once when the process ${what}`, async () => {
      expect(await whatEnds(script, signal)).to.deep.equal(['first second', how]);
    });
  }

  it('ends the others when one ending fails, and none that was taken off the list', async () => {
    const script = `const forget = endWithProcess(() => { console.log('forgotten'); }); forget();
      endWithProcess(() => { throw new Error('fails'); });
      endWithProcess(() => { console.log('last'); });`;
    const { printed, end } = startScript(`${LIFETIME} ${script}`);
    expect(await end).to.equal('0');
    expect(printed()).to.equal('last\n');
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    it(`leaves no QEMU behind after ${signal}`, async () => {
      await vmInputs();
      const { child, end } = startScript(`
        import { startGuest } from './qemu.ts';
        import { bareGuest, vmInputs } from './testing.ts';
        await startGuest({ ...(await bareGuest((await vmInputs()).kernel)), commandLine: 'rdinit=/bin/cat' });`);
      const pid = child.pid ?? 0;
      await until(() => childrenOf(pid, 'qemu-system-x86_64').length > 0);
      const [qemu = 0] = childrenOf(pid, 'qemu-system-x86_64');
      expect(isRunning(qemu)).to.equal(true);
      child.kill(signal);
      await end;
      await until(() => !isRunning(qemu));
    });
  }
});
