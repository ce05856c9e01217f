import type { IovaRange, Platform } from '../../program/platform.ts';
import type { Law } from '../law.ts';
import { IntervalMap } from '../world/interval-map.ts';

/** What opening /dev/iommu makes: objects by id. */
export interface Context {
  readonly law: Law;
  readonly platform: Platform;
  readonly objects: Map<number, Ioas>;
  /** Locked memory is counted for the process, not for the user (IOMMU_OPTION_RLIMIT_MODE). */
  perProcess: boolean;
}

/** An IO address space. */
export interface Ioas {
  readonly areas: IntervalMap<Area>;
  /** Where IOVAs are chosen; anywhere if there is none. */
  allowed: readonly IovaRange[];
  /** Pages may be combined when they are mapped (IOMMU_OPTION_HUGE_PAGES). */
  largePages: boolean;
}

/** What is mapped at [start, end) of an IOAS. */
export interface Area {
  readonly start: bigint;
  readonly end: bigint;
  /** The memory behind it: copies share it. */
  readonly pages: Pages;
  /** The first byte of it within the pages. */
  readonly from: bigint;
}

/** Memory that was mapped once, and may be in many areas since. */
export interface Pages {
  /** Memory of a process, or a file. */
  readonly kind: 'memory' | 'file';
  /** The address of its first byte in the process that mapped it, or the offset in the file. */
  readonly vaddr: bigint;
  /** It was mapped to be written. */
  readonly writable: boolean;
}

export const newIoas = (): Ioas => ({ areas: new IntervalMap(), allowed: [], largePages: true });

/** What IOVAs and lengths of an IOAS must be a multiple of. */
export const alignmentOf = (ioas: Ioas, { pageSizeBytes }: Platform): bigint =>
  ioas.largePages ? 1n : BigInt(pageSizeBytes);
