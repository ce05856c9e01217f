/** Reads what the model must know of a machine from its sysfs, wherever that machine is. Nothing here asks VFIO. */
import type { IovaRange, Platform, PlatformDevice, PlatformGroup } from '../program/platform.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { readIommu } from './iommu.ts';
import type { AskLimits } from './limits.ts';
import { type Files, inTurn, lastPart, pci } from './sysfs.ts';

/** Default of vfio_iommu_type1's parameter dma_entry_limit, for when the module is not loaded yet. */
const DEFAULT_DMA_ENTRY_LIMIT = 65_535;

const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

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

const wholeNumber = (text: string, what: string): number => {
  if (!/^[0-9]{1,10}$/.test(text.trim()))
    throw new HostTrouble(`expected a number in ${what}, found ${JSON.stringify(text.slice(0, 40))}`);
  return Number(text.trim());
};
