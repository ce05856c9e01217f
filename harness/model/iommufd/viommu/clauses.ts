import { VIOMMU_ALLOC_CLAUSES } from './alloc.ts';
import { VIOMMU_ENDING_CLAUSES } from './ending.ts';
import { EVENT_FILE_CLAUSES } from './event-file.ts';
import { EVENT_QUEUE_CLAUSES } from './event-queue.ts';
import { EVENT_CLAUSES } from './events.ts';
import { HW_QUEUE_CLAUSES } from './hw-queue.ts';
import { VIOMMU_INVALIDATE_CLAUSES } from './invalidate.ts';
import { VIOMMU_MEMORY_CLAUSES } from './memory.ts';
import { VDEVICE_CLAUSES } from './vdevice.ts';

/** Virtual IOMMUs, and all that belongs to them. */
export const VIOMMU_CLAUSES = [
  ...VIOMMU_ALLOC_CLAUSES,
  ...VIOMMU_MEMORY_CLAUSES,
  ...VIOMMU_INVALIDATE_CLAUSES,
  ...VDEVICE_CLAUSES,
  ...EVENT_QUEUE_CLAUSES,
  ...EVENT_FILE_CLAUSES,
  ...EVENT_CLAUSES,
  ...HW_QUEUE_CLAUSES,
  ...VIOMMU_ENDING_CLAUSES,
];
