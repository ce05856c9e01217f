/** What the report of a disturbed run must be like, held against that of one that was left alone. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JournalLine, parseJournal } from '../report/journal.ts';
import { keptLine } from '../report/kept.ts';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import type { Panicked } from './testing-qemu.ts';

export interface CheckOptions {
  /** How many cases may be named as those under which a machine went down. */
  readonly most: number;
  /** Whether a case is one of those, and all that must be kept of it is. */
  readonly isNamed: (one: CaseRecord) => boolean;
  /** Takes what is wrong: one line each. */
  readonly figures: { readonly wrong: string[] };
}

/** Returns how many cases are named. */
export const checkReport = (report: string, calm: RunRecord, { most, isNamed, figures }: CheckOptions): number => {
  const found = readResults(report);
  const wrong = (what: string): void => void figures.wrong.push(`${report}: ${what}`);
  const named = found.cases.filter(isNamed);
  if (found.interrupted !== undefined) wrong(`it is partial: ${found.interrupted.reason}`);
  if (named.length > most) wrong(`${named.length} cases are named, where ${most} could be`);
  if (!sameIds(found.cases, calm.cases)) wrong('other cases, or in another order');
  if (!sameIds(found.notRun, calm.notRun)) wrong('other cases did not run');
  for (const [index, one] of found.cases.entries()) {
    const other = calm.cases[index];
    if (!isNamed(one) && (other === undefined || gist(one) !== gist(other))) {
      wrong(`${one.id}: ${one.verdict} (${one.reason ?? ''}) where an undisturbed run has ${other?.verdict}`);
    }
  }
  checkJournal(report, named, wrong);
  return named.length;
};

/**
 * Each guest that panicked while it was at a case has that one named, by its own last words; none was tried again then, or
 * left without. Counts them in `figures`, and returns how many they are.
 */
export const checkPanics = (
  report: string,
  panicked: readonly Panicked[],
  figures: { panics: number; idle: number; named: number; readonly wrong: string[] },
): number => {
  const path = join(report, 'results.jsonl');
  const lines = parseJournal(readFileSync(path, 'utf8'), path);
  const damaged = readResults(report).cases.filter(({ verdict }) => verdict === 'damaged');
  // A guest's log may tell of a panic first; the guest is ended then, perhaps before its console tells.
  const byLog = new Set(damaged.filter(panickedByLog));
  let panics = 0;
  for (const { boot, line } of panicked) {
    const named = damaged.filter(({ kernelLog }) => kernelLog?.some((one) => isSame(one, line)) === true);
    for (const one of named) byLog.delete(one);
    if (named.length === 0 && !wasAtCase(lines, boot)) {
      figures.idle++;
      continue;
    }
    panics++;
    figures.named += named.length;
    if (named.length !== 1) figures.wrong.push(`${report}: ${named.length} cases are named for ${boot}: ${line}`);
  }
  panics += byLog.size;
  figures.named += byLog.size;
  figures.panics += panics;
  return panics;
};

/** Whether a case is named for a panic that the guest's log told of while its helper still ran. */
export const panickedByLog = ({ reason }: CaseRecord): boolean =>
  reason?.startsWith('the kernel log shows damage: ') === true && reason.includes('Kernel panic');

/** Whether a line that was kept is a console's, or that of the log from the same microsecond. */
const isSame = (kept: string, console: string): boolean => {
  const [, seconds, micros] = /^\[ *(\d+)\.(\d{6})\]/.exec(console) ?? [];
  return kept === keptLine(console) || kept.includes(`,${Number(`${seconds}${micros}`)},-;Kernel panic`);
};

/** Whether a boot of a guest was given a case that nothing came of: another boot was given it again, or nobody was. */
const wasAtCase = (lines: readonly JournalLine[], boot: string): boolean => {
  const open = new Map<string, string>();
  const left = new Set<string>();
  for (const line of lines) {
    if ('sent' in line) {
      for (const id of line.sent.ids) {
        left.add(open.get(id) ?? '');
        open.set(id, line.sent.boot);
      }
    }
    if ('case' in line) open.delete(line.case.id);
  }
  return left.has(boot) || [...open.values()].includes(boot);
};

const gist = ({ id, verdict, reason, broken, known, program }: CaseRecord): string =>
  JSON.stringify([id, verdict, reason, broken, known?.id, program]);

const sameIds = (some: readonly { readonly id: string }[], others: readonly { readonly id: string }[]): boolean =>
  some.map(({ id }) => id).join('\n') === others.map(({ id }) => id).join('\n');

/** Nothing has two results, no result stands without the intent before it, and what was named went to no host again. */
const checkJournal = (report: string, named: readonly CaseRecord[], wrong: (what: string) => void): void => {
  const path = join(report, 'results.jsonl');
  const sent = new Set<string>();
  const settled = new Set<string>();
  for (const line of parseJournal(readFileSync(path, 'utf8'), path)) {
    if ('sent' in line) {
      for (const id of line.sent.ids) {
        sent.add(id);
        if (named.some((one) => one.id === id) && settled.has(id)) wrong(`${id}: sent again after it was named`);
      }
    }
    if ('case' in line && line.case.verdict !== 'host-lost') {
      const { id, verdict } = line.case;
      if (settled.has(id)) wrong(`${id}: has two results`);
      settled.add(id);
      if (verdict !== 'unsupported' && !sent.has(id)) wrong(`${id}: has a result, and was not said to be sent`);
    }
  }
};
