import type { IovaRange, Platform, PlatformDevice, PlatformGroup } from '../../program/platform.ts';
import { IOMMU_TEST_DEV_CACHE_DEFAULT, MOCK_DEV_CACHE_NUM } from '../../uapi/iommufd-test.ts';
import type { Law } from '../law.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { greatest, least } from '../world/big.ts';
import { IntervalMap } from '../world/interval-map.ts';
import type { MemoryObject } from '../world/memory-object.ts';
import type { Process } from '../world/process.ts';
import type { Compat } from './compat/state.ts';
import type { FaultQueue } from './fault-queue/state.ts';
import type { Stretch } from './held.ts';
import type { EventQueue, HardwareQueue, Viommu, VirtualDevice } from './viommu/state.ts';

/** What opening /dev/iommu makes: objects by id. */
export interface Context {
  readonly law: Law;
  readonly platform: Platform;
  readonly objects: Map<number, Ioas>;
  /** Objects that are no IO address spaces. */
  readonly others: Map<number, Other>;
  /** Ids that nothing has and nothing gets. */
  readonly spent: Set<number>;
  /** Locked pages of users, by uid, in all contexts. */
  readonly users: Map<number, number>;
  /** Memory that is charged to somebody. */
  readonly charged: Set<Pages>;
  /** Why nothing can be said of it any more, once it was asked for what is not stated. */
  unclear: string | undefined;
  /** Locked memory is counted for the process, not for the user (IOMMU_OPTION_RLIMIT_MODE). */
  perProcess: boolean;
  /** What it is to groups that are given it in place of a container. */
  readonly compat: Compat;
}

export type Other = Device | Mock | PageTable | NestedTable | FaultQueue | OfViommu;

/** What there is to do with virtual IOMMUs. */
type OfViommu = Viommu | VirtualDevice | EventQueue | HardwareQueue | Access;

/** A device that its driver bound to the context. */
export interface Device {
  readonly kind: 'device';
  /** What its IOMMU can do. */
  readonly iommu: {
    readonly dirtyTracking: boolean;
    readonly nesting: boolean;
    /** How many bits the PASIDs of the device have; absent where nobody knows. */
    readonly pasidBits?: number;
  };
  /** Where it is in the machine; absent for a mock device. */
  readonly hardware?: { readonly device: PlatformDevice; readonly group: PlatformGroup };
  table: PageTable | NestedTable | undefined;
  /** What its PASIDs are attached to. */
  readonly pasids: Map<number, PageTable | NestedTable>;
  /** A mock device refuses the next page table of the PASID that is there for that. */
  refusesNext: boolean;
  /** What a virtual machine knows it as. */
  virtual: VirtualDevice | undefined;
  /** Where its events go, and as whose, since it is attached to a page table nested in a virtual IOMMU. */
  reports: { readonly viommu: Viommu; readonly virtId: bigint } | undefined;
  /** What the cache of a mock device holds, until it is invalidated. */
  readonly cache: number[];
}

/** What stands for the driver of a mock device; it holds the device. */
export interface Mock {
  readonly kind: 'mock';
  /** The id of the device. */
  readonly device: number;
}

/** A user in the kernel of an IO address space, which reads, writes and pins what is mapped there; it is in use as long as its file is. */
export interface Access {
  readonly kind: 'access';
  /** Absent while it is attached to none. */
  ioas: Ioas | undefined;
  /** It is told that what lies in [start, end) ends, and lets go of all that it pinned with any of it. */
  readonly told: (range: { readonly start: bigint; readonly end: bigint }) => void;
  /** It may pin pages, and so needs mappings of whole pages. */
  readonly pinning: boolean;
  /** What it pinned, oldest first. */
  readonly items: Pinned[];
  /** The number that what it pins next gets. */
  next: number;
  /** It is this queue's hold on its memory: it has no file, nobody else can do anything with it, and what it pinned cannot be unmapped. */
  readonly queue?: HardwareQueue;
}

/** What an access pinned in one call: IOVAs [start, end). */
export interface Pinned {
  readonly number: number;
  readonly start: bigint;
  readonly end: bigint;
  /** The parts of areas that it consists of. */
  readonly parts: readonly Area[];
}

/** A page table of an IOMMU: what is mapped in an IO address space is in it, too. */
export interface PageTable {
  readonly kind: 'page table';
  readonly ioas: Ioas;
  /** Made when a device was attached to the IO address space, and gone with the last one; not by IOMMU_HWPT_ALLOC. */
  readonly automatic: boolean;
  /** Others can be nested in it (IOMMU_HWPT_ALLOC_NEST_PARENT). */
  readonly parent: boolean;
  /** What it can translate, both ends inclusive, and its smallest page in bytes. */
  readonly aperture: IovaRange;
  readonly pageSize: bigint;
  /** Which of its entries were written, where it was made for telling (IOMMU_HWPT_ALLOC_DIRTY_TRACKING). */
  readonly tracking: Tracking | undefined;
  /** PASIDs can be attached to it (IOMMU_HWPT_ALLOC_PASID). */
  readonly forPasids: boolean;
  /** Where faults of devices that are attached to it go (IOMMU_HWPT_FAULT_ID_VALID). */
  readonly faults: FaultQueue | undefined;
  /** How many devices are attached to it, and page tables nested in it. */
  users: number;
}

/** A page table that user space keeps, nested in one of the kernel's. */
export interface NestedTable {
  readonly kind: 'nested table';
  readonly parent: PageTable;
  /** The virtual IOMMU that it is nested in, if it is not the parent alone. */
  readonly viommu: Viommu | undefined;
  /** What the mock device's cache holds of it, until it is invalidated. */
  readonly cache: number[];
  readonly forPasids: boolean;
  readonly faults: FaultQueue | undefined;
  users: number;
}

/** What is known of what devices wrote through a page table. */
export interface Tracking {
  enabled: boolean;
  readonly written: IntervalMap<Written>;
  /** Areas that were written, of which nobody can know how large the entries are: any of their bits may be set. */
  readonly vague: Set<Area>;
}

/** IOVAs of an entry that was written, or of that part of it which was not reported since. */
export interface Written {
  readonly start: bigint;
  readonly end: bigint;
}

/** An IO address space. */
export interface Ioas {
  readonly areas: IntervalMap<Area>;
  /** Where IOVAs are chosen; anywhere if there is none. */
  allowed: readonly IovaRange[];
  /** Pages may be combined when they are mapped (IOMMU_OPTION_HUGE_PAGES). */
  largePages: boolean;
  /** The page tables that what is mapped is in, oldest first. */
  readonly tables: Set<PageTable>;
  readonly accesses: Set<Access>;
  /** IOVAs that mean something else to devices that are attached, by device; and those that a test had reserved. */
  readonly reserved: Map<Device | 'test', readonly IovaRange[]>;
}

/** What is mapped at [start, end) of an IOAS. */
export interface Area {
  readonly start: bigint;
  readonly end: bigint;
  /** The memory behind it: copies share it. */
  readonly pages: Pages;
  /** The first byte of it within the pages. */
  readonly from: bigint;
  /** What devices may do: IOMMU_IOAS_MAP_READABLE and WRITEABLE. */
  readonly access: number;
}

/** Memory that was mapped once, and may be in many areas since. */
export interface Pages {
  /** Memory of a process, or a file. */
  readonly kind: 'memory' | 'file';
  /** The address of its first byte in the process that mapped it, or the offset in the file. */
  readonly vaddr: bigint;
  /** That number is known up to multiples of this power of two. */
  readonly known: bigint;
  /** It was mapped to be written. */
  readonly writable: boolean;
  /** The size of the file now, in bytes. */
  readonly fileSize?: () => bigint;
  /** What the file consists of. */
  readonly object?: MemoryObject;
  /** Its pages that are pinned, by number from the first one on. */
  readonly held: IntervalMap<Stretch>;
  /** `none`: the process may lock what it likes; `user` and `process`: whose limit counts. */
  readonly mode: 'none' | 'user' | 'process';
  owner: Owner;
  /** How many pages are charged. */
  charged: number;
}

/** Who is charged. */
export interface Owner {
  readonly process: Process;
  readonly space: AddressSpace;
  readonly uid: number;
}

/** A device that was just bound. */
export const newDevice = (stated: Pick<Device, 'iommu' | 'hardware'>): Device => ({
  kind: 'device',
  ...stated,
  table: undefined,
  pasids: new Map(),
  refusesNext: false,
  virtual: undefined,
  reports: undefined,
  cache:
    stated.hardware === undefined ? Array.from({ length: MOCK_DEV_CACHE_NUM }, () => IOMMU_TEST_DEV_CACHE_DEFAULT) : [],
});

export const newIoas = (): Ioas => ({
  areas: new IntervalMap(),
  allowed: [],
  largePages: true,
  tables: new Set(),
  accesses: new Set(),
  reserved: new Map(),
});

/** Whether what is mapped is pinned: it is while there are page tables, whether a device is attached to them or not. */
export const pins = ({ tables }: Ioas): boolean => tables.size > 0;

/** What IOVAs and lengths of an IOAS must be a multiple of. */
export const alignmentOf = ({ largePages, tables, accesses }: Ioas, { pageSizeBytes }: Platform): bigint => {
  const wholePages = !largePages || [...accesses].some(({ pinning }) => pinning);
  return [...tables].map(({ pageSize }) => pageSize).reduce(greatest, wholePages ? BigInt(pageSizeBytes) : 1n);
};

/** Which IOVAs of an IOAS can be mapped: those that all page tables can translate. */
export const apertureOf = ({ tables }: Ioas): IovaRange =>
  [...tables].reduce<IovaRange>(
    ({ start, end }, { aperture }) => ({ start: greatest(start, aperture.start), end: least(end, aperture.end) }),
    { start: 0n, end: (1n << 64n) - 1n },
  );

const isOf = <K extends Other['kind']>(object: Other, kind: K): object is Extract<Other, { readonly kind: K }> =>
  object.kind === kind;

/** The object that has an id, where it is of that kind. */
export const objectOf = <K extends Other['kind']>(
  { others }: Pick<Context, 'others'>,
  id: number,
  kind: K,
): Extract<Other, { readonly kind: K }> | undefined => {
  const object = others.get(id);
  return object !== undefined && isOf(object, kind) ? object : undefined;
};

/** The id of an object that is no IO address space. */
export const idOf = ({ others }: Context, object: Other): number | undefined =>
  [...others].find(([, one]) => one === object)?.[0];
