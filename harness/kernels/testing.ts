/** For tests that need programs of the machine, or packages of an archive. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { skipBecause } from '../testing.ts';
import type { AptView } from './apt.ts';
import { findProgram, REQUIREMENTS } from './requirements.ts';

/** Skips the test, or its suite, where one of these programs or files of the table of requirements is missing. */
export const skipWithout = async (context: Mocha.Context, ...programs: readonly string[]): Promise<void> => {
  for (const program of programs) {
    if ((await findProgram(program)) !== undefined) continue;
    const debianPackage = REQUIREMENTS.find((one) => one.program === program)?.debianPackage;
    skipBecause(context, `${program} is not here${debianPackage === undefined ? '' : ` (Debian: ${debianPackage})`}`);
  }
};

/** What kernels with patches are built from. */
export const KERNEL_SOURCES = [
  '/usr/src/linux-source-6.1.tar.xz',
  '/usr/src/linux-headers-6.1.0-56-amd64/Makefile',
] as const;

/** A package of a test's own archive. It is no kernel: only its names are those of one. */
interface Fake {
  readonly version: string;
  readonly sha256: string;
  readonly deb: string;
}

export interface Archive {
  readonly packages: ReadonlyMap<string, Fake>;
  /** Adds a package with these files, by their absolute paths. */
  add(name: string, version: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void>;
  /** apt's options to see what was added and nothing else. */
  open(): Promise<AptView>;
}

/** An archive of packages in a folder. */
export const makeArchive = async (folder: string): Promise<Archive> => {
  const packages = new Map<string, Fake>();
  await mkdir(join(folder, 'archive'));
  return {
    packages,
    add: async (name, version, files) => {
      const tree = join(folder, 'trees', name);
      const control = `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nMaintainer: none <none@example.org>\nDescription: none\n`;
      for (const [path, content] of Object.entries({ ...files, '/DEBIAN/control': control })) {
        await mkdir(dirname(join(tree, path)), { recursive: true });
        const isModule = path.endsWith('.ko') && typeof content === 'string';
        await writeFile(join(tree, path), isModule ? await objectFile(folder, content) : content);
      }
      const deb = join(folder, 'archive', `${name}_${version}_amd64.deb`);
      await execa('dpkg-deb', ['--root-owner-group', '-b', tree, deb]);
      const sha256 = createHash('sha256')
        .update(await readFile(deb))
        .digest('hex');
      packages.set(name, { version, sha256, deb });
      const { size } = await stat(deb);
      const stanza = `${control}Filename: ./${basename(deb)}\nSize: ${size}\nSHA256: ${sha256}\n\n`;
      await writeFile(join(folder, 'archive', 'Packages'), stanza, { flag: 'a' });
    },
    open: async () => {
      await writeFile(join(folder, 'sources.list'), `deb [trusted=yes] file:${join(folder, 'archive')} ./\n`);
      for (const name of ['lists/partial', 'apt-cache/archives/partial', 'no-parts'])
        await mkdir(join(folder, name), { recursive: true });
      const options = [
        `Dir::Etc::SourceList=${join(folder, 'sources.list')}`,
        `Dir::Etc::SourceParts=${join(folder, 'no-parts')}`,
        `Dir::State::Lists=${join(folder, 'lists')}`,
        `Dir::Cache=${join(folder, 'apt-cache')}`,
        'APT::Sandbox::User=root',
      ].flatMap((option) => ['-o', option]);
      await execa('apt-get', [...options, '-q', 'update']);
      return options;
    },
  };
};

/** What a module without dependencies is to those who read it. */
const objectFile = async (folder: string, text: string): Promise<Uint8Array> => {
  const source = `static const char a[] __attribute__((section(".modinfo"), used)) = "depends=\\0description=${text}";`;
  const file = join(folder, 'module.o');
  await execa('cc', ['-x', 'c', '-c', '-', '-o', file], { input: source });
  return readFile(file);
};
