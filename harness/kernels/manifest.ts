import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { parseYaml } from '../yaml.ts';

const word = (what: string, form: RegExp) => z.string().regex(form, `expected ${what}`);
const packageName = word('the name of a Debian package', /^[a-z0-9][a-z0-9.+-]{1,80}$/);

const wantedPackage = z.strictObject({
  /** A regular expression that whole package names match. */
  form: z.string().min(1).max(120).refine(isPattern, 'expected a regular expression for names of packages'),
  /** What is taken as long as the archive has it, so that two machines test the same kernel. */
  pin: z.strictObject({
    package: packageName,
    version: word('the version of a Debian package', /^[0-9][A-Za-z0-9.+~:-]{0,60}$/),
    sha256: word('64 hex digits', /^[0-9a-f]{64}$/),
  }),
});

const schema = z.strictObject({
  /** What `--kernel` takes. */
  name: word('a name such as 6.1', /^[a-z0-9][a-z0-9.-]{0,30}$/),
  /** Debian suites that have it; they are asked when the machine's own package sources do not have it. */
  suites: z
    .array(word('the name of a Debian suite', /^[a-z][a-z-]{1,40}$/))
    .min(1)
    .max(8),
  /** Image and modules may be one package or several; together they hold one release. */
  packages: z.array(wantedPackage).min(1).max(4),
  /**
   * Fragments in fixtures/kernels, laid one over the other over allnoconfig: the package holds the sources of a kernel,
   * and the kernel is built.
   */
  config: z
    .array(word('the name of a fragment such as 7.2-iommufd.config', /^[a-z0-9][a-z0-9.-]{0,60}\.config$/))
    .min(1)
    .max(8)
    .optional(),
  /** Folders of the sources whose lines and branches are counted (gcov). */
  counted: z
    .array(word('a folder of the kernel sources', /^[a-z0-9_]+(\/[a-z0-9_]+){0,6}$/))
    .max(20)
    .optional(),
  /** What test modules are built with; absent: they are built with what is installed, or not at all. */
  headers: z
    .strictObject({
      /** The packages of its headers and of the programs of its build, with the libraries that those run with. */
      packages: z.array(wantedPackage).min(1).max(12),
      /** Files of its sources that a test module brings, where the kernel was built without them. */
      sources: z.array(word('a file of the kernel sources', /^[a-z0-9_]+(\/[a-z0-9_]+){0,6}\.c$/)).max(20),
    })
    .optional(),
  /** The revision that it is held against; `linux-NAME` unless it is named. */
  revision: word('the name of a revision', /^[a-z0-9][a-z0-9./-]{0,60}$/).optional(),
  modules: z.array(word('the name of a kernel module', /^[a-z0-9_]{1,60}$/)).max(60),
  /** Modules that are kept beside them, and loaded only in guests that have what they drive. */
  further: z
    .array(word('the name of a kernel module', /^[a-z0-9_]{1,60}$/))
    .max(20)
    .default([]),
  /** Words for its command line, beside those of the harness and of the guest's IOMMU. */
  commandLine: word('printable words', /^[!-~ ]{0,500}$/).default(''),
  /** Memory of a guest; 768 MiB unless this kernel needs more. */
  memoryMiB: z.number().int().min(256).max(65_536).optional(),
});

export type WantedPackage = z.infer<typeof wantedPackage>;

/** Which kernel to get, and what it needs to run as a host. */
export type KernelManifest = z.infer<typeof schema>;

const FOLDER = fileURLToPath(new URL('../../fixtures/kernels', import.meta.url));

/** Reads a manifest's text. Throws UsageTrouble with line and column. */
export const parseManifest = (text: string, path: string): KernelManifest => parseYaml(schema, text, path);

/** The names of the kernels that there are manifests for, oldest first. */
export const kernelNames = async (): Promise<readonly string[]> =>
  (await readdir(FOLDER))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));

/** The manifest of a kernel: `6.1`. Throws UsageTrouble for a name that there is none for. */
export const readManifest = async (name: string): Promise<KernelManifest> => {
  const names = await kernelNames();
  if (!names.includes(name)) {
    throw new UsageTrouble(`there is no kernel ${JSON.stringify(name)}; expected one of: ${names.join(', ')}`);
  }
  const path = `fixtures/kernels/${name}.yaml`;
  const text = await readFile(join(FOLDER, `${name}.yaml`), 'utf8').catch((cause: unknown) => {
    throw new HostTrouble(`cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  });
  const manifest = parseManifest(text, path);
  if (manifest.name !== name) throw new UsageTrouble(`${path}: name: expected ${name}, found ${manifest.name}`);
  return manifest;
};

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'v') instanceof RegExp;
  } catch {
    return false;
  }
}
