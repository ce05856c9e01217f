/** Builds a whole kernel from the source package of a manifest that has a configuration. */
import { cp, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { fallenAway, merged, symbolsOf } from './config.ts';
import { findComplaint } from './kbuild.ts';
import type { BuiltTree } from './keep-headers.ts';
import type { KernelManifest } from './manifest.ts';
import { applyPatch, type Patch } from './patches.ts';
import { findProgram, missingRequirements, needProgram } from './requirements.ts';

const FRAGMENTS = fileURLToPath(new URL('../../fixtures/kernels', import.meta.url));

/** Two hours: a machine with one slow core still gets there. */
const BUILD_MS = 7_200_000;

/** In a kernel's tree: what its configuration must hold. */
const FRAGMENT = 'fragment.config';

/** The configuration that a manifest asks for, as one text; empty for a kernel that is not built. */
export const configurationOf = async ({ config = [] }: KernelManifest): Promise<string> =>
  merged(await Promise.all(config.map((name) => readFile(join(FRAGMENTS, name), 'utf8'))));

/** The compiler's first line, on which what is built depends. */
export const compilerLine = async (): Promise<string> => {
  const gcc = await findProgram('gcc');
  if (gcc === undefined) return '';
  const { stdout } = await execa(gcc, ['--version'], { reject: false, timeout: 30_000 });
  return stdout.split('\n')[0] ?? '';
};

/** What was built. Paths are absolute. */
export interface CompiledKernel {
  /** The kernel proper, which QEMU boots through its PVH entry. */
  readonly vmlinux: string;
  /** What `uname -r` will say. */
  readonly release: string;
  /** The whole configuration as it came out. */
  readonly configuration: string;
  /** Where its sources and what was made of them lie, until `work` is removed. */
  readonly tree: BuiltTree;
}

/**
 * Builds the kernel whose source package was unpacked to `root`, within `work`. Throws HostTrouble when programs are
 * missing, when a symbol of the configuration falls away, or with the compiler's first complaint.
 */
export const compileKernel = async (manifest: KernelManifest, root: string, work: string): Promise<CompiledKernel> => {
  await checkPrograms(manifest);
  const { source, output } = treeIn(work);
  await mkdir(output, { recursive: true });
  await unpackSource(root, source);
  for (const folder of manifest.counted ?? []) await countCoverage(source, folder);
  const asked = await configurationOf(manifest);
  await writeFile(join(work, FRAGMENT), asked);
  await runMake(work, ['allnoconfig']);
  checkConfiguration(manifest, asked, await readFile(join(output, '.config'), 'utf8'));
  return build(work);
};

/**
 * Builds what patches change, within `work`, beside a tree in which the same kernel was built without them, and which stays
 * as it is. Throws UsageTrouble for patches that do not apply, or with which it does not compile.
 */
export const recompileKernel = async (
  { name }: KernelManifest,
  tree: string,
  work: string,
  patches: readonly Patch[],
): Promise<CompiledKernel> => {
  await copyTree(tree, work);
  await settleTools(tree, work);
  for (const patch of patches) await applyPatch(treeIn(work).source, patch, name);
  try {
    return await build(work);
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    throw new UsageTrouble(`${patches.map((one) => one.name).join(', ')}: ${cause.message}`, { cause });
  }
};

/** The output lies in the sources: then the kernel's makefiles take relative paths, and the whole tree can be moved and copied. */
const treeIn = (work: string) => ({ source: join(work, 'source'), output: join(work, 'source', 'output') });

/** Sources are linked: what changes one, git, makes a new file. What was built is copied: make writes into its files. */
const copyTree = async (from: string, to: string): Promise<void> => {
  const [was, is] = [treeIn(from), treeIn(to)];
  await mkdir(is.output, { recursive: true });
  const sources = (await readdir(was.source)).map((name) => join(was.source, name));
  await runCopy(['--link', ...sources.filter((path) => path !== was.output), is.source]);
  await runCopy(['--reflink=auto', `${was.output}/.`, is.output]);
  await cp(join(from, FRAGMENT), join(to, FRAGMENT));
};

/**
 * The kernel's own objtool knows where it was built, and is built again elsewhere; every object that is older than it would
 * be, too. The sources are the same: it gets the age that it had.
 */
const settleTools = async (tree: string, work: string): Promise<void> => {
  await runMake(work, ['prepare']);
  const folder = join('tools', 'objtool');
  const { mtime } = await stat(join(treeIn(tree).output, folder, 'objtool'));
  const mine = join(treeIn(work).output, folder);
  for (const name of await readdir(mine, { recursive: true })) await utimes(join(mine, name), mtime, mtime);
};

const runCopy = async (words: readonly string[]): Promise<void> => {
  const result = await execa(await needProgram('cp'), ['-a', ...words], { reject: false, timeout: 1_200_000 });
  if (result.exitCode === 0) return;
  const [reason] = (result.stderr || result.shortMessage || '').split('\n');
  throw new HostTrouble(`cannot copy a kernel's tree: ${reason} (is there space left for 1 GB?)`);
};

const build = async (work: string): Promise<CompiledKernel> => {
  const { output } = treeIn(work);
  await runMake(work, [`-j${availableParallelism()}`, 'vmlinux']);
  // What building modules for it takes, which is kept.
  await runMake(work, ['modules_prepare']);
  const release = (await runMake(work, ['kernelrelease'])).trim();
  const configuration = await readFile(join(output, '.config'), 'utf8');
  return { vmlinux: join(output, 'vmlinux'), release, configuration, tree: treeIn(work) };
};

const checkPrograms = async ({ name }: KernelManifest): Promise<void> => {
  const missing = await missingRequirements(['kernels']);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))].join(' ');
  const programs = missing.map(({ program }) => program).join(', ');
  throw new HostTrouble(`building the kernel ${name} needs ${programs}: apt-get install ${packages}`);
};

const unpackSource = async (root: string, source: string): Promise<void> => {
  const folder = join(root, 'usr/src');
  const tarball = (await readdir(folder).catch(() => [])).find((name) => /^linux-source-[\d.]+\.tar\.xz$/.test(name));
  if (tarball === undefined)
    throw new HostTrouble('the source package holds no linux-source-*.tar.xz: correct its manifest');
  const words = ['-x', '--xz', '-f', join(folder, tarball), '-C', source, '--strip-components=1'];
  const result = await execa(await needProgram('tar'), words, { reject: false, timeout: 1_200_000 });
  if (result.exitCode === 0) return;
  const [reason] = (result.stderr || result.shortMessage || '').split('\n');
  throw new HostTrouble(`cannot unpack ${tarball}: ${reason} (is there space left for 2 GB?)`);
};

/** Has the compiler count which lines of a folder run. */
const countCoverage = async (source: string, folder: string): Promise<void> => {
  const makefile = join(source, folder, 'Makefile');
  await cp(makefile, `${makefile}.before`);
  await writeFile(makefile, `GCOV_PROFILE := y\n${await readFile(makefile, 'utf8')}`);
};

const checkConfiguration = ({ name, config = [] }: KernelManifest, asked: string, found: string): void => {
  const fallen = fallenAway(symbolsOf(asked), symbolsOf(found));
  if (fallen.length === 0) return;
  const told = fallen.map((one) => `${one.name}=${one.asked} came out as ${one.found}`).join(', ');
  throw new HostTrouble(
    `the kernel ${name} cannot be configured as ${config.join(' and ')} of fixtures/kernels asks: ${told}; correct them, or what they depend on`,
  );
};

const runMake = async (work: string, words: readonly string[]): Promise<string> => {
  const { source, output } = treeIn(work);
  const result = await execa(await needProgram('make'), ['-s', '-C', source, `O=${output}`, ...words], {
    reject: false,
    all: true,
    timeout: BUILD_MS,
    extendEnv: false,
    env: {
      PATH: process.env['PATH'] ?? '',
      LC_ALL: 'C',
      KCONFIG_ALLCONFIG: join(work, FRAGMENT),
      // What is built on two machines from the same sources says so in the same words.
      KBUILD_BUILD_USER: 'vfio-conform',
      KBUILD_BUILD_HOST: 'vfio-conform',
      KBUILD_BUILD_TIMESTAMP: '1970-01-01',
    },
  });
  if (result.exitCode === 0) return result.stdout;
  const { text } = findComplaint(result.all, result.shortMessage ?? 'make failed');
  throw new HostTrouble(`make ${words.at(-1)} failed: ${text}`);
};
