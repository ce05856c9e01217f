import { ACCESS_CLAUSES } from '../model/iommufd/access/clauses.ts';
import { AREA_CLAUSES } from '../model/iommufd/areas.ts';
import { CDEV_CLAUSES } from '../model/iommufd/cdev/clauses.ts';
import { CHANGE_PROCESS_CLAUSES } from '../model/iommufd/change-process.ts';
import { COMPAT_GROUP_CLAUSES } from '../model/iommufd/compat/group.ts';
import { COMPAT_INFO_CLAUSES } from '../model/iommufd/compat/info.ts';
import { COMPAT_IOAS_CLAUSES } from '../model/iommufd/compat/ioas.ts';
import { COMPAT_MAP_CLAUSES } from '../model/iommufd/compat/map.ts';
import { COMPAT_REACHING_CLAUSES } from '../model/iommufd/compat/reaching.ts';
import { COMPAT_REQUEST_CLAUSES } from '../model/iommufd/compat/requests.ts';
import { COMPAT_UNMAP_CLAUSES } from '../model/iommufd/compat/unmap.ts';
import { IOAS_COPY_CLAUSES } from '../model/iommufd/copy.ts';
import { FAULT_QUEUE_CLAUSES } from '../model/iommufd/fault-queue/clauses.ts';
import { FRAMING_CLAUSES } from '../model/iommufd/framing.ts';
import { GET_DIRTY_BITMAP_CLAUSES } from '../model/iommufd/get-dirty-bitmap.ts';
import { HW_INFO_CLAUSES } from '../model/iommufd/hw-info.ts';
import { HWPT_ALLOC_CLAUSES } from '../model/iommufd/hwpt-alloc.ts';
import { INVALIDATE_CLAUSES } from '../model/iommufd/invalidate.ts';
import { IOAS_MAP_CLAUSES } from '../model/iommufd/map.ts';
import { IOAS_MAP_FILE_CLAUSES } from '../model/iommufd/map-file.ts';
import { MOCK_CLAUSES } from '../model/iommufd/mock.ts';
import { MOCK_WRITE_CLAUSES } from '../model/iommufd/mock-dirty.ts';
import { MOCK_REPLACE_CLAUSES } from '../model/iommufd/mock-replace.ts';
import { OBJECT_CLAUSES } from '../model/iommufd/objects.ts';
import { OPTION_CLAUSES } from '../model/iommufd/option.ts';
import { PASID_CLAUSES } from '../model/iommufd/pasid.ts';
import { PINNED_CLAUSES } from '../model/iommufd/pinned.ts';
import { QUEUE_FILE_CLAUSES } from '../model/iommufd/queue-file.ts';
import { IOAS_RANGES_CLAUSES } from '../model/iommufd/ranges.ts';
import { SET_TRACKING_CLAUSES } from '../model/iommufd/set-tracking.ts';
import { IOAS_UNMAP_CLAUSES } from '../model/iommufd/unmap.ts';
import { VIOMMU_CLAUSES } from '../model/iommufd/viommu/clauses.ts';
import { IOMMUFD_GROUP_CLAUSES } from './iommufd-groups.ts';

/** IOMMUFD: objects, IO address spaces, what is mapped in them, page tables, and devices that are bound. */
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
  ...MOCK_WRITE_CLAUSES,
  ...SET_TRACKING_CLAUSES,
  ...GET_DIRTY_BITMAP_CLAUSES,
  ...INVALIDATE_CLAUSES,
  ...QUEUE_FILE_CLAUSES,
  ...FAULT_QUEUE_CLAUSES,
  ...VIOMMU_CLAUSES,
  ...PASID_CLAUSES,
  ...ACCESS_CLAUSES,
  ...CDEV_CLAUSES,
  ...HW_INFO_CLAUSES,
  ...COMPAT_REQUEST_CLAUSES,
  ...COMPAT_IOAS_CLAUSES,
  ...COMPAT_MAP_CLAUSES,
  ...COMPAT_UNMAP_CLAUSES,
  ...COMPAT_INFO_CLAUSES,
  ...COMPAT_GROUP_CLAUSES,
  ...COMPAT_REACHING_CLAUSES,
  ...IOMMUFD_GROUP_CLAUSES,
];
