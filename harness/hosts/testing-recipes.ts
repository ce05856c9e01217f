/** The recipes of docs/ci/hosts against the programs that they are for: a guest is the machine, all the rest is real. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel, type Kernel } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { findProgram, REQUIREMENTS } from '../kernels/requirements.ts';
import { EDU_ADDRESSES } from './qemu.ts';
import type { LabMachine } from './testing-lab.ts';

/** How long a machine here may take to boot, in seconds; one of iron takes minutes. */
const BOOT_SECONDS = 30;

/** What is written in place of what a recipe has: names, addresses, ports, files. */
export type Filling = readonly (readonly [from: string | RegExp, to: string])[];

export type Kernels = readonly [Kernel, ...Kernel[]];

/** A machine that is off, and the program that switches it. */
export interface Stand {
  readonly machine: LabMachine;
  readonly filling: Filling;
  /** For whatever speaks with the program. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends everything. */
  end(): Promise<void>;
}

export interface Recipe {
  /** In docs/ci/hosts. */
  readonly file: string;
  /** The programs that it takes. */
  readonly programs: readonly string[];
  /** Where those are to be had that are in no Debian package. */
  readonly elsewhere?: string;
  /** Why it cannot be run here though they are there. */
  readonly why?: () => string | undefined;
  /** The machine boots the first of these kernels; the others can be deployed. */
  open(kernels: Kernels): Promise<Stand>;
}

/** Why a recipe cannot be run here; `undefined` when it can. */
export const whyNot = async ({ programs, elsewhere, why }: Recipe): Promise<string | undefined> => {
  for (const program of programs) {
    if ((await findProgram(program)) !== undefined) continue;
    const known = REQUIREMENTS.find((one) => one.program === program);
    return `${program} is not installed: ${known === undefined ? elsewhere : `apt-get install ${known.debianPackage}`}`;
  }
  return why?.();
};

/** The kernel of the machines, and one to deploy there. */
export const labKernels = async (): Promise<Kernels> => {
  const fetched = async (name: string): Promise<Kernel> =>
    fetchKernel(await readManifest(name), { cache: cacheFolder() });
  return [await fetched('6.1'), await fetched('6.12')];
};

/** The recipe as its file has it, with what is here in place of its examples. Throws when it has none of one of them. */
export const filledIn = async ({ file }: Recipe, { machine, filling }: Stand): Promise<string> => {
  const devices = EDU_ADDRESSES.map((address) => `'${address}'`).join(', ');
  const common: Filling = [
    [/devices: \[.*\]/, `devices: [${devices}]`],
    [/iommu: \w+/, 'iommu: vtd'],
    ['/srv/lab/', `${machine.folder}/`],
  ];
  const path = fileURLToPath(new URL(`../../docs/ci/hosts/${file}`, import.meta.url));
  let text = await readFile(path, 'utf8');
  for (const [from, to] of [...filling, ...common]) {
    const isThere = typeof from === 'string' ? text.includes(from) : from.test(text);
    if (!isThere) throw new Error(`${file} has no ${from} that could be filled in`);
    text = text.replaceAll(typeof from === 'string' ? from : new RegExp(from, 'g'), () => to);
  }
  return `${text.replace(/\n *bootSeconds: \d+/, '').trimEnd()}\n    bootSeconds: ${BOOT_SECONDS}\n`;
};
