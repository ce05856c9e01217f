/** What modules for a Debian kernel are built with: its headers, the programs of its build, and some of its sources. */
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { ArchivedPackage } from './apt.ts';
import { exists, makeFolder, withLock } from './cache.ts';
import { choosePackages, type FetchOptions, pinned, unpackPackages } from './debs.ts';
import type { KernelManifest } from './manifest.ts';
import { needProgram } from './requirements.ts';

/** Headers in the cache. Paths are absolute. */
export interface KernelHeaders {
  /** What `make -C` is given. */
  readonly build: string;
  /** The release that they are of. */
  readonly release: string;
  /** Another value for other headers. */
  readonly version: string;
  /** Files of the kernel's sources that modules may be made with, by their paths in the tree. */
  readonly sources: string;
}

/** Goes into each key: another value makes all that was fetched before obsolete. */
const FORM = 'headers 1';

/**
 * The headers of a kernel whose manifest names packages of them: from the cache, or from Debian's archive without
 * installing anything. Throws HostTrouble when the archive refuses, or has those of another release only.
 */
export const fetchHeaders = async (
  manifest: KernelManifest,
  release: string,
  options: FetchOptions,
): Promise<KernelHeaders> => {
  const { headers } = manifest;
  if (headers === undefined) throw new HostTrouble(`the manifest of the kernel ${manifest.name} names no headers`);
  const folder = join(options.cache, 'headers');
  const keyOf = (packages: readonly ArchivedPackage[]): string => {
    const parts = [FORM, ...packages.map(({ sha256 }) => sha256), ...headers.sources];
    return `${manifest.name}-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)}`;
  };
  const key = await withLock(folder, manifest.name, async () => {
    const usual = keyOf(pinned(headers.packages));
    if (await exists(join(folder, usual))) return usual;
    const { view, packages } = await choosePackages(manifest, headers.packages, options);
    const found = keyOf(packages);
    if (await exists(join(folder, found))) return found;
    await makeFolder(join(folder, found), async (unfinished) => {
      await unpackPackages(view, packages, join(unfinished, 'root'));
      await prepare(unfinished, headers.sources);
    });
    return found;
  });
  return readHeaders(join(folder, key), release, key);
};

const readHeaders = async (folder: string, release: string, version: string): Promise<KernelHeaders> => {
  const build = join(folder, 'root/usr/src', `linux-headers-${release}`);
  if (await exists(join(build, 'Makefile'))) return { build, release, version, sources: join(folder, 'sources') };
  throw new HostTrouble(
    `the packages of headers are not those of the kernel ${release}: correct the pins of its manifest`,
  );
};

/** Makes what was unpacked usable where it is, on this machine. */
const prepare = async (folder: string, sources: readonly string[]): Promise<void> => {
  const root = join(folder, 'root');
  const names = await readdir(join(root, 'usr/src')).catch(() => []);
  const build = names.find((name) => /^linux-headers-.*-amd64$/.test(name));
  const programs = names.find((name) => /^linux-kbuild-/.test(name));
  if (build === undefined || programs === undefined) {
    throw new HostTrouble(
      'the packages of headers hold no linux-headers-*-amd64 or no linux-kbuild-*: correct the manifest',
    );
  }
  await relocate(join(root, 'usr/src', build));
  await wrapPrograms(join(root, 'usr/lib', programs));
  await keepSources(root, join(folder, 'sources'), sources);
};

/**
 * What only compilers newer than this machine's may have, and the kernel's own had: a module does as well without.
 * Nothing of it changes how a structure is laid out.
 */
const LEFT_OUT = [
  'CONFIG_CC_HAS_ASSUME',
  'CONFIG_CC_HAS_COUNTED_BY',
  'CONFIG_CC_HAS_COUNTED_BY_PTR',
  'CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT',
  'CONFIG_CC_HAS_MULTIDIMENSIONAL_NONSTRING',
];

/** The package expects to be in /usr/src, and the compiler to be the one that Debian built the kernel with. */
const relocate = async (build: string): Promise<void> => {
  // Holds the types of the kernel, which modules are given theirs in addition to, with a program that is not needed here.
  await rm(join(build, 'vmlinux'), { force: true });
  await rewrite(join(build, 'Makefile'), (text) => text.replaceAll('/usr/src/', '$(CURDIR)/../'));
  await rewrite(join(build, '.kernelvariables'), (text) => text.replace(/^CC = .*$/m, 'CC = gcc'));
  const words = LEFT_OUT.join('|');
  await rewrite(join(build, 'include/config/auto.conf'), (text) =>
    text.replaceAll(new RegExp(`^(?:${words})=.*\\n`, 'gm'), ''),
  );
  await rewrite(join(build, 'include/generated/autoconf.h'), (text) =>
    text.replaceAll(new RegExp(`^#define (?:${words}) .*\\n`, 'gm'), ''),
  );
};

const rewrite = async (file: string, change: (text: string) => string): Promise<void> => {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new HostTrouble('the packages of headers do not hold what a build needs: correct the manifest', { cause });
  });
  await writeFile(file, change(text));
};

/** Programs of the kernel's build, each two folders below its own; and what is behind those that only choose another. */
const PROGRAMS = {
  'scripts/basic/fixdep': 'scripts/basic/fixdep',
  'scripts/mod/modpost': 'scripts/mod/modpost.real-lsb-64',
  'tools/objtool/objtool': 'tools/objtool/objtool.real-x86',
};

/** They were linked for another release of Debian: they are run with its loader and its libraries. */
const wrapPrograms = async (folder: string): Promise<void> => {
  for (const [name, real] of Object.entries(PROGRAMS)) {
    const path = join(folder, name);
    await rename(join(folder, real), `${path}.program`);
    await writeFile(path, WRAPPER);
    await chmod(path, 0o755);
  }
};

const WRAPPER = `#!/bin/sh
libraries="\${0%/*}/../../../x86_64-linux-gnu"
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$0.program" "$@"
`;

const keepSources = async (root: string, folder: string, files: readonly string[]): Promise<void> => {
  await mkdir(folder);
  if (files.length === 0) return;
  const packed = join(root, 'usr/src');
  const tarball = (await readdir(packed)).find((name) => /^linux-source-[\d.]+\.tar\.xz$/.test(name));
  if (tarball === undefined)
    throw new HostTrouble('no package of headers holds linux-source-*.tar.xz: correct the manifest');
  const members = files.map((file) => `${tarball.replace('.tar.xz', '')}/${file}`);
  const words = [
    '-x',
    '--xz',
    '-f',
    join(packed, tarball),
    '-C',
    folder,
    '--strip-components=1',
    '--occurrence=1',
    ...members,
  ];
  const result = await execa(await needProgram('tar'), words, {
    reject: false,
    timeout: 600_000,
    env: { LC_ALL: 'C' },
  });
  if (result.exitCode !== 0) {
    const [reason] = (result.stderr || result.shortMessage || '').split('\n');
    throw new HostTrouble(`cannot unpack ${tarball}: ${reason} (is there space left?)`);
  }
  await rm(join(packed, tarball));
};

/** Copies those of a kernel's source files that were kept into a folder; returns their names. */
export const takeSources = async (
  { sources }: KernelHeaders,
  files: readonly string[],
  folder: string,
): Promise<readonly string[]> => {
  const taken: string[] = [];
  for (const file of files) {
    const name = file.split('/').at(-1) ?? file;
    if (!(await exists(join(sources, file)))) continue;
    await cp(join(sources, file), join(folder, name));
    taken.push(name);
  }
  return taken;
};
