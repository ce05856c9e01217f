import type { Answer } from '../model/outcome.ts';
import { distance, type Result } from '../oracle/compare.ts';
import { Malformed } from '../program/malformed.ts';
import { parseObservation } from '../program/observation-text.ts';
import type { Observation, Program } from '../program/step.ts';
import { printProgram } from '../program/text.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import { conforming } from './outcomes.ts';
import type { Seen } from './spec-diff.ts';
import type { Parting } from './walk.ts';
import { seenWords } from './words.ts';

/** Larger outputs than this are not looked at: they are more than a record keeps. */
const MOST_BYTES = 64 << 20;

/**
 * What a kernel answered where two models part. Which side it is on is told by that one answer, as both models see it on
 * their own platform; before that call they allow the same. `undefined` when the run has no such case.
 */
export const seenAt = (run: RunRecord, id: string, program: Program, parting: Parting): Seen | undefined => {
  const record = run.cases.find((one) => one.id === id);
  if (record === undefined) return undefined;
  const verdict = record.known === undefined ? record.verdict : `${record.verdict}, as known`;
  const result = observedAt(record, program, parting);
  if (result === undefined) return { verdict, agreesWith: 'unknown' };
  const [a, b] = [fits(parting.answers.a, result, parting), fits(parting.answers.b, result, parting)];
  const agreesWith = a && b ? 'both' : a ? 'a' : b ? 'b' : 'neither';
  return { verdict, answered: seenWords(parting, result), agreesWith };
};

const fits = (answer: Answer, result: Result, { before }: Parting): boolean =>
  conforming(answer).some((outcome) => distance(outcome, result, before).kind === 'fits');

/** The observation of one call, if the record is of this program. */
const observedAt = (record: CaseRecord, program: Program, { step, iteration }: Parting): Result | undefined => {
  if (withoutLets(record.program) !== printProgram({ lets: {}, steps: program.steps })) return undefined;
  for (const line of record.observed.split('\n')) {
    const seen = line.startsWith(`${step} `) || line.startsWith(`${step}.`) ? parsed(line) : undefined;
    if (seen === undefined || seen.step !== step || iteration < seen.iteration || iteration > seen.last) continue;
    return 'mishap' in seen ? undefined : seen;
  }
  return undefined;
};

/** A line that was cut in the middle, because the text was too long, is none. */
const parsed = (line: string): Observation | undefined => {
  try {
    return parseObservation(line, MOST_BYTES);
  } catch (cause) {
    if (cause instanceof Malformed) return undefined;
    throw cause;
  }
};

/** Addresses of groups and devices differ between hosts; the steps are the same. */
const withoutLets = (text: string): string => text.replace(/^(?:let .*\n)+/, '');
