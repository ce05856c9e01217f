import type { Machine } from '../model/machine.ts';
import type { ByteRule, Outcome } from '../model/outcome.ts';
import { outcomeText } from '../oracle/compare.ts';
import { type Expected, expectedPath, type Wanted, wantedOf } from '../oracle/expected-path.ts';
import type { Program } from '../program/step.ts';
import { printCall } from '../program/text.ts';
import type { Expectation } from './case.ts';

/** No more than these are kept: a program of a million calls is worked out again when it is judged. */
const MOST_KEPT = 60_000;

/** A program through the model alone, held against the case's own expectations. */
export interface ModelCheck {
  /**
   * What the two disagree about, in one line: a case whose expectations the model does not share is a fault of ours,
   * never the kernel's.
   */
  readonly disagreement?: string;
  /** What the model wants of each call along its expected path; absent when there are too many to keep. */
  readonly wanted?: readonly (Wanted | undefined)[];
}

/** Runs a program through the model alone and holds it against the case's own expectations. */
export const checkModel = (machine: Machine, program: Program, expectations: readonly Expectation[]): ModelCheck => {
  const byStep = new Map<number, Expectation[]>();
  for (const expectation of expectations) {
    byStep.set(expectation.step, [...(byStep.get(expectation.step) ?? []), expectation]);
  }
  const wanted: (Wanted | undefined)[] = [];
  const lastOfStep: (Wanted | undefined)[] = [];
  let count = 0;
  for (const at of expectedPath(machine, program)) {
    const disagreement = disagreementAt(at, byStep.get(at.step) ?? NOTHING);
    if (disagreement !== undefined) return { disagreement };
    if (count++ >= MOST_KEPT) continue;
    const one = wantedOf(at.answer, lastOfStep[at.step]);
    lastOfStep[at.step] = one;
    wanted.push(one);
  }
  return count > MOST_KEPT ? {} : { wanted };
};

const NOTHING: readonly Expectation[] = [];

const disagreementAt = (
  { call, step, iteration, answer }: Expected,
  expectations: readonly Expectation[],
): string | undefined => {
  for (const expectation of expectations) {
    if (!speaksOf(expectation, iteration)) continue;
    if ('unspecified' in answer)
      return `the model leaves call ${step} open (${answer.unspecified}): ${printCall(call)}`;
    // Deviations that the model can follow are none of its demands.
    const wrong = answer.allowed.find((outcome) => outcome.breaks === undefined && !agrees(outcome, expectation));
    if (wrong !== undefined) {
      const clauses = wrong.clauses.map((one) => one.id).join(', ');
      return `the model allows ${outcomeText(wrong)} (${clauses}) for call ${step}, the case expects ${expectationText(expectation)}: ${printCall(call)}`;
    }
  }
  return undefined;
};

const speaksOf = ({ iterations }: Expectation, iteration: number): boolean =>
  iterations === undefined || (iteration >= iterations.first && iteration <= iterations.last);

const agrees = (outcome: Outcome, { result, out }: Expectation): boolean => {
  if ('refused' in result) {
    if (outcome.errno === 0 || !result.refused.includes(outcome.errno)) return false;
  } else if (outcome.errno !== 0) return false;
  if ('returns' in result && !('exactly' in outcome.ret && outcome.ret.exactly === result.returns)) return false;
  return (out ?? []).every(({ at, bytes }) => promised(outcome.out, at, bytes));
};

/** Whether the model promises exactly these bytes there (several rules may cover them together). */
const promised = (rules: Outcome['out'], at: number, bytes: Uint8Array): boolean => {
  if (rules === 'anything' || rules === undefined) return false;
  return bytes.every((byte, index) => rules.some((rule) => byteOf(rule, at + index) === byte));
};

const byteOf = (rule: ByteRule, position: number): number | undefined =>
  typeof rule.bytes === 'number' || position < rule.at ? undefined : rule.bytes[position - rule.at];

const expectationText = ({ result }: Expectation): string => {
  if ('refused' in result) return result.refused.join(' or ');
  return 'returns' in result ? result.returns.toString() : 'success';
};
