import type { Platform } from '../program/platform.ts';
import { HostTrouble } from '../trouble.ts';
import type { AskLimits, IommuLimits } from './limits.ts';
import { type Files, inTurn, lastPart, pci } from './sysfs.ts';
import {
  addressBits,
  controlsSnooping,
  hasFirstStageOnly,
  pageSizes,
  remapsInterrupts,
  type VtdRegisters,
} from './vtd.ts';

/* Which IOMMU devices stand behind, and what it can do. */

/** A device that may be used. */
interface Device {
  readonly address: string;
  /** Number of its IOMMU group. */
  readonly group: string;
}

/** The IOMMU that all of these devices stand behind. VFIO is asked only for what sysfs does not tell. Throws HostTrouble where there are several, or one that is not known. */
export const readIommu = async (
  files: Files,
  devices: readonly Device[],
  pageSizeBytes: number,
  askLimits: AskLimits,
): Promise<Platform['iommu']> => {
  const [first] = devices;
  if (first === undefined) return NO_IOMMU;
  const kinds = [...new Set(await inTurn(devices, ({ address }) => readKind(files, address)))];
  const [kind = 'intel', ...others] = kinds;
  if (others.length > 0)
    throw new HostTrouble(`the devices stand behind IOMMUs of different kinds (${kinds.join(', ')})`);
  return kind === 'intel' ? readIntel(files, devices, pageSizeBytes) : readOther(files, kind, first, askLimits);
};

/** What plays the IOMMU that a device stands behind, from the attributes that its driver gave it in sysfs. */
const readKind = async (files: Files, address: string): Promise<'intel' | 'amd' | 'virtio'> => {
  const folder = `${pci(address)}/iommu`;
  if ((await files.read(`${folder}/intel-iommu/cap`)) !== undefined) return 'intel';
  if ((await files.read(`${folder}/amd-iommu/cap`)) !== undefined) return 'amd';
  // It is named by the PCI function that the virtio device is.
  const name = lastPart(await files.link(folder));
  const drivers = name === undefined ? undefined : await files.list(`${pci(name)}`);
  const virtio = drivers?.find((one) => /^virtio[0-9]+$/.test(one));
  if (
    virtio !== undefined &&
    lastPart(await files.link(`/sys/bus/virtio/devices/${virtio}/driver`)) === 'virtio_iommu'
  ) {
    return 'virtio';
  }
  throw new HostTrouble(
    `${address} does not stand behind an IOMMU of Intel, AMD or virtio: others are not known to this harness yet`,
  );
};

/**
 * An IOMMU whose limits VFIO is asked for. AMD's forces every access to be coherent (amd_iommu_enforce_cache_coherency)
 * and remaps interrupts unless it is told not to; virtio's does neither.
 */
const readOther = async (
  files: Files,
  kind: 'amd' | 'virtio',
  first: Device,
  askLimits: AskLimits,
): Promise<Platform['iommu']> => {
  const options = await readKernelWords(files);
  const isolatesMsi = (await allowsUnsafeInterrupts(files)) || (kind === 'amd' && !turnsRemappingOff(options));
  // Without isolation VFIO takes no group, and tells no limits; whatever they are, they play no part.
  const limits: IommuLimits = isolatesMsi ? await askLimits(`/dev/vfio/${first.group}`) : UNKNOWN_LIMITS;
  return { kind, ...limits, enforcesCacheCoherency: kind === 'amd', isolatesMsi };
};

const UNKNOWN_LIMITS: IommuLimits = { aperture: { start: 0n, end: (1n << 64n) - 1n }, pageSizes: 0x1000n };

const readKernelWords = async (files: Files): Promise<readonly string[]> =>
  ((await files.read('/proc/cmdline')) ?? '').trim().split(/\s+/);

const allowsUnsafeInterrupts = async (files: Files): Promise<boolean> =>
  (await files.read('/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts'))?.trim() === 'Y';

const readIntel = async (
  files: Files,
  devices: readonly Device[],
  pageSizeBytes: number,
): Promise<Platform['iommu']> => {
  const own = await inTurn(devices, ({ address }) => readOwnRegisters(files, address));
  const widths = [...new Set(own.map(addressBits))];
  const [bits = 0, ...otherBits] = widths;
  if (otherBits.length > 0 || new Set(own.map(controlsSnooping)).size > 1) {
    throw new HostTrouble(
      `the devices stand behind IOMMUs with different limits (${widths.join(' and ')} bits): choose devices behind one`,
    );
  }
  const all = await readAllRegisters(files);
  const options = await readKernelWords(files);
  return {
    kind: 'intel',
    aperture: { start: 0n, end: (1n << BigInt(bits)) - 1n },
    pageSizes: usesLargePages(options) ? pageSizes(all) : BigInt(pageSizeBytes),
    enforcesCacheCoherency: own.every(controlsSnooping),
    isolatesMsi: (await allowsUnsafeInterrupts(files)) || (!turnsRemappingOff(options) && all.every(remapsInterrupts)),
    ...inCommon(own),
  };
};

/** The registers that all of these IOMMUs have. */
const inCommon = ([first, ...others]: readonly VtdRegisters[]): { readonly registers?: VtdRegisters } =>
  first !== undefined && others.every(({ cap, ecap }) => cap === first.cap && ecap === first.ecap)
    ? { registers: first }
    : {};

/** A machine on which no device may be used: nothing can be mapped. */
const NO_IOMMU: Platform['iommu'] = {
  kind: 'none',
  aperture: { start: 0n, end: 0n },
  pageSizes: 0n,
  enforcesCacheCoherency: false,
  isolatesMsi: false,
};

/** Kernel command line: `intel_iommu=on,sp_off` keeps the driver from using large pages. */
const usesLargePages = (options: readonly string[]): boolean =>
  !options.some((option) => option.startsWith('intel_iommu=') && option.split(/[=,]/).includes('sp_off'));

/** Kernel command line: interrupt remapping is on where the hardware has it, unless it is turned off by one of these. */
const turnsRemappingOff = (options: readonly string[]): boolean =>
  options.some(
    (option) => option === 'nointremap' || (option.startsWith('intremap=') && option.split(/[=,]/).includes('off')),
  );

/** The registers of the IOMMU that a device stands behind. */
const readOwnRegisters = async (files: Files, address: string): Promise<VtdRegisters> => {
  const registers = await readRegisters(files, `${pci(address)}/iommu/intel-iommu`);
  if (registers === undefined) throw new HostTrouble(`the IOMMU of ${address} does not show its registers`);
  if (hasFirstStageOnly(registers)) {
    throw new HostTrouble(
      `the IOMMU of ${address} has no second-stage tables: its limits are not known to this harness yet`,
    );
  }
  return registers;
};

/** The registers of all IOMMUs: the driver gives every domain what all of them can do. */
const readAllRegisters = async (files: Files): Promise<readonly VtdRegisters[]> => {
  const names = (await files.list('/sys/class/iommu')) ?? [];
  const read = await inTurn(names, (name) => readRegisters(files, `/sys/class/iommu/${name}/intel-iommu`));
  return read.filter((registers) => registers !== undefined);
};

const readRegisters = async (files: Files, folder: string): Promise<VtdRegisters | undefined> => {
  const cap = await files.read(`${folder}/cap`);
  const ecap = await files.read(`${folder}/ecap`);
  return cap === undefined || ecap === undefined ? undefined : { cap: hex(cap, 'cap'), ecap: hex(ecap, 'ecap') };
};

const hex = (text: string, what: string): bigint => {
  if (!/^[0-9a-f]{1,16}$/.test(text.trim()))
    throw new HostTrouble(`expected hex digits in ${what} of the IOMMU, found ${JSON.stringify(text.slice(0, 40))}`);
  return BigInt(`0x${text.trim()}`);
};
