import { wrap } from '../report/layout.ts';
import { inline } from '../report/markdown.ts';
import type { Coverage } from './coverage.ts';
import { type Part, type Table, tablesOf } from './tables.ts';

/** Tables in columns, for a terminal and for grep: a row is a line. In pieces, in order. */
export function* coverageText(coverage: Coverage, parts: readonly Part[]): Generator<string> {
  for (const { title, notes, head, rows } of tablesOf(coverage, parts)) {
    yield `${title}\n${'-'.repeat(title.length)}\n`;
    for (const note of notes) yield `${wrap(note)}\n`;
    const widths = head.map((_, at) => Math.max(...[head, ...rows].map((cells) => cells[at]?.length ?? 0)));
    for (const cells of [head, ...rows]) {
      yield `${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd().concat('\n');
    }
    yield '\n';
  }
}

/** The same tables as Markdown. */
export function* coverageMarkdown(coverage: Coverage, parts: readonly Part[]): Generator<string> {
  yield '# Coverage\n';
  for (const table of tablesOf(coverage, parts)) yield markdownTable(table);
}

const markdownTable = ({ title, notes, head, rows }: Table): string => {
  const line = (cells: readonly string[]): string => `| ${cells.map(inline).join(' | ')} |\n`;
  const told = notes.map((note) => `\n${inline(note)}\n`).join('');
  return `\n## ${title}\n${told}\n${line(head)}${line(head.map(() => '---')).replaceAll('\\', '')}${rows.map(line).join('')}`;
};
