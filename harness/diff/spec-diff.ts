import type { RunRecord } from '../report/record.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import type { Revision } from '../spec/revision.ts';

/** Form and version of the JSON output; it changes when a reader of the old form would go wrong. */
export const DIFF_SCHEMA = 'vfio-conform/diff/1';

/** One of the two things that are compared: a revision, or a run with the revision that it was held against. */
export interface Side {
  /** As it was asked for: `nesting-cap/posted`, `reports/latest`. */
  readonly name: string;
  readonly revision: Revision;
  readonly run?: RunRecord;
}

/** What is told of a side. */
export interface SideFacts {
  readonly name: string;
  readonly revision: string;
  readonly summary: string;
  readonly run?: {
    readonly kernel: string;
    readonly host: string;
    readonly startedAt: string;
    readonly version: string;
    /** Options of `vfio-conform run` that choose the same host, kernel and revision again. */
    readonly arguments: readonly string[];
    /** Set when the run did not reach its end: why, in one line. */
    readonly interrupted?: string;
  };
}

/** What both sides have: one value for each. */
export interface Both<Value> {
  readonly a: Value;
  readonly b: Value;
}

/** A value that one side may lack. */
export interface Either<Value> {
  readonly a?: Value;
  readonly b?: Value;
}

export type Change = 'added' | 'removed' | 'changed';

/** A clause as it is told of. */
export type ClauseFacts = Pick<Clause, 'id' | 'level' | 'says' | 'source'>;

/** A clause that is not the same in both. A changed one is the same id with another value. */
export interface ClauseChange extends Either<ClauseFacts> {
  readonly id: ClauseId;
  readonly change: Change;
  /** Programs whose difference is put down to this clause. */
  readonly programs: number;
}

/** What one side allows at the call where two models part. */
export interface Allowed {
  /** In words: `is refused with EINVAL`. */
  readonly words: string;
  readonly clauses: readonly ClauseFacts[];
}

/** What a kernel answered at that call, and which side it is on by that. */
export interface Seen {
  readonly verdict: string;
  /** In words; absent when the run does not tell. */
  readonly answered?: string;
  readonly agreesWith: 'a' | 'b' | 'both' | 'neither' | 'unknown';
}

/** Whether the clauses that a revision states anew account for a difference: see intent.ts. */
export interface Intent {
  readonly intended: boolean;
  /** Why, in one sentence. */
  readonly why: string;
}

/** A program on which the two models part, and how. */
export interface BehaviourChange extends Intent {
  readonly id: string;
  readonly clause: string;
  /** Calls of the case itself; a repeat counts its body once. */
  readonly calls: number;
  /** The program up to the call, as text, and the call's line in it (from 1). */
  readonly program: string;
  readonly line: number;
  readonly call: string;
  /** The iteration, for a call in a repeat. */
  readonly iteration?: number;
  readonly allowed: Both<Allowed>;
  readonly seen: Either<Seen>;
}

/** A number on one side: a request's, or an id. */
export interface NumberFacts {
  /** The clause of a request; the constants of an id, which clash when they are several. */
  readonly id: string;
  readonly clashes: boolean;
  /** `0x3b75`, and what that is: `VFIO_BASE + 17`; `3`, and `type1-info capability 3`. */
  readonly number: string;
  readonly name: string;
}

/** A number, and what each side says that it is. */
export interface NumberChange extends Either<NumberFacts> {
  /** Where it means that: `iommu files`, `type1-info capability`. */
  readonly on: string;
  readonly number: string;
  readonly change: Change;
}

/** Where a field lies, in bytes; `padding` stands for bytes that belong to no field. */
export interface FieldFacts {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly size: number;
  readonly padding?: true;
}

/** A struct as one ABI lays it out. */
export interface LayoutFacts {
  readonly size: number;
  readonly alignment: number;
  readonly fields: readonly FieldFacts[];
}

/** A struct on one architecture, on both sides. */
export interface StructChange extends Either<LayoutFacts> {
  readonly struct: string;
  /** Architectures that lay it out so. */
  readonly abis: readonly string[];
  readonly change: Change;
}

/** What a kernel did with a case. */
export interface KernelCase {
  readonly verdict: string;
  /** Ids of the known differences that explain it. */
  readonly known?: string;
  readonly reason?: string;
  readonly broken: readonly {
    readonly clause: string;
    readonly says: string;
    readonly source: string;
    readonly call: string;
    readonly expected: string;
    readonly observed: string;
  }[];
  /** The command that runs just this case again. */
  readonly rerun: string;
}

/** A case that kernels answered otherwise, or that the only kernel's answer differs from its model. */
export interface KernelChange extends Either<KernelCase> {
  readonly id: string;
  readonly clause: string;
  readonly how: 'newly broken' | 'mended' | 'answered otherwise' | 'broken';
  /** The first call of the same program that two kernels answered otherwise, as program text, with both answers. */
  readonly first?: Both<string> & { readonly call: string };
}

/** What the kernels of the runs did. */
export interface KernelFacts {
  readonly tallies: Either<Readonly<Record<string, number>>>;
  readonly changes: readonly KernelChange[];
  /** Cases that cannot be compared, by reason: only one run has them, or the host was lost. */
  readonly incomparable: readonly { readonly reason: string; readonly ids: readonly string[] }[];
}

/** All that differs between two sides, as data: what every output is a view of. */
export interface SpecDiff {
  readonly schema: typeof DIFF_SCHEMA;
  readonly version: string;
  readonly sides: Both<SideFacts>;
  readonly clauses: { readonly changes: readonly ClauseChange[]; readonly unchanged: readonly ClauseId[] };
  readonly behaviour: {
    /** Programs that went through both models. */
    readonly compared: number;
    /** The unintended ones first, then the smallest program first. */
    readonly changes: readonly BehaviourChange[];
  };
  readonly numbers: readonly NumberChange[];
  readonly structs: { readonly changes: readonly StructChange[]; readonly unchanged: readonly string[] };
  readonly kernels?: KernelFacts;
}

/** Whether anything differs. */
export const differs = ({ clauses, behaviour, numbers, structs, kernels }: SpecDiff): boolean =>
  [clauses.changes, behaviour.changes, numbers, structs.changes, kernels?.changes ?? []].some(
    (changes) => changes.length > 0,
  );
