import { offsetOf } from '../../uapi/struct.ts';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
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

export interface RegionCall extends DeviceFile {
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

export const REGION_UNWRITABLE = objection(GET_REGION_INFO, {
  id: 'device/unwritable-region-info',
  level: 'must',
  says: 'A VFIO_DEVICE_GET_REGION_INFO whose argument cannot be written is refused with EFAULT.',
  source: `vfio_pci_ioctl_get_region_info(), ${CORE}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

export const REGION_FLAGS = field(GET_REGION_INFO, {
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

export const REGION_CAP_OFFSET = field(GET_REGION_INFO, {
  id: 'device/region-cap-offset',
  level: 'may',
  says: 'The field cap_offset means nothing for a region without capabilities: it may be 0 or stay as it was.',
  source: `${HEADER}: This field is only valid when the corresponding bit in the flags bitmap is set`,
  at: () => offsetOf(vfioRegionInfo, 'cap_offset'),
  bytes: () => 4,
});

export const REGION_INFO_CLAUSES = [
  GET_REGION_INFO,
  REGION_UNREADABLE,
  REGION_ARGSZ,
  REGION_UNKNOWN,
  REGION_UNWRITABLE,
  REGION_FLAGS,
  REGION_SIZES,
  REGION_OFFSET,
  REGION_CAP_OFFSET,
];
