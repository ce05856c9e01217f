/** Reads what the model must know of a machine from its sysfs, wherever that machine is. Nothing here asks VFIO. */
import type { IovaRange, Platform, PlatformDevice, PlatformGroup } from '../program/platform.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import type { AskLimits, IommuLimits } from './limits.ts';
import {
  addressBits,
  controlsSnooping,
  hasFirstStageOnly,
  pageSizes,
  remapsInterrupts,
  type VtdRegisters,
} from './vtd.ts';

/** The files of a machine, which may be this one, a guest or one behind SSH. What is not there is `undefined`. */
export interface Files {
  read(path: string): Promise<string | undefined>;
  /** Names in a folder. */
  list(path: string): Promise<readonly string[] | undefined>;
  /** Where a symbolic link points. */
  link(path: string): Promise<string | undefined>;
}

/** Default of vfio_iommu_type1's parameter dma_entry_limit, for when the module is not loaded yet. */
const DEFAULT_DMA_ENTRY_LIMIT = 65_535;

const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const pci = (address: string): string => `/sys/bus/pci/devices/${address}`;

/**
 * The platform of a machine on which the devices at these PCI addresses may be used; nothing else is ever touched. VFIO
 * is asked (`askLimits`) only for what sysfs does not tell of IOMMUs that are not Intel's. Throws UsageTrouble for an address that is none, HostTrouble when a device is not there, not bound to vfio-pci, shares
 * its group with a device that is in use, or stands behind an IOMMU that is not known here.
 */
export const readPlatform = async (
  files: Files,
  addresses: readonly string[],
  pageSizeBytes: number,
  askLimits: AskLimits,
): Promise<Platform> => {
  for (const address of addresses) {
    if (!PCI_ADDRESS.test(address)) {
      throw new UsageTrouble(`expected a PCI address such as 0000:00:04.0, found ${JSON.stringify(address)}`);
    }
  }
  const devices: readonly Device[] = await inTurn([...new Set(addresses)], (address, index) =>
    readDevice(files, address, index),
  );
  const numbers = [...new Set(devices.map(({ group }) => group))];
  const limit = await files.read('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit');
  return {
    pageSizeBytes,
    iommu: await readIommu(files, devices, pageSizeBytes, askLimits),
    groups: [
      ...(await inTurn(numbers, (number, index) =>
        readGroup(
          files,
          number,
          index,
          devices.filter(({ group }) => group === number),
        ),
      )),
      ...(await readEmulated(files)),
    ],
    dmaEntryLimit: limit === undefined ? DEFAULT_DMA_ENTRY_LIMIT : wholeNumber(limit, 'dma_entry_limit'),
    iommufd: ((await files.list('/dev')) ?? []).includes('iommu'),
    testModules: [
      ...(await loaded(files, TEST_MODULES)),
      ...(await mockDevices(files)),
      ...(await failingAllocations(files)),
    ],
  };
};

/** What the modules of fixtures/modules are called once they are loaded. */
const TEST_MODULES = ['vfio_emulated', 'iova_bitmap_test', 'mediator_test'];

/** CONFIG_IOMMUFD_TEST is part of the kernel, or of iommufd; its bus shows that it is there. */
const mockDevices = async (files: Files): Promise<readonly string[]> =>
  ((await files.list('/sys/bus')) ?? []).includes('iommufd_mock') ? ['iommufd_mock'] : [];

/** CONFIG_FAILSLAB, set up so that allocations which may wait can fail, too: for a process that asks for it (fail-nth). */
const failingAllocations = async (files: Files): Promise<readonly string[]> =>
  (await files.read('/sys/kernel/debug/failslab/ignore-gfp-wait'))?.trim() === 'N' ? ['failslab'] : [];

const loaded = async (files: Files, modules: readonly string[]): Promise<readonly string[]> => {
  const states = await inTurn(modules, (name) => files.read(`/sys/module/${name}/initstate`));
  return modules.filter((_, index) => states[index]?.trim() === 'live');
};

/** The devices of the test module vfio-emulated, which says itself where their groups' files are. */
const readEmulated = async (files: Files): Promise<readonly PlatformGroup[]> => {
  const driver = '/sys/bus/platform/drivers/vfio-emulated';
  const addresses = ((await files.list(driver)) ?? []).filter((name) => /^vfio-emulated\.[0-9]$/.test(name)).sort();
  return inTurn(addresses, async (address, index) => {
    const path = (await files.read(`/sys/bus/platform/devices/${address}/vfio_group`))?.trim();
    if (path === undefined || !/^\/dev\/vfio\/[0-9]{1,9}$/.test(path)) {
      throw new HostTrouble(`${address} has no group: load the module vfio-emulated anew`);
    }
    const name = `emulated${index}`;
    const cdev = await readCdev(files, `/sys/bus/platform/devices/${address}`);
    const logging = (await files.read(`/sys/bus/platform/devices/${address}/dma_logging`))?.trim();
    return {
      name,
      path,
      devices: [
        {
          name: `${name}-device`,
          address,
          kind: 'emulated',
          ...(logging === 'reported' || logging === 'unreported' ? { logging } : {}),
          ...(cdev === undefined ? {} : { cdev }),
        },
      ],
      reserved: [],
      emulated: true,
    };
  });
};

/** One after the other: a machine behind SSH is asked over one channel, and the order of the answers matters. */
const inTurn = async <From, To>(
  values: readonly From[],
  read: (value: From, index: number) => Promise<To>,
): Promise<readonly To[]> => {
  const results: To[] = [];
  for (const [index, value] of values.entries()) results.push(await read(value, index));
  return results;
};

interface Device extends PlatformDevice {
  /** Number of its IOMMU group. */
  readonly group: string;
}

const readDevice = async (files: Files, address: string, index: number): Promise<Device> => {
  const vendor = await files.read(`${pci(address)}/vendor`);
  if (vendor === undefined) throw new HostTrouble(`there is no PCI device ${address} (see lspci -D)`);
  const driver = await driverOf(files, address);
  if (driver !== 'vfio-pci') {
    throw new HostTrouble(
      `${address} is bound to ${driver ?? 'no driver'}, not to vfio-pci: bind it (driverctl set-override ${address} vfio-pci) or leave it out`,
    );
  }
  const group = lastPart(await files.link(`${pci(address)}/iommu_group`));
  if (group === undefined || !/^[0-9]{1,9}$/.test(group)) {
    throw new HostTrouble(
      `${address} has no IOMMU group: the IOMMU is off (intel_iommu=on on the kernel command line)`,
    );
  }
  const id = `${vendor.trim()}:${(await files.read(`${pci(address)}/device`))?.trim()}`;
  const cdev = await readCdev(files, pci(address));
  return {
    name: `device${index}`,
    address,
    kind: id === '0x1234:0x11e8' ? 'edu' : 'opaque',
    ...(cdev === undefined ? {} : { cdev }),
    group,
  };
};

/** The device's own file: its sysfs folder names it, and it is there if the kernel was built for that (CONFIG_VFIO_DEVICE_CDEV). */
const readCdev = async (files: Files, device: string): Promise<string | undefined> => {
  const [name, ...others] = (await files.list(`${device}/vfio-dev`)) ?? [];
  if (name === undefined || others.length > 0 || !/^vfio[0-9]{1,9}$/.test(name)) return undefined;
  const number = await files.read(`${device}/vfio-dev/${name}/dev`);
  return number === undefined ? undefined : `/dev/vfio/devices/${name}`;
};

const driverOf = async (files: Files, address: string): Promise<string | undefined> =>
  lastPart(await files.link(`${pci(address)}/driver`));

const lastPart = (path: string | undefined): string | undefined => path?.trim().split('/').at(-1);

const readGroup = async (
  files: Files,
  number: string,
  index: number,
  devices: readonly Device[],
): Promise<PlatformGroup> => {
  const folder = `/sys/kernel/iommu_groups/${number}`;
  for (const peer of (await files.list(`${folder}/devices`)) ?? []) {
    if (!devices.some(({ address }) => address === peer)) await checkPeer(files, number, peer);
  }
  return {
    name: `group${index}`,
    path: `/dev/vfio/${number}`,
    devices: devices.map(({ group: _, ...device }) => device),
    reserved: parseReserved((await files.read(`${folder}/reserved_regions`)) ?? ''),
  };
};

/** Another device of the group: bridges and devices without a driver do no harm, all others are somebody's. */
const checkPeer = async (files: Files, number: string, peer: string): Promise<void> => {
  const driver = PCI_ADDRESS.test(peer) ? await driverOf(files, peer) : 'a driver of its own';
  if (driver === undefined) return;
  const isBridge = PCI_ADDRESS.test(peer) && (await files.read(`${pci(peer)}/class`))?.startsWith('0x06') === true;
  if (isBridge) return;
  throw new HostTrouble(
    `IOMMU group ${number} also holds ${peer} (${driver}), which was not named: name it too, or choose a device with a group of its own`,
  );
};

/**
 * Lines of reserved_regions: `0xSTART 0xEND TYPE`, both ends inclusive. A relaxable region is one that the firmware
 * asked for and VFIO may use all the same (vfio_iommu_resv_exclude of 6.1).
 */
const parseReserved = (text: string): readonly IovaRange[] =>
  text
    .split('\n')
    .map((line) => /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) ([a-z-]+)$/.exec(line.trim()))
    .filter((match) => match !== null && match[3] !== 'direct-relaxable')
    .map((match) => ({ start: BigInt(match?.[1] ?? 0), end: BigInt(match?.[2] ?? 0) }));

const readIommu = async (
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

const wholeNumber = (text: string, what: string): number => {
  if (!/^[0-9]{1,10}$/.test(text.trim()))
    throw new HostTrouble(`expected a number in ${what}, found ${JSON.stringify(text.slice(0, 40))}`);
  return Number(text.trim());
};
