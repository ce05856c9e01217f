import { brokenText } from '../report/explain.ts';
import { rerunCommand } from '../report/layout.ts';
import { type Point, pointsOf } from '../report/points.ts';
import type { RunRecord } from '../report/record.ts';
import { slug } from '../report/tree.ts';
import { placeOf } from './place.ts';

/**
 * Lines for the console of a LAVA job: a signal for each case, in the test set of its area; round the words of a case that
 * did not simply conform stand signals that lead from the result to them in LAVA's log. (Its dispatcher, 2023.01, marks in the
 * log how far it has read, up to 4 KiB at once: of a fast console the words are to be found a few lines above the mark.)
 * Whatever became of the run, its last case says so.
 */

const RESULTS = { passed: 'pass', failed: 'fail', skipped: 'skip', errored: 'unknown' } as const;

/** Test sets of what is no case. */
const KNOWN_SET = 'known-differences';
const RUN_SET = 'harness';
const REACHED_END = 'run.reached-its-end';

/** The run as signals. */
export const lavaOf = (run: RunRecord): string => {
  const points = pointsOf(run).filter(({ type }) => type !== 'interrupted');
  const sets = new Map<string, Point[]>();
  for (const point of points) {
    const set = placeOf(point)[0] ?? RUN_SET;
    sets.set(set, [...(sets.get(set) ?? []), point]);
  }
  return [
    ...[...sets].flatMap(([name, inSet]) =>
      testSet(
        name,
        inSet.flatMap((point) => pointLines(point, run)),
      ),
    ),
    ...(run.disappeared.length === 0 ? [] : testSet(KNOWN_SET, run.disappeared.map(didNotShow))),
    ...testSet(RUN_SET, endLines(run)),
    '',
  ].join('\n');
};

const testSet = (name: string, lines: readonly string[]): readonly string[] => [
  signal('TESTSET', `START ${name}`),
  ...lines,
  signal('TESTSET', 'STOP'),
];

const signal = (name: string, words: string): string => `<LAVA_SIGNAL_${name} ${words}>`;

const testCase = (id: string, result: string, measurement = ''): string =>
  signal('TESTCASE', `TEST_CASE_ID=${id} RESULT=${result}${measurement}`);

/** Text between signals, in which nothing is one. */
const told = (id: string, text: string): readonly string[] => [
  signal('STARTTC', id),
  ...text.replaceAll('<LAVA_', '\\x3cLAVA_').split('\n'),
  signal('ENDTC', id),
];

const pointLines = (point: Point, run: RunRecord): readonly string[] => {
  const { outcome, type, record, durationMs } = point;
  const id = placeOf(point).slice(1).join('.');
  const measurement = durationMs > 0 ? ` MEASUREMENT=${durationMs.toFixed(3)} UNITS=ms` : '';
  const words = type === 'conforms' ? [] : told(id, wordsOf(point, run));
  return [...words, testCase(id, RESULTS[outcome], record === undefined ? '' : measurement)];
};

const wordsOf = ({ id, type, message, outcome, record }: Point, run: RunRecord): string => {
  const isBad = outcome === 'failed' || outcome === 'errored';
  return [
    `${id}: ${type}: ${message}`,
    ...(record?.broken ?? []).map((broken) => brokenText(broken)),
    ...(isBad ? [rerunCommand(id, run.arguments)] : []),
  ].join('\n');
};

const didNotShow = (id: string): string => testCase(idOf(id), 'unknown');

/** Ids of known differences are words with dashes. */
const idOf = (text: string): string => (/^[\w.-]{1,100}$/.test(text) ? text : slug(text));

const endLines = ({ interrupted }: RunRecord): readonly string[] =>
  interrupted === undefined
    ? [testCase(REACHED_END, 'pass')]
    : [...told(REACHED_END, `interrupted: ${interrupted.reason}`), testCase(REACHED_END, 'fail')];
