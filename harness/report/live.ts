import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { makeFolder, openAppender } from './files.ts';
import { type JournalLine, runOfJournal } from './journal.ts';
import { pointOf } from './points.ts';
import type { CaseName, CaseRecord, RunMeta, RunRecord } from './record.ts';
import { JOURNAL } from './results.ts';
import { tapHead, tapPoint } from './tap.ts';
import { writeCase } from './tree.ts';

/**
 * What is written while a run goes on: results.jsonl, run.tap, and the folders of cases that people want to look at while
 * it does (making five files takes longer than most cases). No method throws: the first trouble is kept in `trouble`, and
 * nothing more is written after it (lines are remembered all the same).
 */
export interface LiveReport {
  readonly trouble: HostTrouble | undefined;
  /** Ids of the cases whose folders are written. */
  readonly written: ReadonlySet<string>;
  /** Writes one line and returns when it is on disk. */
  write(line: JournalLine): void;
  planned(names: readonly CaseName[]): void;
  ended(record: CaseRecord): void;
  /** Ends writing (a case that ends later is not written) and tells the run as its lines tell it. */
  close(): RunRecord;
}

/** Throws UsageTrouble when the folder holds a report already. For a look before anything is started. */
export const checkIsFree = (folder: string): void => {
  if (!existsSync(join(folder, JOURNAL))) return;
  throw new UsageTrouble(
    `${folder} holds the report of an earlier run: remove it, or name another folder with --report`,
  );
};

/** Throws UsageTrouble when the folder holds a report already, HostTrouble when it cannot be written. */
export const openLive = (folder: string, meta: RunMeta): LiveReport => {
  checkIsFree(folder);
  makeFolder(folder);
  const journal = openAppender(join(folder, JOURNAL));
  const tap = openAppender(join(folder, 'run.tap'));
  const lines: JournalLine[] = [];
  const written = new Set<string>();
  let points = 0;
  let trouble: HostTrouble | undefined;
  let closed = false;

  const attempt = (act: () => void): void => {
    if (trouble !== undefined || closed) return;
    try {
      act();
    } catch (error) {
      if (!(error instanceof HostTrouble)) throw error;
      trouble = error;
    }
  };
  const write = (line: JournalLine): void => {
    lines.push(line);
    attempt(() => {
      journal.append(`${JSON.stringify(line)}\n`);
      journal.sync();
    });
  };

  write({ run: meta });
  if (trouble !== undefined) throw trouble;
  return {
    get trouble() {
      return trouble;
    },
    written,
    write,
    planned: (names) => {
      write({ planned: [...names] });
      attempt(() => tap.append(tapHead(names.length, meta)));
    },
    ended: (record) => {
      write({ case: record });
      attempt(() => tap.append(tapPoint(pointOf(record), ++points)));
      if (record.verdict === 'conforms') return;
      attempt(() => {
        writeCase(folder, record, meta);
        written.add(record.id);
      });
    },
    close: () => {
      closed = true;
      journal.close();
      tap.close();
      return runOfJournal(lines);
    },
  };
};
