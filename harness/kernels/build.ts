/** Builds VFIO's modules from patched sources, and the modules that tests need in a guest. */
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { exists, makeFolder, withLock } from './cache.ts';
import { type KernelHeaders, takeSources } from './headers.ts';
import { type Complaint, makeModules } from './kbuild.ts';
import { moduleName } from './modules.ts';
import type { Patch } from './patches.ts';
import { needProgram } from './requirements.ts';
import { findToolchain, type Toolchain, type ToolchainOptions, toolchainOf } from './toolchain.ts';
import { makeTree, type TouchingPatch, touchingPatches } from './tree.ts';

/** A module that was built. Paths are absolute. */
export interface BuiltModule {
  /** As the kernel knows it: `vfio_pci`. */
  readonly name: string;
  /** To be loaded: without debug information, which would only fill the guest's memory. */
  readonly path: string;
  /** The same with debug information. */
  readonly debugPath: string;
}

export interface BuiltModules {
  readonly modules: readonly BuiltModule[];
  /** Names of the patches, in their order. */
  readonly patchesApplied: readonly string[];
  /** Of all that the result depends on; hex. */
  readonly hash: string;
  /** The release that loads them. */
  readonly release: string;
  /** The patched sources, which test modules are built against. */
  readonly tree: string;
  /** What the user should know. */
  readonly notes: readonly string[];
}

export interface BuildOptions extends ToolchainOptions {
  readonly patches: readonly Patch[];
  readonly cacheDir: string;
}

/** A module of 6.1's drivers/vfio: the word of the configuration that turns it on, and what it is made from. */
const MODULES = [
  { file: 'vfio.ko', word: 'CONFIG_VFIO', from: /^(?!)/ },
  { file: 'vfio_virqfd.ko', word: 'CONFIG_VFIO_VIRQFD', from: /^drivers\/vfio\/virqfd\.c$/ },
  { file: 'vfio_iommu_type1.ko', word: 'CONFIG_VFIO_IOMMU_TYPE1', from: /^drivers\/vfio\/vfio_iommu_type1\.c$/ },
  { file: 'pci/vfio-pci-core.ko', word: 'CONFIG_VFIO_PCI_CORE', from: /^drivers\/vfio\/pci\/[^/]+$/ },
  { file: 'pci/vfio-pci.ko', word: 'CONFIG_VFIO_PCI', from: /^drivers\/vfio\/pci\/[^/]+$/ },
] as const;

/** Drivers that no guest has a device for. */
const LEFT_OUT = ['CONFIG_VFIO_MDEV', 'CONFIG_MLX5_VFIO_PCI', 'CONFIG_HISI_ACC_VFIO_PCI'];

/** Goes into each hash: another value makes all that was built before obsolete. */
const FORM = 'form 2';

/**
 * The modules that a series changes: those whose own sources it touches, or all if it touches what several share, such as
 * a header. What was built before is taken from the cache. The patches' makefiles run on this machine: build only what
 * you would run. Throws UsageTrouble for a patch that does not apply or compile, or an unknown base; HostTrouble when the
 * sources, the headers or a program are missing, or unpatched sources do not compile. Each is one line.
 */
export const buildModules = async (options: BuildOptions): Promise<BuiltModules> => {
  const toolchain = await findToolchain(options);
  const patches = await touchingPatches(options.patches);
  const hash = hashOf(FORM, ...identityOf(toolchain), ...options.patches.flatMap(({ name, text }) => [name, text]));
  return cached(options.cacheDir, hash, async (folder) => {
    const tree = join(folder, 'tree');
    await makeTree(tree, toolchain, patches, resolve(options.cacheDir));
    const wanted = wantedModules(patches);
    const off = [...LEFT_OUT, ...MODULES.filter((one) => !wanted.includes(one)).map(({ word }) => word)];
    const complaint = await makeModules(toolchain, join(tree, 'drivers', 'vfio'), [
      `NOSTDINC_FLAGS=-nostdinc ${includesOf(tree)}`,
      ...off.map((word) => `${word}=`),
    ]);
    if (complaint !== undefined) throw blame(complaint, tree, patches, toolchain);
    const vfio = join('tree', 'drivers', 'vfio');
    // A series may bring a module of its own, which those that there were may need: it goes first.
    const own = (await readdir(join(folder, vfio), { recursive: true })).filter(
      (name) => name.endsWith('.ko') && !MODULES.some(({ file }) => file === name),
    );
    const files = [...own, ...wanted.map(({ file }) => file)].map((file) => join(vfio, file));
    return finish(folder, toolchain, files, options.patches);
  });
};

export interface TestModuleOptions extends ToolchainOptions {
  /** Its sources: a folder with a Kbuild file that takes VFIO_TREE and BROUGHT. */
  readonly source: string;
  /** The modules that it is loaded with; absent: the kernel package's own. */
  readonly against?: BuiltModules;
  /** What it is built with; absent: what is installed. */
  readonly headers?: KernelHeaders;
  /** Files of the kernel's sources that it is made with, where the headers have them: the kernel was built without. */
  readonly brings?: readonly string[];
  readonly cacheDir: string;
}

/** A module of our own for a guest, as `buildModules` gives VFIO's: there is one. Throws HostTrouble. */
export const buildTestModule = async (options: TestModuleOptions): Promise<BuiltModules> => {
  const { against, headers, brings = [], cacheDir, source } = options;
  const toolchain =
    headers === undefined
      ? await findToolchain({ ...options, ...(against && { release: against.release }), headersOnly: true })
      : await toolchainOf(options.base, headers);
  const names = (await readdir(source)).filter((name) => /^(Kbuild|.*\.[ch])$/.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(source, name), 'utf8')));
  const hash = hashOf(FORM, ...identityOf(toolchain), against?.hash ?? '', ...names, ...texts);
  return cached(cacheDir, hash, async (folder) => {
    const tree = join(folder, 'tree');
    await mkdir(tree);
    for (const name of names) await cp(join(source, name), join(tree, name));
    const brought = headers === undefined ? [] : await takeSources(headers, brings, tree);
    const symbols = join(against?.tree ?? '', 'drivers', 'vfio', 'Module.symvers');
    const complaint = await makeModules(toolchain, tree, [
      ...(against === undefined ? [] : [`VFIO_TREE=${against.tree}`, `KBUILD_EXTRA_SYMBOLS=${symbols}`]),
      ...brought.map((name) => `BROUGHT=${name.replace(/\.c$/, '.o')}`),
    ]);
    if (complaint !== undefined) throw new HostTrouble(`${source} does not build: ${complaint.text}`);
    const files = (await readdir(tree)).filter((name) => name.endsWith('.ko')).map((name) => join('tree', name));
    return finish(folder, toolchain, files, []);
  });
};

const includesOf = (tree: string): string => `-I${tree}/include -I${tree}/include/uapi`;

const identityOf = ({ release, sourceVersion, headersVersion, compiler }: Toolchain): readonly string[] => [
  release,
  sourceVersion,
  headersVersion,
  compiler,
];

const hashOf = (...parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);

const wantedModules = (patches: readonly TouchingPatch[]): readonly (typeof MODULES)[number][] => {
  const files = patches.flatMap((one) => one.files);
  const areOwn = files.every((file) => MODULES.some(({ from }) => from.test(file)));
  return areOwn && files.length > 0 ? MODULES.filter(({ from }) => files.some((file) => from.test(file))) : MODULES;
};

/** What the compiler says, with the patches that touch the file it says it of. */
const blame = (complaint: Complaint, tree: string, patches: readonly TouchingPatch[], toolchain: Toolchain): Error => {
  const text = complaint.text.replaceAll(`${tree}/`, '');
  const file = complaint.file?.replace(`${tree}/`, '');
  const touching = patches.filter(({ files }) => file === undefined || files.includes(file));
  const names = (touching.length > 0 ? touching : patches).map(({ patch }) => patch.name).join(', ');
  if (names !== '') return new UsageTrouble(`${names}: does not compile: ${text}`);
  return new HostTrouble(`the sources of ${toolchain.source} do not compile against ${toolchain.headers}: ${text}`);
};

const recordSchema = z.strictObject({
  modules: z.array(z.string()),
  patchesApplied: z.array(z.string()),
  release: z.string(),
  notes: z.array(z.string()),
});

/** Makes what is loaded from what was built, and writes down what there is. `files` are relative to the folder. */
const finish = async (
  folder: string,
  toolchain: Toolchain,
  files: readonly string[],
  patches: readonly Patch[],
): Promise<void> => {
  await mkdir(join(folder, 'modules'));
  await mkdir(join(folder, 'debug'));
  for (const file of files) {
    const [built, name] = [join(folder, file), `${moduleName(file)}.ko`];
    await cp(built, join(folder, 'debug', name));
    const words = ['--strip-debug', '-o', join(folder, 'modules', name), built];
    const { exitCode, stderr } = await execa(await needProgram('strip'), words, { reject: false, timeout: 60_000 });
    if (exitCode !== 0) throw new HostTrouble(`cannot strip ${name}: ${stderr.slice(0, 200)} (is there space left?)`);
  }
  const { sourceVersion, headersVersion } = toolchain;
  const same = sourceVersion === '' || sourceVersion === headersVersion;
  const differ = same ? [] : [`modules of ${toolchain.source} ${sourceVersion} against headers ${headersVersion}`];
  const record: z.infer<typeof recordSchema> = {
    modules: files.map(moduleName),
    patchesApplied: patches.map(({ name }) => name),
    release: toolchain.release,
    notes: differ,
  };
  await writeFile(join(folder, 'build.json'), `${JSON.stringify(record, undefined, 2)}\n`);
};

/** A build that is in the cache whole, or is made now. */
const cached = async (
  cacheDir: string,
  hash: string,
  fill: (unfinished: string) => Promise<void>,
): Promise<BuiltModules> => {
  const builds = resolve(cacheDir, 'builds');
  const folder = join(builds, hash);
  if (!(await exists(folder))) {
    await withLock(builds, hash, async () => {
      if (!(await exists(folder))) await makeFolder(folder, fill);
    });
  }
  const record = recordSchema.safeParse(
    await readFile(join(folder, 'build.json'), 'utf8')
      .then(JSON.parse)
      .catch(() => undefined),
  );
  if (!record.success) throw new HostTrouble(`${folder} is not a build's folder: remove it and try again`);
  const { modules, ...others } = record.data;
  return {
    ...others,
    modules: modules.map((name) => ({
      name,
      path: join(folder, 'modules', `${name}.ko`),
      debugPath: join(folder, 'debug', `${name}.ko`),
    })),
    hash,
    tree: join(folder, 'tree'),
  };
};
