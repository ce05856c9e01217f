import type { Ending, Observation, Program, Run } from '../program/step.ts';
import { printProgram } from '../program/text.ts';
import { HostTrouble } from '../trouble.ts';
import { frame, type Reply } from '../wire/protocol.ts';
import type { Deadlines } from './host.ts';

/** A program that was given to a helper and has not ended: what was asked, and what has come back. */
export interface Pending {
  readonly frame: string;
  readonly programMs: number;
  /** Takes one reply in; the run, once it has ended. Throws HostTrouble for a reply to something else. */
  take(reply: Reply): Run | undefined;
  /** The run, ended in another way than by the helper's word. What was observed is kept. */
  cut(ending: Ending): Run;
}

/** Throws UsageTrouble for a program that cannot be written as text, or deadlines that no helper takes. */
export const createPending = (id: number, program: Program, deadlines: Deadlines): Pending => {
  const text = printProgram(program);
  const counts = countsOf(program);
  const observations: Observation[] = [];
  let kernelLog: string[] | undefined = [];
  const run = (durationUs: number, ending: Ending): Run => ({ observations, kernelLog, durationUs, ending });

  const take = (reply: Reply): Run | undefined => {
    if ('id' in reply && reply.id !== id) {
      throw new HostTrouble(`the helper sent ${reply.kind} ${reply.id} where ${id} was expected`);
    }
    switch (reply.kind) {
      case 'greeting':
      case 'begin':
        return undefined;
      case 'observation':
        checkPlace(counts, reply.observation);
        observations.push(reply.observation);
        return undefined;
      case 'log':
        kernelLog?.push(reply.text);
        return undefined;
      case 'nolog':
        kernelLog = undefined;
        return undefined;
      case 'end':
        return run(reply.durationUs, { kind: reply.status });
      case 'error':
        observations.push(refusal(text, reply.line, reply.text));
        kernelLog = undefined;
        return run(0, { kind: 'done' });
    }
  };

  const cut = (ending: Ending): Run => {
    // The log comes last: what has not come cannot be told from what was not there.
    if (kernelLog?.length === 0) kernelLog = undefined;
    return run(0, ending);
  };

  return { frame: frame(id, text, deadlines), programMs: deadlines.programMs, take, cut };
};

/** How often each call of a program is taken, in the order that calls are numbered. */
const countsOf = (program: Program): readonly number[] =>
  program.steps.flatMap((step) => (step.op === 'repeat' ? step.body.map(() => step.count) : [1]));

const checkPlace = (counts: readonly number[], { step, last }: Observation): void => {
  if (last < (counts[step] ?? 0)) return;
  throw new HostTrouble(`the helper reports call ${step}, iteration ${last}, which the program does not have`);
};

/** A program that the helper refused is our fault, and nothing of it ran: the first call says so. */
const refusal = (text: string, line: number, reason: string): Observation => ({
  step: 0,
  iteration: 0,
  last: 0,
  mishap: 'bad',
  detail: `the helper refused the program at line ${line} (${text.split('\n', line)[line - 1]?.trim() ?? ''}): ${reason}`,
});
