import type { RetRule } from '../model/outcome.ts';
import type { Observation } from '../program/step.ts';
import type { Clause } from '../spec/clause.ts';
import { ERRNO } from '../uapi/errno.ts';
import type { Wanted } from './expected-path.ts';

/** An observation that carries a result (not a mishap). */
export type Result = Extract<Observation, { ret: bigint }>;

/** How far an observation is from one outcome: nothing (`fits`), only in its bytes, or already in its result. */
export type Distance =
  | { readonly kind: 'fits' }
  | { readonly kind: 'bytes'; readonly mismatches: readonly [Mismatch, ...Mismatch[]] }
  /** Both failed, with another errno: the states after are the same. */
  | { readonly kind: 'errno' }
  /** One succeeded and the other did not, or another value came back: the states after differ. */
  | { readonly kind: 'result' };

/** Bytes of the output that differ from what a clause promises; `at` is the first that differs. */
export interface Mismatch {
  readonly clause: Clause;
  readonly at: number;
  readonly expected: Uint8Array;
  readonly observed: Uint8Array;
}

const retFits = (rule: RetRule, ret: bigint): boolean =>
  'exactly' in rule ? ret === rule.exactly : ret >= rule.atLeast;

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * Holds one observation against one outcome. `before` is what the call's output buffer held before the call (an inline
 * ioctl argument, patches not applied), `undefined` for operations that only produce bytes.
 */
export const distance = (outcome: Wanted, observed: Result, before: Uint8Array | undefined): Distance => {
  if (!retFits(outcome.ret, observed.ret)) {
    const bothFailed = outcome.errno !== 0 && observed.errno !== 0;
    return { kind: bothFailed ? 'errno' : 'result' };
  }
  if (outcome.errno !== observed.errno) return { kind: 'errno' };
  const [first, ...rest] = byteMismatches(outcome, observed.out ?? before, before);
  return first === undefined ? { kind: 'fits' } : { kind: 'bytes', mismatches: [first, ...rest] };
};

/** Compares the whole output: by rule where a rule covers it, with what went in where none does. */
const byteMismatches = (
  outcome: Wanted,
  observed: Uint8Array | undefined,
  before: Uint8Array | undefined,
): readonly Mismatch[] => {
  if (outcome.out === 'anything' || (outcome.out === undefined && before === undefined)) return [];
  if (outcome.out === undefined || outcome.out.length === 0) {
    // Most calls: nothing may change, and nothing did.
    if (observed === before) return [];
  }
  const actual = observed ?? new Uint8Array(0);
  const untouched = outcome.untouched ?? outcome.clauses[0];
  const mismatches: Mismatch[] = [];
  const check = (clause: Clause, at: number, expected: Uint8Array): void => {
    const found = actual.subarray(at, at + expected.length);
    if (sameBytes(found, expected)) return;
    let from = 0;
    while (from < expected.length && from < found.length && expected[from] === found[from]) from++;
    mismatches.push({ clause, at: at + from, expected: expected.subarray(from), observed: found.subarray(from) });
  };
  let end = 0;
  for (const rule of [...(outcome.out ?? [])].sort((a, b) => a.at - b.at)) {
    if (before !== undefined && rule.at > end) check(untouched, end, before.subarray(end, rule.at));
    // Behind the bytes that a program gave, though its argument may say that it has more, nothing can be seen.
    const room = before === undefined ? undefined : Math.max(0, before.length - rule.at);
    if (typeof rule.bytes !== 'number') check(rule.clause, rule.at, rule.bytes.subarray(0, room));
    end = Math.max(end, rule.at + (typeof rule.bytes === 'number' ? rule.bytes : rule.bytes.length));
  }
  const length = before?.length ?? actual.length;
  if (end < length) check(untouched, end, before?.subarray(end) ?? new Uint8Array(0));
  else if (actual.length > length && before === undefined) check(untouched, length, new Uint8Array(0));
  return mismatches;
};

/** `EEXIST`, `0`, `-1 E203`: a result as a reader writes it. */
export const resultText = (ret: bigint, errno: Result['errno']): string => {
  if (errno === 0) return ret.toString();
  return errno in ERRNO ? errno : `-1 ${errno}`;
};

/** What an outcome asks for, in one line. */
export const outcomeText = (outcome: Wanted): string => {
  if (outcome.errno !== 0) return outcome.errno;
  return 'exactly' in outcome.ret ? outcome.ret.exactly.toString() : `a value of at least ${outcome.ret.atLeast}`;
};
