import { bounded } from './clean.ts';
import { type Point, pointsOf } from './points.ts';
import type { RunMeta, RunRecord } from './record.ts';

/**
 * TAP that every reader takes the same way: the plan first (a cut file is seen), a number of our own on every point, names
 * in one line, and nothing in the YAML blocks but JSON strings and numbers.
 */

/** Longest text in a YAML block, in UTF-16 units. */
const TEXT_LIMIT = 16_384;

/** What stands before the first point. */
export const tapHead = (planned: number, meta: RunMeta): string =>
  [
    'TAP version 14',
    planned === 0 ? '1..0 # no case was selected' : `1..${planned}`,
    `# vfio-conform ${escapeTap(meta.version)}: ${escapeTap(meta.revision)} held against Linux ${escapeTap(meta.kernel)}`,
    '',
  ].join('\n');

/** One point, numbered from 1. */
export const tapPoint = (point: Point, number: number): string => {
  const ok = point.outcome === 'passed' || point.outcome === 'skipped' ? 'ok' : 'not ok';
  const line = `${ok} ${number} - ${tapName(point.id)}`;
  if (point.outcome === 'skipped') return `${line} # SKIP ${escapeTap(point.message)}\n`;
  return `${line}\n  ---\n${details(point)
    .map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`)
    .join('')}  ...\n`;
};

/** What stands behind the last point of a run that did not reach its end. */
const tapBailOut = (reason: string): string => `Bail out! ${escapeTap(reason)}\n`;

/** The whole file. */
export const tapOf = (run: RunRecord): string => {
  const points = pointsOf(run);
  return [
    tapHead(points.length, run),
    ...points.map((point, index) => tapPoint(point, index + 1)),
    run.interrupted === undefined ? '' : tapBailOut(run.interrupted.reason),
  ].join('');
};

const escapeTap = (text: string): string =>
  noEntity(text).replace(/\s+/g, ' ').replaceAll('\\', '\\\\').replaceAll('#', '\\#').trim();

/**
 * tap-junit decodes what looks like an XML entity, and dies of `&#99999999999;`: a blank goes in between. What is shown in
 * junit.xml comes from the results, not from its XML.
 */
const noEntity = (text: string): string => text.replace(/&(?=#|\w+;)/g, '& ');

/** A brace at the end of a name would begin a nested test. */
const tapName = (id: string): string => escapeTap(id).replace(/\{$/, '{.');

const details = ({ message, type, durationMs, record }: Point): readonly (readonly [string, string | number])[] => {
  const [broken] = record?.broken ?? [];
  const text = (value: string): string => bounded(value, TEXT_LIMIT);
  const duration = ['duration_ms', Math.round(durationMs * 1000) / 1000] as const;
  if (type === 'conforms') return [duration];
  return [
    ['message', noEntity(message)],
    ['severity', type],
    duration,
    ...(broken === undefined
      ? []
      : ([
          ['clause', `${broken.clause}: ${text(broken.says)}`],
          ['source', text(broken.source)],
          ['expected', text(broken.expected)],
          ['observed', text(broken.observed)],
        ] as const)),
    ...(record === undefined || record.program === '' ? [] : ([['program', text(record.program)]] as const)),
  ];
};
