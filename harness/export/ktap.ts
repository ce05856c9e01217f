import { boundedLine } from '../report/clean.ts';
import { explain } from '../report/explain.ts';
import { type Point, pointsOf } from '../report/points.ts';
import type { RunRecord } from '../report/record.ts';

/**
 * KTAP, version 1 (Documentation/dev-tools/ktap.rst of the kernel): flat, because the readers of kselftest's output take
 * one level; with the directives and the line of totals of kselftest.h. A known difference is an expected failure.
 */

/** How a point counts, by the words of kselftest.h. */
const COUNTS = ['pass', 'fail', 'xfail', 'xpass', 'skip', 'error'] as const;
type Counts = (typeof COUNTS)[number];

interface Line {
  readonly counts: Counts;
  readonly name: string;
  /** What stands behind the `#`: a directive, and why; empty for none. */
  readonly told: string;
  /** Told in lines of its own before the result. */
  readonly diagnostics: readonly string[];
}

/** Longest text of a case that is told in diagnostic lines, and longest line; in UTF-16 units. */
const TEXT_LIMIT = 4096;
const LINE_LIMIT = 1000;

/** The run as KTAP. */
export const ktapOf = (run: RunRecord): string => {
  const lines = [...pointsOf(run).map((point) => lineOf(point, run)), ...run.disappeared.map(unexpectedPass)];
  const number = (counts: Counts): number => lines.filter((line) => line.counts === counts).length;
  return [
    'KTAP version 1',
    lines.length === 0 ? '1..0 # SKIP no case was selected' : `1..${lines.length}`,
    diagnostic(`vfio-conform ${run.version}: ${run.revision} held against Linux ${run.kernel} on ${run.host.name}`),
    ...lines.flatMap((line, index) => [...line.diagnostics.map(diagnostic), result(line, index + 1)]),
    `# Totals: ${COUNTS.map((counts) => `${counts}:${number(counts)}`).join(' ')}`,
    '',
  ].join('\n');
};

const lineOf = (point: Point, run: RunRecord): Line => {
  const { outcome, type, message, record, id } = point;
  const named = { name: id, diagnostics: record === undefined ? [] : diagnosticsOf(point, run) };
  if (type === 'known') return { ...named, counts: 'xfail', told: `XFAIL ${message}` };
  switch (outcome) {
    case 'passed':
      return { ...named, counts: 'pass', told: '' };
    case 'skipped':
      return { ...named, counts: 'skip', told: `SKIP ${message}` };
    case 'failed':
      return { ...named, counts: 'fail', told: `${type}: ${message}` };
    case 'errored': {
      const directive = type === 'interrupted' && run.interrupted?.why === 'time-limit' ? 'TIMEOUT' : 'ERROR';
      return { ...named, counts: 'error', told: `${directive} ${message}` };
    }
  }
};

const diagnosticsOf = ({ outcome, record }: Point, run: RunRecord): readonly string[] => {
  if (record === undefined || (outcome !== 'failed' && outcome !== 'errored')) return [];
  return explain(record, run.arguments, { limit: TEXT_LIMIT, fold: false }).split('\n');
};

const unexpectedPass = (id: string): Line => ({
  counts: 'xpass',
  name: `known difference ${id}`,
  told: 'XPASS it was expected in this run and did not show',
  diagnostics: [],
});

/**
 * The bar keeps what a host said from being taken for a result: kselftest's runner puts `# ` before all that a test prints,
 * and readers look for results behind any number of those.
 */
const diagnostic = (line: string): string => `# | ${boundedLine(line, LINE_LIMIT)}`.trimEnd();

const result = ({ counts, name, told }: Line, number: number): string => {
  const ok = counts === 'fail' || counts === 'error' ? 'not ok' : 'ok';
  return `${ok} ${number} ${escaped(name)}${told === '' ? '' : ` # ${escaped(told)}`}`;
};

/** In a result line a hash begins the directive; KTAP has no way to write one, so it is shown as `\x23`. */
const escaped = (text: string): string => text.replaceAll('#', '\\x23').replace(/\s+/g, ' ').trim();
