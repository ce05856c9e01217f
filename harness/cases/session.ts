import type { Deadlines, Host } from '../hosts/host.ts';
import type { Machine } from '../model/machine.ts';
import { judge } from '../oracle/judge.ts';
import { disappeared, explainedBy, type KnownDifference } from '../oracle/known.ts';
import type { Verdict } from '../oracle/verdict.ts';
import type { Platform } from '../program/platform.ts';
import type { Program, Run } from '../program/step.ts';
import type { CaseRecord } from '../report/record.ts';
import type { ClauseId } from '../spec/clause.ts';
import { HostTrouble } from '../trouble.ts';
import { type Case, makes } from './case.ts';
import { checkModel, type ModelCheck } from './check-model.ts';
import { cleanup } from './cleanup.ts';
import { createExecutor, type Executor } from './executor.ts';
import { NOT_ISOLATED } from './iommus.ts';
import { namesUsed } from './names-used.ts';
import { EMULATED_GROUP } from './needs.ts';
import { recordOfCase } from './record-of-case.ts';
import { TWO_GROUPS } from './vfio.ts';

/** Makes the model of one revision for one program on one platform. */
export type MakeModel = (platform: Platform, lets: Program['lets']) => Machine;

/** What a run of the suites is about. Without hosts only the cases' expectations are held against the model. */
export interface SessionOptions {
  /** Whether a clause is in force in the revision; cases of one that is not do not belong to the run. */
  readonly inForce: (clause: string) => boolean;
  /** Requests that mean something else in the revision than when a clause was stated: cases of it that make them do not belong to the run either. */
  readonly retakenSince: (clause: ClauseId) => ReadonlySet<bigint>;
  readonly makeModel: MakeModel;
  /** The same for the revision that it is built on, if it is. */
  readonly makeBaseModel?: MakeModel;
  /** The platform that the model assumes when there is no host. */
  readonly platform: Platform;
  /** Asked for when the first case runs, so that hosts can come up while suites are loaded. */
  readonly hosts: () => readonly Host[];
  /** Why no host can be given what was asked for, if none can: all cases are unsupported then. */
  readonly unfit?: () => string | undefined;
  readonly deadlines: Deadlines;
  readonly known: readonly KnownDifference[];
  /** Holds what was built against a clause that is an inspection; absent where nothing was. */
  readonly inspect?: (clause: string) => Promise<Verdict>;
}

/** Runs cases three ways (expectation, model, host) and makes their records; cases run in the order they were added. */
export interface Session {
  /** Whether cases of a clause belong to the run. */
  inForce(clause: string): boolean;
  /** Adds a case, unless it does not belong to the run; all cases are added before the first one runs. */
  add(one: Case): boolean;
  run(one: Case): Promise<CaseRecord>;
  /** Known differences that were expected in the cases that ran, and that none of them showed. */
  disappeared(): readonly string[];
}

/** The values of `$group0`, `$device0`... on a platform. */
export const letsOf = (platform: Platform): Record<string, string> =>
  Object.fromEntries(
    platform.groups.flatMap((group) => [
      [group.name, group.path],
      ...group.devices.map((device) => [device.name, device.address]),
    ]),
  );

export const createSession = (options: SessionOptions): Session => {
  const cases: Case[] = [];
  const judged: string[] = [];
  const shown = new Set<string>();
  let onHosts: ((one: Case) => Promise<CaseRecord>) | undefined;

  /** Why a case cannot run here. */
  const unsupported = (one: Case, platform: Platform): string | undefined =>
    one.needs.find((need) => !need.met(platform))?.reason ?? missing(one, platform);

  const startOn = (hosts: readonly [Host, ...Host[]]): ((one: Case) => Promise<CaseRecord>) => {
    const runnable = cases.filter(
      (one) => one.inspects !== true && unsupported(one, hosts[0].facts.platform) === undefined,
    );
    const programs = runnable.map((one) => (host: Host) => programFor(one, host.facts.platform));
    const executor = createExecutor(hosts, programs, options.deadlines);
    const indices = new Map(runnable.map((one, index) => [one, index]));
    return (one) => runOnHost(options, executor, one, indices.get(one) ?? -1);
  };

  return {
    inForce: options.inForce,
    add: (one) => {
      const belongs = !makes(one, options.retakenSince(one.clause));
      if (belongs) cases.push(one);
      return belongs;
    },
    run: async (one) => {
      const [firstHost, ...others] = options.hosts();
      const platform = firstHost?.facts.platform ?? options.platform;
      const program = programFor(one, platform);
      const finish = (verdict: Verdict): CaseRecord => recordOfCase(one, program, verdict, undefined, []);
      if (one.inspects === true) return finish((await options.inspect?.(one.clause)) ?? NOTHING_BUILT);
      const reason = options.unfit?.() ?? unsupported(one, platform);
      if (reason !== undefined) return finish({ kind: 'unsupported', reason });
      if (firstHost === undefined) {
        const { disagreement, superseded } = checkCase(options, platform, program, one);
        if (superseded === true) return finish(SUPERSEDED);
        return finish(
          disagreement === undefined ? { kind: 'conforms' } : { kind: 'harness-error', reason: disagreement },
        );
      }
      onHosts ??= startOn([firstHost, ...others]);
      const record = await onHosts(one);
      judged.push(one.id);
      for (const id of record.known?.id.split(', ') ?? []) shown.add(id);
      return record;
    },
    disappeared: () => {
      const [host] = options.hosts();
      return host === undefined ? [] : disappeared(options.known, host.facts.kernel, judged, shown);
    },
  };
};

const REFUSED =
  'VFIO refuses groups here: nothing isolates interrupts (vfio_iommu_type1.allow_unsafe_interrupts=1 lets it do without)';

/** Why a case that uses a group or device cannot: there is none of that name, or VFIO refuses it. */
const missing = (one: Case, platform: Platform): string | undefined => {
  const there = letsOf(platform);
  const used = namesUsed(one.steps);
  const name = used.find((wanted) => !(wanted in there));
  if (name === undefined) {
    const isRefused = !platform.iommu.isolatesMsi && used.some((wanted) => /^(group|device)[0-9]/.test(wanted));
    return isRefused && !one.needs.includes(NOT_ISOLATED) ? REFUSED : undefined;
  }
  if (name.startsWith('emulated')) return EMULATED_GROUP.reason;
  if ('group0' in there) return TWO_GROUPS.reason;
  return platform.iommu.absent ?? 'the host has no usable IOMMU group';
};

const SUPERSEDED: Verdict = {
  kind: 'unsupported',
  reason: 'the revision changes what these cases expect; on a host its model alone says what must follow',
};
const NOTHING_BUILT: Verdict = { kind: 'unsupported', reason: 'no modules were built for this kernel' };

const programFor = (one: Case, platform: Platform): Program => ({
  lets: letsOf(platform),
  steps: [...one.steps, ...cleanup(one.steps)],
});

/**
 * A case through the model of the revision. Cases are written for what a revision is built on: where that agrees with a
 * case and the revision does not, the revision changes what the case expects, which is no fault of the case's, and the
 * model alone says what must follow.
 */
const checkCase = (
  { makeModel, makeBaseModel }: SessionOptions,
  platform: Platform,
  program: Program,
  { expectations }: Case,
): ModelCheck & { readonly superseded?: true } => {
  const check = (make: MakeModel, expected: Case['expectations']): ModelCheck =>
    checkModel(make(platform, program.lets), program, expected);
  const found = check(makeModel, expectations);
  if (found.disagreement === undefined || makeBaseModel === undefined) return found;
  if (check(makeBaseModel, expectations).disagreement !== undefined) return found;
  return { ...check(makeModel, []), superseded: true };
};

/**
 * Runs a case on its host. One whose host was lost, with no finding until then, is run once more on the recovered host:
 * that says nothing of the kernel, and happens now and then.
 */
const runOnHost = async (
  options: SessionOptions,
  executor: Executor,
  one: Case,
  index: number,
): Promise<CaseRecord> => {
  const first = await runOnce(options, executor, one, index);
  if (first.verdict !== 'host-lost') return first;
  executor.distrust(index);
  return runOnce(options, executor, one, index);
};

/** The same, once; the model works while the host does. */
const runOnce = async (options: SessionOptions, executor: Executor, one: Case, index: number): Promise<CaseRecord> => {
  const { facts } = executor.hostOf(index);
  const program = executor.programOf(index);
  const makeMachine = () => options.makeModel(facts.platform, program.lets);
  const running = executor.run(index).catch(asTrouble);
  await sentAhead();
  const { disagreement, wanted } = checkCase(options, facts.platform, program, one);
  const run = await running;
  if (run instanceof HostTrouble) {
    return recordOfCase(one, program, { kind: 'host-lost', reason: run.message }, undefined, []);
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
  const known = explainedBy(options.known, one.id, facts.kernel, verdict);
  return recordOfCase(one, program, verdict, run, known);
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
