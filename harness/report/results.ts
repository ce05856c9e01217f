import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { writeWhole } from './files.ts';
import { FIVE_MODES, fiveModesMarkdown, tableOf } from './five-modes.ts';
import { parseJournal, runOfJournal } from './journal.ts';
import { writeJunit } from './junit.ts';
import { keptMeta, keptRecord } from './kept.ts';
import type { RunRecord } from './record.ts';
import { reportMarkdown } from './report-markdown.ts';
import { reportText } from './report-text.ts';
import { tapOf } from './tap.ts';
import { writeCase } from './tree.ts';

/** The file that all others can be made from again. */
export const JOURNAL = 'results.jsonl';

/** A report's folder as a reader would type it. */
export const shownFolder = (folder: string): string => {
  const near = relative(process.cwd(), folder);
  return near === '' || near.startsWith('..') ? folder : near;
};

/**
 * Writes every view of a run into its folder: results.json, report.txt, report.md, run.tap, junit.xml, and the folders of
 * its cases but for those that are `written`. One that cannot be written does not keep the others from being tried. Throws
 * the first HostTrouble then.
 */
export const writeReports = async (
  folder: string,
  run: RunRecord,
  written: ReadonlySet<string> = new Set(),
): Promise<void> => {
  const into = (name: string, view: Iterable<string>) => (): void => writeWhole(join(folder, name), view);
  const troubles: HostTrouble[] = [];
  for (const write of [
    into('results.json', resultsJson(run)),
    into('report.txt', reportText(run, shownFolder(folder))),
    into('report.md', reportMarkdown(run)),
    into('run.tap', [tapOf(run)]),
    ...(tableOf(run) === undefined ? [] : [into(FIVE_MODES, fiveModesMarkdown(run))]),
    () => {
      for (const record of run.cases) if (!written.has(record.id)) writeCase(folder, record, run);
    },
  ]) {
    try {
      write();
    } catch (error) {
      if (!(error instanceof HostTrouble)) throw error;
      troubles.push(error);
    }
  }
  const [first] = troubles;
  if (first !== undefined) throw first;
  await writeJunit(folder, run);
};

/** results.json in pieces, so that a large run never has to be one string. */
function* resultsJson(run: RunRecord): Generator<string> {
  const { cases, notRun, ...rest } = run;
  yield `${JSON.stringify(rest, null, 2).slice(0, -2)},\n  "cases": [`;
  for (const [index, record] of cases.entries()) yield `${index === 0 ? '' : ','}\n    ${JSON.stringify(record)}`;
  yield `\n  ],\n  "notRun": ${JSON.stringify(notRun)}\n}\n`;
}

/**
 * Makes every view in a report's folder again from its results.jsonl, as after a run that was killed. Throws UsageTrouble
 * when there is none or it is not ours, HostTrouble when the folder cannot be written.
 */
export const rebuild = async (folder: string): Promise<RunRecord> => {
  const path = join(folder, JOURNAL);
  const told = runOfJournal(parseJournal(readJournal(path), path));
  const run = { ...told, ...keptMeta(told), cases: told.cases.map(keptRecord) };
  await writeReports(folder, run);
  return run;
};

const readJournal = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageTrouble(`no report can be read from ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
};
