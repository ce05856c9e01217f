/** What kernel modules are built with: programs, the sources, and the headers of the kernel that is to load them. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { exists } from './cache.ts';
import type { KernelHeaders } from './headers.ts';
import { needProgram } from './requirements.ts';

/** Kernels whose modules can be built, by the name that `--base` takes. */
const BASES: Readonly<Record<string, { readonly source: string; readonly release: RegExp }>> = {
  '6.1': { source: 'linux-source-6.1', release: /^6\.1\.0-\d+-amd64$/ },
};

/** Whether modules can be built for a kernel. */
export const canBuildFor = (base: string): boolean => Object.hasOwn(BASES, base);

/** All that a build's result depends on beside the patches. Folders and files are absolute paths. */
export interface Toolchain {
  readonly base: string;
  /** The release that the modules are for: `6.1.0-56-amd64`. */
  readonly release: string;
  /** The name of the source package, and of the folder in its tarball. */
  readonly source: string;
  readonly tarball: string;
  /** Empty when they are not needed. */
  readonly sourceVersion: string;
  /** What `make -C` is given. */
  readonly headers: string;
  readonly headersVersion: string;
  /** The folder `include` of the sources, as the headers package has it. */
  readonly include: string;
  /** The first line of the compiler's `--version`. */
  readonly compiler: string;
}

export interface ToolchainOptions {
  readonly base: string;
  /** The release that is to load the modules; default: the newest whose headers are installed. */
  readonly release?: string;
  /** Where the source and headers packages are unpacked; default: /usr/src. */
  readonly packages?: string;
  /** The sources are not needed. */
  readonly headersOnly?: boolean;
}

/** Throws UsageTrouble for a base that is not known, HostTrouble for a package or program that is missing. */
export const findToolchain = async (options: ToolchainOptions): Promise<Toolchain> => {
  const { base, packages = '/usr/src', headersOnly = false } = options;
  const known = canBuildFor(base) ? BASES[base] : undefined;
  if (known === undefined) {
    throw new UsageTrouble(
      `there is no base ${JSON.stringify(base)}; expected one of: ${Object.keys(BASES).join(', ')}`,
    );
  }
  const tarball = join(packages, `${known.source}.tar.xz`);
  if (!headersOnly && !(await exists(tarball))) throw missing(known.source, tarball);
  const release = options.release ?? (await newestRelease(packages, known.release));
  if (release === undefined) throw missing('linux-headers-amd64', join(packages, `linux-headers-${base}*-amd64`));
  const headers = join(packages, `linux-headers-${release}`);
  const include = await includeOf(headers);
  if (!known.release.test(release) || include === undefined) {
    throw missing(`linux-headers-${release}`, `${headers} of Linux ${base}`);
  }
  return {
    base,
    release,
    source: known.source,
    tarball,
    sourceVersion: headersOnly ? '' : await versionOf(known.source, tarball),
    headers,
    headersVersion: await versionOf(`linux-headers-${release}`, join(headers, 'Makefile')),
    include,
    compiler: await compilerOf(headers),
  };
};

const missing = (debianPackage: string, path: string): HostTrouble =>
  new HostTrouble(`building kernel modules needs ${path}, which is not there: apt-get install ${debianPackage}`);

const newestRelease = async (packages: string, form: RegExp): Promise<string | undefined> => {
  const names = await readdir(packages).catch(() => []);
  return names
    .filter((name) => name.startsWith('linux-headers-'))
    .map((name) => name.slice('linux-headers-'.length))
    .filter((release) => form.test(release))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
};

/** The headers package of one flavour includes the Makefile of the one that all flavours share. */
const includeOf = async (headers: string): Promise<string | undefined> => {
  const text = await readFile(join(headers, 'Makefile'), 'utf8').catch(() => '');
  const shared = /^include (\/[!-~]+)\/Makefile$/m.exec(text)?.[1];
  return shared === undefined ? undefined : join(shared, 'include');
};

/** What a module for a kernel is built with whose headers were fetched. No patched modules are built with it. */
export const toolchainOf = async (base: string, headers: KernelHeaders): Promise<Toolchain> => ({
  base,
  release: headers.release,
  source: '',
  tarball: '',
  sourceVersion: '',
  headers: headers.build,
  headersVersion: headers.version,
  include: '',
  compiler: await compilerOf(headers.build),
});

/** The version of an installed package; for a file that no package has, its size and time. */
const versionOf = async (debianPackage: string, file: string): Promise<string> => {
  const words = ['--show', debianPackage];
  const { exitCode, stdout } = await execa(await needProgram('dpkg-query'), words, { reject: false, timeout: 30_000 });
  const version = stdout.split('\t')[1];
  if (exitCode === 0 && version) return version;
  const { size, mtimeMs } = await stat(file);
  return `${size} bytes of ${mtimeMs}`;
};

/** The kernel's own Makefile takes the compiler that Debian built the kernel with. */
const compilerOf = async (headers: string): Promise<string> => {
  const text = await readFile(join(headers, '.kernelvariables'), 'utf8').catch(() => '');
  const name = /\bgcc-\d+\b/.exec(text)?.[0] ?? 'gcc';
  const { stdout } = await execa(await needProgram(name), ['--version'], { reject: false, timeout: 30_000 });
  return stdout.split('\n')[0] ?? '';
};
