import { stringify } from 'yaml';
import { type Point, pointsOf } from '../report/points.ts';
import type { RunRecord } from '../report/record.ts';
import { exitCodeOf, exitMeaning, tallyOf } from '../report/tally.ts';
import { caseFolder } from '../report/tree.ts';
import { EXIT } from '../trouble.ts';
import { placeOf } from './place.ts';

/** results.yaml of tmt, for a test whose `result` is `custom`: the run as `/`, then a result for each case. */

/** One result, with tmt's names. */
interface Result {
  readonly name: string;
  readonly result: 'pass' | 'fail' | 'info' | 'error' | 'skip';
  readonly note?: readonly string[];
  /** Paths beside results.yaml. */
  readonly log?: readonly string[];
  readonly duration?: string;
}

const RESULTS = { passed: 'pass', failed: 'fail', skipped: 'skip', errored: 'error' } as const;

/** The files of a case that tell most, the best first: tmt shows the first one. */
const LOGS = ['verdict.json', 'program.txt', 'observed.txt'] as const;

/** The run as results.yaml; `folder` is the report's, as seen from where the file will be (empty if that is in it). */
export const tmtOf = (run: RunRecord, { folder = '' }: { readonly folder?: string }): string =>
  stringify([overall(run, folder), ...pointsOf(run).map((point) => resultOf(point, folder)), ...gone(run)], {
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });

const within = (folder: string, ...parts: readonly string[]): string =>
  [folder, ...parts].filter((part) => part !== '').join('/');

const overall = (run: RunRecord, folder: string): Result => {
  const code = exitCodeOf(run);
  const counts = Object.entries(tallyOf(run)).filter(([, count]) => count > 0);
  const words = { [EXIT.conforms]: 'pass', [EXIT.diverges]: 'fail', [EXIT.nothingRan]: 'skip' } as const;
  return {
    name: '/',
    result: (words as Readonly<Record<number, 'pass' | 'fail' | 'skip'>>)[code] ?? 'error',
    note: [
      `${run.revision} held against Linux ${run.kernel} on ${run.host.name}: ${exitMeaning(code)}`,
      counts.map(([what, count]) => `${what} ${count}`).join(', ') || 'no cases',
    ],
    log: [within(folder, 'report.txt'), within(folder, 'junit.xml')],
    duration: clock(run.durationMs),
  };
};

const resultOf = (point: Point, folder: string): Result => ({
  name: `/${placeOf(point).join('/')}`,
  result: RESULTS[point.outcome],
  note: [point.id, ...(point.message === '' ? [] : [`${point.type}: ${point.message}`])],
  ...(point.record === undefined ? {} : { log: LOGS.map((name) => within(folder, caseFolder(point), name)) }),
  duration: clock(point.durationMs),
});

const gone = ({ disappeared }: RunRecord): readonly Result[] =>
  disappeared.map((id, index) => ({
    name: `/known-differences/${index + 1}`,
    result: 'info',
    note: [`the known difference ${id} was expected in this run and did not show`],
  }));

/** `hh:mm:ss`, as tmt takes it; rounded to the second. */
const clock = (ms: number): string => {
  const seconds = Math.round(ms / 1000);
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
};
