/** Several runs side by side: a column for each kernel, a row for each clause. */
import { join } from 'node:path';
import { EXIT } from '../trouble.ts';
import { writeWhole } from './files.ts';
import { FIVE_MODES, fiveModesMarkdown, tableOf } from './five-modes.ts';
import { code, inline } from './markdown.ts';
import type { CaseRecord, RunRecord } from './record.ts';
import { type Ended, endedAs, tallyOf } from './tally.ts';

/** One column. */
export interface Column {
  /** As it was asked for: `6.12`. */
  readonly name: string;
  readonly run: RunRecord;
}

/** How the cases of one clause ended on one kernel, the worst first; `-` where the clause is not in force. */
type Cell = string;

interface Row {
  readonly clause: string;
  readonly cells: readonly Cell[];
  /** Its cases are cells of the table of five modes. */
  readonly table?: boolean;
}

/** How cases can end, the worst first, and the word for it in tables. */
export const WORST_FIRST: readonly (readonly [Ended, string])[] = [
  ['damaged', 'DAMAGED'],
  ['diverges', 'DIFFERS'],
  ['harness-error', 'error'],
  ['host-lost', 'lost'],
  ['known', 'known'],
  ['unsupported', 'skipped'],
  ['conforms', 'ok'],
];

const cellOf = (records: readonly CaseRecord[]): Cell => {
  for (const [ended, word] of WORST_FIRST) {
    const count = records.filter((record) => endedAs(record) === ended).length;
    if (count > 0) return count === records.length ? `${word} ${count}` : `${word} ${count}/${records.length}`;
  }
  return '-';
};

const rowsOf = (columns: readonly Column[]): readonly Row[] => {
  const byClause = columns.map(({ run }) => {
    const clauses = new Map<string, CaseRecord[]>();
    for (const record of run.cases) clauses.set(record.clause, [...(clauses.get(record.clause) ?? []), record]);
    return clauses;
  });
  const clauses = [...new Set(byClause.flatMap((one) => [...one.keys()]))];
  return clauses.map((clause) => ({
    clause,
    cells: byClause.map((one) => cellOf(one.get(clause) ?? [])),
    table: byClause.some((one) => one.get(clause)?.some(({ answer }) => answer !== undefined)),
  }));
};

/** Whether there is anything to say of a clause: kernels differ, or one of them does not simply conform. What modes a kernel does not have is told by its table. */
const isWorthTelling = ({ cells, table }: Row): boolean =>
  table
    ? cells.some((cell) => !/^(ok|skipped|-)/.test(cell))
    : cells.some((cell) => !cell.startsWith('ok ')) || new Set(cells).size > 1;

const totals = (columns: readonly Column[]): readonly Row[] => {
  const tallies = columns.map(({ run }) => tallyOf(run));
  return (['conforms', 'known', 'diverges', 'damaged', 'unsupported'] as const).map((ended) => ({
    clause: ended,
    cells: tallies.map((tally) => `${tally[ended]}`),
  }));
};

/** The matrix for a terminal: totals, then the clauses that are worth telling. */
export const matrixText = (columns: readonly Column[]): string => {
  const told = rowsOf(columns).filter(isWorthTelling);
  const head: Row = { clause: '', cells: columns.map(({ name }) => name) };
  const kernels: Row = { clause: 'kernel', cells: columns.map(({ run }) => run.kernel) };
  const revisions: Row = { clause: 'model', cells: columns.map(({ run }) => run.revision) };
  const rows = [head, kernels, revisions, ...totals(columns), ...told];
  const width = Math.max(...rows.map(({ clause }) => clause.length));
  const widths = columns.map((_, index) => Math.max(...rows.map(({ cells }) => cells[index]?.length ?? 0)));
  const line = ({ clause, cells }: Row): string =>
    [clause.padEnd(width), ...cells.map((cell, index) => cell.padEnd(widths[index] ?? 0))].join('  ').trimEnd();
  const before = rows.length - told.length;
  return [...rows.slice(0, before).map(line), '', ...rows.slice(before).map(line), ''].join('\n');
};

/** The same as a table of Markdown, with the reasons of what is known. */
export const matrixMarkdown = (columns: readonly Column[]): string => {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rows = [...totals(columns), ...rowsOf(columns).filter(isWorthTelling)];
  return [
    line(['', ...columns.map(({ name }) => inline(name))]),
    line(['---', ...columns.map(() => '---')]),
    line(['kernel', ...columns.map(({ run }) => code(run.kernel))]),
    line(['model', ...columns.map(({ run }) => code(run.revision))]),
    ...rows.map(({ clause, cells }) => line([code(clause), ...cells.map(inline)])),
    '',
  ].join('\n');
};

/** The tables of five modes, one kernel after another. */
function* fiveModesOfAll(columns: readonly Column[]): Generator<string> {
  for (const { run } of columns) {
    yield* fiveModesMarkdown(run);
    yield '\n';
  }
}

/** Writes matrix.txt and matrix.md into a folder, and five-modes.md where runs had such cases. Throws HostTrouble. */
export const writeMatrix = (folder: string, columns: readonly Column[]): void => {
  writeWhole(join(folder, 'matrix.txt'), [matrixText(columns)]);
  writeWhole(join(folder, 'matrix.md'), [matrixMarkdown(columns)]);
  const tables = columns.filter(({ run }) => tableOf(run) !== undefined);
  if (tables.length > 0) writeWhole(join(folder, FIVE_MODES), fiveModesOfAll(tables));
};

/** The exit code of several runs: what was found against any kernel wins, then what kept a run from its end or its beginning. */
export const exitCodeOfAll = (codes: readonly number[]): number => {
  for (const one of [EXIT.diverges, EXIT.interrupted, EXIT.timeLimit, EXIT.hostTrouble, EXIT.usage]) {
    if (codes.includes(one)) return one;
  }
  return codes.every((one) => one === EXIT.nothingRan) ? EXIT.nothingRan : EXIT.conforms;
};
