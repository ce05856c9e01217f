import { readObservations } from '../program/observation-text.ts';
import type { Observation, Program } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import type { CaseRecord } from '../report/record.ts';
import { UsageTrouble } from '../trouble.ts';

/** Larger outputs than this are not looked at: they are more than a record keeps. */
const MOST_BYTES = 64 << 20;

/** What a case did on a host, as its record keeps it. */
export interface KeptRun {
  readonly program: Program;
  readonly observations: readonly Observation[];
}

/** `undefined` for a case that did not run, and for one whose program was too long to be kept whole. */
export const keptRunOf = ({ program, observed }: CaseRecord): KeptRun | undefined => {
  if (program === '' || observed === '') return undefined;
  try {
    return { program: parseProgram(program), observations: readObservations(observed, MOST_BYTES) };
  } catch (cause) {
    if (cause instanceof UsageTrouble) return undefined;
    throw cause;
  }
};
