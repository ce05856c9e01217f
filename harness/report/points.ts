import { boundedLine } from './clean.ts';
import { durationText } from './layout.ts';
import type { CaseName, CaseRecord, RunRecord } from './record.ts';

/** The four ways in which TAP and JUnit let a test end. `errored` says nothing of the kernel. */
export type PointOutcome = 'passed' | 'failed' | 'errored' | 'skipped';

/** One test as TAP and JUnit know it. */
export interface Point extends CaseName {
  readonly outcome: PointOutcome;
  /** The verdict, or `known`, `not-run`, `interrupted`. */
  readonly type: CaseRecord['verdict'] | 'known' | 'not-run' | 'interrupted';
  /** One line that says why; empty when the case conforms. */
  readonly message: string;
  readonly durationMs: number;
  readonly record?: CaseRecord;
}

/** Longest one-line message, in UTF-16 units. */
const MESSAGE_LIMIT = 500;

const message = (text: string): string => boundedLine(text, MESSAGE_LIMIT);

const OUTCOMES = {
  conforms: 'passed',
  diverges: 'failed',
  damaged: 'failed',
  unsupported: 'skipped',
  'host-lost': 'errored',
  'harness-error': 'errored',
} as const satisfies Record<CaseRecord['verdict'], PointOutcome>;

/** Whether a case shows nothing but what is known of its kernel: differences, or a splat in its log. */
export const isKnown = (record: CaseRecord): boolean =>
  ['diverges', 'damaged'].includes(record.verdict) && record.known !== undefined;

/** The point of one case that ran. A known difference passes, and says so. */
export const pointOf = (record: CaseRecord): Point => {
  const { id, clause, area, title, verdict, durationMs } = record;
  const shared = { id, clause, area, title, durationMs, record };
  if (isKnown(record)) {
    const { known } = record;
    return {
      ...shared,
      outcome: 'passed',
      type: 'known',
      message: message(`known difference ${known?.id}: ${known?.reason}`),
    };
  }
  const reason = verdict === 'conforms' ? '' : record.reason || 'no reason given';
  return { ...shared, outcome: OUTCOMES[verdict], type: verdict, message: message(reason) };
};

/**
 * All points of a run: the cases in the order they ran, then those that did not run, then, if the run did not reach its
 * end, one that says so (a report of a cut run must not look green).
 */
export const pointsOf = (run: RunRecord): readonly Point[] => [
  ...run.cases.map(pointOf),
  ...run.notRun.map((one): Point => {
    const { reason, ...name } = one;
    return { ...name, outcome: 'skipped', type: 'not-run', message: message(`not run: ${reason}`), durationMs: 0 };
  }),
  ...interruptionPoint(run),
];

const interruptionPoint = (run: RunRecord): readonly Point[] => {
  if (run.interrupted === undefined) return [];
  const ran = `${run.cases.length} of ${run.cases.length + run.notRun.length} cases ran in ${durationText(run.durationMs)}`;
  return [
    {
      id: 'harness/run: reached its end',
      clause: 'harness/run',
      area: 'harness',
      title: 'reached its end',
      outcome: 'errored',
      type: 'interrupted',
      message: message(`interrupted: ${run.interrupted.reason} (${ran})`),
      durationMs: 0,
    },
  ];
};
