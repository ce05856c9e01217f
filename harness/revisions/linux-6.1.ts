import { IOVA_BITMAP_ARGUMENT_CLAUSES } from '../model/iova-bitmap/arguments.ts';
import { IOVA_BITMAP_CLAUSES } from '../model/iova-bitmap/landed.ts';
import { LOGGING_CLAUSES } from '../model/logging/clauses.ts';
import { ACCOUNTING_CLAUSES } from '../model/type1/accounting.ts';
import { CONTAINER_CLAUSES } from '../model/type1/container.ts';
import { DEVICE_CLAUSES } from '../model/type1/device.ts';
import { DEVICE_ACCESS_CLAUSES } from '../model/type1/device-access.ts';
import { DEVICE_FILE_CLAUSES } from '../model/type1/device-file.ts';
import { DEVICE_OPENING_CLAUSES } from '../model/type1/device-open.ts';
import { DIRTY_CLAUSES } from '../model/type1/dirty.ts';
import { DMA_RW_CLAUSES } from '../model/type1/dma-rw.ts';
import { EMULATED_DEVICE_CLAUSES } from '../model/type1/emulated-device.ts';
import { GET_BITMAP_CLAUSES } from '../model/type1/get-bitmap.ts';
import { GROUP_CLAUSES } from '../model/type1/group.ts';
import { GROUP_CONTAINER_CLAUSES } from '../model/type1/group-container.ts';
import { HARDWARE_GROUP_CLAUSES } from '../model/type1/hardware-groups.ts';
import { HARDWARE_OBJECTIONS } from '../model/type1/hardware-objections.ts';
import { INFO_CLAUSES } from '../model/type1/info.ts';
import { IOVA_CLAUSES } from '../model/type1/iova-ranges.ts';
import { LIMIT_CLAUSES } from '../model/type1/limits.ts';
import { MAP_CLAUSES } from '../model/type1/map.ts';
import { MEMBERSHIP_CLAUSES } from '../model/type1/membership.ts';
import { PIN_CLAUSES } from '../model/type1/pin.ts';
import { PIN_DIRTY_CLAUSES } from '../model/type1/pin-dirty.ts';
import { REGION_INFO_CLAUSES } from '../model/type1/region-info.ts';
import { UNMAP_CLAUSES } from '../model/type1/unmap.ts';
import { UNMAP_BITMAP_CLAUSES } from '../model/type1/unmap-bitmap.ts';
import { VADDR_CLAUSES } from '../model/type1/vaddr.ts';
import { QUESTIONS } from '../spec/five-modes/index.ts';
import { byId, type Revision } from '../spec/revision.ts';
import { isStruct } from '../uapi/struct.ts';
import * as vfio from '../uapi/vfio.ts';
import * as logging from '../uapi/vfio-logging.ts';
import { NUMBERS_OF_6_1 } from './numbers.ts';

/** VFIO as Linux 6.1 documents it: the root of the tree of revisions. */
export const LINUX_6_1: Revision = {
  id: 'linux-6.1',
  summary: 'VFIO containers, groups and the type1 IOMMU as of Linux 6.1',
  clauses: byId(
    ...CONTAINER_CLAUSES,
    ...GROUP_CLAUSES,
    ...GROUP_CONTAINER_CLAUSES,
    ...DEVICE_OPENING_CLAUSES,
    ...MEMBERSHIP_CLAUSES,
    ...MAP_CLAUSES,
    ...IOVA_CLAUSES,
    ...LIMIT_CLAUSES,
    ...UNMAP_CLAUSES,
    ...UNMAP_BITMAP_CLAUSES,
    ...DIRTY_CLAUSES,
    ...GET_BITMAP_CLAUSES,
    ...VADDR_CLAUSES,
    ...INFO_CLAUSES,
    ...ACCOUNTING_CLAUSES,
    ...DEVICE_CLAUSES,
    ...REGION_INFO_CLAUSES,
    ...DEVICE_FILE_CLAUSES,
    ...DEVICE_ACCESS_CLAUSES,
    ...HARDWARE_GROUP_CLAUSES,
    ...HARDWARE_OBJECTIONS,
    ...PIN_CLAUSES,
    ...PIN_DIRTY_CLAUSES,
    ...DMA_RW_CLAUSES,
    ...EMULATED_DEVICE_CLAUSES,
    ...IOVA_BITMAP_CLAUSES,
    ...IOVA_BITMAP_ARGUMENT_CLAUSES,
    ...LOGGING_CLAUSES,
    ...QUESTIONS,
  ),
  structs: [vfio, logging].flatMap((header) => Object.values<unknown>(header)).filter(isStruct),
  numbers: NUMBERS_OF_6_1,
};
