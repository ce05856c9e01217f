/** Builds a whole kernel from the source package of a manifest that has a configuration. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { fallenAway, merged, symbolsOf } from './config.ts';
import { findComplaint } from './kbuild.ts';
import type { BuiltTree } from './keep-headers.ts';
import type { KernelManifest } from './manifest.ts';
import { findProgram, missingRequirements, needProgram } from './requirements.ts';

const FRAGMENTS = fileURLToPath(new URL('../../fixtures/kernels', import.meta.url));

/** Two hours: a machine with one slow core still gets there. */
const BUILD_MS = 7_200_000;

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
  const source = join(work, 'source');
  const output = join(work, 'output');
  await mkdir(source, { recursive: true });
  await mkdir(output);
  await unpackSource(root, source);
  for (const folder of manifest.counted ?? []) await countCoverage(source, folder);
  const asked = await configurationOf(manifest);
  const fragment = join(work, 'fragment.config');
  await writeFile(fragment, asked);
  const make = (words: readonly string[]): Promise<string> => runMake(source, output, fragment, words);
  await make(['allnoconfig']);
  const configuration = await readFile(join(output, '.config'), 'utf8');
  checkConfiguration(manifest, asked, configuration);
  await make([`-j${availableParallelism()}`, 'vmlinux']);
  // What building modules for it takes, which is kept.
  await make(['modules_prepare']);
  const release = (await make(['kernelrelease'])).trim();
  return { vmlinux: join(output, 'vmlinux'), release, configuration, tree: { source, output } };
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

const runMake = async (source: string, output: string, fragment: string, words: readonly string[]): Promise<string> => {
  const result = await execa(await needProgram('make'), ['-s', '-C', source, `O=${output}`, ...words], {
    reject: false,
    all: true,
    timeout: BUILD_MS,
    extendEnv: false,
    env: {
      PATH: process.env['PATH'] ?? '',
      LC_ALL: 'C',
      KCONFIG_ALLCONFIG: fragment,
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
