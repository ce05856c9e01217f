import type { IovaRange, Platform } from '../../program/platform.ts';
import { MOCK_APERTURE, MOCK_PAGE_SIZE } from '../../uapi/iommufd-test.ts';
import type { Law } from '../law.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { greatest } from '../world/big.ts';
import { IntervalMap } from '../world/interval-map.ts';
import type { MemoryObject } from '../world/memory-object.ts';
import type { Process } from '../world/process.ts';
import type { Compat } from './compat/state.ts';

/** What opening /dev/iommu makes: objects by id. */
export interface Context {
  readonly law: Law;
  readonly platform: Platform;
  readonly objects: Map<number, Ioas>;
  /** Objects that are no IO address spaces. */
  readonly others: Map<number, Other>;
  /** Locked pages of users, by uid, in all contexts. */
  readonly users: Map<number, number>;
  /** Memory that is charged to somebody. */
  readonly charged: Set<Pages>;
  /** Locked memory is counted for the process, not for the user (IOMMU_OPTION_RLIMIT_MODE). */
  perProcess: boolean;
  /** What it is to groups that are given it in place of a container. */
  readonly compat: Compat;
}

/** What a mock device that is attached consists of, one object each; all of them know the IO address space. */
export interface Other {
  readonly kind: 'mock' | 'device' | 'page table';
  readonly ioas: Ioas;
  /** The other objects that go with a mock device. */
  readonly parts: readonly number[];
}

/** An IO address space. */
export interface Ioas {
  readonly areas: IntervalMap<Area>;
  /** Where IOVAs are chosen; anywhere if there is none. */
  allowed: readonly IovaRange[];
  /** Pages may be combined when they are mapped (IOMMU_OPTION_HUGE_PAGES). */
  largePages: boolean;
  /** The id of the page table that attached devices share, and how many they are; what is mapped is pinned then. */
  attached: Attached | undefined;
}

/** The page table that devices share. */
export interface Attached {
  readonly table: number;
  devices: number;
  /** What hardware translates, and the smallest page that it takes; absent: what the mock device does. */
  reach?: { readonly ranges: readonly IovaRange[]; readonly page: bigint };
}

/** What is mapped at [start, end) of an IOAS. */
export interface Area {
  readonly start: bigint;
  readonly end: bigint;
  /** The memory behind it: copies share it. */
  readonly pages: Pages;
  /** The first byte of it within the pages. */
  readonly from: bigint;
  /** Devices may not write by it, be its memory such that they could. */
  readonly readOnly?: true;
}

/** Memory that was mapped once, and may be in many areas since. */
export interface Pages {
  /** Memory of a process, or a file. */
  readonly kind: 'memory' | 'file';
  /** The address of its first byte in the process that mapped it, or the offset in the file. */
  readonly vaddr: bigint;
  /** It was mapped to be written. */
  readonly writable: boolean;
  /** The size of the file now, in bytes. */
  readonly fileSize?: () => bigint;
  /** What the file holds. */
  readonly object?: MemoryObject;
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

export const newIoas = (): Ioas => ({
  areas: new IntervalMap(),
  allowed: [],
  largePages: true,
  attached: undefined,
});

/** What IOVAs and lengths of an IOAS must be a multiple of. */
export const alignmentOf = ({ largePages, attached }: Ioas, { pageSizeBytes }: Platform): bigint =>
  greatest(
    largePages ? 1n : BigInt(pageSizeBytes),
    attached === undefined ? 1n : (attached.reach?.page ?? MOCK_PAGE_SIZE),
  );

/** Which IOVAs of an IOAS can be mapped: ranges, ascending. */
export const usableRanges = ({ attached }: Ioas): readonly IovaRange[] => {
  if (attached === undefined) return [{ start: 0n, end: (1n << 64n) - 1n }];
  return attached.reach?.ranges ?? [MOCK_APERTURE];
};

/** Whether a range of IOVAs can be mapped in an IOAS; `last` is within it. */
export const isUsable = (ioas: Ioas, first: bigint, last: bigint): boolean =>
  usableRanges(ioas).some(({ start, end }) => first >= start && last <= end);
