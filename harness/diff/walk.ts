import type { Machine } from '../model/machine.ts';
import type { Answer, Outcome } from '../model/outcome.ts';
import { calls } from '../oracle/expected-path.ts';
import { initialBytes } from '../program/inline.ts';
import type { Call, Program } from '../program/step.ts';
import type { ClauseId } from '../spec/clause.ts';
import { type AnswerDifference, compareAnswers, conforming, sameOutcome } from './outcomes.ts';
import type { Both } from './spec-diff.ts';

/** Where two models part on a program. */
export interface Parting {
  readonly call: Call;
  /** Index among the program's calls, and the iteration of its repeat. */
  readonly step: number;
  readonly iteration: number;
  readonly answers: Both<Answer>;
  /** What the call's output buffer held before it. */
  readonly before: Uint8Array | undefined;
  readonly difference: Exclude<AnswerDifference, { kind: 'same' }>;
  /**
   * Calls that both answered alike, but under a declared clause, or for which a declared rule was looked up (the call where
   * they part among these): what they did may differ all the same.
   */
  readonly earlier: readonly { readonly step: number; readonly clause: ClauseId }[];
}

/**
 * Takes two models through a program side by side, along the outcome that the first expects most. Ends at the first call
 * for which they do not allow the same: from there on they would be asked about different states. `undefined` when they
 * agree to the end.
 */
export const walk = (
  machines: Both<Machine>,
  program: Program,
  declared: (clause: ClauseId) => boolean,
  lookedUp: () => readonly ClauseId[],
): Parting | undefined => {
  const earlier = new Map<ClauseId, number>();
  const note = (clauses: Iterable<ClauseId>, step: number): void => {
    for (const id of clauses) if (!earlier.has(id)) earlier.set(id, step);
  };
  for (const { call, step, iteration } of calls(program)) {
    const answers = { a: machines.a.answer(call, iteration), b: machines.b.answer(call, iteration) };
    const before = call.op === 'ioctl' ? initialBytes(call.arg, iteration, program.lets) : undefined;
    note(lookedUp(), step);
    const difference = compareAnswers(answers.a, answers.b, before);
    if (difference.kind !== 'same') {
      const found = [...earlier].map(([clause, at]) => ({ step: at, clause }));
      return { call, step, iteration, answers, before, difference, earlier: found };
    }
    const behind = advance(answers, before).map(({ id }) => id);
    note(behind.filter(declared), step);
    note(lookedUp(), step);
  }
  return undefined;
};

/** Moves both models on by the same outcome; returns the clauses that they have for it. */
const advance = ({ a, b }: Both<Answer>, before: Uint8Array | undefined): Outcome['clauses'] | readonly [] => {
  if (!('allowed' in a) || !('allowed' in b)) {
    for (const answer of [a, b]) if (!('allowed' in answer)) answer.commit?.();
    return [];
  }
  const [first] = a.allowed;
  const same = conforming(b).find((one) => sameOutcome(first, one, before));
  if (same === undefined) throw new RangeError('two models that agree have no outcome in common');
  first.commit();
  same.commit();
  return [...first.clauses, ...same.clauses];
};
