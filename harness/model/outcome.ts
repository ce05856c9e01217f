import type { Clause } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';

/** Bytes that must be seen at an offset, and the clause that says so. Bytes that no field covers may be anything. */
export interface ByteRule {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly clause: Clause;
}

/** What a return value must be: exactly one number, or any that is not negative (a new descriptor). */
export type RetRule = { readonly exactly: bigint } | { readonly atLeast: bigint };

/**
 * One outcome that the model allows for one call, with the clauses that allow it. Plain data, so that two models'
 * outcomes can be compared, but for `commit`, which moves the model into the state that follows.
 */
export interface Outcome {
  readonly ret: RetRule;
  readonly errno: Errno | 0;
  /** Rules for `out`. Absent: the call promises nothing about its output, and `unchanged` decides. */
  readonly out?: readonly ByteRule[];
  /** Output is byte for byte what went in; the clause is the one that says so. */
  readonly unchanged?: Clause;
  /** Why this outcome is allowed; at least one. An observation that no outcome allows breaks those of the first. */
  readonly clauses: readonly [Clause, ...Clause[]];
  /** Applies the outcome's effect. Called at most once, on one outcome of the list, before the next call. */
  readonly commit: () => void;
}

/** What the model says of one call: the outcomes it allows, the most expected first, or why it cannot say. */
export type Answer =
  | { readonly allowed: readonly [Outcome, ...Outcome[]] }
  /** The specification does not define this call; whatever is observed is recorded and not judged. */
  | { readonly unspecified: string };
