import { LATER_IOVA_BITMAP_CLAUSES } from '../model/iova-bitmap/later.ts';
import { COMBINES } from '../model/logging/ranges.ts';
import { WITHOUT_FUNCTIONS } from '../model/logging/report.ts';
import { BEYOND_DEVICE } from '../model/logging/start.ts';
import { INFO_WITHIN_ARGSZ } from '../model/type1/device.ts';
import { NOT_A_CONTAINER } from '../model/type1/group-container.ts';
import { WITHIN_ARGSZ } from '../model/type1/info.ts';
import { PINS_FOR_READING } from '../model/type1/pinning.ts';
import { byId, type Revision } from '../spec/revision.ts';
import { sizeOf } from '../uapi/struct.ts';
import { vfioDeviceInfoPadded, vfioIommuType1InfoPadded } from '../uapi/vfio-6.12.ts';
import { LINUX_6_1 } from './linux-6.1.ts';
import { NUMBERS_OF_6_12 } from './numbers.ts';

/** Both structures have had a word of padding behind cap_offset since 6.6, so that they are as long for every compiler. */
const PADDED_SIZE = sizeOf(vfioIommuType1InfoPadded);

const within: typeof WITHIN_ARGSZ = {
  ...WITHIN_ARGSZ,
  says: 'GET_INFO writes no more than argsz allows: as much of the structure of 24 bytes, padding included, as argsz has room for, and behind it only a chain that fits whole.',
  source:
    'include/uapi/linux/vfio.h: vfio_iommu_type1_info, pad; vfio_iommu_type1_get_info(), drivers/vfio/vfio_iommu_type1.c',
  rule: (argsz) => Math.min(argsz, PADDED_SIZE),
};

const deviceWithin: typeof INFO_WITHIN_ARGSZ = {
  ...INFO_WITHIN_ARGSZ,
  says: 'VFIO_DEVICE_GET_INFO writes as much of the structure of 24 bytes, padding included, as argsz has room for.',
  source:
    'include/uapi/linux/vfio.h: vfio_device_info, pad; vfio_pci_ioctl_get_info(), drivers/vfio/pci/vfio_pci_core.c',
  rule: (argsz) => Math.min(argsz, PADDED_SIZE),
};

const notAContainer: typeof NOT_A_CONTAINER = {
  ...NOT_A_CONTAINER,
  says: 'SET_CONTAINER with the descriptor of something else is refused with EBADFD.',
  source: 'vfio_group_ioctl_set_container(), drivers/vfio/group.c',
  errnos: ['EBADFD'],
};

const pinsOwn: typeof PINS_FOR_READING = {
  ...PINS_FOR_READING,
  says: "Private memory that is mapped to be read only becomes the process's own before it is pinned, and is charged.",
  source: 'mm/gup.c: gup_must_unshare(), FAULT_FLAG_UNSHARE for FOLL_LONGTERM since 6.2',
  rule: () => true,
};

/** What changed in VFIO's containers, groups and type1 between 6.1 and 6.12. */
export const LINUX_6_12: Revision = {
  id: 'linux-6.12',
  base: LINUX_6_1,
  summary: 'VFIO containers, groups and the type1 IOMMU as of Linux 6.12',
  clauses: {
    ...byId(within, deviceWithin, notAContainer, pinsOwn, ...LATER_IOVA_BITMAP_CLAUSES, COMBINES, WITHOUT_FUNCTIONS),
    [BEYOND_DEVICE.id]: null,
  },
  structs: [vfioDeviceInfoPadded, vfioIommuType1InfoPadded],
  numbers: NUMBERS_OF_6_12,
};
