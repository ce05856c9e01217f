import type { Machine } from '../model/machine.ts';
import type { ByteRule, Outcome } from '../model/outcome.ts';
import { outcomeText } from '../oracle/compare.ts';
import { calls } from '../oracle/judge.ts';
import type { Program } from '../program/step.ts';
import { printCall } from '../program/text.ts';
import type { Expectation } from './case.ts';

/**
 * Runs a program through the model alone and holds it against the case's own expectations. Returns what they disagree
 * about, in one line; a case whose expectations the model does not share is a fault of ours, never the kernel's.
 */
export const disagreement = (
  machine: Machine,
  program: Program,
  expectations: readonly Expectation[],
): string | undefined => {
  const byStep = new Map<number, Expectation[]>();
  for (const expectation of expectations) {
    byStep.set(expectation.step, [...(byStep.get(expectation.step) ?? []), expectation]);
  }
  for (const { call, step, iteration } of calls(program)) {
    const answer = machine.answer(call, iteration);
    const expected = (byStep.get(step) ?? []).filter((one) => speaksOf(one, iteration));
    if ('unspecified' in answer) {
      if (expected.length > 0) return `the model leaves call ${step} open (${answer.unspecified}): ${printCall(call)}`;
      answer.commit?.();
      continue;
    }
    for (const expectation of expected) {
      const wrong = answer.allowed.find((outcome) => outcome.breaks === undefined && !agrees(outcome, expectation));
      if (wrong !== undefined) {
        return `the model allows ${outcomeText(wrong)} (${wrong.clauses.map((c) => c.id).join(', ')}) for call ${step}, the case expects ${expectationText(expectation)}: ${printCall(call)}`;
      }
    }
    answer.allowed[0].commit();
  }
  return undefined;
};

const speaksOf = ({ iterations }: Expectation, iteration: number): boolean =>
  iterations === undefined || (iteration >= iterations.first && iteration <= iterations.last);

const agrees = (outcome: Outcome, { result, out }: Expectation): boolean => {
  if ('refused' in result) return outcome.errno !== 0 && result.refused.includes(outcome.errno);
  if (outcome.errno !== 0) return false;
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
