import type { Machine } from '../model/machine.ts';
import type { Answer, ByteRule, Outcome } from '../model/outcome.ts';
import type { Call, Program } from '../program/step.ts';

/** One call of a program, where it stands, and what the model says of it. */
export interface Expected {
  readonly call: Call;
  readonly step: number;
  readonly iteration: number;
  readonly answer: Answer;
}

/** The program through the model alone: each call's answer, taking the most expected outcome every time. */
export function* expectedPath(machine: Machine, program: Program): Generator<Expected> {
  for (const { call, step, iteration } of calls(program)) {
    const answer = machine.answer(call, iteration);
    yield { call, step, iteration, answer };
    if ('allowed' in answer) answer.allowed[0].commit();
    else answer.commit?.();
  }
}

/** Every call in the order it is taken, with its number among the program's calls. */
export function* calls(program: Program): Generator<{ call: Call; step: number; iteration: number }> {
  let step = 0;
  for (const entry of program.steps) {
    if (entry.op !== 'repeat') {
      yield { call: entry, step: step++, iteration: 0 };
      continue;
    }
    for (let iteration = 0; iteration < entry.count; iteration++) {
      for (const [offset, call] of entry.body.entries()) yield { call, step: step + offset, iteration };
    }
    step += entry.body.length;
  }
}

/** What is most expected of a call, without its effect: plain data, to be kept for each call of a long program. */
export type Wanted = Omit<Outcome, 'commit'>;

/**
 * What a call's answer wants most; `undefined` when it leaves the call open. If that is what was wanted of the call in the
 * iteration before, the same value comes back: a repeat keeps one for all of its iterations.
 */
export const wantedOf = (answer: Answer, before: Wanted | undefined): Wanted | undefined => {
  if ('unspecified' in answer) return undefined;
  const [{ commit: _, ...wanted }] = answer.allowed;
  return before !== undefined && isSame(before, wanted) ? before : wanted;
};

const isSame = (a: Wanted, b: Wanted): boolean =>
  a.errno === b.errno &&
  a.clauses[0] === b.clauses[0] &&
  a.breaks === undefined &&
  b.breaks === undefined &&
  a.untouched === b.untouched &&
  isSameReturn(a.ret, b.ret) &&
  isSameOutput(a.out, b.out);

const isSameReturn = (a: Wanted['ret'], b: Wanted['ret']): boolean =>
  'exactly' in a ? 'exactly' in b && a.exactly === b.exactly : 'atLeast' in b && a.atLeast === b.atLeast;

const isSameOutput = (a: Wanted['out'], b: Wanted['out']): boolean => {
  if (a === undefined || b === undefined || a === 'anything' || b === 'anything') return a === b;
  return a.length === b.length && a.every((rule, index) => isSameRule(rule, b[index]));
};

const isSameRule = (a: ByteRule, b: ByteRule | undefined): boolean => {
  if (b === undefined || a.at !== b.at || a.clause !== b.clause) return false;
  if (typeof a.bytes === 'number' || typeof b.bytes === 'number') return a.bytes === b.bytes;
  return Buffer.compare(a.bytes, b.bytes) === 0;
};
