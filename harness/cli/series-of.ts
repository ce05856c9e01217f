import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import type { PatchFile } from '../export/kcidb.ts';
import { kernelNamed } from '../kernels/choice.ts';
import { patchFiles } from '../kernels/patches.ts';

/**
 * The files of the series that a run's kernel was built with, by the options that it was given; none for a kernel as it is.
 * Throws UsageTrouble when they are not there any more: without them the checkout would be another one.
 */
export const seriesOf = async (runArguments: readonly string[]): Promise<readonly PatchFile[]> => {
  const { values } = parseArgs({
    args: [...runArguments],
    options: { patches: { type: 'string' }, kernel: { type: 'string' } },
    strict: false,
  });
  const path = typeof values.patches === 'string' ? values.patches : await patchesOfKernel(values.kernel);
  if (path === undefined) return [];
  return Promise.all((await patchFiles(path)).map(hashed));
};

const patchesOfKernel = async (name: unknown): Promise<string | undefined> =>
  typeof name === 'string' && name.includes('/') && !/^\.{0,2}\//.test(name)
    ? (await kernelNamed(name)).patches
    : undefined;

const hashed = async (path: string): Promise<PatchFile> => ({
  name: basename(path),
  sha256: createHash('sha256')
    .update(await readFile(path))
    .digest('hex'),
});
