import type { Ended } from '../report/tally.ts';
import type { ClauseId } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';

/** Form and version of `coverage --format json`; it changes when a reader of the old form would go wrong. */
export const COVERAGE_SCHEMA = 'vfio-conform/coverage/1';

/**
 * What runs of the suites reached: plain data, and the JSON form as it stands. Lists called `on...` or `seen` have an entry
 * for each of `kernels`, in that order.
 */
export interface Coverage {
  readonly schema: typeof COVERAGE_SCHEMA;
  /** Version of vfio-conform. */
  readonly version: string;
  readonly kernels: readonly CoveredKernel[];
  readonly clauses: readonly ClauseCoverage[];
  readonly ioctls: readonly IoctlCoverage[];
  readonly faults: readonly FaultPair[];
  /** What of a kernel's own code ran, by kernel; `null` for one that does not count it. */
  readonly code: readonly (CodeCoverage | null)[];
}

/** A kernel that was held against one revision, in one run or several. */
export interface CoveredKernel {
  /** `uname -r`, and what was patched in it. */
  readonly kernel: string;
  readonly revision: string;
  /** Folders of the reports. */
  readonly reports: readonly string[];
  /** Cases that ran or could not be run here. */
  readonly cases: number;
  /** Cases whose calls the model could not follow to the end, or whose record is cut: their later calls are left out of `faults`. */
  readonly notFollowed: number;
}

/** How many cases ended how; what did not happen is absent. */
export type Endings = Readonly<Partial<Record<Ended, number>>>;

export interface ClauseCoverage {
  readonly clause: ClauseId;
  readonly says: string;
  /** `null`: the clause is not in force in the revision that this kernel was held against. */
  readonly on: readonly (Endings | null)[];
}

/** How often each result was seen: `0` is success. */
export type Results = Readonly<Partial<Record<Errno | '0', number>>>;

export interface IoctlCoverage {
  /** The kind of file that was asked: `container`, `group`, `device`, `iommufd`, or a path. */
  readonly file: string;
  /** The constant in C, or the number where no revision here gives it a name. */
  readonly name: string;
  /** `0x3b71`; absent for all numbers together that have no name. */
  readonly request?: string;
  /** Errnos that clauses in force on any of the kernels state. */
  readonly stated: readonly Errno[];
  /** What is looked at in which order: stages, each with its errnos. The kernels' clauses do not differ in that. */
  readonly stages: readonly { readonly stage: string; readonly errnos: readonly Errno[] }[];
  readonly seen: readonly Results[];
}

/** One of two reasons to refuse a call. */
export interface Fault {
  readonly clause: ClauseId;
  readonly errnos: readonly Errno[];
}

/** Two reasons to refuse the same call, with different errnos, and which of them kernels gave. */
export interface FaultPair {
  readonly file: string;
  readonly name: string;
  readonly faults: readonly [Fault, Fault];
  /** `first`: the model has the first of the two looked at first; `either`: it leaves that open. */
  readonly order: 'first' | 'either';
  readonly seen: readonly Results[];
}

/** What of a kernel's own code ran since it booted. */
export interface CodeCoverage {
  /** Boots of guests that are counted in, and those whose counts were lost with the guest. */
  readonly boots: number;
  readonly bootsLost: number;
  readonly files: readonly FileCoverage[];
}

/** How much of how much. */
export interface Share {
  readonly reached: number;
  readonly all: number;
}

export interface FileCoverage {
  /** In the kernel's tree. */
  readonly path: string;
  readonly lines: Share;
  /** Ways that the code may go on, where there is more than one. */
  readonly branches: Share;
  readonly functions: Share;
  /** What did not run, by function and reason. */
  readonly gaps: readonly Gap[];
}

/** Lines of a function that did not run. */
export interface Gap {
  readonly function: string;
  /** Some other line of it ran. */
  readonly entered: boolean;
  readonly lines: readonly number[];
  /** What they would need, where that is known. */
  readonly why?: string;
}
