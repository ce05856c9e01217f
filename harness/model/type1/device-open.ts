import { VFIO_GROUP_GET_DEVICE_FD } from '../../uapi/vfio.ts';
import { objection, request, rule } from '../clauses.ts';
import type { IoctlCall, KernelFile } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { deviceFile } from './device-file.ts';
import { emulatedFile } from './emulated-file.ts';
import { resetEmulated } from './emulated-state.ts';
import type { DeviceFile, GroupFile } from './files.ts';
import type { Device, Vfio } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_GROUP_GET_DEVICE_FD';
const SOURCE = 'vfio_group_ioctl_get_device_fd(), drivers/vfio/vfio_main.c';

/** What is said of the name that an argument points at. */
type Name = { readonly text: string } | 'unreadable' | 'endless';

export interface GetDeviceCall extends GroupFile {
  readonly caller: Process;
  readonly name: Name;
  readonly device: Device | undefined;
  readonly install: (device: Device) => void;
}

/** strndup_user: at most a page of text, its NUL included. */
const readName = ({ argument }: IoctlCall, most: number): Name => {
  const bytes: number[] = [];
  for (let at = 0; at < most; at++) {
    const [byte] = argument.read(at, 1) ?? [];
    if (byte === undefined) return 'unreadable';
    if (byte === 0) return { text: String.fromCharCode(...bytes) };
    bytes.push(byte);
  }
  return 'endless';
};

/** Whether a text names a device: behind that of a PCI device blanks may follow, and options behind a blank. */
const names = (text: string, { address, kind }: Device['platform']): boolean =>
  text === address || (kind !== 'emulated' && text.startsWith(`${address} `));

const fileOf = (file: DeviceFile): KernelFile =>
  file.device.emulated === undefined ? deviceFile(file) : emulatedFile(file, file.device.emulated);

/** Opens a device: what the first opening does to it. */
const FIRST_OPEN = rule<(device: Device) => void>({
  id: 'device/opens-quiet',
  level: 'must',
  says: 'A device that is opened first is no bus master: it does no DMA before its user enables that in its command register.',
  source: 'vfio_pci_core_enable(), drivers/vfio/pci/vfio_pci_core.c: pci_clear_master()',
  rule: ({ edu }) => {
    if (edu !== undefined) edu.busMaster = false;
  },
});

/** One more file of a device can be used. */
export const openDevice = ({ law }: Vfio, device: Device): void => {
  if (device.opened === 0) {
    law.of(FIRST_OPEN).rule(device);
    if (device.emulated !== undefined) resetEmulated(device.emulated);
  }
  device.opened++;
};

/** The driver of an open device stays. */
export const HOLDS_DRIVER = rule<() => boolean>({
  id: 'group/device-holds-driver',
  level: 'must',
  says: 'While a device is open the module of its driver cannot be unloaded: that is refused with EAGAIN, and the device goes on as before.',
  source: 'vfio_device_open(), drivers/vfio/vfio_main.c: try_module_get(device->dev->driver->owner)',
  rule: () => true,
});

export const GET_DEVICE = request<GroupFile, GetDeviceCall>({
  id: 'group/get-device',
  level: 'must',
  says: 'GET_DEVICE_FD returns a new descriptor for the device of the group that the string names, as often as it is asked.',
  source: HEADER,
  on: 'group',
  request: VFIO_GROUP_GET_DEVICE_FD,
  situation: (file, call) => {
    const name = readName(call, file.vfio.platform.pageSizeBytes);
    const text = typeof name === 'string' ? undefined : name.text;
    return {
      ...file,
      caller: call.caller,
      name,
      device: file.group.devices.find(({ platform }) => text !== undefined && names(text, platform)),
      install: (device) => call.install(fileOf({ vfio: file.vfio, group: file.group, device })),
    };
  },
  stages: ['read', 'arguments'],
  effect: ({ vfio, device, install }) => {
    if (device === undefined) return;
    openDevice(vfio, device);
    install(device);
  },
  returns: () => ({ atLeast: 0n }),
});

const NAME_UNREADABLE = objection(GET_DEVICE, {
  id: 'group/unreadable-device-name',
  level: 'must',
  says: 'A device name that cannot be read up to its end is refused with EFAULT.',
  source: `${SOURCE}: strndup_user()`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ name }) => name === 'unreadable',
});

const NAME_ENDLESS = objection(GET_DEVICE, {
  id: 'group/endless-device-name',
  level: 'must',
  says: 'A device name of a page or more is refused with EINVAL.',
  source: `${SOURCE}: strndup_user()`,
  stage: 'read',
  errnos: ['EINVAL'],
  when: ({ name }) => name === 'endless',
});

const UNKNOWN_DEVICE = objection(GET_DEVICE, {
  id: 'group/unknown-device',
  level: 'must',
  says: 'A name that no device of the group has, be it that of a device of another group, is refused with ENODEV.',
  source: `${HEADER}: The string should match a device listed in the devices subdirectory; vfio_device_get_from_name(), drivers/vfio/vfio_main.c`,
  stage: 'arguments',
  errnos: ['ENODEV'],
  when: ({ device }) => device === undefined,
});

const NAME_OPTIONS = objection(GET_DEVICE, {
  id: 'group/device-name-options',
  level: 'must',
  says: 'Behind the name of a device that is no virtual function nothing but blanks may stand; the rest is refused with EINVAL.',
  source: 'vfio_pci_core_match(), vfio_pci_validate_vf_token(), drivers/vfio/pci/vfio_pci_core.c',
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ name, device }) =>
    device !== undefined &&
    typeof name !== 'string' &&
    name.text.slice(device.platform.address.length).replaceAll(' ', '') !== '',
});

const DESCRIPTOR_LIMIT = objection(GET_DEVICE, {
  id: 'group/device-descriptor-limit',
  level: 'must',
  says: 'A process with as many descriptors as RLIMIT_NOFILE allows gets no more: EMFILE.',
  source: `${SOURCE}: get_unused_fd_flags()`,
  stage: 'arguments',
  errnos: ['EMFILE'],
  // How many descriptors a process has beside those that the program opened is not known.
  when: ({ caller }) => {
    const limit = caller.limitBytes('nofile');
    if (limit === undefined) return false;
    return limit === 0n || 'perhaps';
  },
});

const WITHOUT_IOMMU = objection(GET_DEVICE, {
  id: 'group/device-without-iommu',
  level: 'must',
  says: 'GET_DEVICE_FD before the group is in a container that has an IOMMU is refused with EINVAL.',
  source: `${HEADER}: Availability: When attached to container; vfio_device_assign_container(), drivers/vfio/container.c`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ group }) => group.iommufd === undefined && group.container?.iommu === undefined,
});

export const DEVICE_OPENING_CLAUSES = [
  GET_DEVICE,
  FIRST_OPEN,
  HOLDS_DRIVER,
  NAME_UNREADABLE,
  NAME_ENDLESS,
  UNKNOWN_DEVICE,
  NAME_OPTIONS,
  DESCRIPTOR_LIMIT,
  WITHOUT_IOMMU,
];
