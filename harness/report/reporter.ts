import Mocha from 'mocha';
import { HostTrouble } from '../trouble.ts';
import { recordOf, skipReasonOf } from './attach.ts';
import { keptLine, keptRecord, keptText } from './kept.ts';
import { createNamer } from './names.ts';
import type { CaseName, CaseRecord } from './record.ts';

/** Where a reporter's findings go. Nothing that it does may throw: Mocha would take that for a failing test. */
export interface RunSink {
  /** The run begins: its cases, and the means to end it after the case that runs now. */
  planned(names: readonly CaseName[], abort: () => void): void;
  began(name: CaseName): void;
  /** A case ended. Called once for each; also for what failed outside every case (a hook). */
  ended(record: CaseRecord): void;
  /** A case is left out, for this reason. */
  leftOut(name: CaseName, reason: string): void;
}

/** Makes a Mocha reporter that tells a sink what happened, and prints nothing. */
export const reporterFor = (sink: RunSink): Mocha.ReporterConstructor =>
  class extends Mocha.reporters.Base {
    constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
      super(runner, options);
      watch(runner, options, sink);
    }
  };

const watch = (runner: Mocha.Runner, options: Mocha.MochaOptions, sink: RunSink): void => {
  const { EVENT_RUN_BEGIN, EVENT_RUN_END, EVENT_TEST_BEGIN, EVENT_TEST_END, EVENT_TEST_FAIL } = Mocha.Runner.constants;
  const nameFor = createNamer();
  const open = new Map<Mocha.Runnable, CaseName>();
  const errors = new Map<Mocha.Runnable, unknown>();

  runner.on(EVENT_RUN_BEGIN, () => {
    runner.suite.eachTest((test: Mocha.Test) => {
      if (isSelected(test, options)) open.set(test, nameFor(test));
    });
    sink.planned([...open.values()], () => runner.abort());
  });

  runner.on(EVENT_TEST_BEGIN, (test: Mocha.Test) => {
    const name = open.get(original(test));
    if (name !== undefined) sink.began(name);
  });

  runner.on(EVENT_TEST_FAIL, (runnable: Mocha.Runnable, error: unknown) => {
    if (open.has(original(runnable))) {
      errors.set(original(runnable), error);
      return;
    }
    // A hook, or a test that fails once more after it was reported: a point of its own, so that neither is lost.
    sink.ended(withoutRecord(nameFor(runnable), error));
    if (stopsTests(runnable)) leaveOutBelow(runnable.parent, keptLine(`${runnable.title} failed`));
  });

  const leaveOutBelow = (suite: Mocha.Suite | undefined, reason: string): void => {
    for (const [test, name] of open) {
      if (suite === undefined || !isBelow(test, suite)) continue;
      open.delete(test);
      sink.leftOut(name, reason);
    }
  };

  const settle = (test: Mocha.Runnable, record: CaseRecord | undefined, pending: boolean): void => {
    const key = original(test);
    const name = open.get(key);
    if (name === undefined) return;
    open.delete(key);
    if (record === undefined && pending) sink.leftOut(name, keptLine(skipReasonOf(test) ?? 'skipped in its suite'));
    else sink.ended(judgedBy(name, record, errors.get(key)));
    errors.delete(key);
  };

  runner.on(EVENT_TEST_END, (test: Mocha.Test) => settle(test, recordOf(test), test.isPending()));

  // A test that failed without coming to its end.
  runner.on(EVENT_RUN_END, () => {
    for (const test of [...errors.keys()]) settle(test, recordOf(test), false);
  });
};

/** The record that is kept of a test that ended: a record that says `conforms` is only believed when nothing was thrown. */
const judgedBy = (name: CaseName, record: CaseRecord | undefined, error: unknown): CaseRecord => {
  if (record === undefined) return withoutRecord(name, error);
  if (record.verdict !== 'conforms' || error === undefined) return keptRecord({ ...record, ...name });
  return keptRecord({
    ...record,
    ...name,
    verdict: 'harness-error',
    reason: `the case conforms, but its suite failed: ${messageOf(error)}`,
  });
};

/** A test or a hook that left no record: trouble with the host or the harness, never a word about the kernel. */
const withoutRecord = (name: CaseName, error: unknown): CaseRecord => ({
  ...name,
  verdict: error instanceof HostTrouble ? 'host-lost' : 'harness-error',
  reason: keptLine(error === undefined ? 'the case left no record of what it did' : messageOf(error)),
  broken: [],
  durationMs: 0,
  program: '',
  observed: error instanceof HostTrouble ? '' : keptText(detailOf(error), 16_384),
});

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a developer of a suite needs of an error that was not expected: the difference, if it tells one, and the stack. */
const detailOf = (error: unknown): string => {
  if (!(error instanceof Error)) return '';
  const { actual, expected } = error as { actual?: unknown; expected?: unknown };
  const difference =
    typeof actual === 'string' && typeof expected === 'string'
      ? `${Mocha.reporters.Base.generateDiff(actual, expected)}\n\n`
      : '';
  return `${difference}${error.stack ?? error.message}`;
};

/** Whether Mocha runs no more tests below the suite of this hook, now that it failed. */
const stopsTests = (runnable: Mocha.Runnable): boolean =>
  'type' in runnable && runnable.type === 'hook' && !runnable.title.startsWith('"after all"');

/** A test that Mocha retries is a copy of the one that was planned. */
const original = (runnable: Mocha.Runnable): Mocha.Runnable => {
  const retried =
    'retriedTest' in runnable && typeof runnable.retriedTest === 'function' ? runnable.retriedTest() : undefined;
  return (retried as Mocha.Test | undefined) ?? runnable;
};

const isBelow = (test: Mocha.Runnable, suite: Mocha.Suite): boolean => {
  for (let above = test.parent; above !== undefined; above = above.parent) if (above === suite) return true;
  return false;
};

/** Mocha's own --grep, which a runner applies to full titles. */
const isSelected = (test: Mocha.Test, { grep, invert }: Mocha.MochaOptions): boolean =>
  grep === undefined ||
  (typeof grep === 'string' ? test.fullTitle().includes(grep) : grep.test(test.fullTitle())) !== (invert ?? false);
