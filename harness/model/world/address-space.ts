import type { Prot } from '../../program/step.ts';
import type { Clause } from '../../spec/clause.ts';
import type { MemoryObject } from './memory-object.ts';
import type { PageStore, Piece } from './page-store.ts';

/** How bytes are reached. */
export type Access = 'read' | 'write';

/**
 * Neighbouring pages that a pin got hold of: `count` pages of `pages` from page `first` on. A run stays what it is when
 * the memory is unmapped, its file truncated or its process gone: that is what pinning means.
 */
export interface Run {
  readonly pages: PageStore;
  readonly first: number;
  readonly count: number;
  /**
   * `memory`: ordinary pages, charged to whoever pins them. `zero`: the kernel's page of zeros, which stands for private
   * memory that nobody wrote yet, when pinned without write; `device`: registers. Those two are reserved in the kernel's
   * eyes and charged to nobody (is_invalid_reserved_pfn, drivers/vfio/vfio_iommu_type1.c).
   */
  readonly kind: 'memory' | 'zero' | 'device';
  /** What the pages were reached through: the same object in two processes (or twice in one) is the same memory. */
  readonly object: MemoryObject | undefined;
  /** Whether that mapping is shared: its content is then the object's, else the process's own copy. */
  readonly shared: boolean;
}

/** What can be pinned of a range: the runs in order, and how many pages they are together; fewer than asked means the next one faults (EFAULT). */
export interface Resolution {
  readonly runs: readonly Run[];
  readonly pages: number;
}

export interface PinOptions {
  /** Pin for writing (FOLL_WRITE): refused where the mapping cannot be written, and private pages become the process's own. */
  readonly write: boolean;
  /** Private pages become the process's own when they are pinned for reading, too (FAULT_FLAG_UNSHARE). */
  readonly own?: boolean;
}

/** What lies behind an address, as far as it is mapped in one way (one vm_area_struct). */
export interface Backing {
  /** What is mapped: the same one in two address spaces is the same memory. */
  readonly object: object;
  /** The page of the object that the address is in. */
  readonly page: bigint;
  /** Bytes from the address to the end of the area. */
  readonly size: bigint;
  readonly shared: boolean;
  /** Size in bytes of its pages: memory is in one piece within each, and aligned like its address. */
  readonly granule: bigint;
  /** What the process may do. */
  readonly prot: Prot;
}

/** The address space of a process (mm_struct): what is mapped where, and how many pages are locked. */
export interface AddressSpace {
  /** False once its process died or exec'd: then nothing is mapped any more, and accounting is moot (mmget_not_zero fails). */
  readonly alive: boolean;
  /** The power of two up to multiples of which an address is known: a machine puts memories where it likes, as far aligned as was asked for. */
  alignmentAt(vaddr: bigint): bigint;
  /** Pages charged as locked (locked_vm); VmLck shows it in kB. A forked or exec'd process starts with none. */
  readonly lockedPages: number;
  /**
   * Adds to, or takes from, the locked pages. Limits are the caller's to check. Throws RangeError below zero. `by` is the
   * clause that says so; what VmLck shows later is judged by it.
   */
  charge(pages: number, by: Clause): void;
  uncharge(pages: number, by: Clause): void;
  /** Pages charged as pinned (pinned_vm); VmPin shows it in kB. A forked or exec'd process starts with none. */
  readonly pinnedPages: number;
  /** Adds to the pinned pages, or takes from them when `pages` is negative. */
  chargePinned(pages: number, by: Clause): void;
  /** The clauses by which pages were charged as pinned or given back so far. */
  readonly pinnedBy: ReadonlySet<Clause>;
  /** The clauses by which pages were charged or given back so far. */
  readonly chargedBy: ReadonlySet<Clause>;

  /** What pinning `pages` pages from the page-aligned `vaddr` on would get; without effect. Takes time by runs and areas, not by pages. */
  resolve(vaddr: bigint, pages: number, options: PinOptions): Resolution;
  /** The same with the effect of pinning: pages that were not there yet are made. For commits. */
  pin(vaddr: bigint, pages: number, options: PinOptions): Resolution;

  /** What lies behind an address, or `undefined` where nothing is mapped. */
  backingAt(vaddr: bigint): Backing | undefined;

  /** How many bytes from `vaddr` on, at most `size`, can be accessed before the first fault: what copy_to_user and copy_from_user get through. */
  reach(vaddr: bigint, size: bigint, access: Access): bigint;
  /** copy_from_user: a copy of the bytes, or `undefined` if any of them faults. Bytes that nobody can know read as zeros. */
  read(vaddr: bigint, size: number): Uint8Array | undefined;
  /**
   * copy_to_user, for commits: writes what can be written up to the first fault, and returns how many bytes that was.
   * `by` is the clause that says what the bytes are; reading them later is judged by it.
   */
  write(vaddr: bigint, bytes: Uint8Array, by?: Clause): number;
  /** Says which clause explains bytes that were just written, where it is another than for those around them. For commits. */
  explain(vaddr: bigint, size: number, by: Clause): void;
  /** Like write, with one byte for all; `undefined` makes them unknown. Returns how many bytes could be written. */
  fill(vaddr: bigint, size: bigint, byte: number | undefined, by?: Clause): bigint;
  /** Shows the bytes of a range up to the first fault, piece by piece, and returns how many there are; nothing may be written meanwhile. */
  visitBytes(vaddr: bigint, size: bigint, see: (piece: Piece) => void): bigint;
}
