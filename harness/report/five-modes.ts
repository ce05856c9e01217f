import { code, inline } from './markdown.ts';
import type { Answer, CaseRecord, RunRecord } from './record.ts';

/* The table of five modes: what each answered to the same question on one kernel. */

/** The file in a report's folder. */
export const FIVE_MODES = 'five-modes.md';

type Asked = CaseRecord & { readonly answer: Answer };

const askedIn = ({ cases }: Pick<RunRecord, 'cases'>): readonly Asked[] =>
  cases.flatMap((record) => (record.answer === undefined ? [] : [{ ...record, answer: record.answer }]));

/** One cell: what was observed, and whether that is what must be. */
interface Cell {
  readonly text: string;
  readonly mark: 'as expected' | 'differs' | 'damaged' | 'known' | 'not asked';
}

const cellOf = ({ verdict, known, answer, reason }: Asked): Cell => {
  if (answer.observed === undefined) return { text: reason ?? 'not asked', mark: 'not asked' };
  if (verdict === 'conforms') return { text: answer.observed, mark: 'as expected' };
  if (known !== undefined) return { text: answer.observed, mark: 'known' };
  return { text: answer.observed, mark: verdict === 'damaged' ? 'damaged' : 'differs' };
};

/** A row by its question, cells by their column. */
interface Row {
  readonly asks: string;
  readonly clause: string;
  readonly cells: ReadonlyMap<number, Cell & { readonly record: Asked }>;
}

/** The table of one run; columns from left to right. */
export interface Table {
  readonly modes: readonly (readonly [column: number, mode: string])[];
  readonly rows: readonly Row[];
}

/** The table of a run, or `undefined` if none of its cases was a cell. */
export const tableOf = (run: Pick<RunRecord, 'cases'>): Table | undefined => {
  const asked = askedIn(run);
  if (asked.length === 0) return undefined;
  const modes = new Map<number, string>();
  const rows = new Map<string, Map<number, Cell & { readonly record: Asked }>>();
  for (const record of asked) {
    modes.set(record.answer.column, record.answer.mode);
    const cells = rows.get(record.clause) ?? new Map();
    cells.set(record.answer.column, { ...cellOf(record), record });
    rows.set(record.clause, cells);
  }
  return {
    modes: [...modes].sort(([a], [b]) => a - b),
    rows: [...rows].map(([clause, cells]) => ({
      clause,
      asks: [...cells.values()][0]?.record.answer.asks ?? clause,
      cells,
    })),
  };
};

/** How many rows answer otherwise in one mode than in another. */
const differing = ({ rows }: Table): number =>
  rows.filter(({ cells }) => {
    const told = [...cells.values()].filter(({ mark }) => mark !== 'not asked').map(({ text }) => text);
    return new Set(told).size > 1;
  }).length;

const count = (table: Table, mark: Cell['mark']): number =>
  table.rows.reduce((sum, { cells }) => sum + [...cells.values()].filter((cell) => cell.mark === mark).length, 0);

/** The table in a line or two, for a summary. */
export const fiveModesLine = (run: Pick<RunRecord, 'cases'>): string | undefined => {
  const table = tableOf(run);
  if (table === undefined) return undefined;
  const odd = count(table, 'differs') + count(table, 'damaged') + count(table, 'known');
  const parts = [
    `${table.rows.length} questions, ${differing(table)} of them answered otherwise in one mode than in another`,
    `${count(table, 'as expected') + odd} cells observed, ${odd} not as expected (${count(table, 'known')} known)`,
    ...(count(table, 'not asked') === 0 ? [] : [`${count(table, 'not asked')} not asked here`]),
  ];
  return `Five modes: ${parts.join('; ')}: ${FIVE_MODES}`;
};

const MARKS: Readonly<Record<Cell['mark'], string>> = {
  'as expected': '',
  differs: ' **differs**',
  damaged: ' **damaged**',
  known: ' *(known)*',
  'not asked': '',
};

const shown = (cell: Cell | undefined): string => {
  if (cell === undefined) return '-';
  return cell.mark === 'not asked' ? '?' : `${code(cell.text).replaceAll('|', '\\|')}${MARKS[cell.mark]}`;
};

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;

/** five-modes.md: what was observed, row by row, and beneath what was expected where that is not what was seen, or was not asked. In pieces, in order. */
export function* fiveModesMarkdown(run: RunRecord): Generator<string> {
  const table = tableOf(run);
  yield `# Five modes on Linux ${inline(run.kernel)}\n\n`;
  if (table === undefined) {
    yield 'No case of the table was in this run.\n';
    return;
  }
  yield `What the kernel answered to the same question; held against ${inline(run.revision)}, on ${inline(run.host.name)} `;
  yield `(IOMMU: ${inline(run.host.iommu)}), ${inline(run.startedAt)}. A cell is as the table of the model has it, unless it is marked. `;
  yield '`-`: the question makes no sense in that mode; `?`: not asked here.\n\n';
  yield line(['', ...table.modes.map(([, mode]) => inline(mode))]);
  yield line(['---', ...table.modes.map(() => '---')]);
  for (const { asks, cells } of table.rows)
    yield line([inline(asks), ...table.modes.map(([column]) => shown(cells.get(column)))]);
  yield* notes(table);
}

function* notes({ rows }: Table): Generator<string> {
  const cells = rows.flatMap(({ asks, cells }) => [...cells.values()].map((cell) => ({ asks, ...cell })));
  const odd = cells.filter(({ mark }) => ['differs', 'damaged', 'known'].includes(mark));
  if (odd.length > 0) yield '\n## Not as expected\n\n';
  for (const { asks, text, record } of odd) {
    const { answer, known, reason } = record;
    yield `- ${inline(asks)}, ${inline(answer.mode)}: expected ${code(answer.expected)} (${inline(answer.source)}), observed ${code(text)}. `;
    yield `${inline(known?.reason ?? reason ?? '')}\n`;
  }
  const reasons = new Map<string, number>();
  for (const { mark, text } of cells) if (mark === 'not asked') reasons.set(text, (reasons.get(text) ?? 0) + 1);
  if (reasons.size > 0) yield '\n## Not asked\n\n';
  for (const [reason, times] of reasons) yield `- ${times} cells: ${inline(reason)}\n`;
}
