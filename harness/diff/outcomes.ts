import type { Answer, Outcome } from '../model/outcome.ts';
import type { Clause } from '../spec/clause.ts';

/** Bytes of an output that the two sides hold differently. */
export interface ByteDifference {
  readonly at: number;
  readonly length: number;
  readonly a: Held;
  readonly b: Held;
}

/** Bytes as one side has them: these, or any (`undefined`), and the clause that says so. */
interface Held {
  readonly bytes: Uint8Array | undefined;
  readonly clause: Clause;
}

/** How two answers differ; `same` when they allow the same, whatever clauses they name for it. */
export type AnswerDifference =
  | { readonly kind: 'same' }
  /** Only one of the models defines the call. */
  | { readonly kind: 'specified'; readonly by: 'a' | 'b' }
  /** The same results, with other bytes in one of them. */
  | {
      readonly kind: 'bytes';
      readonly of: Outcome;
      /** What the other side has for it. */
      readonly to: Outcome;
      readonly bytes: readonly [ByteDifference, ...ByteDifference[]];
    }
  /** Another set of results. Each list holds what only that side allows. */
  | { readonly kind: 'results'; readonly onlyA: readonly Outcome[]; readonly onlyB: readonly Outcome[] };

/** The outcomes that conform: those that the model can merely follow are none of its demands. */
export const conforming = (answer: Answer): readonly Outcome[] =>
  'allowed' in answer ? answer.allowed.filter(({ breaks }) => breaks === undefined) : [];

/**
 * Compares what two models allow for one call. `before` is what its output buffer held before the call, `undefined` for
 * operations that only produce bytes.
 */
export const compareAnswers = (a: Answer, b: Answer, before: Uint8Array | undefined): AnswerDifference => {
  if (!('allowed' in a) || !('allowed' in b)) {
    if (!('allowed' in a) && !('allowed' in b)) return { kind: 'same' };
    return { kind: 'specified', by: 'allowed' in a ? 'a' : 'b' };
  }
  const [inA, inB] = [conforming(a), conforming(b)];
  const onlyA = inA.filter((one) => !inB.some((other) => sameOutcome(one, other, before)));
  const onlyB = inB.filter((one) => !inA.some((other) => sameOutcome(one, other, before)));
  if (onlyA.length + onlyB.length === 0) return { kind: 'same' };
  const [one] = onlyA;
  const [other] = onlyB;
  if (one !== undefined && other !== undefined && onlyA.length + onlyB.length === 2 && sameResult(one, other)) {
    const [first, ...rest] = byteDifferences(one, other, before);
    if (first !== undefined) return { kind: 'bytes', of: one, to: other, bytes: [first, ...rest] };
  }
  return { kind: 'results', onlyA, onlyB };
};

const sameResult = (one: Outcome, other: Outcome): boolean =>
  one.errno === other.errno &&
  ('exactly' in one.ret
    ? 'exactly' in other.ret && one.ret.exactly === other.ret.exactly
    : 'atLeast' in other.ret && one.ret.atLeast === other.ret.atLeast);

/** Whether two outcomes ask for the same result and the same bytes. */
export const sameOutcome = (one: Outcome, other: Outcome, before: Uint8Array | undefined): boolean =>
  sameResult(one, other) && byteDifferences(one, other, before).length === 0;

interface Piece extends Held {
  readonly at: number;
  readonly end: number;
}

/** Where the outputs of two outcomes differ, in order; pieces of a side are cut where a clause of the other begins. */
const byteDifferences = (a: Outcome, b: Outcome, before: Uint8Array | undefined): readonly ByteDifference[] => {
  if (a.out === 'anything' || b.out === 'anything') return a.out === b.out ? [] : [whole(a, b)];
  if (a.out === undefined && b.out === undefined) return [];
  const [inA, inB] = [piecesOf(a, before), piecesOf(b, before)];
  const cuts = [...new Set([...inA, ...inB].flatMap(({ at, end }) => [at, end]))].sort((x, y) => x - y);
  const differences: ByteDifference[] = [];
  for (const [index, at] of cuts.entries()) {
    const end = cuts[index + 1];
    if (end === undefined) break;
    const heldA = cut(inA, at, end) ?? missing(a);
    const heldB = cut(inB, at, end) ?? missing(b);
    if (!sameBytes(heldA.bytes, heldB.bytes)) differences.push({ at, length: end - at, a: heldA, b: heldB });
  }
  return differences;
};

/** One side promises nothing at all about the output. */
const whole = (a: Outcome, b: Outcome): ByteDifference => ({ at: 0, length: 0, a: missing(a), b: missing(b) });

const missing = (outcome: Outcome): Held => ({ bytes: undefined, clause: outcome.clauses[0] });

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

/** The whole output of an outcome: by rule where one covers it, what went in where none does. */
const piecesOf = (outcome: Outcome, before: Uint8Array | undefined): readonly Piece[] => {
  const pieces: Piece[] = [];
  const untouched = outcome.untouched ?? outcome.clauses[0];
  let end = 0;
  const fill = (to: number): void => {
    if (to > end && before !== undefined)
      pieces.push({ at: end, end: to, bytes: before.subarray(end, to), clause: untouched });
    end = Math.max(end, to);
  };
  const rules = outcome.out === 'anything' ? [] : (outcome.out ?? []);
  for (const { at, bytes, clause } of [...rules].sort((x, y) => x.at - y.at)) {
    const length = typeof bytes === 'number' ? bytes : bytes.length;
    fill(at);
    const from = Math.max(at, end);
    if (at + length <= from) continue;
    const held = typeof bytes === 'number' ? undefined : bytes.subarray(from - at);
    pieces.push({ at: from, end: at + length, bytes: held, clause });
    end = at + length;
  }
  fill(before?.length ?? end);
  return pieces;
};

const cut = (pieces: readonly Piece[], at: number, end: number): Held | undefined => {
  const piece = pieces.find((one) => one.at <= at && end <= one.end);
  return piece && { bytes: piece.bytes?.subarray(at - piece.at, end - piece.at), clause: piece.clause };
};
