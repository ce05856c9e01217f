import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { z } from 'zod';
import { HostTrouble } from '../trouble.ts';
import { type AptView, type ArchivedPackage, choosePackage, download, viewOfSuites } from './apt.ts';
import { exists, makeFolder, withLock } from './cache.ts';
import { type CompiledKernel, compileKernel, compilerLine, configurationOf, recompileKernel } from './compile.ts';
import type { KernelManifest } from './manifest.ts';
import { moduleName, modulesToLoad, readModule } from './modules.ts';
import type { Patch } from './patches.ts';
import { needProgram } from './requirements.ts';
import { extractVmlinux } from './vmlinux.ts';

/** A kernel that can be booted, in the cache. Paths are absolute. */
export interface Kernel {
  /** Its manifest's name: `6.1`. */
  readonly name: string;
  /** What `uname -r` says on it. */
  readonly release: string;
  /** What QEMU is given: the kernel proper where it has a PVH entry, otherwise the bzImage. */
  readonly image: string;
  /** Unpacked modules, in the order in which they are loaded. */
  readonly modules: readonly { readonly name: string; readonly path: string }[];
  readonly commandLine: string;
  /** Memory that a guest needs, in MiB; absent: as any other. */
  readonly memoryMiB?: number;
  /** Where it comes from, for reports: `linux-image-6.1.0-56-amd64 6.1.192-2`. */
  readonly packages: readonly string[];
  /** What the user should know: that another package than the pinned one was taken. */
  readonly notes: readonly string[];
}

export interface FetchOptions {
  readonly cache: string;
  /** Further options for every apt command. */
  readonly apt?: AptView;
  /** What is applied to the sources of a kernel that is built; no other is changed by them. */
  readonly patches?: readonly Patch[];
}

/** What is written beside a kernel's files. */
const recordSchema = z.strictObject({
  release: z.string(),
  image: z.string(),
  modules: z.array(z.string()),
});

/**
 * The kernel of a manifest: from the cache, or from Debian's archive without installing anything. Safe when two runs do
 * it at once. Throws HostTrouble when the archive refuses, or the package is not what was expected; UsageTrouble for
 * patches that do not apply or compile.
 */
export const fetchKernel = async (manifest: KernelManifest, options: FetchOptions): Promise<Kernel> => {
  const pinned = pinnedPackages(manifest);
  const { cache, patches = [] } = options;
  const kernels = join(cache, 'kernels');
  const recipe = await recipeOf(manifest, patches);
  const folderOf = (packages: readonly ArchivedPackage[]): string => join(kernels, keyOf(manifest, packages, recipe));
  if (await exists(folderOf(pinned))) return readKernel(manifest, folderOf(pinned), pinned);
  return withLock(
    kernels,
    manifest.name,
    async () => {
      if (await exists(folderOf(pinned))) return readKernel(manifest, folderOf(pinned), pinned);
      const { view, packages } = await choosePackages(manifest, options);
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
  exists(join(cache, 'kernels', keyOf(manifest, pinnedPackages(manifest), await recipeOf(manifest, patches))));

const pinnedPackages = ({ packages }: KernelManifest): readonly ArchivedPackage[] =>
  packages.map(({ pin }) => ({ name: pin.package, version: pin.version, sha256: pin.sha256 }));

/** What else decides what comes out where a kernel is built. */
const recipeOf = async (manifest: KernelManifest, patches: readonly Patch[] = []): Promise<readonly string[]> =>
  manifest.config === undefined
    ? []
    : [
        ...[await configurationOf(manifest), ...(manifest.counted ?? []), await compilerLine()],
        ...patches.flatMap(({ name, text }) => [name, text]),
      ];

/** Everything that decides what a kernel's folder holds, and this code's own idea of it. */
const keyOf = (manifest: KernelManifest, packages: readonly ArchivedPackage[], recipe: readonly string[]): string => {
  const key = JSON.stringify(['form 1', packages.map(({ sha256 }) => sha256), manifest.modules, ...recipe]);
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
  const { release, image, modules } = record.data;
  const pins = manifest.packages.map(({ pin }) => pin);
  return {
    name: manifest.name,
    release,
    image: join(folder, image),
    modules: modules.map((name) => ({ name, path: join(folder, `${name}.ko`) })),
    commandLine: manifest.commandLine,
    ...(manifest.memoryMiB === undefined ? {} : { memoryMiB: manifest.memoryMiB }),
    packages: packages.map(({ name, version }) => `${name} ${version}`),
    notes: packages.flatMap(({ name, version, sha256 }, index) => {
      const pin = pins[index];
      if (pin === undefined || pin.sha256 === sha256) return [];
      return [`the archive no longer has ${pin.package} ${pin.version}; ${name} ${version} is used instead`];
    }),
  };
};

/** The machine's own package sources are asked first; those of the manifest's suites when they do not have all of it. */
const choosePackages = async (
  manifest: KernelManifest,
  { cache, apt = [] }: FetchOptions,
): Promise<{ readonly view: AptView; readonly packages: readonly ArchivedPackage[] }> => {
  const chooseFrom = async (view: AptView): Promise<readonly ArchivedPackage[] | undefined> => {
    const packages: ArchivedPackage[] = [];
    for (const wanted of manifest.packages) {
      const found = await choosePackage(view, wanted);
      if (found === undefined) return undefined;
      packages.push(found);
    }
    return packages;
  };
  const own = await chooseFrom(apt);
  if (own !== undefined) return { view: apt, packages: own };
  const view = await viewOfSuites(apt, manifest.suites, join(cache, 'apt', manifest.name));
  const other = await chooseFrom(view);
  if (other !== undefined) return { view, packages: other };
  const forms = manifest.packages.map(({ form }) => form).join(' and ');
  throw new HostTrouble(
    `no package source has a package of the form ${forms}: correct fixtures/kernels/${manifest.name}.yaml (suites: ${manifest.suites.join(', ')})`,
  );
};

/** A kernel's packages, and where they are taken from. */
interface Chosen {
  readonly manifest: KernelManifest;
  readonly view: AptView;
  readonly packages: readonly ArchivedPackage[];
}

const fill = async (folder: string, chosen: Chosen): Promise<void> => {
  const { manifest } = chosen;
  const root = await unpackPackages(folder, chosen);
  const work = join(folder, 'work');
  if (manifest.config === undefined) await keepWhatIsNeeded(folder, root, manifest);
  else await keepWhatWasBuilt(folder, await compileKernel(manifest, root, work));
  for (const unneeded of [root, work]) await rm(unneeded, { recursive: true, force: true });
};

/** Most of a kernel is the same with every patch: the tree that it was built in without one is kept. */
const fillPatched = async (folder: string, chosen: Chosen, cache: string, patches: readonly Patch[]): Promise<void> => {
  const { manifest, packages } = chosen;
  const tree = join(cache, 'compiled', keyOf(manifest, packages, await recipeOf(manifest)));
  if (!(await exists(tree))) {
    await makeFolder(tree, async (unfinished) => {
      const root = await unpackPackages(unfinished, chosen);
      await compileKernel(manifest, root, unfinished);
      await rm(root, { recursive: true });
    });
  }
  const work = join(folder, 'work');
  await keepWhatWasBuilt(folder, await recompileKernel(manifest, tree, work, patches));
  await rm(work, { recursive: true });
};

/** Fetches and unpacks all packages; returns where to. */
const unpackPackages = async (folder: string, { view, packages }: Chosen): Promise<string> => {
  const debs = join(folder, 'debs');
  const root = join(folder, 'root');
  await mkdir(debs);
  for (const wanted of packages) {
    await download(view, wanted, debs);
    const [deb] = await readdir(debs);
    if (deb === undefined) throw new HostTrouble(`apt-get download left no file of ${wanted.name}: try again`);
    await checkDeb(join(debs, deb), wanted);
    await unpackDeb(join(debs, deb), root);
    await rm(join(debs, deb));
  }
  await rm(debs, { recursive: true });
  return root;
};

const checkDeb = async (deb: string, wanted: ArchivedPackage): Promise<void> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(deb), hash);
  const found = hash.digest('hex');
  if (found === wanted.sha256) return;
  throw new HostTrouble(
    `${wanted.name} ${wanted.version} came with SHA-256 ${found}, expected ${wanted.sha256}: try again, or another mirror`,
  );
};

const unpackDeb = async (deb: string, root: string): Promise<void> => {
  const result = await execa(await needProgram('dpkg-deb'), ['-x', deb, root], { reject: false, timeout: 600_000 });
  if (result.exitCode === 0) return;
  const [reason] = (result.stderr || result.shortMessage || '').split('\n');
  throw new HostTrouble(`cannot unpack a kernel package: ${reason} (is there space left for 500 MB?)`);
};

/** A package is 400 MB when unpacked; a guest needs the image and a few modules. */
const keepWhatIsNeeded = async (folder: string, root: string, manifest: KernelManifest): Promise<void> => {
  const { modules, release } = await findModules(root);
  const files = await modulesToLoad(modules, manifest.modules);
  for (const file of files) await writeFile(join(folder, `${moduleName(file)}.ko`), await readModule(file));
  const image = await keepImage(folder, await findImage(root, modules, release));
  await keepRecord(folder, { release, image, modules: files.map(moduleName) });
};

/** What was built has no modules: all is in the image. */
const keepWhatWasBuilt = async (folder: string, { vmlinux, release, configuration }: CompiledKernel): Promise<void> => {
  await copyFile(vmlinux, join(folder, 'vmlinux'));
  await writeFile(join(folder, 'config'), configuration);
  await keepRecord(folder, { release, image: 'vmlinux', modules: [] });
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
  for (const path of [join(root, 'boot', `vmlinuz-${release}`), join(modules, 'vmlinuz')]) {
    if (await exists(path)) return path;
  }
  throw new HostTrouble('the kernel package holds no kernel image: correct the packages of its manifest');
};
