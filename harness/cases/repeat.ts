import type { CaseRecord } from '../report/record.ts';

/** How often each case is run. */
export interface Repeating {
  readonly times: number;
  /** Ends with the first time that does not conform. */
  readonly untilFail: boolean;
}

/**
 * Runs a case again and again (`run` is given which time it is, from 0) and makes one record of all. A host or a kernel
 * that did not last ends it: what took a machine down is not tried again.
 */
export const runRepeated = async (
  { times, untilFail }: Repeating,
  run: (time: number) => Promise<CaseRecord>,
): Promise<CaseRecord> => {
  const records: [CaseRecord, ...CaseRecord[]] = [await run(0)];
  while (records.length < times) {
    const last = records.at(-1);
    if (last?.verdict === 'damaged' || last?.verdict === 'host-lost') break;
    if (untilFail && last?.verdict !== 'conforms' && last?.known === undefined) break;
    records.push(await run(records.length));
  }
  return times === 1 ? records[0] : combined(records);
};

/** What weighs more comes first: findings against the kernel, then trouble. */
const BY_WEIGHT: readonly CaseRecord['verdict'][] = ['damaged', 'diverges', 'harness-error', 'host-lost', 'conforms'];

/**
 * One record for several of one case: the first of those that weigh most. A finding that not all of them show is unstable:
 * it is no known difference then, so that it never passes.
 */
export const combined = (records: readonly [CaseRecord, ...CaseRecord[]]): CaseRecord => {
  const weight = ({ verdict, known }: CaseRecord): number =>
    BY_WEIGHT.indexOf(verdict) + (known === undefined ? 0 : 0.5);
  const worst = records.reduce((heaviest, one) => (weight(one) < weight(heaviest) ? one : heaviest));
  const [times, shownBy] = [records.length, records.filter((one) => finding(one) === finding(worst)).length];
  // A host that was lost says nothing, and so is no difference.
  const told = records.filter(({ verdict }) => verdict !== 'host-lost');
  const unstable = new Set(told.map(finding)).size > 1;
  const durationMs = records.reduce((sum, one) => sum + one.durationMs, 0);
  if (!unstable) return { ...worst, durationMs, repeats: { times, shownBy, unstable } };
  const { known, ...rest } = worst;
  const wasKnown = known === undefined ? '' : ` (the known difference ${known.id})`;
  return {
    ...rest,
    durationMs,
    reason: `unstable, shown ${shownBy} of ${times} times${wasKnown}: ${worst.reason ?? 'no reason given'}`,
    repeats: { times, shownBy, unstable },
  };
};

/** What was found, without what may differ from one time to the next (an address, a time). */
const finding = ({ verdict, broken }: CaseRecord): string =>
  JSON.stringify([verdict, broken.map(({ clause, call, observed }) => [clause, call, observed])]);
