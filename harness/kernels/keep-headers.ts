/** What of a kernel's sources, and of what was made of them, modules are built with later. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { exists } from './cache.ts';
import type { KernelHeaders } from './headers.ts';

/** Two folders: the sources of a kernel, and what was built of them (O=). */
export interface BuiltTree {
  readonly source: string;
  readonly output: string;
}

const OF_SOURCE = ['Makefile', 'arch/x86/Makefile', 'arch/x86/include', 'include', 'scripts'];
const OF_OUTPUT = ['.config', 'arch/x86/include', 'include', 'scripts', 'tools/objtool/objtool'];

/** Copies what modules need to a folder that may be moved then: 70 MB of the 3 GB that a build takes. */
export const keepHeaders = async ({ source, output }: BuiltTree, folder: string): Promise<void> => {
  const [kept, build] = [join(folder, 'source'), join(folder, 'build')];
  for (const path of OF_SOURCE) await copy(join(source, path), join(kept, path));
  for (const path of OF_OUTPUT) await copy(join(output, path), join(build, path));
  await cp(join(output, 'vmlinux.symvers'), join(build, 'Module.symvers'));
  await writeFile(join(build, 'Makefile'), 'KBUILD_OUTPUT = $(CURDIR)\ninclude $(CURDIR)/../source/Makefile\n');
};

const copy = async (from: string, to: string): Promise<void> => {
  await mkdir(join(to, '..'), { recursive: true });
  await cp(from, to, { recursive: true, filter: (path) => !isLeftOut(path) });
};

/** Descriptions of other machines' hardware, and what only the build of the kernel itself made. */
const isLeftOut = (path: string): boolean =>
  /\/include\/dt-bindings$|\.(o|cmd|c)$/.test(path) && !/\/scripts\/.*\.c$/.test(path);

/** What was kept in a kernel's folder in the cache, if it was built when this was kept already. */
export const keptHeaders = async (folder: string, release: string): Promise<KernelHeaders | undefined> => {
  const build = join(folder, 'headers/build');
  if (!(await exists(build))) return undefined;
  // Nothing has to be brought: it was configured with all that test modules use.
  return { build, release, version: basename(folder), sources: join(folder, 'headers/sources') };
};
