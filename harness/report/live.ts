import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { makeFolder, openAppender } from './files.ts';
import { type JournalLine, runOfJournal } from './journal.ts';
import { lockReport } from './lock.ts';
import { pointOf } from './points.ts';
import type { CaseName, CaseRecord, RunMeta, RunRecord } from './record.ts';
import { JOURNAL } from './results.ts';
import type { Unfinished } from './resume.ts';
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
  /** Writes one line that may reach the disk with the next. */
  note(line: JournalLine): void;
  planned(names: readonly CaseName[]): void;
  ended(record: CaseRecord): void;
  /** Ends writing (a case that ends later is not written) and tells the run as its lines tell it. */
  close(): RunRecord;
}

/** Throws UsageTrouble when the folder holds a report already. For a look before anything is started. */
export const checkIsFree = (folder: string): void => {
  if (!existsSync(join(folder, JOURNAL))) return;
  throw new UsageTrouble(
    `${folder} holds the report of an earlier run: remove it, name another folder with --report, or go on with it (--resume)`,
  );
};

/**
 * Begins the report of a run in its folder, or goes on with one (`unfinished`), `asked` being the options that it was
 * given. Throws UsageTrouble when the folder holds a report already or another process writes it, HostTrouble when it
 * cannot be written.
 */
export const openLive = (
  folder: string,
  meta: RunMeta,
  asked: readonly string[],
  unfinished?: Unfinished,
): LiveReport => {
  if (unfinished === undefined) checkIsFree(folder);
  makeFolder(folder);
  const unlock = lockReport(folder);
  const journal = openAppender(join(folder, JOURNAL), unfinished?.bytes);
  const tap = openAppender(join(folder, 'run.tap'));
  const lines: JournalLine[] = [...(unfinished?.lines ?? [])];
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
  const append = (added: readonly JournalLine[], sync: boolean): void => {
    lines.push(...added);
    attempt(() => {
      journal.append(added.map((line) => `${JSON.stringify(line)}\n`).join(''));
      if (sync) journal.sync();
    });
  };
  const write = (line: JournalLine): void => append([line], true);
  const addPoint = (record: CaseRecord): void => attempt(() => tap.append(tapPoint(pointOf(record), ++points)));

  append(unfinished === undefined ? [{ run: meta }, { asked: [...asked] }] : [{ resumed: meta.startedAt }], true);
  if (trouble !== undefined) throw trouble;
  return {
    get trouble() {
      return trouble;
    },
    written,
    write,
    note: (line) => append([line], false),
    planned: (names) => {
      if (unfinished?.planned === undefined) write({ planned: [...names] });
      attempt(() => tap.append(tapHead(names.length, meta)));
    },
    ended: (record) => {
      // It stands in the journal, and was given back as it is.
      const isSettled = unfinished?.settled.has(record.id) === true;
      if (!isSettled) write({ case: record });
      addPoint(record);
      if (isSettled || record.verdict === 'conforms') return;
      attempt(() => {
        writeCase(folder, record, meta);
        written.add(record.id);
      });
    },
    close: () => {
      closed = true;
      journal.close();
      tap.close();
      unlock();
      return runOfJournal(lines);
    },
  };
};
