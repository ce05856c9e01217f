import type { Cdev } from './state.ts';

/** What is known of the hardware of a device that is bound. */
export const hardwareOf = (_: Cdev) => ({ iommu: { dirtyTracking: false } });
