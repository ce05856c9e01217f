/** What the report of a disturbed run must be like, held against that of one that was left alone. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseJournal } from '../report/journal.ts';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';

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
