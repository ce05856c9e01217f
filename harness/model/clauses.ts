import type { Clause, ClauseId } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';
import type { ByteRule, RetRule } from './outcome.ts';
import type { IoctlCall } from './world/kernel-file.ts';

/*
 * The kinds of clause. Each carries the pure function that states its rule, and says itself where it holds, so that a
 * revision changes behaviour by stating a clause anew and adds behaviour by stating one more.
 */

/** A rule that a room of the model looks up where it needs it; `rule` is the rule. */
export interface Rule<F> extends Clause {
  readonly kind: 'rule';
  readonly rule: F;
}

/** Whether an objection holds; `perhaps`: the sources leave it open, or it depends on what the model cannot know. */
export type Holds = boolean | 'perhaps';

/**
 * What refuses a call. Objections of one stage are equals: which of them answers first is not promised. A stage is only
 * reached when no objection of an earlier stage holds.
 */
export interface Objection<S> extends Clause {
  readonly kind: 'objection';
  /** The call that it refuses, and the stage (one of the call's) in which it does. */
  readonly to: ClauseId;
  readonly stage: string;
  /** Any of these. */
  readonly errnos: readonly [Errno, ...Errno[]];
  /** The one errno, where the situation tells it; then `errnos` is not looked at. */
  readonly errno?: (situation: S) => Errno | undefined;
  readonly when: (situation: S) => Holds;
  /** Bytes that the refused call writes into its argument all the same. */
  readonly out?: (situation: S) => readonly ByteRule[];
  /** What the refused call leaves behind, where that is not nothing; part of the commit. */
  readonly leaves?: (situation: S) => void;
}

/** Bytes that a successful call writes into its argument. */
export interface Field<S> extends Clause {
  readonly kind: 'field';
  /** The call whose reply it is part of. */
  readonly of: ClauseId;
  /** Offset in the argument, in bytes. */
  readonly at: (situation: S) => number;
  /** The bytes; a number of bytes that may be anything; or `undefined` when nothing is written. */
  readonly bytes: (situation: S) => Uint8Array | number | undefined;
}

/** The files that take calls. `iommu`: the container's file, once an IOMMU is set; `iommufd`: /dev/iommu; `cdev`: a device's own file; `emulated`: that of a device without an IOMMU, where it takes them otherwise. */
export type Receiver = 'container' | 'iommu' | 'group' | 'device' | 'iommufd' | 'cdev' | 'emulated';

/**
 * One request, in four parts that always stand in the same order: arguments, objections, effect, reply. Its objections
 * and the fields of its reply are clauses of their own, which name it.
 */
export interface Request<F, S> extends Clause {
  readonly kind: 'request';
  readonly on: Receiver;
  /** The ioctl's number. */
  readonly request: bigint;
  /**
   * Arguments: what the call is about, as it was found; without effect. What cannot be read is zero, and the situation says
   * so: the first stage refuses it before anything else looks.
   */
  readonly situation: (file: F, call: IoctlCall) => S;
  /** Why nothing can be said of a call, where that is so; then none of its clauses is looked at. */
  readonly leavesOpen?: (situation: S) => string | undefined;
  /** What is not known any more after a call of which nothing can be said; part of the commit. */
  readonly forgets?: (situation: S) => void;
  /** The stages of objections, in order. */
  readonly stages: readonly string[];
  /** Effect: moves the state on; part of the commit. */
  readonly effect?: (situation: S) => void;
  /** Reply: the return value; 0 unless it says otherwise. */
  readonly returns?: (situation: S) => RetRule;
  /** The clause that the return value follows; the call's own unless it says otherwise. */
  readonly returnedBy?: (situation: S) => Clause;
  /** Reply: bytes that are no field of their own; each says its clause. */
  readonly reply?: (situation: S) => readonly ByteRule[];
  /** The clause that is broken when bytes change that no field covers; by default the call's own. */
  readonly untouched?: Clause;
  /** What the situation may be as well, where that depends on what the model cannot know: the call may answer as in any of them. */
  readonly others?: (situation: S) => readonly S[];
  /** Deviations that do not end the judging: how the call would answer in each, and the clauses that it breaks. */
  readonly deviations?: (situation: S) => readonly Deviation<S>[];
}

/** A way to answer that does not conform but is known and can be followed: the situation as it is mistaken for, and the clauses that are broken. */
export interface Deviation<S> {
  readonly situation: S;
  readonly breaks: readonly [Clause, ...Clause[]];
}

/** A structure as a compiler laid it out; everything in bytes, members by offset. */
export interface StructLayout {
  readonly size: number;
  readonly members: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
}

/** What a kernel must be like inside, which no program shows: held against the debug information of a module that was built. */
export interface Inspection extends Clause {
  readonly kind: 'inspection';
  /** The module (`vfio_iommu_type1`), and the structure in it. */
  readonly module: string;
  readonly struct: string;
  /** What is wrong with the structure, or `undefined`: what was expected and what is there instead, a line each. */
  readonly complaint: (layout: StructLayout) => { readonly expected: string; readonly observed: string } | undefined;
}

/** What a program must not make the kernel say: held against the lines of its log while the program ran. */
export interface Silence extends Clause {
  readonly kind: 'silence';
  /** Whether a line breaks it. */
  readonly heard: (line: string) => boolean;
}

type Stated<C extends Clause> = Omit<C, 'kind'>;

export const rule = <F>(stated: Stated<Rule<F>>): Rule<F> => ({ kind: 'rule', ...stated });

/** An objection to a request; the request gives the type of what it looks at. */
export const objection = <F, S>(to: Request<F, S>, stated: Omit<Objection<S>, 'kind' | 'to'>): Objection<S> => ({
  kind: 'objection',
  to: to.id,
  ...stated,
});

/** What is said of an objection where its call is known, and that it must be kept. */
export type Refusal<S> = Omit<Objection<S>, 'kind' | 'to' | 'level'>;

/**
 * Says of each objection to one call that it is to that call, and must be kept. Of a request the type of what they look at
 * is known; of a rule with calls of its own it is given: `refusing<Reading>(READ)`.
 */
export const refusing =
  <S>(to: Clause & { readonly situation?: (file: never, call: IoctlCall) => S }) =>
  (stated: Refusal<S>): Objection<S> => ({ kind: 'objection', to: to.id, level: 'must', ...stated });

export const field = <F, S>(of: Request<F, S>, stated: Omit<Field<S>, 'kind' | 'of'>): Field<S> => ({
  kind: 'field',
  of: of.id,
  ...stated,
});

export const silence = (stated: Stated<Silence>): Silence => ({ kind: 'silence', ...stated });

export const inspection = (stated: Stated<Inspection>): Inspection => ({ kind: 'inspection', ...stated });

export const request = <F, S>(stated: Stated<Request<F, S>>): Request<F, S> => ({ kind: 'request', ...stated });
