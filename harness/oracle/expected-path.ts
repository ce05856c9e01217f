import type { Machine } from '../model/machine.ts';
import type { Answer } from '../model/outcome.ts';
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
