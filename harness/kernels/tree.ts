/** The part of the kernel's sources that VFIO's modules are built from, with patches applied. */
import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { exists, makeFolder } from './cache.ts';
import { applyPatch, isPassedOver, type Patch, touchedFiles } from './patches.ts';
import { needProgram } from './requirements.ts';
import type { Toolchain } from './toolchain.ts';

/** A patch, and the files of the tree that it changes. */
export interface TouchingPatch {
  readonly patch: Patch;
  readonly files: readonly string[];
}

/** Of the tarball, as patterns of tar. */
const UNPACKED = ['drivers/vfio', 'include/*vfio*', 'include/*iova_bitmap*'];

/** Finds out what each patch changes. Throws UsageTrouble for one that changes what no module of VFIO is made from. */
export const touchingPatches = async (patches: readonly Patch[]): Promise<readonly TouchingPatch[]> => {
  const touching: TouchingPatch[] = [];
  for (const patch of patches) {
    const files = (await touchedFiles(patch)).filter((file) => !isPassedOver(file));
    const other = files.find((file) => !/^(drivers\/vfio|include)\//.test(file));
    if (other !== undefined) {
      throw new UsageTrouble(
        `${patch.name} changes ${other}: expected changes of drivers/vfio and include only, which VFIO's modules are built from`,
      );
    }
    touching.push({ patch, files });
  }
  return touching;
};

/** Fills an empty folder with the patched sources. Unpacked sources are kept in `cacheDir`. */
export const makeTree = async (
  tree: string,
  toolchain: Toolchain,
  patches: readonly TouchingPatch[],
  cacheDir: string,
): Promise<void> => {
  await cp(await pristineTree(toolchain, cacheDir), tree, { recursive: true });
  for (const { patch, files } of patches) {
    for (const file of files) await addHeader(tree, toolchain, file);
    await applyPatch(tree, patch, toolchain.base);
  }
  await addShadowed(tree, toolchain);
};

const pristineTree = async (toolchain: Toolchain, cacheDir: string): Promise<string> => {
  const version = toolchain.sourceVersion.replaceAll(/[^\w.+-]/g, '-');
  const folder = join(cacheDir, 'sources', `${toolchain.base}-${version}`);
  if (!(await exists(folder))) await makeFolder(folder, (unfinished) => unpack(toolchain, unfinished));
  return folder;
};

const unpack = async ({ tarball, source }: Toolchain, folder: string): Promise<void> => {
  const members = UNPACKED.map((pattern) => `${source}/${pattern}`);
  const words = ['-x', '--xz', '-f', tarball, '-C', folder, '--strip-components=1', '--wildcards', ...members];
  const result = await execa(await needProgram('tar'), words, {
    reject: false,
    timeout: 600_000,
    env: { LC_ALL: 'C' },
  });
  if (result.exitCode === 0) return;
  const [reason] = (result.stderr || result.shortMessage || '').split('\n');
  throw new HostTrouble(`cannot unpack ${tarball}: ${reason} (is there space left, and is it whole?)`);
};

/** A header that a patch changes and that is not VFIO's own is taken from the headers package. */
const addHeader = async (tree: string, { include }: Toolchain, file: string): Promise<void> => {
  if (!file.startsWith('include/') || (await exists(join(tree, file)))) return;
  const original = join(include, file.slice('include/'.length));
  if (!(await exists(original))) return;
  await mkdir(dirname(join(tree, file)), { recursive: true });
  await cp(original, join(tree, file));
};

/**
 * The tree's include/uapi comes before the headers package's include. So where both a header for user space and one of
 * the kernel's own have a name, the tree has to have both, or the first would be taken for the second.
 */
const addShadowed = async (tree: string, toolchain: Toolchain): Promise<void> => {
  const uapi = join(tree, 'include', 'uapi');
  for (const name of await readdir(uapi, { recursive: true })) {
    if (name.endsWith('.h')) await addHeader(tree, toolchain, join('include', name));
  }
};
