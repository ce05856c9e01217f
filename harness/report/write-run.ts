import { join, resolve } from 'node:path';
import { makeFolder, writeWhole } from './files.ts';
import type { JournalLine } from './journal.ts';
import { keptMeta } from './kept.ts';
import { checkIsFree } from './live.ts';
import type { CaseName, CaseRecord, RunRecord } from './record.ts';
import { JOURNAL, writeReports } from './results.ts';

/**
 * Writes the report of a run that is known as a whole, such as one that was put together, into a new folder: the same files
 * as of a run that was watched, but for the folders of cases that are `kept` elsewhere. Throws UsageTrouble when the folder holds a
 * report, HostTrouble when it cannot be written.
 */
export const writeRun = async (
  dir: string,
  run: RunRecord,
  kept: (record: CaseRecord) => boolean = () => false,
): Promise<void> => {
  const folder = resolve(dir);
  checkIsFree(folder);
  makeFolder(folder);
  writeWhole(join(folder, JOURNAL), journalOf(run));
  await writeReports(folder, run, new Set(run.cases.filter(kept).map(({ id }) => id)));
};

function* journalOf(run: RunRecord): Generator<string> {
  for (const line of linesOf(run)) yield `${JSON.stringify(line)}\n`;
}

function* linesOf(run: RunRecord): Generator<JournalLine> {
  const { durationMs, interrupted, disappeared, cases, notRun } = run;
  yield { run: keptMeta(run) };
  yield { planned: [...cases, ...notRun].map(nameOf) };
  for (const record of cases) {
    yield { began: record.id };
    yield { case: record };
  }
  for (const { id, reason } of notRun) yield { notRun: { id, reason } };
  yield { end: { durationMs, ...(interrupted === undefined ? {} : { interrupted }), disappeared } };
}

const nameOf = ({ id, clause, area, title }: CaseName): CaseName => ({ id, clause, area, title });
