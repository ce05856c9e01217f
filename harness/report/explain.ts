import { bounded } from './clean.ts';
import { field, rerunCommand, verbatim, wrap } from './layout.ts';
import type { BrokenClause, CaseRecord } from './record.ts';

/** How much of a case is told, in UTF-16 units for each text. */
export interface ExplainOptions {
  readonly limit: number;
  /** Folds long verbatim lines to the page; without it they stay whole, so that they can be copied. */
  readonly fold: boolean;
}

/** One broken clause: what it says, where that stands, what was expected and what was observed. */
export const brokenText = (broken: BrokenClause, indent = '  '): string =>
  [
    field('clause', `${broken.clause}: ${broken.says}`, indent),
    field('source', broken.source, indent),
    verbatimField('call', broken.call, indent),
    verbatimField('expected', broken.expected, indent),
    verbatimField('observed', broken.observed, indent),
  ].join('\n');

/** Calls and answers hold long runs of bytes without a blank, which prose wrapping would let run off the page. */
const verbatimField = (label: string, value: string, indent: string): string => {
  const left = `${indent}${label.padEnd(10)}`;
  const blank = ' '.repeat(left.length);
  return left + verbatim(value, blank).slice(left.length);
};

/**
 * A case that did not simply conform, in full: why, the clauses, the program, what was observed, the kernel log, and the
 * command that runs just this case.
 */
export const explain = (
  record: CaseRecord,
  runArguments: readonly string[],
  options: ExplainOptions = { limit: 16_384, fold: true },
): string => {
  const width = options.fold ? undefined : Number.POSITIVE_INFINITY;
  const block = (heading: string, text: string): readonly string[] =>
    text === '' ? [] : ['', `${heading}:`, verbatim(bounded(text, options.limit), '  ', width)];
  return [
    wrap(`${record.verdict}: ${record.reason ?? ''}`),
    ...(record.known === undefined ? [] : ['', wrap(`Known difference ${record.known.id}: ${record.known.reason}`)]),
    ...record.broken.flatMap((broken) => ['', brokenText(broken)]),
    '',
    'run just this case:',
    `  ${rerunCommand(record.id, runArguments)}`,
    ...block('program', record.program),
    ...block('observed', record.observed),
    ...block('kernel log', (record.kernelLog ?? []).join('\n')),
  ].join('\n');
};

/** A known difference, for reports in which the case passes. */
export const knownText = (record: CaseRecord): string =>
  [
    `Known difference ${record.known?.id}: ${record.known?.reason}`,
    'The kernel differs from the model here, as it is known to; the case counts as passed.',
    ...record.broken.flatMap((broken) => ['', brokenText(broken)]),
  ].join('\n');
