import { resultText } from '../oracle/compare.ts';
import { calls } from '../oracle/expected-path.ts';
import { parseProgram, printCall } from '../program/text.ts';
import type { CaseRecord } from '../report/record.ts';
import { errnoName } from '../uapi/errno.ts';
import type { Both } from './spec-diff.ts';

/** Longer answers than this are cut where they are told. */
const MOST_TOLD = 160;

/**
 * The first call that two kernels answered otherwise, in one program. `undefined` when all answers are the same, or when the
 * programs are not: other answers are to be expected then.
 */
export const firstOtherAnswer = (
  one: CaseRecord,
  other: CaseRecord,
): (Both<string> & { readonly call: string }) | undefined => {
  if (one.program !== other.program || one.observed === other.observed) return undefined;
  const [a, b] = [answersOf(one.observed), answersOf(other.observed)];
  for (const step of [...new Set([...a.keys(), ...b.keys()])].sort((x, y) => x - y)) {
    const [inA, inB] = [a.get(step) ?? [], b.get(step) ?? []];
    const index = inA.findIndex((answer, at) => textOf(answer) !== textOf(inB[at]));
    if (index < 0 && inA.length === inB.length) continue;
    const at = index < 0 ? inA.length : index;
    return { call: callOf(one.program, step), a: textOf(inA[at]), b: textOf(inB[at]) };
  }
  return undefined;
};

/** What a call answered in some iterations of its repeat. */
interface Answer {
  readonly first: number;
  readonly last: number;
  readonly said: string;
}

const LINE = /^(\d+)(?:\.(\d+)(?:-(\d+))?)? (.*)$/;

/** Answers by call. How many iterations a helper tells of in one line is a matter of time: neighbours that are alike are joined. */
const answersOf = (observed: string): ReadonlyMap<number, readonly Answer[]> => {
  const byStep = new Map<number, Answer[]>();
  for (const line of observed.split('\n')) {
    const [, step, from, to, said = ''] = LINE.exec(line) ?? [];
    if (step === undefined) continue;
    const answers = byStep.get(Number(step)) ?? [];
    byStep.set(Number(step), answers);
    const [first, last] = [Number(from ?? 0), Number(to ?? from ?? 0)];
    const before = answers.at(-1);
    if (before?.said === said && before.last + 1 === first) answers[answers.length - 1] = { ...before, last };
    else answers.push({ first, last, said });
  }
  return byStep;
};

const textOf = (answer: Answer | undefined): string => {
  if (answer === undefined) return 'nothing';
  const { first, last, said } = answer;
  const where = last === 0 ? '' : ` (iterations ${first} to ${last})`;
  const [, ret, errno, more = ''] = RESULT.exec(said) ?? [];
  const number = Number(errno);
  const result = ret === undefined ? said : resultText(BigInt(ret), number === 0 ? 0 : errnoName(number)) + more;
  return `${result.length > MOST_TOLD ? `${result.slice(0, MOST_TOLD)}...` : result}${where}`;
};

const RESULT = /^(-?\d{1,19}) (\d{1,4})( .*)?$/;

const callOf = (program: string, step: number): string => {
  for (const one of calls(parseProgram(program))) if (one.step === step) return printCall(one.call);
  return `call ${step}`;
};
