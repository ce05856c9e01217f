import { EXIT } from '../trouble.ts';
import { brokenText } from './explain.ts';
import { fiveModesLine } from './five-modes.ts';
import { groupBy } from './group.ts';
import { count, durationText, rerunCommand, wrap } from './layout.ts';
import type { CaseRecord, RunRecord } from './record.ts';
import { type Ended, endedAs, exitCodeOf, exitMeaning, judged, type Tally, tallyOf } from './tally.ts';

/** How much a summary tells, and where the rest is. */
export interface SummaryOptions {
  /** The report's folder as a reader would type it. */
  readonly folder: string;
  /** Cases told of under each heading; the others are only counted. */
  readonly most: number;
  /** What kept the report from being written whole. */
  readonly trouble?: string | undefined;
}

/**
 * What came out of a run: what ran, what did not and why, what differs (new apart from known), totals, where the report
 * is. At most 78 columns, but for command lines and single words that are longer.
 */
export const summaryText = (run: RunRecord, options: SummaryOptions): string => {
  const tally = tallyOf(run);
  const byEnd = groupBy(run.cases, endedAs);
  const told = (heading: string, ended: Ended): readonly string[] =>
    casesText(run, heading, byEnd.get(ended) ?? [], options.most);
  const exitCode = options.trouble === undefined ? exitCodeOf(run) : EXIT.hostTrouble;
  return [
    ...head(run, tally),
    ...knownDifferences(byEnd.get('known') ?? [], options.most),
    ...disappeared(run),
    ...left(run, byEnd.get('unsupported') ?? [], options.most),
    ...told('Harness errors', 'harness-error'),
    ...told('Host lost', 'host-lost'),
    ...told('Damaged', 'damaged'),
    ...told('New differences', 'diverges'),
    ...(run.interrupted === undefined
      ? []
      : ['', wrap(`INTERRUPTED, the report is partial: ${run.interrupted.reason}`)]),
    ...fiveModes(run),
    '',
    totals(tally),
    `Report: ${options.folder}/report.txt`,
    ...(options.trouble === undefined ? [] : [wrap(`The report is not whole: ${options.trouble}`)]),
    `Exit code ${exitCode}: ${exitMeaning(exitCode)}`,
    '',
  ].join('\n');
};

const fiveModes = (run: RunRecord): readonly string[] => {
  const told = fiveModesLine(run);
  return told === undefined ? [] : ['', wrap(told)];
};

const head = (run: RunRecord, tally: Tally): readonly string[] => {
  const row = (label: string, number: number, parts: readonly (readonly [number, string])[]): string => {
    const told = parts.filter(([each]) => each > 0).map(([each, word]) => `${each} ${word}`);
    return `  ${label.padEnd(8)} ${String(number).padStart(5)}  ${told.join(', ')}`.trimEnd();
  };
  const trouble = tally['host-lost'] + tally['harness-error'];
  const notRun = tally.unsupported + tally.notRun;
  return [
    wrap(`vfio-conform ${run.version}: ${run.revision} held against Linux ${run.kernel}`),
    wrap(`on ${run.host.name} (${run.host.description}; IOMMU: ${run.host.iommu}), in ${durationText(run.durationMs)}`),
    '',
    row('judged', judged(tally), [
      [tally.conforms, 'conform'],
      [tally.known, 'known to differ'],
      [tally.diverges, 'differ'],
      [tally.damaged, 'damaged'],
    ]),
    ...(trouble === 0
      ? []
      : [
          row('trouble', trouble, [
            [tally['host-lost'], 'host lost'],
            [tally['harness-error'], 'harness error'],
          ]),
        ]),
    ...(notRun === 0
      ? []
      : [
          row('not run', notRun, [
            [tally.unsupported, 'unsupported here'],
            [tally.notRun, 'left out'],
          ]),
        ]),
  ];
};

/** One known difference after another, each with the cases that show it and what the first of them saw. */
const knownDifferences = (records: readonly CaseRecord[], most: number): readonly string[] => {
  if (records.length === 0) return [];
  const byEntry = groupBy(records, ({ known }) => known?.id ?? '');
  return [
    '',
    `Known differences (${records.length})`,
    ...[...byEntry].flatMap(([id, shown]) => {
      const [first] = shown;
      return [
        '',
        wrap(`${id}: ${first?.known?.reason ?? ''}`, '  '),
        ...(first?.broken[0] === undefined ? [] : [brokenText(first.broken[0], '    ')]),
        ...listed(
          shown.map((record) => record.id),
          most,
          '    ',
        ),
      ];
    }),
  ];
};

const disappeared = (run: RunRecord): readonly string[] => {
  if (run.disappeared.length === 0) return [];
  return [
    '',
    'Known differences that did not show (fixed, or their entry no longer fits)',
    ...run.disappeared.map((id) => `  ${id}`),
  ];
};

/** Cases that did not run, by reason. */
const left = (run: RunRecord, unsupported: readonly CaseRecord[], most: number): readonly string[] => {
  const reasons = groupBy(
    [...unsupported.map(({ id, reason }) => ({ id, reason: reason ?? 'unsupported' })), ...run.notRun],
    ({ reason }) => reason,
  );
  if (reasons.size === 0) return [];
  return [
    '',
    'Not run',
    ...[...reasons].flatMap(([reason, cases]) => [
      wrap(`${reason} (${count(cases.length, 'case')})`, '  '),
      ...listed(
        cases.map(({ id }) => id),
        most,
        '    ',
      ),
    ]),
  ];
};

const listed = (ids: readonly string[], most: number, indent: string): readonly string[] => [
  ...ids.slice(0, most).map((id) => `${indent}${id}`),
  ...(ids.length > most ? [`${indent}... and ${ids.length - most} more`] : []),
];

const casesText = (
  run: RunRecord,
  heading: string,
  records: readonly CaseRecord[],
  most: number,
): readonly string[] => {
  if (records.length === 0) return [];
  return [
    '',
    `${heading} (${records.length})`,
    ...records.slice(0, most).flatMap((record) => ['', ...caseText(run, record)]),
    ...(records.length > most ? ['', `  ... and ${records.length - most} more in the report`] : []),
  ];
};

/** The first broken clause of a case, or its reason where no clause is broken. */
const caseText = (run: RunRecord, record: CaseRecord): readonly string[] => {
  const [broken] = record.broken;
  return [
    `  ${record.id}`,
    ...(broken === undefined || record.verdict !== 'diverges' || record.repeats?.unstable === true
      ? [wrap(record.reason ?? '', '    ')]
      : []),
    ...(broken === undefined ? [] : [brokenText(broken, '    ')]),
    `    run it    ${rerunCommand(record.id, run.arguments)}`,
  ];
};

/** The same totals in kselftest's words. */
const totals = (tally: Tally): string =>
  [
    '# Totals:',
    `pass:${tally.conforms}`,
    `fail:${tally.diverges + tally.damaged}`,
    `xfail:${tally.known}`,
    `xpass:${tally.disappeared}`,
    `skip:${tally.unsupported + tally.notRun}`,
    `error:${tally['host-lost'] + tally['harness-error']}`,
  ].join(' ');
