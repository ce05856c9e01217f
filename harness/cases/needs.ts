import type { Need } from './case.ts';

/** For cases that drive the kernel's bitmap functions. */
export const IOVA_BITMAP_TEST: Need = {
  reason: 'the host has not loaded the test module iova-bitmap',
  met: ({ testModules }) => testModules.includes('iova_bitmap_test'),
};

/** For cases with a group that has no IOMMU behind it. */
export const EMULATED_GROUP: Need = {
  reason: 'the host has no emulated device (test module vfio-emulated)',
  met: ({ groups }) => groups.some(({ emulated }) => emulated === true),
};

/** For cases with a device that logs what it writes: the first of those without an IOMMU. */
export const LOGS: Need = {
  reason: 'the host has no device that logs its DMA (test module vfio-emulated)',
  met: ({ groups }) => groups.some(({ devices }) => devices.some(({ logging }) => logging !== undefined)),
};

/** For cases in which such a device is asked what it wrote. */
export const REPORTS: Need = {
  reason:
    'the kernel was built without bitmap functions (CONFIG_IOMMUFD_DRIVER), so that devices cannot tell what they wrote',
  met: ({ groups }) => groups.some(({ devices }) => devices.some(({ logging }) => logging === 'reported')),
};

/** For cases of what it says where it cannot. */
export const NO_REPORTS: Need = {
  reason: 'devices that log can tell what they wrote on this kernel',
  met: ({ groups }) => groups.some(({ devices }) => devices.some(({ logging }) => logging === 'unreported')),
};

/** For cases of /dev/iommu. */
export const IOMMUFD: Need = {
  reason: 'the kernel has no IOMMUFD',
  met: ({ iommufd }) => iommufd,
};

/** For cases with a device's own file. */
export const CDEV: Need = {
  reason: 'the kernel gives devices no files of their own (CONFIG_VFIO_DEVICE_CDEV)',
  met: ({ groups }) => groups.some(({ devices }) => devices.some(({ cdev }) => cdev !== undefined)),
};

/** ECAP.SMTS (bit 43): scalable mode, in which Linux prefers first-stage tables. */
const SCALABLE = 1n << 43n;

/** For cases with page tables of the machine's IOMMU. */
export const SECOND_STAGE: Need = {
  reason: 'what page tables IOMMUs in scalable mode get is not stated yet',
  met: ({ iommu: { kind, registers } }) =>
    kind === 'intel' && registers !== undefined && (registers.ecap & SCALABLE) === 0n,
};

/** For cases with the mock device of IOMMUFD. */
export const IOMMUFD_MOCK: Need = {
  reason: 'the kernel has no mock device for IOMMUFD (CONFIG_IOMMUFD_TEST)',
  met: ({ testModules }) => testModules.includes('iommufd_mock'),
};

/** For cases in which allocations of the kernel fail. */
export const FAILED_ALLOCATIONS: Need = {
  reason: 'the kernel does not fail allocations on demand (CONFIG_FAILSLAB, and a guest that sets it up)',
  met: ({ testModules }) => testModules.includes('failslab'),
};

/** For cases with drivers that mediate access to a device. */
export const MEDIATOR_TEST: Need = {
  reason: 'the host has not loaded the test module mediator',
  met: ({ testModules }) => testModules.includes('mediator_test'),
};
