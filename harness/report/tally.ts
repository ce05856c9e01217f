import { EXIT } from '../trouble.ts';
import { isKnown } from './points.ts';
import type { CaseRecord, RunRecord } from './record.ts';

/** How many cases of a run ended how. `known` are the differences that were expected; `diverges` the new ones. */
export interface Tally {
  readonly conforms: number;
  readonly known: number;
  readonly diverges: number;
  readonly damaged: number;
  readonly unsupported: number;
  readonly 'host-lost': number;
  readonly 'harness-error': number;
  readonly notRun: number;
  readonly disappeared: number;
}

/** Cases by how they ended, in the order they ran; known differences apart from new ones. */
export type Ended = CaseRecord['verdict'] | 'known';

export const endedAs = (record: CaseRecord): Ended => (isKnown(record) ? 'known' : record.verdict);

export const tallyOf = (run: RunRecord): Tally => {
  const counts: Record<Ended, number> = {
    conforms: 0,
    known: 0,
    diverges: 0,
    damaged: 0,
    unsupported: 0,
    'host-lost': 0,
    'harness-error': 0,
  };
  for (const record of run.cases) counts[endedAs(record)]++;
  return { ...counts, notRun: run.notRun.length, disappeared: run.disappeared.length };
};

/** Cases that the kernel was judged by. */
export const judged = (tally: Tally): number => tally.conforms + tally.known + tally.diverges + tally.damaged;

/**
 * The exit code of a run. What was found against the kernel wins over everything, because it is a fact whatever came
 * after it; then what kept the run from its end; then trouble that left cases without a verdict.
 */
export const exitCodeOf = (run: RunRecord): number => {
  const tally = tallyOf(run);
  if (tally.diverges + tally.damaged > 0) return EXIT.diverges;
  switch (run.interrupted?.why) {
    case 'time-limit':
      return EXIT.timeLimit;
    case 'signal':
      return EXIT.interrupted;
    case 'trouble':
    case 'cut-off':
      return EXIT.hostTrouble;
    case undefined:
      break;
  }
  if (tally['host-lost'] + tally['harness-error'] > 0) return EXIT.hostTrouble;
  return judged(tally) === 0 ? EXIT.nothingRan : EXIT.conforms;
};

/** What an exit code says, for the last line of a summary. */
export const exitMeaning = (code: number): string => {
  switch (code) {
    case EXIT.conforms:
      return 'the kernel conforms, known differences aside';
    case EXIT.diverges:
      return 'the kernel differs from the model, or was damaged';
    case EXIT.nothingRan:
      return 'nothing could be judged here';
    case EXIT.hostTrouble:
      return 'trouble with the host or the harness; this says nothing about the kernel';
    case EXIT.timeLimit:
      return 'the time limit passed';
    case EXIT.interrupted:
      return 'the run was interrupted';
    default:
      return 'unexpected';
  }
};
