import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageTrouble } from '../trouble.ts';
import { type JournalLine, metaOf, parseJournal, plannedOf, recordsOf, wholeBytes } from './journal.ts';
import { keptRecord } from './kept.ts';
import { checkIsIdle } from './lock.ts';
import type { CaseName, CaseRecord, RunMeta } from './record.ts';
import { JOURNAL } from './results.ts';

/** A run as its journal leaves it, and what of it stands when it goes on. */
export interface Unfinished {
  readonly lines: readonly JournalLine[];
  /** Where the journal's whole lines end. */
  readonly bytes: number;
  readonly meta: RunMeta;
  /** The options that it was given. */
  readonly asked: readonly string[];
  /** Absent when it was cut off before there was a plan. */
  readonly planned?: readonly CaseName[];
  /** Results that stand, by case. What only tells of trouble with a host is found again. */
  readonly settled: ReadonlyMap<string, CaseRecord>;
  /** Cases whose programs went to a host and have no result that stands, with the boot of its machine then. */
  readonly inFlight: ReadonlyMap<string, Sent>;
  /** Those of them under which a kernel was seen to panic, and its last words. */
  readonly panicked: ReadonlyMap<string, readonly string[]>;
  /** It came to its end, and every case has a result that stands: only its views may be missing. */
  readonly isWhole: boolean;
}

/** To which host a program was sent. */
export interface Sent {
  readonly host: string;
  readonly boot: string;
}

/** Reads what a report's folder holds of its run. Throws UsageTrouble when there is nothing that can go on. */
export const readUnfinished = (folder: string): Unfinished => {
  checkIsIdle(folder);
  const path = join(folder, JOURNAL);
  const file = readJournal(path, folder);
  const bytes = wholeBytes(file);
  const lines = parseJournal(file.subarray(0, bytes).toString(), path);
  if (lines.length === 0) throw new UsageTrouble(`${path} is empty: nothing had begun; remove ${folder} and run again`);
  const asked = lines.flatMap((line) => ('asked' in line ? [line.asked] : []))[0];
  if (asked === undefined) {
    throw new UsageTrouble(
      `${path} does not say what was asked for (it is of an older version, or of no run): run again`,
    );
  }
  const hasPlan = lines.some((line) => 'planned' in line);
  const planned = plannedOf(lines);
  const settled = settledIn(lines);
  const last = lines.at(-1);
  return {
    lines,
    bytes,
    meta: metaOf(lines),
    asked,
    ...(hasPlan ? { planned } : {}),
    settled,
    inFlight: inFlightIn(lines),
    panicked: panickedIn(lines),
    isWhole:
      last !== undefined &&
      'end' in last &&
      last.end.interrupted === undefined &&
      [...recordsOf(lines).values()].every(stands),
  };
};

/** A lost host says nothing of the kernel: such a case has not been tried. */
const stands = ({ verdict }: CaseRecord): boolean => verdict !== 'host-lost';

const settledIn = (lines: readonly JournalLine[]): ReadonlyMap<string, CaseRecord> =>
  new Map([...recordsOf(lines)].filter(([, record]) => stands(record)).map(([id, record]) => [id, keptRecord(record)]));

const inFlightIn = (lines: readonly JournalLine[]): ReadonlyMap<string, Sent> => {
  const inFlight = new Map<string, Sent>();
  for (const line of lines) {
    if ('sent' in line) {
      const { ids, ...to } = line.sent;
      for (const id of ids) inFlight.set(id, to);
    } else if ('case' in line && stands(line.case)) inFlight.delete(line.case.id);
  }
  return inFlight;
};

const panickedIn = (lines: readonly JournalLine[]): ReadonlyMap<string, readonly string[]> => {
  const panicked = new Map<string, readonly string[]>();
  for (const line of lines) {
    if ('panicked' in line) panicked.set(line.panicked.id, line.panicked.console);
    else if ('case' in line && stands(line.case)) panicked.delete(line.case.id);
  }
  return panicked;
};

const readJournal = (path: string, folder: string): Buffer => {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageTrouble(
      `${folder} holds no run that could go on: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
};
