import type { Platform } from '../../../program/platform.ts';
import type { Device, Ioas, NestedTable, PageTable } from '../state.ts';
import type { Cdev } from './state.ts';

/* Devices and page tables of the machine's own IOMMU: one that is not in scalable mode, and so has second-stage tables only. */

/** What is known of the hardware of a device that is bound. */
export const hardwareOf = ({ device, group }: Pick<Cdev, 'device' | 'group'>): Pick<Device, 'iommu' | 'hardware'> => ({
  // Nothing in the platform says that an IOMMU could; emulated ones cannot.
  iommu: { dirtyTracking: false, nesting: false },
  hardware: { device: device.platform, group: group.platform },
});

/** A page table of the machine's IOMMU. */
export const hardwareTable = ({ iommu }: Platform, ioas: Ioas, stated: Partial<PageTable> = {}): PageTable => ({
  kind: 'page table',
  ioas,
  automatic: false,
  parent: false,
  aperture: iommu.aperture,
  pageSize: iommu.pageSizes & -iommu.pageSizes,
  tracking: undefined,
  forPasids: false,
  faults: undefined,
  users: 0,
  ...stated,
});

/** Whether a page table is one of the machine's IOMMU, and not of a mock device's. */
export const isHardware = ({ iommu }: Platform, table: PageTable | NestedTable): boolean =>
  table.kind === 'page table' && table.aperture.end === iommu.aperture.end;
