import { explain } from './explain.ts';
import { WIDTH } from './layout.ts';
import type { RunRecord } from './record.ts';
import { summaryText } from './summary.ts';
import { caseFolder } from './tree.ts';

const RULE = '='.repeat(WIDTH);

/** report.txt: the summary with nothing left out, then every case that did not simply conform. In pieces, in order. */
export function* reportText(run: RunRecord, folder: string): Generator<string> {
  yield summaryText(run, { folder, most: Number.POSITIVE_INFINITY });
  const told = run.cases.filter(({ verdict }) => verdict !== 'conforms' && verdict !== 'unsupported');
  if (told.length > 0) yield '\nLong lines below are folded where a \\ ends them; they stand whole in cases/.\n';
  for (const record of told) {
    yield `\n${RULE}\n${record.id}\n${caseFolder(record)}\n\n${explain(record, run.arguments)}\n`;
  }
}
