import { ATTACH_CLAUSES } from './attach.ts';
import { BIND_CLAUSES } from './bind.ts';
import { DETACH_CLAUSES } from './detach.ts';
import { DMA_CLAUSES } from './dma.ts';
import { EMULATED_CDEV_CLAUSES } from './emulated.ts';
import { CDEV_FILE_CLAUSES } from './file.ts';
import { THROUGH_GROUP_CLAUSES } from './through-group.ts';

/** Devices by their own files, /dev/vfio/devices/vfioN. */
export const CDEV_CLAUSES = [
  ...CDEV_FILE_CLAUSES,
  ...BIND_CLAUSES,
  ...ATTACH_CLAUSES,
  ...DETACH_CLAUSES,
  ...DMA_CLAUSES,
  ...EMULATED_CDEV_CLAUSES,
  ...THROUGH_GROUP_CLAUSES,
];
