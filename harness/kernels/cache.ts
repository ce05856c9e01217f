/** The folder where kernels, images and the helper are kept between runs, and how two runs share it. */
import { randomBytes } from 'node:crypto';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { needProgram } from './requirements.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/** `.cache/vfio-conform` in the project, unless VFIO_CONFORM_CACHE names another folder. An absolute path. */
export const cacheFolder = (): string => resolve(PROJECT, process.env['VFIO_CONFORM_CACHE'] || '.cache/vfio-conform');

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/**
 * Makes a folder that is either whole or not there: `fill` works in one beside it, which is then given its name. If
 * another run was faster, its folder stays and ours is dropped.
 */
export const makeFolder = async (path: string, fill: (unfinished: string) => Promise<void>): Promise<void> => {
  const unfinished = besides(path);
  await mkdir(unfinished, { recursive: true });
  try {
    await fill(unfinished);
    await rename(unfinished, path).catch(async (cause: unknown) => {
      if (!(await exists(path))) throw cause;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
};

/** Writes a file that is either whole or not there. */
export const writeWhole = async (path: string, bytes: Uint8Array | string): Promise<void> => {
  const unfinished = besides(path);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(unfinished, bytes);
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
};

const besides = (path: string): string => `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;

/**
 * Runs `work` while no other process holds the lock of that name. The lock is flock's, so it is gone with its holder
 * however that ends. Throws HostTrouble when it is not free within `waitMs`.
 */
export const withLock = async <Result>(
  folder: string,
  name: string,
  work: () => Promise<Result>,
  waitMs = 900_000,
): Promise<Result> => {
  const file = join(folder, `${name}.lock`);
  await mkdir(folder, { recursive: true });
  // `cat` stands for us: it answers once the lock is ours, and leaves when we close its input or are gone.
  const holder = execa(await needProgram('flock'), ['--timeout', `${Math.ceil(waitMs / 1000)}`, file, 'cat'], {
    stdin: 'pipe',
    reject: false,
    buffer: false,
  });
  try {
    holder.stdin.write('held\n');
    const held = await Promise.race([
      new Promise<true>((answer) => holder.stdout.once('data', () => answer(true))),
      holder.then(() => false as const),
    ]);
    if (!held)
      throw new HostTrouble(`another run holds ${file} for longer than ${waitMs / 1000} s: wait for it, or end it`);
    return await work();
  } finally {
    holder.stdin.end();
    await holder;
  }
};
