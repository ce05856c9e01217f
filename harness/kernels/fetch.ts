import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HostTrouble } from '../trouble.ts';
import type { AptView, ArchivedPackage } from './apt.ts';
import { exists, makeFolder, withLock } from './cache.ts';
import { type CompiledKernel, compileKernel, compilerLine, configurationOf, recompileKernel } from './compile.ts';
import { choosePackages, type FetchOptions, pinned, unpackPackages } from './debs.ts';
import type { KernelHeaders } from './headers.ts';
import { type BuiltTree, keepHeaders, keptHeaders } from './keep-headers.ts';
import type { KernelManifest } from './manifest.ts';
import { moduleName, modulesToLoad, readModule } from './modules.ts';
import type { Patch } from './patches.ts';
import { extractVmlinux } from './vmlinux.ts';

/** A kernel that can be booted, in the cache. Paths are absolute. */
export interface Kernel {
  /** Its manifest's name: `6.1`. */
  readonly name: string;
  /** What `uname -r` says on it. */
  readonly release: string;
  /** What QEMU is given: the kernel proper where it has a PVH entry, otherwise the bzImage. */
  readonly image: string;
  /** What modules for it are built with, where it was built from source; absent when it was built before that was kept. */
  readonly headers?: KernelHeaders;
  /** Unpacked modules, in the order in which they are loaded. */
  readonly modules: readonly { readonly name: string; readonly path: string }[];
  /** Further ones, which a guest may need and others do not load; those that they depend on are among the modules. */
  readonly further?: readonly { readonly name: string; readonly path: string }[];
  /** Where its configuration is, as `CONFIG_A=y` lines; absent when it is not known. */
  readonly config?: string;
  readonly commandLine: string;
  /** Memory that a guest needs, in MiB; absent: as any other. */
  readonly memoryMiB?: number;
  /** Where it comes from, for reports: `linux-image-6.1.0-56-amd64 6.1.192-2`. */
  readonly packages: readonly string[];
  /** What the user should know: that another package than the pinned one was taken. */
  readonly notes: readonly string[];
  /** Where it counts which lines run; absent: nowhere. */
  readonly counted?: CountedSources;
}

/** The folders of a kernel's sources that it counts in, and what tells how to read its counts. */
export interface CountedSources {
  /** In the cache: below it, as in the kernel's tree, sources and compiler's notes (.gcno). An absolute path. */
  readonly folder: string;
  /** Relative to it: `drivers/vfio`. */
  readonly folders: readonly string[];
}

/** What is written beside a kernel's files. */
const recordSchema = z.strictObject({
  release: z.string(),
  image: z.string(),
  modules: z.array(z.string()),
  further: z.array(z.string()).default([]),
});

export interface KernelOptions extends FetchOptions {
  /** What is applied to the sources of a kernel that is built; no other is changed by them. */
  readonly patches?: readonly Patch[];
}

/**
 * The kernel of a manifest: from the cache, or from Debian's archive without installing anything. Safe when two runs do
 * it at once. Throws HostTrouble when the archive refuses, or the package is not what was expected; UsageTrouble for
 * patches that do not apply or compile.
 */
export const fetchKernel = async (manifest: KernelManifest, options: KernelOptions): Promise<Kernel> => {
  const { cache, patches = [] } = options;
  const pins = pinned(manifest.packages);
  const kernels = join(cache, 'kernels');
  const recipe = await recipeOf(manifest, patches);
  const folderOf = (packages: readonly ArchivedPackage[]): string => join(kernels, keyOf(manifest, packages, recipe));
  if (await exists(folderOf(pins))) return readKernel(manifest, folderOf(pins), pins);
  return withLock(
    kernels,
    manifest.name,
    async () => {
      if (await exists(folderOf(pins))) return readKernel(manifest, folderOf(pins), pins);
      const { view, packages } = await choosePackages(manifest, manifest.packages, options);
      const folder = folderOf(packages);
      const chosen = { manifest, view, packages };
      const isPatched = manifest.config !== undefined && patches.length > 0;
      if (!(await exists(folder)))
        await makeFolder(folder, (unfinished) =>
          isPatched ? fillPatched(unfinished, chosen, cache, patches) : fill(unfinished, chosen),
        );
      return readKernel(manifest, folder, packages);
    },
    manifest.config === undefined ? undefined : BUILD_WAIT_MS,
  );
};

/** As long as a run waits for another that builds the same kernel. */
const BUILD_WAIT_MS = 7_200_000;

/** Whether a kernel's pinned packages are in the cache already, built where they have to be. */
export const isCached = async (manifest: KernelManifest, cache: string, patches?: readonly Patch[]): Promise<boolean> =>
  exists(join(cache, 'kernels', keyOf(manifest, pinned(manifest.packages), await recipeOf(manifest, patches))));

/** What else decides what comes out where a kernel is built. */
const recipeOf = async (manifest: KernelManifest, patches: readonly Patch[] = []): Promise<readonly string[]> =>
  manifest.config === undefined
    ? []
    : [
        ...[await configurationOf(manifest), ...countedForm(manifest), await compilerLine()],
        ...patches.flatMap(({ name, text }) => [name, text]),
      ];

/** What is kept beside a kernel that counts has a form of its own. */
const countedForm = ({ counted }: KernelManifest): readonly string[] =>
  counted === undefined ? [] : ['counted, form 1', ...counted];

/** Everything that decides what a kernel's folder holds, and this code's own idea of it. */
const keyOf = (manifest: KernelManifest, packages: readonly ArchivedPackage[], recipe: readonly string[]): string => {
  // That of packages changed when their configuration came to be kept, too; that of built ones when what modules need did.
  const form = recipe.length === 0 ? 'form 2' : 'form 3';
  const parts = [form, packages.map(({ sha256 }) => sha256), manifest.modules, ...recipe];
  const key = JSON.stringify(manifest.further.length === 0 ? parts : [...parts, { further: manifest.further }]);
  return `${manifest.name}-${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
};

const readKernel = async (
  manifest: KernelManifest,
  folder: string,
  packages: readonly ArchivedPackage[],
): Promise<Kernel> => {
  const text = await readFile(join(folder, 'kernel.json'), 'utf8').catch(() => '{}');
  const record = recordSchema.safeParse(JSON.parse(text));
  if (!record.success) throw new HostTrouble(`${folder} is not a kernel's folder: remove it and try again`);
  const { release, image, modules, further } = record.data;
  const fileOf = (name: string) => ({ name, path: join(folder, `${name}.ko`) });
  const config = join(folder, 'config');
  const pins = manifest.packages.map(({ pin }) => pin);
  const headers = await keptHeaders(folder, release);
  return {
    name: manifest.name,
    release,
    ...(headers === undefined ? {} : { headers }),
    image: join(folder, image),
    modules: modules.map(fileOf),
    further: further.map(fileOf),
    ...((await exists(config)) ? { config } : {}),
    commandLine: manifest.commandLine,
    ...(manifest.memoryMiB === undefined ? {} : { memoryMiB: manifest.memoryMiB }),
    ...(manifest.counted === undefined
      ? {}
      : { counted: { folder: join(folder, COUNTED), folders: manifest.counted } }),
    packages: packages.map(({ name, version }) => `${name} ${version}`),
    notes: packages.flatMap(({ name, version, sha256 }, index) => {
      const pin = pins[index];
      if (pin === undefined || pin.sha256 === sha256) return [];
      return [`the archive no longer has ${pin.package} ${pin.version}; ${name} ${version} is used instead`];
    }),
  };
};

/** A kernel's packages, and where they are taken from. */
interface Chosen {
  readonly manifest: KernelManifest;
  readonly view: AptView;
  readonly packages: readonly ArchivedPackage[];
}

const fill = async (folder: string, { manifest, view, packages }: Chosen): Promise<void> => {
  const root = join(folder, 'root');
  await unpackPackages(view, packages, root);
  const work = join(folder, 'work');
  if (manifest.config === undefined) await keepWhatIsNeeded(folder, root, manifest);
  else await keepAll(folder, manifest, await compileKernel(manifest, root, work));
  for (const unneeded of [root, work]) await rm(unneeded, { recursive: true, force: true });
};

/** Most of a kernel is the same with every patch: the tree that it was built in without one is kept. */
const fillPatched = async (folder: string, chosen: Chosen, cache: string, patches: readonly Patch[]): Promise<void> => {
  const { manifest, view, packages } = chosen;
  const tree = join(cache, 'compiled', keyOf(manifest, packages, await recipeOf(manifest)));
  if (!(await exists(tree))) {
    await makeFolder(tree, async (unfinished) => {
      const root = join(unfinished, 'root');
      await unpackPackages(view, packages, root);
      await compileKernel(manifest, root, unfinished);
      await rm(root, { recursive: true });
    });
  }
  const work = join(folder, 'work');
  await keepAll(folder, manifest, await recompileKernel(manifest, tree, work, patches));
  await rm(work, { recursive: true });
};

/** Keeps of a kernel that was built what a guest needs, and what its counts are read with. */
const keepAll = async (folder: string, manifest: KernelManifest, compiled: CompiledKernel): Promise<void> => {
  await keepWhatWasBuilt(folder, compiled);
  for (const name of manifest.counted ?? []) await keepWhatIsCounted(folder, name, compiled.tree);
};

/** A package is 400 MB when unpacked; a guest needs the image and a few modules. */
const keepWhatIsNeeded = async (folder: string, root: string, manifest: KernelManifest): Promise<void> => {
  const { modules, release } = await findModules(root);
  const always = (await modulesToLoad(modules, manifest.modules)).map(moduleName);
  const files = await modulesToLoad(modules, [...manifest.modules, ...manifest.further]);
  for (const file of files) await writeFile(join(folder, `${moduleName(file)}.ko`), await readModule(file));
  const config = await firstOf([join(root, 'boot', `config-${release}`), join(modules, 'config')]);
  if (config !== undefined) await copyFile(config, join(folder, 'config'));
  const image = await keepImage(folder, await findImage(root, modules, release));
  const further = files.map(moduleName).filter((name) => !always.includes(name));
  await keepRecord(folder, { release, image, modules: always, further });
};

/** What was built has no modules: all is in the image. */
const keepWhatWasBuilt = async (
  folder: string,
  { vmlinux, release, configuration, tree }: CompiledKernel,
): Promise<void> => {
  await copyFile(vmlinux, join(folder, 'vmlinux'));
  await writeFile(join(folder, 'config'), configuration);
  await keepHeaders(tree, join(folder, 'headers'));
  await keepRecord(folder, { release, image: 'vmlinux', modules: [], further: [] });
};

/** Where sources and notes of what is counted are kept in a kernel's folder. */
const COUNTED = 'counted';

/** Keeps what counts of one folder of the sources are read with. Throws HostTrouble when nothing is counted there. */
const keepWhatIsCounted = async (folder: string, name: string, { source, output }: BuiltTree): Promise<void> => {
  const to = join(folder, COUNTED, name);
  await mkdir(to, { recursive: true });
  const notes = (await readdir(join(output, name))).filter((file) => file.endsWith('.gcno'));
  if (notes.length === 0) throw new HostTrouble(`the compiler counts nothing in ${name}: correct the configuration`);
  for (const file of notes) await copyFile(join(output, name, file), join(to, file));
  const sources = (await readdir(join(source, name))).filter((file) => /\.[ch]$/.test(file));
  for (const file of sources) await copyFile(join(source, name, file), join(to, file));
};

/** Keeps the kernel proper, where it can be booted without its wrapping; returns its name. */
const keepImage = async (folder: string, bzImage: string): Promise<string> => {
  const vmlinux = await extractVmlinux(await readFile(bzImage));
  const image = vmlinux === undefined ? 'vmlinuz' : 'vmlinux';
  if (vmlinux === undefined) await copyFile(bzImage, join(folder, image));
  else await writeFile(join(folder, image), vmlinux);
  return image;
};

const keepRecord = (folder: string, record: z.infer<typeof recordSchema>): Promise<void> =>
  writeFile(join(folder, 'kernel.json'), `${JSON.stringify(record, undefined, 2)}\n`);

const findModules = async (root: string): Promise<{ readonly modules: string; readonly release: string }> => {
  for (const folder of ['lib/modules', 'usr/lib/modules']) {
    const [release] = await readdir(join(root, folder)).catch(() => []);
    if (release !== undefined) return { modules: join(root, folder, release), release };
  }
  throw new HostTrouble('the kernel package holds no modules: correct the packages of its manifest');
};

/** Newer packages keep the image beside the modules. */
const findImage = async (root: string, modules: string, release: string): Promise<string> => {
  const image = await firstOf([join(root, 'boot', `vmlinuz-${release}`), join(modules, 'vmlinuz')]);
  if (image !== undefined) return image;
  throw new HostTrouble('the kernel package holds no kernel image: correct the packages of its manifest');
};

/** The first of some paths that is there. */
const firstOf = async (paths: readonly string[]): Promise<string | undefined> => {
  for (const path of paths) if (await exists(path)) return path;
  return undefined;
};
