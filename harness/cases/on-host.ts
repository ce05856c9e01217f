import type { Deadlines } from '../hosts/host.ts';
import { judge } from '../oracle/judge.ts';
import { explainedBy, type KnownDifference, type Place } from '../oracle/known.ts';
import type { Verdict } from '../oracle/verdict.ts';
import type { Program, Run } from '../program/step.ts';
import type { CaseRecord } from '../report/record.ts';
import { HostTrouble } from '../trouble.ts';
import type { Case } from './case.ts';
import { checkCase, type Models } from './check-case.ts';
import type { Executor } from './executor.ts';
import { recordOfCase } from './record-of-case.ts';

export interface OnHostOptions extends Models {
  readonly deadlines: Deadlines;
  readonly known: readonly KnownDifference[];
  /** What explained something once: said beside what it would have explained. */
  readonly expired?: readonly KnownDifference[];
  /** How often a case is run again whose host was lost; default 1. What was found is never tried again. */
  readonly retries?: number;
}

/** What came of a case, and the run that it was judged by. */
interface Outcome {
  readonly record: CaseRecord;
  readonly run?: Run;
}

/** The machine went down while a case ran there: that case is what it is laid to. */
export const wentDown = (detail: string): Verdict => ({
  kind: 'damaged',
  damage: { kind: 'reboot', detail },
  divergences: [],
});

/** What is kept of a case under which a kernel panicked, where nothing but its last words came of it. */
export const panickedRecord = (
  options: Pick<OnHostOptions, 'known'>,
  one: Case,
  program: Program,
  place: Place,
  console: readonly string[],
): CaseRecord => {
  const verdict: Verdict = { kind: 'damaged', damage: { kind: 'panic', console }, divergences: [] };
  const run: Run = { observations: [], kernelLog: undefined, durationUs: 0, ending: { kind: 'panicked', console } };
  return recordOfCase(one, program, verdict, run, explainedBy(options.known, one.id, place, verdict));
};

/**
 * Runs a case on its host. One whose host was lost, with no finding until then, is run again on the recovered host: that
 * says nothing of the kernel, and happens now and then. Unless its machine was booted meanwhile: then it took the machine
 * down, and is not tried again.
 */
export const runOnHost = async (
  options: OnHostOptions,
  executor: Executor,
  one: Case,
  index: number,
): Promise<CaseRecord> => {
  let record = await tryOnce(options, executor, one, index);
  for (let left = options.retries ?? 1; left > 0 && record.verdict === 'host-lost'; left--) {
    executor.distrust(index);
    record = await tryOnce(options, executor, one, index);
  }
  return record;
};

/** Runs it, and looks what became of a machine that was lost; one that ends with this process is looked at by its host. */
const tryOnce = async (options: OnHostOptions, executor: Executor, one: Case, index: number): Promise<CaseRecord> => {
  const host = executor.hostOf(index);
  // It may have to be booted after an earlier case; a host that is gone is told of below.
  await executor.recover(index).catch(asTrouble);
  const boot = host.boot();
  const { record, run } = await runOnce(options, executor, one, index);
  if (record.verdict !== 'host-lost' || run === undefined || !host.livesOn) return record;
  executor.distrust(index);
  await executor.recover(index).catch(asTrouble);
  if (host.boot() === boot) return record;
  const verdict = wentDown(`the machine was booted anew while this case ran: ${record.reason}`);
  return recordOfCase(one, executor.programOf(index), verdict, run, []);
};

/** The same, once; the model works while the host does. */
const runOnce = async (options: OnHostOptions, executor: Executor, one: Case, index: number): Promise<Outcome> => {
  const { facts } = executor.hostOf(index);
  const program = executor.programOf(index);
  const makeMachine = () => options.makeModel(facts.platform, program.lets);
  const running = executor.run(index).catch(asTrouble);
  await sentAhead();
  const { disagreement, wanted } = checkCase(options, facts.platform, program, one);
  const run = await running;
  if (run instanceof HostTrouble) {
    return { record: recordOfCase(one, program, { kind: 'host-lost', reason: run.message }, undefined, []) };
  }
  const verdict: Verdict =
    disagreement === undefined
      ? judge(makeMachine, program, run, {
          cleanupFrom: callCount(one.steps),
          about: one.clause,
          ...(wanted === undefined ? {} : { wanted }),
        })
      : { kind: 'harness-error', reason: disagreement };
  if (leavesUnfit(verdict, run) || hasUnloaded(program, run)) executor.distrust(index);
  const known = explainedBy(options.known, one.id, facts, verdict);
  const record = recordOfCase(one, program, verdict, run, known);
  return { record: known.length > 0 ? record : withExpired(options, facts, record, verdict), run };
};

/** A difference that an entry explained until it expired is new, and says why. */
const withExpired = (
  { known, expired = [] }: OnHostOptions,
  place: Place,
  record: CaseRecord,
  verdict: Verdict,
): CaseRecord => {
  const once = explainedBy([...known, ...expired], record.id, place, verdict).filter((entry) =>
    expired.includes(entry),
  );
  if (once.length === 0) return record;
  const entries = once.map(({ id, expires }) => `${id}, which expired on ${expires}`).join('; ');
  return { ...record, reason: `${record.reason} (known once: ${entries})` };
};

/**
 * Whether a host must be recovered before the next program. What a program left behind in its own processes (a leak) ends
 * with them: recovering from that would cost a boot for every case of a kernel that miscounts.
 */
const leavesUnfit = (verdict: Verdict, run: Run): boolean =>
  verdict.kind === 'damaged' ? verdict.damage.kind !== 'leak' : !['done', 'unfinished'].includes(run.ending.kind);

/** Whether a program unloaded a module, which others need. */
const hasUnloaded = (program: Program, run: Run): boolean => {
  const calls = program.steps.flatMap((step) => (step.op === 'repeat' ? step.body : [step]));
  return run.observations.some((seen) => 'ret' in seen && seen.ret === 0n && calls[seen.step]?.op === 'unload');
};

/** Lets what was just given to the hosts leave this process, before the model takes the processor. */
const sentAhead = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const asTrouble = (cause: unknown): HostTrouble => {
  if (cause instanceof HostTrouble) return cause;
  throw cause;
};

const callCount = (steps: Program['steps']): number =>
  steps.reduce((count, step) => count + (step.op === 'repeat' ? step.body.length : 1), 0);
