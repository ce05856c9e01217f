import type { Clause } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';

/** Bytes that must be seen at an offset, and the clause that says so. */
export interface ByteRule {
  readonly at: number;
  /** The bytes; or a number of bytes that may be anything (padding that nobody promises). */
  readonly bytes: Uint8Array | number;
  /** What the model has for bytes that may be anything, where it must know them again when they are given back to it. */
  readonly secret?: Uint8Array;
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
  /**
   * Rules for `out`. Output is compared whole: bytes of an inline ioctl argument that no rule covers must be what went in
   * (so no rules at all means an untouched argument). Operations that only produce bytes (read, pread, cat) must be covered
   * by rules entirely. `'anything'`: the call promises nothing about its output.
   */
  readonly out?: readonly ByteRule[] | 'anything';
  /** The clause that is broken when a byte changed that no rule covers; the first of `clauses` if absent. */
  readonly untouched?: Clause;
  /**
   * Set on an outcome that does not conform but that the model can follow: an observation that fits it breaks these
   * clauses, and judging goes on in the state after it. Never the first of a list.
   */
  readonly breaks?: readonly [Clause, ...Clause[]];
  /** Why this outcome is allowed; at least one. An observation that no outcome allows breaks those of the first. */
  readonly clauses: readonly [Clause, ...Clause[]];
  /** Applies the outcome's effect. Called at most once, on one outcome of the list, before the next call. */
  readonly commit: () => void;
}

/** What the model says of one call: the outcomes it allows, the most expected first, or why it cannot say. */
export type Answer =
  | { readonly allowed: readonly [Outcome, ...Outcome[]] }
  /**
   * The specification does not define this call; whatever is observed is recorded and not judged. `commit` is called before
   * the next call, like an outcome's: it makes the model forget what the call may have changed.
   */
  | { readonly unspecified: string; readonly commit?: () => void };
