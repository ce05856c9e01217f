import { groupBy } from '../report/group.ts';
import { rerunCommand } from '../report/layout.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import { endedAs } from '../report/tally.ts';
import { firstOtherAnswer } from './answers.ts';
import type { Both, Either, KernelCase, KernelChange, KernelFacts, Side } from './spec-diff.ts';

/**
 * What the kernels of the runs did: with two runs the cases that they answered otherwise; with one those in which the kernel
 * departs from its model (known differences aside). `undefined` without a run.
 */
export const compareKernels = ({ a, b }: Both<Side>): KernelFacts | undefined => {
  if (a.run !== undefined && b.run !== undefined) return compareRuns(a.run, b.run);
  const run = a.run ?? b.run;
  if (run === undefined) return undefined;
  const side = a.run === undefined ? 'b' : 'a';
  const of = (value: KernelCase): Either<KernelCase> => (side === 'a' ? { a: value } : { b: value });
  const broken = run.cases.filter((one) => blamesKernel(one) && one.known === undefined);
  const tally = tallyOf(run);
  return {
    tallies: side === 'a' ? { a: tally } : { b: tally },
    changes: broken.map((one) => ({ id: one.id, clause: one.clause, how: 'broken', ...of(told(one, run)) })),
    incomparable: [],
  };
};

const compareRuns = (a: RunRecord, b: RunRecord): KernelFacts => {
  const inB = new Map(b.cases.map((one) => [one.id, one]));
  const changes: KernelChange[] = [];
  const apart: { readonly reason: string; readonly id: string }[] = [];
  for (const one of a.cases) {
    const other = inB.get(one.id);
    inB.delete(one.id);
    const reason = other === undefined ? 'only the first run has them' : unjudged(one, other);
    if (other === undefined || reason !== undefined) {
      if (other === undefined || one.verdict !== other.verdict) apart.push({ reason: reason ?? '', id: one.id });
      continue;
    }
    const first = firstOtherAnswer(one, other);
    const how = howChanged(one, other) ?? (first === undefined ? undefined : 'answered otherwise');
    if (how === undefined) continue;
    const { id, clause } = one;
    changes.push({ id, clause, how, a: told(one, a), b: told(other, b), ...(first === undefined ? {} : { first }) });
  }
  for (const id of inB.keys()) apart.push({ reason: 'only the second run has them', id });
  const incomparable = [...groupBy(apart, ({ reason }) => reason)].map(([reason, all]) => ({
    reason,
    ids: all.map(({ id }) => id),
  }));
  return { tallies: { a: tallyOf(a), b: tallyOf(b) }, changes, incomparable };
};

const blamesKernel = ({ verdict }: CaseRecord): boolean => verdict === 'diverges' || verdict === 'damaged';

const judged = (one: CaseRecord): boolean => one.verdict === 'conforms' || blamesKernel(one);

/** Why two records say nothing about their kernels together. */
const unjudged = (one: CaseRecord, other: CaseRecord): string | undefined => {
  if (!judged(one)) return `the first run could not judge them: ${one.verdict}`;
  return judged(other) ? undefined : `the second run could not judge them: ${other.verdict}`;
};

const howChanged = (one: CaseRecord, other: CaseRecord): KernelChange['how'] | undefined => {
  if (!blamesKernel(one) && blamesKernel(other)) return 'newly broken';
  if (blamesKernel(one) && !blamesKernel(other)) return 'mended';
  const same = endedAs(one) === endedAs(other) && brokenOf(one) === brokenOf(other);
  return same ? undefined : 'answered otherwise';
};

const brokenOf = ({ broken }: CaseRecord): string =>
  JSON.stringify(broken.map(({ clause, expected, observed }) => [clause, expected, observed]));

const told = (record: CaseRecord, run: RunRecord): KernelCase => ({
  verdict: record.verdict,
  ...(record.known === undefined ? {} : { known: record.known.id }),
  ...(record.reason === undefined ? {} : { reason: record.reason }),
  broken: record.broken,
  rerun: rerunCommand(record.id, run.arguments),
});

const tallyOf = (run: RunRecord): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const one of run.cases) counts[endedAs(one)] = (counts[endedAs(one)] ?? 0) + 1;
  if (run.notRun.length > 0) counts['not run'] = run.notRun.length;
  return counts;
};
