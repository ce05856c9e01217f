import type { Deadlines, Host } from '../hosts/host.ts';
import { disappeared, type KnownDifference } from '../oracle/known.ts';
import type { Verdict } from '../oracle/verdict.ts';
import type { Platform } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { CaseRecord } from '../report/record.ts';
import type { Sent } from '../report/resume.ts';
import type { ClauseId } from '../spec/clause.ts';
import { type Case, makes } from './case.ts';
import { checkCase, type Models } from './check-case.ts';
import { cleanup } from './cleanup.ts';
import { createExecutor, type Programs } from './executor.ts';
import { NOT_ISOLATED } from './iommus.ts';
import { namesUsed } from './names-used.ts';
import { EMULATED_GROUP } from './needs.ts';
import { panickedRecord, runOnHost, wentDown } from './on-host.ts';
import { recordOfCase } from './record-of-case.ts';
import { type Repeating, runRepeated } from './repeat.ts';
import { TWO_GROUPS } from './vfio.ts';

/** What a run of the suites is about. Without hosts only the cases' expectations are held against the model. */
export interface SessionOptions extends Models {
  /** Whether a clause is in force in the revision; cases of one that is not do not belong to the run. */
  readonly inForce: (clause: string) => boolean;
  /** Requests that mean something else in the revision than when a clause was stated: cases of it that make them do not belong to the run either. */
  readonly retakenSince: (clause: ClauseId) => ReadonlySet<bigint>;
  /** The platform that the model assumes when there is no host. */
  readonly platform: Platform;
  /** Asked for when the first case runs, so that hosts can come up while suites are loaded. */
  readonly hosts: () => readonly Host[];
  /** Why no host can be given what was asked for, if none can: all cases are unsupported then. */
  readonly unfit?: () => string | undefined;
  readonly deadlines: Deadlines;
  readonly known: readonly KnownDifference[];
  /** Those that explain nothing any more. */
  readonly expired?: readonly KnownDifference[];
  /** Holds what was built against a clause that is an inspection; absent where nothing was. */
  readonly inspect?: (clause: string) => Promise<Verdict>;
  /** Told which cases go to a host next, before they do; see Host for `boot`. */
  readonly intend?: (ids: readonly string[], host: string, boot: string) => void;
  /** Told of a case under which a kernel panics, with the last words of that, before there is a record of it. */
  readonly panicked?: (id: string, host: string, console: readonly string[]) => void;
  /** How often a case is run again whose host was lost; default 1. */
  readonly retries?: number;
  /** How often each case is run on a host; once when absent. */
  readonly repeat?: Repeating;
  /** What stands of a run that goes on. */
  readonly before?: Before;
}

const ONCE: Repeating = { times: 1, untilFail: false };

/** What an earlier session found, and what it was at when it ended. */
export interface Before {
  /** Results that stand, by case: these cases are not run again. */
  readonly settled: ReadonlyMap<string, CaseRecord>;
  readonly inFlight: ReadonlyMap<string, Sent>;
  /** Cases without a result under which a kernel was seen to panic, and its last words. */
  readonly panicked: ReadonlyMap<string, readonly string[]>;
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

/** The values of `$group0`, `$device0`, `$device0-cdev`... on a platform. */
export const letsOf = (platform: Platform): Record<string, string> =>
  Object.fromEntries(
    platform.groups.flatMap((group) => [
      [group.name, group.path],
      ...group.devices.map((device) => [device.name, device.address]),
      ...group.devices.flatMap(({ name, cdev }) => (cdev === undefined ? [] : [[`${name}-cdev`, cdev]])),
    ]),
  );

export const createSession = (options: SessionOptions): Session => {
  const cases: Case[] = [];
  const judged: string[] = [];
  const shown = new Set<string>();
  let onHosts: ((one: Case) => Promise<CaseRecord>) | undefined;

  const { before } = options;
  const remember = (record: CaseRecord): void => {
    judged.push(record.id);
    for (const id of record.known?.id.split(', ') ?? []) shown.add(id);
  };

  /** Whether an earlier session ended while a host was at this case, and that machine was booted since. */
  const tookDown = (id: string, hosts: readonly Host[]): boolean => {
    const sent = before?.inFlight.get(id);
    const host = hosts.find(({ facts }) => facts.name === sent?.host);
    return sent !== undefined && host?.livesOn === true && host.boot() !== sent.boot;
  };

  /** What of a platform the revision speaks of: to one that does not state IOMMUFD there is none. */
  const stated = (platform: Platform): Platform =>
    platform.iommufd && !options.inForce('iommufd/open') ? { ...platform, iommufd: false } : platform;

  /** Why a case cannot run here. */
  const unsupported = (one: Case, platform: Platform): string | undefined =>
    one.needs.find((need) => !need.met(stated(platform)))?.reason ?? missing(one, stated(platform));

  const startOn = (hosts: readonly [Host, ...Host[]]): ((one: Case) => Promise<CaseRecord>) => {
    const fallen = new Set(
      cases.map(({ id }) => id).filter((id) => before?.panicked.has(id) === true || tookDown(id, hosts)),
    );
    const runnable = cases.filter(
      (one) =>
        one.inspects !== true &&
        before?.settled.has(one.id) !== true &&
        !fallen.has(one.id) &&
        unsupported(one, hosts[0].facts.platform) === undefined,
    );
    const repeat = options.repeat ?? ONCE;
    /** The case that program `index` is of: those of one case stand together. */
    const caseAt = (index: number): Case | undefined => runnable[Math.floor(index / repeat.times)];
    const programs: Programs = {
      length: runnable.length * repeat.times,
      at: (index) => {
        const one = caseAt(index);
        return one && ((host) => programFor(one, host.facts.platform));
      },
    };
    const executor = createExecutor(hosts, programs, options.deadlines, {
      intend: (indices, host) => {
        const ids = new Set(indices.flatMap((index) => caseAt(index)?.id ?? []));
        options.intend?.([...ids], host.facts.name, host.boot());
      },
      panicked: (index, host, console) => {
        const one = caseAt(index);
        if (one !== undefined) options.panicked?.(one.id, host.facts.name, console);
      },
    });
    const places = new Map(runnable.map((one, index) => [one, index]));
    /** The record of a case that an earlier session ended over, as its machine did. */
    const recordOfFallen = (one: Case): CaseRecord => {
      const { facts } = hosts[0];
      const program = programFor(one, facts.platform);
      const words = before?.panicked.get(one.id);
      return words === undefined
        ? recordOfCase(one, program, WENT_DOWN, undefined, [])
        : panickedRecord(options, one, program, facts, words);
    };
    return async (one) =>
      fallen.has(one.id)
        ? recordOfFallen(one)
        : runRepeated(repeat, (time) =>
            runOnHost(options, executor, one, (places.get(one) ?? -1) * repeat.times + time),
          );
  };

  return {
    inForce: options.inForce,
    add: (one) => {
      const belongs = !makes(one, options.retakenSince(one.clause));
      if (belongs) cases.push(one);
      return belongs;
    },
    run: async (one) => {
      const settled = before?.settled.get(one.id);
      if (settled !== undefined) {
        if (isJudged(settled)) remember(settled);
        return settled;
      }
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
      remember(record);
      return record;
    },
    disappeared: () => {
      const [host] = options.hosts();
      return host === undefined ? [] : disappeared(options.known, host.facts, judged, shown);
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

const WENT_DOWN = wentDown(
  'the machine went down, and the harness with it, while this case ran; it is not tried again',
);

const isJudged = ({ verdict }: CaseRecord): boolean => ['conforms', 'diverges', 'damaged'].includes(verdict);

const programFor = (one: Case, platform: Platform): Program => ({
  lets: letsOf(platform),
  steps: [...one.steps, ...cleanup(one.steps)],
});
