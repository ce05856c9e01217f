/** Makes the helper's binary from the C sources beside this file. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExecaError, execa } from 'execa';
import { HostTrouble } from '../trouble.ts';

/** A helper that was built for this machine's architecture. */
export interface BuiltHelper {
  readonly path: string;
  /** Of the binary, 64 hex digits: a host checks that what it runs is this. */
  readonly sha256: string;
  /** FNV-1a 64 of the ops.def that it was compiled from, 16 hex digits: the handshake's. */
  readonly opsHash: string;
}

const SOURCES = fileURLToPath(new URL('.', import.meta.url));
const WIRE = fileURLToPath(new URL('../wire', import.meta.url));
const FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];
const NAME = 'vfio-conform-helper';
const COMPILER = 'cc';

/** A binary of ours: its name, its C sources and the headers among them, and what else they are compiled from. */
interface Parts {
  readonly name: string;
  readonly sources: readonly string[];
  readonly further: readonly string[];
}

/** Names a helper that was built elsewhere, for machines without a compiler. */
const ELSEWHERE = 'VFIO_CONFORM_HELPER';

/**
 * Compiles the helper, or finds it in `cacheDir`, where it is kept under a hash of its sources, the compiler and the flags;
 * or takes the one that was built elsewhere (VFIO_CONFORM_HELPER). Throws HostTrouble that names the Debian package that is
 * missing, or gives the compiler's own words.
 */
export const buildHelper = async (cacheDir: string): Promise<BuiltHelper> => {
  const elsewhere = process.env[ELSEWHERE];
  if (elsewhere !== undefined && elsewhere !== '') return describe(elsewhere, `the helper ${elsewhere} (${ELSEWHERE})`);
  const names = (await readdir(SOURCES)).filter((name) => /\.[ch]$/.test(name)).sort();
  // Paths that may be given on a command line, whatever the names are: all of them are ours and in one folder.
  const sources = names.map((name) => join(SOURCES, name));
  const path = await build({ name: NAME, sources, further: [join(WIRE, 'ops.def')] }, cacheDir);
  return describe(path, 'the helper that was built');
};

/** The same for the program that boots another kernel from the one that runs (kexec/kexec.c). Throws HostTrouble. */
export const buildKexec = async (cacheDir: string): Promise<{ readonly path: string; readonly sha256: string }> => {
  const path = await build({ name: 'kexec', sources: [join(SOURCES, 'kexec', 'kexec.c')], further: [] }, cacheDir);
  return { path, sha256: hashOf(await readFile(path)) };
};

const build = async (parts: Parts, cacheDir: string): Promise<string> => {
  const folder = join(cacheDir, `helper-${await keyOf(parts, await compilerVersion())}`);
  const path = join(folder, parts.name);
  if (!(await isThere(path))) await compile(parts, folder, path);
  return path;
};

const keyOf = async ({ sources, further }: Parts, compiler: string): Promise<string> => {
  const hash = createHash('sha256').update([compiler, ...FLAGS].join('\0'));
  for (const path of [...sources, ...further]) {
    const bytes = await readFile(path);
    hash.update(`\0${path.slice(path.lastIndexOf('/') + 1)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex').slice(0, 16);
};

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const compilerVersion = async (): Promise<string> => {
  try {
    const { stdout } = await execa(COMPILER, ['--version'], { timeout: 30_000 });
    return stdout;
  } catch (cause) {
    throw new HostTrouble(
      `building the helper needs a C compiler, and there is no cc here: install gcc and libc6-dev, or name one that was built elsewhere in ${ELSEWHERE}`,
      { cause },
    );
  }
};

/** Compiled beside its place and moved there whole, so that nobody ever finds half a binary. */
const compile = async ({ name, sources }: Parts, folder: string, path: string): Promise<void> => {
  const unfinished = `${path}.${process.pid}`;
  try {
    await mkdir(folder, { recursive: true });
    const files = sources.filter((source) => source.endsWith('.c'));
    await execa(COMPILER, [...FLAGS, '-I', WIRE, ...files, '-o', unfinished], { timeout: 300_000 });
    // Neither the group nor others may change it, whatever the umask: it refuses to run otherwise.
    await chmod(unfinished, 0o755);
    await rename(unfinished, path);
  } catch (cause) {
    await rm(unfinished, { force: true });
    throw new HostTrouble(`${name === NAME ? 'the helper' : name} cannot be built: ${reasonOf(cause)}`, { cause });
  }
};

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof ExecaError)) return cause instanceof Error ? cause.message : String(cause);
  const text = typeof cause.stderr === 'string' ? cause.stderr : '';
  if (/cannot find -lc\b|fatal error: [\w/.]+\.h: No such file/.test(text)) {
    return `the C library's headers or its static form are missing: install libc6-dev (${firstError(text)})`;
  }
  return text === '' ? cause.shortMessage : firstError(text);
};

const firstError = (text: string): string =>
  text.split('\n').find((line) => /error|cannot/i.test(line)) ?? text.slice(0, 200);

const isThere = async (path: string): Promise<boolean> => {
  try {
    await readFile(path);
    return true;
  } catch {
    return false;
  }
};

/** What the binary itself says, so that one that cannot run here is found now and not on a host. */
const describe = async (path: string, what: string): Promise<BuiltHelper> => {
  try {
    const sha256 = hashOf(await readFile(path));
    const { stdout } = await execa(path, ['--version'], { timeout: 30_000 });
    const opsHash = /^vfio-conform-helper \d+ ([0-9a-f]{16}) /.exec(stdout)?.[1];
    if (opsHash === undefined) throw new Error(`expected its handshake, found ${JSON.stringify(stdout.slice(0, 100))}`);
    return { path, sha256, opsHash };
  } catch (cause) {
    const reason =
      cause instanceof ExecaError ? cause.stderr || cause.shortMessage : cause instanceof Error ? cause.message : cause;
    throw new HostTrouble(`${what} does not run here: ${reason}`, { cause });
  }
};
