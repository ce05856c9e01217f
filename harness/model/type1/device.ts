import { offsetOf } from '../../uapi/struct.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_RESET,
  VFIO_PCI_NUM_REGIONS,
  vfioDeviceInfo,
} from '../../uapi/vfio.ts';
import { field, objection, request, rule } from '../clauses.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { type Found, readStruct } from './argument.ts';
import { u32Bytes } from './bytes.ts';
import type { DeviceFile } from './files.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const CORE = 'drivers/vfio/pci/vfio_pci_core.c';

/** Interrupt indexes that every PCI device has (VFIO_PCI_NUM_IRQS). */
const NUM_IRQS = 5;

/** What every caller of GET_INFO gives, in bytes; and with the field that was added for capabilities. */
const INFO_SIZE = offsetOf(vfioDeviceInfo, 'cap_offset');
const INFO_SIZE_WITH_OFFSET = INFO_SIZE + 4;

/** How many bytes of the structure are written. */
export const INFO_WITHIN_ARGSZ = rule<(argsz: number) => number>({
  id: 'device/info-within-argsz',
  level: 'must',
  says: 'VFIO_DEVICE_GET_INFO writes no more than argsz allows: 16 bytes, 20 when argsz has room for cap_offset.',
  source: `${HEADER}: argsz; vfio_pci_ioctl_get_info(), ${CORE}`,
  rule: (argsz) => (argsz >= INFO_SIZE_WITH_OFFSET ? INFO_SIZE_WITH_OFFSET : INFO_SIZE),
});

interface InfoCall extends DeviceFile {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioDeviceInfo.fields>;
  /** How many bytes of it are written. */
  readonly size: number;
  readonly writable: boolean;
}

const GET_DEVICE_INFO = request<DeviceFile, InfoCall>({
  id: 'device/get-info',
  level: 'must',
  says: 'VFIO_DEVICE_GET_INFO describes the device and returns 0.',
  source: `${HEADER}: VFIO_DEVICE_GET_INFO`,
  on: 'device',
  request: VFIO_DEVICE_GET_INFO,
  situation: (file, { argument }: IoctlCall) => {
    const asked = readStruct(argument, vfioDeviceInfo, 0, INFO_SIZE);
    const size = file.vfio.law.of(INFO_WITHIN_ARGSZ).rule(asked.argsz);
    return { ...file, asked, size, writable: argument.writable(0, size) };
  },
  stages: ['read', 'arguments', 'reply'],
  untouched: INFO_WITHIN_ARGSZ,
});

const INFO_UNREADABLE = objection(GET_DEVICE_INFO, {
  id: 'device/unreadable-info',
  level: 'must',
  says: 'A VFIO_DEVICE_GET_INFO whose argument cannot be read is refused with EFAULT.',
  source: `vfio_pci_ioctl_get_info(), ${CORE}`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const INFO_ARGSZ = objection(GET_DEVICE_INFO, {
  id: 'device/info-argsz',
  level: 'must',
  says: 'VFIO_DEVICE_GET_INFO with an argsz below 16 is refused with EINVAL.',
  source: `${HEADER}: argsz; vfio_pci_ioctl_get_info(), ${CORE}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < INFO_SIZE,
});

const INFO_UNWRITABLE = objection(GET_DEVICE_INFO, {
  id: 'device/unwritable-info',
  level: 'must',
  says: 'A VFIO_DEVICE_GET_INFO whose argument cannot be written is refused with EFAULT.',
  source: `vfio_pci_ioctl_get_info(), ${CORE}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

const INFO_FLAGS = field(GET_DEVICE_INFO, {
  id: 'device/info-flags',
  level: 'must',
  says: 'The flags say PCI for a PCI device, RESET exactly when it can be reset, and CAPS only when there are capabilities.',
  source: `${HEADER}: VFIO_DEVICE_FLAGS_*`,
  at: () => offsetOf(vfioDeviceInfo, 'flags'),
  bytes: ({ device }) => (device.edu === undefined ? 4 : u32Bytes(VFIO_DEVICE_FLAGS_PCI)),
});

const INFO_REGIONS = field(GET_DEVICE_INFO, {
  id: 'device/info-regions',
  level: 'must',
  says: 'The field num_regions is the highest region index plus one: 9 for a PCI device without regions of its own.',
  source: `${HEADER}: VFIO_PCI_NUM_REGIONS`,
  at: () => offsetOf(vfioDeviceInfo, 'num_regions'),
  bytes: ({ device }) => (device.edu === undefined ? 4 : u32Bytes(VFIO_PCI_NUM_REGIONS)),
});

const INFO_IRQS = field(GET_DEVICE_INFO, {
  id: 'device/info-interrupts',
  level: 'must',
  says: 'The field num_irqs is the highest interrupt index plus one: 5 for a PCI device.',
  source: `${HEADER}: VFIO_PCI_NUM_IRQS`,
  at: () => offsetOf(vfioDeviceInfo, 'num_irqs'),
  bytes: ({ device }) => (device.edu === undefined ? 4 : u32Bytes(NUM_IRQS)),
});

const INFO_CAP_OFFSET = field(GET_DEVICE_INFO, {
  id: 'device/info-cap-offset',
  level: 'must',
  says: 'The field cap_offset is 0 for a device without capabilities, and is not written when argsz has no room for it.',
  source: `${HEADER}: vfio_device_info; vfio_pci_ioctl_get_info(), ${CORE}`,
  at: () => offsetOf(vfioDeviceInfo, 'cap_offset'),
  bytes: ({ size }) => new Uint8Array(size - INFO_SIZE),
});

const RESET = request<DeviceFile, DeviceFile>({
  id: 'device/reset',
  level: 'must',
  says: 'VFIO_DEVICE_RESET resets a device that says it can be and returns 0.',
  source: `${HEADER}: VFIO_DEVICE_RESET`,
  on: 'device',
  request: VFIO_DEVICE_RESET,
  situation: (file) => file,
  stages: ['state'],
});

const NO_RESET = objection(RESET, {
  id: 'device/reset-unsupported',
  level: 'must',
  says: 'VFIO_DEVICE_RESET of a device without the RESET flag is refused with EINVAL.',
  source: `${HEADER}: VFIO_DEVICE_FLAGS_RESET; vfio_pci_ioctl_reset(), ${CORE}`,
  stage: 'state',
  errnos: ['EINVAL'],
  when: ({ device }) => (device.edu === undefined ? 'perhaps' : true),
});

export const DEVICE_CLAUSES = [
  GET_DEVICE_INFO,
  INFO_UNREADABLE,
  INFO_ARGSZ,
  INFO_UNWRITABLE,
  INFO_FLAGS,
  INFO_REGIONS,
  INFO_IRQS,
  INFO_CAP_OFFSET,
  INFO_WITHIN_ARGSZ,
  RESET,
  NO_RESET,
];
