/** What `--kernel` and `--patches` name: a kernel of a manifest, as it is, with patched VFIO modules, or built with patches. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { type BuiltModules, buildModules, buildTestModule, type TestModuleOptions } from './build.ts';
import { fetchKernel, isCached, type Kernel } from './fetch.ts';
import { fetchHeaders, type KernelHeaders } from './headers.ts';
import { kernelNames, readManifest } from './manifest.ts';
import { type OwnKernel, readOwnKernel, revisionOfRelease } from './own.ts';
import { type Patch, readPatches } from './patches.ts';
import { canBuildFor } from './toolchain.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
const SERIES = join(FIXTURES, 'patches');

/** The kernel that a series of the project's own is written against. */
const baseOfSeries = (name: string): string => (name.startsWith('change-process/') ? '7.2-iommufd' : '6.1');

/** A kernel that can be prepared. */
export interface KernelChoice {
  /** `6.1`; `nesting-cap/posted`; or the path of a user's patches. */
  readonly name: string;
  /** The kernel of a manifest that it is, or is built on. */
  readonly base: string;
  /** The revision that it is held against unless another one is named. */
  readonly revision: string;
  /** A user's own kernel, which no manifest tells of; `base` is its image then. */
  readonly own?: OwnKernel;
  /** Where its patches are: a folder, a mailbox or a file. */
  readonly patches?: string;
}

/** A kernel in the cache, and what a guest loads beside its own modules. */
export interface PreparedKernel {
  readonly choice: KernelChoice;
  readonly kernel: Kernel;
  /** Names of the patches, in their order. */
  readonly patchesApplied: readonly string[];
  /** Patched modules, which take the place of the kernel's own; absent where there are no patches, or all is built with them. */
  readonly patched?: BuiltModules;
  /** Paths of all modules that are given to a guest: patched ones, then test modules. */
  readonly modules: readonly string[];
  /** Parameters of test modules, by module. */
  readonly moduleParameters: Readonly<Record<string, readonly string[]>>;
  /** What the user should know. */
  readonly notes: readonly string[];
}

/** `SERIES/REVISION` of every patched kernel of the project's own, by name. */
export const seriesNames = async (): Promise<readonly string[]> => {
  const folders = await readdir(SERIES, { withFileTypes: true });
  const names = folders.filter((one) => one.isDirectory()).map(({ name }) => name);
  const series = await Promise.all(
    names.map(async (name) => (await readdir(join(SERIES, name))).map((revision) => `${name}/${revision}`)),
  );
  return series.flat().sort();
};

/** The kernel of that name. Throws UsageTrouble when there is none. */
export const kernelNamed = async (name: string): Promise<KernelChoice> => {
  const kernels = await kernelNames();
  if (kernels.includes(name)) return { name, base: name, revision: await revisionOf(name) };
  const series = await seriesNames();
  if (series.includes(name)) return { name, base: baseOfSeries(name), revision: name, patches: join(SERIES, name) };
  const expected = [...kernels, ...series].join(', ');
  throw new UsageTrouble(`there is no kernel ${JSON.stringify(name)}; expected one of: ${expected}`);
};

/** A user's own kernel. Throws UsageTrouble when the image is none, or the modules are not its own. */
export const kernelOfOnesOwn = async (own: OwnKernel): Promise<KernelChoice> => {
  const { release } = await readOwnKernel(own);
  return { name: own.image, base: own.image, revision: revisionOfRelease(release), own };
};

/** A kernel with a user's own patches. Throws UsageTrouble when there is no such base, or the patches cannot be read. */
export const kernelWithPatches = async (patches: string, base: string): Promise<KernelChoice> => {
  const revision = await revisionOf(base);
  await readPatches(patches);
  return { name: patches, base, revision, patches };
};

const revisionOf = async (base: string): Promise<string> => (await readManifest(base)).revision ?? `linux-${base}`;

/** Whether preparing a kernel means building all of it first, which takes minutes. */
export const isToBeBuilt = async (choice: KernelChoice, cache: string): Promise<boolean> => {
  if (choice.own !== undefined) return false;
  const manifest = await readManifest(choice.base);
  return manifest.config !== undefined && !(await isCached(manifest, cache, await patchesOf(choice)));
};

const patchesOf = async ({ patches }: KernelChoice): Promise<readonly Patch[]> =>
  patches === undefined ? [] : readPatches(patches);

/** The kernel itself: a user's own, one of the archive, or one that is built, with the patches if there are any. */
const kernelOf = async (choice: KernelChoice, patches: readonly Patch[], cache: string): Promise<Kernel> =>
  choice.own === undefined
    ? fetchKernel(await readManifest(choice.base), { cache, patches })
    : readOwnKernel(choice.own);

/**
 * A kernel as it is deployed to a machine: its image and what `uname -r` says on it. Its modules are the machine's own, so a series
 * that only patches modules cannot be. Throws UsageTrouble, HostTrouble.
 */
export const kernelToDeploy = async (
  choice: KernelChoice,
  cache: string,
): Promise<Pick<Kernel, 'image' | 'release'>> => {
  if (choice.patches !== undefined && !(await isBuiltWhole(choice))) {
    throw new UsageTrouble(
      `${choice.name} is patched modules on ${choice.base}, which are not deployed: build the kernel with them, and name its image in --kernel`,
    );
  }
  return kernelOf(choice, await patchesOf(choice), cache);
};

/** Whether a kernel of a manifest is built from source, and its patches with it. */
const isBuiltWhole = async ({ base, own }: KernelChoice): Promise<boolean> =>
  own === undefined && (await readManifest(base)).config !== undefined;

/** A module of fixtures/modules: its parameters, the kernels that it is for, and what of the kernel's sources it can bring. */
const TEST_MODULES = [
  { folder: 'emulated', parameters: ['devices=2'], kernels: /^/, brings: [] },
  { folder: 'iova-bitmap', parameters: [], kernels: /^/, brings: ['drivers/iommu/iommufd/iova_bitmap.c'] },
  { folder: 'mediator', parameters: ['instances=2', 'registers=0'], kernels: /^mediate-ops\//, brings: [] },
] as const;

/**
 * Gets a kernel and builds what it needs, or takes it from the cache. A test module that cannot be built is left out and
 * said so in a note: the cases that need it are skipped. Throws UsageTrouble for patches that do not apply or compile,
 * HostTrouble for what is missing on this machine.
 */
export const prepareKernel = async (choice: KernelChoice, cache: string): Promise<PreparedKernel> => {
  const patches = await patchesOf(choice);
  const kernel = await kernelOf(choice, patches, cache);
  const common = { base: choice.base, release: kernel.release, cacheDir: cache };
  const patched =
    patches.length === 0 || (await isBuiltWhole(choice)) ? undefined : await buildModules({ ...common, patches });
  const tests = await testModules(choice, kernel, {
    ...common,
    ...(patched === undefined ? {} : { against: patched }),
  });
  return {
    choice,
    kernel,
    patchesApplied: patches.map(({ name }) => name),
    ...(patched === undefined ? {} : { patched }),
    modules: [...(patched?.modules ?? []), ...tests.modules].map(({ path }) => path),
    moduleParameters: Object.fromEntries(tests.modules.map(({ name, parameters }) => [name, parameters])),
    notes: [...kernel.notes, ...(patched?.notes ?? []), ...tests.notes],
  };
};

interface TestModules {
  readonly modules: readonly { readonly name: string; readonly path: string; readonly parameters: readonly string[] }[];
  readonly notes: readonly string[];
}

type BuiltWith = Omit<TestModuleOptions, 'source' | 'brings'>;

const testModules = async (choice: KernelChoice, kernel: Kernel, options: BuiltWith): Promise<TestModules> => {
  try {
    const headers = await headersOf(choice, kernel, options.cacheDir);
    const wanted = TEST_MODULES.filter(({ kernels }) => kernels.test(choice.name));
    const built = await Promise.all(wanted.map((one) => testModule(one, { ...options, ...headers })));
    return { modules: built.flatMap(({ modules }) => modules), notes: built.flatMap(({ notes }) => notes) };
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    return { modules: [], notes: [`without test modules: ${cause.message}`] };
  }
};

/** The headers of a kernel, kept or fetched; none where those are taken that are installed. */
const headersOf = async (
  { base, own }: KernelChoice,
  { release, headers }: Kernel,
  cache: string,
): Promise<{ readonly headers?: KernelHeaders }> => {
  if (canBuildFor(base)) return {};
  if (headers !== undefined) return { headers };
  if (own !== undefined) throw new HostTrouble("they are not built for a kernel of one's own");
  return { headers: await fetchHeaders(await readManifest(base), release, { cache }) };
};

const testModule = async (
  { folder, parameters, brings }: (typeof TEST_MODULES)[number],
  options: BuiltWith,
): Promise<TestModules> => {
  try {
    const { modules } = await buildTestModule({ ...options, brings, source: join(FIXTURES, 'modules', folder) });
    return { modules: modules.map(({ name, path }) => ({ name, path, parameters })), notes: [] };
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    return { modules: [], notes: [`without the test module ${folder}: ${cause.message}`] };
  }
};
