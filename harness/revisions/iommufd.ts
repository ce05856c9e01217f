import { AREA_CLAUSES } from '../model/iommufd/areas.ts';
import { ATTACH_CLAUSES } from '../model/iommufd/cdev/attach.ts';
import { BIND_CLAUSES } from '../model/iommufd/cdev/bind.ts';
import { DETACH_CLAUSES } from '../model/iommufd/cdev/detach.ts';
import { DMA_CLAUSES } from '../model/iommufd/cdev/dma.ts';
import { CDEV_FILE_CLAUSES } from '../model/iommufd/cdev/file.ts';
import { THROUGH_GROUP_CLAUSES } from '../model/iommufd/cdev/through-group.ts';
import { CHANGE_PROCESS_CLAUSES } from '../model/iommufd/change-process.ts';
import { IOAS_COPY_CLAUSES } from '../model/iommufd/copy.ts';
import { DIRTY_TRACKING_CLAUSES } from '../model/iommufd/dirty.ts';
import { FRAMING_CLAUSES } from '../model/iommufd/framing.ts';
import { HW_INFO_CLAUSES } from '../model/iommufd/hw-info.ts';
import { HWPT_ALLOC_CLAUSES } from '../model/iommufd/hwpt-alloc.ts';
import { IOAS_MAP_CLAUSES } from '../model/iommufd/map.ts';
import { IOAS_MAP_FILE_CLAUSES } from '../model/iommufd/map-file.ts';
import { MOCK_CLAUSES } from '../model/iommufd/mock.ts';
import { MOCK_REPLACE_CLAUSES } from '../model/iommufd/mock-replace.ts';
import { OBJECT_CLAUSES } from '../model/iommufd/objects.ts';
import { OPTION_CLAUSES } from '../model/iommufd/option.ts';
import { PINNED_CLAUSES } from '../model/iommufd/pinned.ts';
import { IOAS_RANGES_CLAUSES } from '../model/iommufd/ranges.ts';
import { IOAS_UNMAP_CLAUSES } from '../model/iommufd/unmap.ts';

/** IOMMUFD without devices: objects, IO address spaces, and what is mapped in them. */
export const IOMMUFD_CLAUSES = [
  ...FRAMING_CLAUSES,
  ...OBJECT_CLAUSES,
  ...AREA_CLAUSES,
  ...IOAS_MAP_CLAUSES,
  ...IOAS_MAP_FILE_CLAUSES,
  ...CHANGE_PROCESS_CLAUSES,
  ...IOAS_UNMAP_CLAUSES,
  ...IOAS_COPY_CLAUSES,
  ...IOAS_RANGES_CLAUSES,
  ...OPTION_CLAUSES,
  ...PINNED_CLAUSES,
  ...MOCK_CLAUSES,
  ...HWPT_ALLOC_CLAUSES,
  ...MOCK_REPLACE_CLAUSES,
  ...DIRTY_TRACKING_CLAUSES,
  ...CDEV_FILE_CLAUSES,
  ...BIND_CLAUSES,
  ...ATTACH_CLAUSES,
  ...DETACH_CLAUSES,
  ...DMA_CLAUSES,
  ...THROUGH_GROUP_CLAUSES,
  ...HW_INFO_CLAUSES,
];
