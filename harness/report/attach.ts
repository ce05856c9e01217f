import type { CaseRecord } from './record.ts';

/**
 * What a suite hands to the reporter beside Mocha's own passed, failed and pending: the record of a case, and the reason
 * of a skip. Kept apart from Mocha's objects, which are not ours to extend.
 */

const records = new WeakMap<Mocha.Runnable, CaseRecord>();
const skipReasons = new WeakMap<object, string>();

/** Gives a test the record of its case; the reporter takes the verdict from there. */
export const attachRecord = (test: Mocha.Runnable, record: CaseRecord): void => void records.set(test, record);

/** The record that a test was given. */
export const recordOf = (test: Mocha.Runnable): CaseRecord | undefined => records.get(test);

/**
 * Skips the running test with a reason (Mocha's own `skip` takes none). In a `before` hook it skips everything below
 * the hook's suite. Does not return: Mocha throws.
 */
export const skipWith = (context: Mocha.Context, reason: string): never => {
  const runnable = context.runnable();
  skipReasons.set(skippedBy(runnable, context) ?? runnable, reason);
  return context.skip();
};

/** A hook skips the test it runs for, or, before all of them, its whole suite. */
const skippedBy = (runnable: Mocha.Runnable, context: Mocha.Context): object | undefined => {
  if (!('type' in runnable) || runnable.type !== 'hook') return runnable;
  return runnable.title.startsWith('"before all"') ? runnable.parent : context.currentTest;
};

/** The reason a test was skipped with, its own or that of a suite above it. */
export const skipReasonOf = (test: Mocha.Runnable): string | undefined => {
  const own = skipReasons.get(test);
  if (own !== undefined) return own;
  for (let suite = test.parent; suite !== undefined; suite = suite.parent) {
    const reason = skipReasons.get(suite);
    if (reason !== undefined) return reason;
  }
  return undefined;
};

/** Thrown by a test whose case found the kernel wrong (`diverges`, `damaged`). */
export class CaseFailure extends Error {
  readonly record: CaseRecord;
  constructor(record: CaseRecord) {
    super(`${record.verdict}: ${record.reason ?? 'no reason given'}`);
    this.name = 'CaseFailure';
    this.record = record;
  }
}

/** Thrown by a test whose case could not be judged (`host-lost`, `harness-error`): nothing is said of the kernel. */
export class CaseTrouble extends Error {
  readonly record: CaseRecord;
  constructor(record: CaseRecord) {
    super(`${record.verdict}: ${record.reason ?? 'no reason given'}`);
    this.name = 'CaseTrouble';
    this.record = record;
  }
}
