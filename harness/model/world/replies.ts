import type { Clause } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import type { Answer, ByteRule, Outcome } from '../outcome.ts';

/** An answer that allows something. */
export type Allowed = Extract<Answer, { allowed: unknown }>;

const nothing = (): void => undefined;

/** The call succeeds with that value, shows those bytes, and then has that effect. */
export const success = (
  clause: Clause,
  { ret = 0n, out, effect = nothing }: { ret?: bigint; out?: readonly ByteRule[]; effect?: () => void } = {},
): Outcome => ({
  ret: { exactly: ret },
  errno: 0,
  clauses: [clause],
  commit: effect,
  ...(out === undefined ? {} : { out }),
});

/** The call fails, and has no effect but what is given. */
export const failure = (errno: Errno, clause: Clause, effect: () => void = nothing): Outcome => ({
  ret: { exactly: -1n },
  errno,
  clauses: [clause],
  commit: effect,
});

/** The call makes a descriptor: any number that is not negative. */
export const descriptor = (clauses: Outcome['clauses'], effect: () => void): Outcome => ({
  ret: { atLeast: 0n },
  errno: 0,
  clauses,
  commit: effect,
});

/** Any of these outcomes, the most expected first. */
export const allow = (first: Outcome, ...others: readonly Outcome[]): Allowed => ({ allowed: [first, ...others] });

export const succeeds = (...about: Parameters<typeof success>): Allowed => allow(success(...about));
export const fails = (...about: Parameters<typeof failure>): Allowed => allow(failure(...about));

/** Nothing is promised; `commit` makes the model forget what the call may have changed. */
export const unspecified = (why: string, commit?: () => void): Answer =>
  commit === undefined ? { unspecified: why } : { unspecified: why, commit };
