import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HostTrouble } from '../trouble.ts';
import { cacheFolder, exists, makeFolder, withLock, writeWhole } from './cache.ts';

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (cause: unknown) => cause,
  );

describe('kernels/cache', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is in the project unless the environment names a folder', () => {
    const before = process.env['VFIO_CONFORM_CACHE'];
    try {
      process.env['VFIO_CONFORM_CACHE'] = '/var/cache/elsewhere';
      expect(cacheFolder()).to.equal('/var/cache/elsewhere');
      delete process.env['VFIO_CONFORM_CACHE'];
      expect(cacheFolder()).to.match(/^\/.*\/\.cache\/vfio-conform$/);
    } finally {
      if (before !== undefined) process.env['VFIO_CONFORM_CACHE'] = before;
    }
  });

  it('makes a folder whole or not at all', async () => {
    const path = join(folder, 'kernel');
    const error = await failure(
      makeFolder(path, async (unfinished) => {
        await writeFile(join(unfinished, 'half'), '');
        expect(await exists(path)).to.equal(false);
        throw new Error('no space left');
      }),
    );
    expect(error).to.be.instanceOf(Error).with.property('message', 'no space left');
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('keeps the folder of a run that was faster', async () => {
    const path = join(folder, 'kernel');
    await makeFolder(path, async (slow) => {
      await writeFile(join(slow, 'who'), 'slow');
      await makeFolder(path, (fast) => writeFile(join(fast, 'who'), 'fast'));
    });
    expect(await readFile(join(path, 'who'), 'utf8')).to.equal('fast');
    expect(await readdir(folder)).to.deep.equal(['kernel']);
  });

  it('writes a file in the place of another', async () => {
    await writeWhole(join(folder, 'deep', 'file'), 'one');
    await writeWhole(join(folder, 'deep', 'file'), 'two');
    expect(await readFile(join(folder, 'deep', 'file'), 'utf8')).to.equal('two');
    expect(await readdir(join(folder, 'deep'))).to.deep.equal(['file']);
  });

  it('lets one work at a time', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside++;
      most = Math.max(most, inside);
      await readdir(folder);
      await readdir(folder);
      inside--;
    };
    await Promise.all(Array.from({ length: 5 }, () => withLock(folder, 'one', work)));
    expect(most).to.equal(1);
  });

  it('gives the result or the error of the work, and frees the lock', async () => {
    const error = new Error('not today');
    expect(await failure(withLock(folder, 'one', () => Promise.reject(error)))).to.equal(error);
    expect(await withLock(folder, 'one', async () => 7)).to.equal(7);
  });

  it('does not wait for ever, and says for what it waited', async () => {
    await withLock(folder, 'one', async () => {
      const error = await failure(withLock(folder, 'one', async () => expect.fail(), 1));
      expect(error).to.be.instanceOf(HostTrouble);
      expect(String(error)).to.match(/another run holds \/.*\/one.lock/);
    });
  });

  it('takes over from a run that was killed', async () => {
    const holder = spawn('flock', [join(folder, 'one.lock'), 'sh', '-c', 'echo held; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await new Promise((held) => holder.stdout.once('data', held));
    const waiting = withLock(folder, 'one', async () => 7);
    process.kill(Number((await childOf(holder.pid)).trim()), 'SIGKILL');
    expect(await waiting).to.equal(7);
  });
});

const childOf = (pid: number | undefined): Promise<string> => readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
