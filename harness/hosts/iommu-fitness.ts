/** Whether a kernel can be given an IOMMU, as far as it is known without booting it. */
import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { type Symbols, symbolsOf } from '../kernels/config.ts';
import type { Kernel } from '../kernels/fetch.ts';
import { needProgram } from '../kernels/requirements.ts';
import type { IommuProfile } from './iommu-profiles.ts';

/** What of a kernel decides it. */
export interface KernelFacts {
  /** Its configuration, where it is known. */
  readonly config: Symbols | undefined;
  /** Modules that a guest can be given. */
  readonly modules: readonly string[];
}

/** The properties that a device of QEMU has; `undefined` when there is no such device. */
export type AskDevice = (device: string) => Promise<readonly string[] | undefined>;

/**
 * Why a guest of this kernel cannot have this IOMMU; `undefined` when nothing is known against it. A kernel whose
 * configuration is not known has to be booted to find out.
 */
export const whyUnfit = async (
  { device, kernel: needs }: Pick<IommuProfile, 'device' | 'kernel'>,
  kernel: KernelFacts,
  askDevice: AskDevice,
): Promise<string | undefined> => {
  if (device === undefined) return undefined;
  const properties = await askDevice(device.name);
  if (properties === undefined) return `this QEMU has no device ${device.name}`;
  const missing = Object.keys(device.properties).find((name) => !properties.includes(name));
  if (missing !== undefined) return `the ${device.name} of this QEMU has no property ${missing}`;
  if (needs.config === undefined || kernel.config === undefined) return undefined;
  const built = kernel.config.get(needs.config) ?? 'n';
  if (built !== 'y' && built !== 'm') return `the kernel has no driver for it (${needs.config} is not set)`;
  if (built === 'm' && (needs.module === undefined || !kernel.modules.includes(needs.module))) {
    return `its driver is a module that guests are not given (${needs.config}=m)`;
  }
  return undefined;
};

/** The same for a kernel that was prepared, and the QEMU of this machine. Throws HostTrouble when QEMU is missing. */
export const whyKernelUnfit = async (profile: IommuProfile, kernel: Kernel): Promise<string | undefined> =>
  whyUnfit(profile, await factsOf(kernel), askQemu);

/** What is known of a kernel that is in the cache. */
export const factsOf = async ({ config, modules, further = [] }: Kernel): Promise<KernelFacts> => ({
  config: config === undefined ? undefined : symbolsOf(await readFile(config, 'utf8')),
  modules: [...modules, ...further].map(({ name }) => name),
});

/** Asks the QEMU of this machine. */
export const askQemu: AskDevice = async (device) => {
  const { exitCode, stdout } = await execa(await needProgram('qemu-system-x86_64'), ['-device', `${device},help`], {
    reject: false,
    timeout: 20_000,
  });
  return exitCode === 0 ? propertiesOf(stdout) : undefined;
};

/** The names in QEMU's list of a device's properties: lines of `  aw-bits=<uint8> - (default: 39)`. */
export const propertiesOf = (help: string): readonly string[] =>
  help.split('\n').flatMap((line) => /^ {2}([a-z0-9_.-]+)=/i.exec(line)?.[1] ?? []);
