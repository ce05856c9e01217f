import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { needProgram } from './requirements.ts';

/** A module's name as the kernel knows it: `vfio_pci`, whatever its file is called. */
export const moduleName = (file: string): string =>
  basename(file)
    .replace(/\.ko(\.xz|\.gz|\.zst)?$/, '')
    .replaceAll('-', '_');

/**
 * The files of these modules and of all that they depend on, in an order in which they can be loaded; `folder` is
 * /lib/modules/RELEASE of an unpacked package. What is built into the kernel is left out. Throws HostTrouble for a
 * module that is not there.
 */
export const modulesToLoad = async (folder: string, wanted: readonly string[]): Promise<readonly string[]> => {
  const files = new Map<string, string>();
  for (const name of await readdir(join(folder, 'kernel'), { recursive: true })) {
    if (/\.ko(\.\w+)?$/.test(name)) files.set(moduleName(name), join(folder, 'kernel', name));
  }
  const builtin = new Set((await readBuiltin(folder)).split('\n').map(moduleName));
  const ordered = new Set<string>();
  const seen = new Set<string>();
  const add = async (name: string): Promise<void> => {
    if (seen.has(name)) return;
    seen.add(name);
    const file = files.get(name);
    if (file === undefined) {
      if (builtin.has(name)) return;
      throw new HostTrouble(`the kernel package has no module ${name}: correct the modules of its manifest`);
    }
    for (const other of await dependenciesOf(file)) await add(other);
    ordered.add(file);
  };
  for (const name of wanted) await add(moduleName(name));
  return [...ordered];
};

/** Module files in an order in which they can be loaded: as given, but each after those of them that it depends on. */
export const inLoadingOrder = async (paths: readonly string[]): Promise<readonly string[]> => {
  const files = new Map(paths.map((path) => [moduleName(path), path]));
  const ordered = new Set<string>();
  const seen = new Set<string>();
  const add = async (name: string): Promise<void> => {
    const path = files.get(name);
    if (path === undefined || seen.has(name)) return;
    seen.add(name);
    // What cannot be read as a module is the guest's to refuse, by its name.
    for (const other of await dependenciesOf(path).catch(() => [])) await add(other);
    ordered.add(path);
  };
  for (const name of files.keys()) await add(name);
  return [...ordered];
};

const readBuiltin = (folder: string): Promise<string> =>
  readFile(join(folder, 'modules.builtin'), 'utf8').catch((cause: unknown) => {
    throw new HostTrouble('the kernel package holds no modules.builtin: add the package that does to its manifest', {
      cause,
    });
  });

const dependenciesOf = async (file: string): Promise<readonly string[]> => {
  const result = await execa(await needProgram('modinfo'), ['-F', 'depends', file], { reject: false, timeout: 30_000 });
  if (result.exitCode !== 0) throw new HostTrouble(`cannot read the module ${file}: ${result.stderr.slice(0, 200)}`);
  return result.stdout.trim().split(',').filter(Boolean).map(moduleName);
};

/** The bytes of a module, unpacked if the package has it packed. */
export const readModule = async (file: string): Promise<Uint8Array> => {
  const bytes = await readFile(file);
  if (file.endsWith('.ko')) return bytes;
  if (file.endsWith('.gz')) return gunzipSync(bytes);
  if (file.endsWith('.xz')) return unpackXz(bytes);
  throw new HostTrouble(`cannot unpack the module ${file}: expected .ko, .ko.xz or .ko.gz`);
};

/** Unpacks one xz stream. */
export const unpackXz = async (packed: Uint8Array): Promise<Uint8Array> => {
  const result = await execa(await needProgram('xz'), ['--decompress', '--stdout', '--single-stream'], {
    input: packed,
    encoding: 'buffer',
    reject: false,
    maxBuffer: 1 << 29,
    timeout: 120_000,
  });
  if (result.exitCode === 0) return result.stdout;
  throw new HostTrouble(
    `xz cannot unpack a part of the kernel package: ${Buffer.from(result.stderr).toString().slice(0, 200)}`,
  );
};
