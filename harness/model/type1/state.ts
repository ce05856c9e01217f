import type { IovaRange, Platform, PlatformDevice, PlatformGroup } from '../../program/platform.ts';
import type { Seat } from '../iommufd/compat/state.ts';
import type { Law } from '../law.ts';
import type { Mediated, Mediators } from '../mediate-ops/state.ts';
import type { AddressSpace, Run } from '../world/address-space.ts';
import type { EduDevice, EduOptions } from '../world/edu.ts';
import { IntervalMap } from '../world/interval-map.ts';
import type { Process } from '../world/process.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { Emulated, Memory } from './emulated-state.ts';

/** VFIO on one machine: what all containers and groups share. */
export interface Vfio {
  readonly law: Law;
  readonly platform: Platform;
  readonly groups: readonly Group[];
  /** Drivers that mediate access to devices, in revisions that know of such. */
  readonly mediators: Mediators;
  /** Module parameter dma_entry_limit as it is now; containers take it over when their IOMMU is set. */
  dmaEntryLimit: number;
}

/** An IOMMU group that may be used. */
export interface Group {
  readonly platform: PlatformGroup;
  readonly devices: readonly Device[];
  container: Container | undefined;
  /** What it was given in place of a container. */
  iommufd: Seat | undefined;
  /** The group's file is open, or a device's file keeps it so. */
  opened: boolean;
  /** The descriptors of the group's own file are closed; only devices keep it. */
  closed: boolean;
  /** How many of its devices are bound to IOMMUFD through their own files. */
  bound: number;
}

/** A device of a group. */
export interface Device {
  readonly platform: PlatformDevice;
  /** The device itself, where the model knows how it works. */
  readonly edu: EduDevice | undefined;
  /** The same of the device of the test module vfio-emulated. */
  readonly emulated: Emulated | undefined;
  /** How many of its files are open. */
  opened: number;
  /** Where its accesses lead while it is attached by IOMMUFD; its group's container says it otherwise. */
  reach: EduOptions['translate'] | undefined;
  /** Ends what its first opening attached it to, where its group was given /dev/iommu. */
  detach: (() => void) | undefined;
  /** Where a device without an IOMMU has memory from by IOMMUFD; its group's container says it otherwise. */
  memory: Memory | undefined;
  /** Who mediates access to it, in revisions that know of such. */
  mediated: Mediated | undefined;
}

/** What opening /dev/vfio/vfio makes. */
export interface Container {
  /** In the order in which they came. */
  readonly groups: Group[];
  iommu: Iommu | undefined;
}

/** The type1 IOMMU of a container, from SET_IOMMU until its last group leaves. */
export interface Iommu {
  /** Type1 v2 refuses to split mappings, and tracks dirty pages. */
  readonly v2: boolean;
  /** It was asked to translate in two stages. */
  readonly nesting: boolean;
  /** A group with an IOMMU behind it has been in the container since it was set, be it gone again. */
  hadHardware: boolean;
  readonly mappings: IntervalMap<Mapping>;
  /** Mappings that may still be made. */
  available: number;
  /** Dirty pages are being logged. */
  tracking: boolean;
  /** How many mappings have no valid vaddr. */
  invalidated: number;
  /** What may be mapped, ascending. */
  ranges: readonly IovaRange[];
}

/** A mapping: `start` and `end` (the first byte behind it) are IOVAs. */
export interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  vaddr: bigint;
  vaddrValid: boolean;
  /** What the device may do. */
  readonly read: boolean;
  readonly write: boolean;
  /** An IOMMU holds its pages, so that devices behind it reach them: as long as a group of the container has one. */
  iommuMapped: boolean;
  /** The pages that were pinned for the IOMMU; none while there is none. */
  runs: readonly Run[];
  /** Who is charged, and how many pages now. */
  owner: Owner;
  charged: number;
  /** The pages that devices without an IOMMU pinned, by their distance from its start in pages. */
  readonly pins: Map<number, Pin>;
  /** The pages that became dirty since they were reported last; kept while dirty pages are logged. */
  readonly dirty: DirtyMarks;
}

/** A page that devices pinned. */
export interface Pin {
  /** The page: a run of one. */
  readonly run: Run;
  /** How often it is pinned. */
  holds: number;
}

/** A process and the address space it had: after exec the process has another one. */
export interface Owner {
  readonly process: Process;
  readonly space: AddressSpace;
  /** It could lock as much as it liked when it became the owner. */
  readonly exempt: boolean;
}

/** An IOMMU as SET_IOMMU makes it. */
export const newIommu = (
  { v2, nesting, hadHardware }: Pick<Iommu, 'v2' | 'nesting' | 'hadHardware'>,
  available: number,
  ranges: readonly IovaRange[],
): Iommu => ({
  v2,
  nesting,
  hadHardware,
  mappings: new IntervalMap<Mapping>(),
  available,
  tracking: false,
  invalidated: 0,
  ranges,
});

/**
 * The size of the smallest page of the IOMMU that is not smaller than the processor's, in bytes: what everything is
 * measured in. Without an IOMMU it is the processor's.
 */
export const smallestPage = ({ iommu, pageSizeBytes }: Platform): bigint => {
  if (iommu.kind === 'none') return BigInt(pageSizeBytes);
  const sizes = supportedPageSizes(iommu.pageSizes, BigInt(pageSizeBytes));
  return sizes & -sizes;
};

/** Whether a group is in a container, or was given an iommufd in its place. */
export const isTaken = ({ container, iommufd }: Group): boolean => container !== undefined || iommufd !== undefined;

/** Whether a group has an IOMMU behind it. */
export const hasIommu = ({ platform }: Group): boolean => platform.emulated !== true;

/** Page sizes that a container takes: those of its groups' IOMMU, or any where no group has one. */
export const pageSizesOf = ({ iommu, pageSizeBytes }: Platform, { groups }: Container): bigint =>
  supportedPageSizes(groups.some(hasIommu) ? iommu.pageSizes : 0xffff_ffff_ffff_ffffn, BigInt(pageSizeBytes));

/** Page sizes as the container reports them: sizes below the processor's page are hidden behind it. */
export const supportedPageSizes = (sizes: bigint, pageSize: bigint): bigint =>
  (sizes & (pageSize - 1n)) === 0n ? sizes : (sizes & ~(pageSize - 1n)) | pageSize;
