import { offsetOf } from '../../uapi/struct.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfioDeviceInfo,
  vfioRegionInfo,
} from '../../uapi/vfio.ts';
import { field, type Holds, objection, request } from '../clauses.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { type Found, readStruct } from './argument.ts';
import { u32Bytes, u64Bytes } from './bytes.ts';
import { regionOf, regionOffset } from './device-regions.ts';
import type { DeviceFile } from './files.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const CORE = 'drivers/vfio/pci/vfio_pci_core.c';

/** Interrupt indexes that every PCI device has (VFIO_PCI_NUM_IRQS). */
const NUM_IRQS = 5;

/** What every caller of GET_INFO gives, in bytes; and with the field that was added for capabilities. */
const INFO_SIZE = offsetOf(vfioDeviceInfo, 'cap_offset');
const INFO_SIZE_WITH_OFFSET = INFO_SIZE + 4;

interface InfoCall extends DeviceFile {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioDeviceInfo.fields>;
  readonly writable: boolean;
}

export const GET_DEVICE_INFO = request<DeviceFile, InfoCall>({
  id: 'device/get-info',
  level: 'must',
  says: 'VFIO_DEVICE_GET_INFO describes the device and returns 0.',
  source: `${HEADER}: VFIO_DEVICE_GET_INFO`,
  on: 'device',
  request: VFIO_DEVICE_GET_INFO,
  situation: (file, { argument }: IoctlCall) => {
    const asked = readStruct(argument, vfioDeviceInfo, 0, INFO_SIZE);
    const size = asked.argsz >= INFO_SIZE_WITH_OFFSET ? INFO_SIZE_WITH_OFFSET : INFO_SIZE;
    return { ...file, asked, writable: argument.writable(0, size) };
  },
  stages: ['read', 'arguments', 'reply'],
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
  bytes: ({ asked }) => (asked.argsz < INFO_SIZE_WITH_OFFSET ? undefined : u32Bytes(0)),
});

interface RegionCall extends DeviceFile {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioRegionInfo.fields>;
  readonly writable: boolean;
}

/** The size of a vfio_region_info in bytes. */
const REGION_SIZE = 32;

export const GET_REGION_INFO = request<DeviceFile, RegionCall>({
  id: 'device/get-region-info',
  level: 'must',
  says: 'VFIO_DEVICE_GET_REGION_INFO describes the region whose index it is given and returns 0; index and argsz stay as they were.',
  source: `${HEADER}: VFIO_DEVICE_GET_REGION_INFO`,
  on: 'device',
  request: VFIO_DEVICE_GET_REGION_INFO,
  situation: (file, { argument }: IoctlCall) => ({
    ...file,
    asked: readStruct(argument, vfioRegionInfo),
    writable: argument.writable(0, REGION_SIZE),
  }),
  stages: ['read', 'arguments', 'reply'],
});

const REGION_UNREADABLE = objection(GET_REGION_INFO, {
  id: 'device/unreadable-region-info',
  level: 'must',
  says: 'A VFIO_DEVICE_GET_REGION_INFO whose argument cannot be read is refused with EFAULT.',
  source: `vfio_pci_ioctl_get_region_info(), ${CORE}`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const REGION_ARGSZ = objection(GET_REGION_INFO, {
  id: 'device/region-info-argsz',
  level: 'must',
  says: 'VFIO_DEVICE_GET_REGION_INFO with an argsz below 32 is refused with EINVAL.',
  source: `${HEADER}: argsz; vfio_pci_ioctl_get_region_info(), ${CORE}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < REGION_SIZE,
});

const REGION_UNKNOWN = objection(GET_REGION_INFO, {
  id: 'device/unknown-region',
  level: 'must',
  says: 'An index of no region (num_regions and above, or VGA of a device that is none) is refused with EINVAL.',
  source: `vfio_pci_ioctl_get_region_info(), ${CORE}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ device, asked: { index } }): Holds => {
    if (device.edu === undefined) return index >= VFIO_PCI_NUM_REGIONS ? 'perhaps' : false;
    return regionOf(device, index) === undefined;
  },
});

const REGION_UNWRITABLE = objection(GET_REGION_INFO, {
  id: 'device/unwritable-region-info',
  level: 'must',
  says: 'A VFIO_DEVICE_GET_REGION_INFO whose argument cannot be written is refused with EFAULT.',
  source: `vfio_pci_ioctl_get_region_info(), ${CORE}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

const REGION_FLAGS = field(GET_REGION_INFO, {
  id: 'device/region-flags',
  level: 'must',
  says: 'A BAR of memory can be read, written and mapped; config space can be read and written; a region that is not there has no flags.',
  source: `${HEADER}: VFIO_REGION_INFO_FLAG_*; vfio_pci_ioctl_get_region_info(), ${CORE}`,
  at: () => offsetOf(vfioRegionInfo, 'flags'),
  bytes: ({ device, asked: { index } }) => {
    const region = regionOf(device, index);
    if (region === undefined) return 4;
    if (region.size === 0n) return u32Bytes(0);
    const access = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    return u32Bytes(region.mappable ? access | VFIO_REGION_INFO_FLAG_MMAP : access);
  },
});

const REGION_SIZES = field(GET_REGION_INFO, {
  id: 'device/region-size',
  level: 'must',
  says: 'The field size is that of the region in bytes, 0 for one that is not there.',
  source: `${HEADER}: Zero sized regions may be used to describe unimplemented regions`,
  at: () => offsetOf(vfioRegionInfo, 'size'),
  bytes: ({ device, asked: { index } }) => {
    const region = regionOf(device, index);
    return region === undefined ? 8 : u64Bytes(region.size);
  },
});

const REGION_OFFSET = field(GET_REGION_INFO, {
  id: 'device/region-offset',
  level: 'must',
  says: 'The field offset is where the region begins in the file of the device: its index times 2^40.',
  source: `${HEADER}: Region offset from start of device fd; VFIO_PCI_INDEX_TO_OFFSET, include/linux/vfio_pci_core.h`,
  at: () => offsetOf(vfioRegionInfo, 'offset'),
  bytes: ({ asked: { index } }) => u64Bytes(regionOffset(index)),
});

const REGION_CAP_OFFSET = field(GET_REGION_INFO, {
  id: 'device/region-cap-offset',
  level: 'may',
  says: 'The field cap_offset means nothing for a region without capabilities: it may be 0 or stay as it was.',
  source: `${HEADER}: This field is only valid when the corresponding bit in the flags bitmap is set`,
  at: () => offsetOf(vfioRegionInfo, 'cap_offset'),
  bytes: () => 4,
});

export const RESET = request<DeviceFile, DeviceFile>({
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
  GET_REGION_INFO,
  REGION_UNREADABLE,
  REGION_ARGSZ,
  REGION_UNKNOWN,
  REGION_UNWRITABLE,
  REGION_FLAGS,
  REGION_SIZES,
  REGION_OFFSET,
  REGION_CAP_OFFSET,
  RESET,
  NO_RESET,
];
