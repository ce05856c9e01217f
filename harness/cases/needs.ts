import type { Need } from './case.ts';

/** For cases with a group that has no IOMMU behind it. */
export const EMULATED_GROUP: Need = {
  reason: 'the host has no emulated device (test module vfio-emulated)',
  met: ({ groups }) => groups.some(({ emulated }) => emulated === true),
};
