import type { Machine } from '../model/machine.ts';
import type { Answer, Outcome } from '../model/outcome.ts';
import { initialBytes } from '../program/inline.ts';
import type { Call, Observation, Program, Run } from '../program/step.ts';
import { printCall } from '../program/text.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { type Distance, distance, type Mismatch, outcomeText, type Result, resultText } from './compare.ts';
import { calls, type Wanted } from './expected-path.ts';
import { outOfMemory, splats } from './kernel-log.ts';
import type { Damage, Divergence, Verdict } from './verdict.ts';

/** A call may write to the argument it was given, and nowhere round it. */
export const WITHIN_ARGUMENT: Clause = {
  id: 'world/within-argument',
  level: 'must',
  says: 'A call writes nothing before or behind the argument it was given.',
  source: 'include/uapi/linux/vfio.h: argsz is the size of the structure that user space provided',
};

/** At most this many divergences are kept of one program; the first ones say what is wrong. */
const MAX_DIVERGENCES = 8;

export interface JudgeOptions {
  /** Where the case itself ends and the clean-up that the harness appended begins (a call index); what diverges there is a leak. */
  readonly cleanupFrom?: number;
  /**
   * What the model wants of each call along its expected path, if that was worked out while the host was busy. A host that
   * did just that conforms, and the model need not be asked again.
   */
  readonly wanted?: readonly (Wanted | undefined)[];
  /** The clause that the case is about: a kernel that says too much does so in every case, and is told so in those of that clause alone. */
  readonly about?: ClauseId;
}

/**
 * Holds what a host did against what the model allows, call by call. The model follows the observation as long as it is
 * allowed; where the states of the two part (one succeeded, the other did not), judging stops, because everything after
 * that would only repeat the first finding.
 */
export const judge = (makeMachine: () => Machine, program: Program, run: Run, options: JudgeOptions = {}): Verdict => {
  const { cleanupFrom = Number.POSITIVE_INFINITY, wanted, about } = options;
  const followed: Followed =
    wanted !== undefined && asWanted(wanted, program, run) ? { divergences: [] } : follow(makeMachine(), program, run);
  if (followed.fault !== undefined) return { kind: 'harness-error', reason: followed.fault };
  const said = saidTooMuch(makeMachine, run.kernelLog ?? []).filter(({ clauses }) => clauses[0]?.id === about);
  const divergences = [...followed.divergences, ...said];
  const leak = divergences.find((divergence) => divergence.step >= cleanupFrom);
  const starved = followed.mishap === undefined ? undefined : outOfMemory(run.kernelLog ?? []);
  if (starved !== undefined && divergences.length === 0) {
    return { kind: 'host-lost', reason: `the host has too little memory: ${starved}` };
  }
  const damage = damageOf(run, followed, leak === divergences[0] ? leak : undefined);
  if (damage !== undefined) return { kind: 'damaged', damage, divergences };
  const [first, ...rest] = divergences;
  if (first !== undefined) return { kind: 'diverges', divergences: [first, ...rest] };
  if (run.ending.kind === 'lost') return { kind: 'host-lost', reason: run.ending.reason };
  if (run.ending.kind === 'unfinished') {
    return {
      kind: 'damaged',
      damage: { kind: 'hang', detail: 'the program did not end within its deadline' },
      divergences: [],
    };
  }
  return { kind: 'conforms' };
};

/** Whether every call did what the model wants most. */
const asWanted = (wanted: readonly (Wanted | undefined)[], program: Program, run: Run): boolean => {
  if (run.ending.kind !== 'done') return false;
  const find = observationsByStep(run.observations);
  let index = 0;
  for (const { call, step, iteration } of calls(program)) {
    if (index >= wanted.length) return false;
    const outcome = wanted[index++];
    const seen = find(step, iteration);
    if (seen === undefined || 'mishap' in seen || seen.trampled !== undefined) return false;
    if (outcome === undefined) continue;
    const before = call.op === 'ioctl' ? initialBytes(call.arg, iteration, program.lets) : undefined;
    if (outcome.breaks !== undefined || distance(outcome, seen, before).kind !== 'fits') return false;
  }
  return true;
};

/** What the kernel said and should not have. Which call it was that made it say so is not known: the program as a whole stands for it. */
const saidTooMuch = (makeMachine: () => Machine, log: readonly string[]): readonly Divergence[] => {
  if (log.length === 0) return [];
  return makeMachine()
    .unwanted(log)
    .map(({ clause, line }) => ({
      step: 0,
      iteration: 0,
      call: 'the program as a whole',
      clauses: [clause],
      expected: 'nothing in the kernel log',
      observed: `kernel log: ${line}`,
    }));
};

interface Followed {
  readonly divergences: readonly Divergence[];
  /** The harness or the program is wrong: nothing can be said of the kernel. */
  readonly fault?: string;
  /** An actor hung or died where nothing asked for it. */
  readonly mishap?: string;
}

const follow = (machine: Machine, program: Program, run: Run): Followed => {
  const divergences: Divergence[] = [];
  const find = observationsByStep(run.observations);
  let mishap: string | undefined;
  for (const { call, step, iteration } of calls(program)) {
    const seen = find(step, iteration);
    if (seen === undefined) {
      if (run.ending.kind !== 'done' || mishap !== undefined) break;
      return { divergences, fault: `the helper reported nothing for call ${step}: ${printCall(call)}` };
    }
    if ('mishap' in seen) {
      if (seen.mishap === 'bad') return { divergences, fault: `call ${step} cannot be carried out: ${seen.detail}` };
      if (seen.mishap !== 'gone')
        mishap ??= `call ${step} (${printCall(call)}): ${seen.mishap} ${seen.detail}`.trimEnd();
      machine.actorDied(call.actor);
      continue;
    }
    const parted = judgeCall(machine, program, call, seen, iteration, divergences);
    if (parted || divergences.length >= MAX_DIVERGENCES) break;
  }
  return mishap === undefined ? { divergences } : { divergences, mishap };
};

/** Judges one call and moves the model on; true when the model can follow no further. */
const judgeCall = (
  machine: Machine,
  program: Program,
  call: Call,
  seen: Result,
  iteration: number,
  divergences: Divergence[],
): boolean => {
  const answer = machine.answer(call, iteration);
  const before = call.op === 'ioctl' ? initialBytes(call.arg, iteration, program.lets) : undefined;
  const trampled = beyondArgument(seen.trampled ?? [], before);
  if (trampled.length > 0) {
    divergences.push({
      ...placeOf(call, seen, iteration),
      clauses: [writesNoMore(answer)],
      expected: 'guard bytes untouched',
      observed: `guard bytes changed at ${trampled.join(', ')}`,
    });
  }
  if ('unspecified' in answer) {
    answer.commit?.();
    return false;
  }
  const [nearest, gap] = nearestOutcome(answer.allowed, seen, before);
  for (const clause of nearest.breaks ?? []) {
    if (isTold(divergences, clause)) continue;
    const asItShould = distance(answer.allowed[0], seen, before);
    const { expected, observed } = describe(answer.allowed, answer.allowed[0], asItShould, seen);
    divergences.push({ ...placeOf(call, seen, iteration), clauses: [clause], expected, observed });
  }
  if (gap.kind !== 'fits') {
    divergences.push({ ...placeOf(call, seen, iteration), ...describe(answer.allowed, nearest, gap, seen) });
  }
  if (gap.kind === 'result') return true;
  nearest.commit();
  return false;
};

/** Guard bytes behind an argument are its own where its first field, argsz or size, says that it is larger than what the program gave. */
const beyondArgument = (trampled: readonly number[], argument: Uint8Array | undefined): readonly number[] => {
  if (trampled.length === 0 || argument === undefined || argument.length < 4) return trampled;
  const says = new DataView(argument.buffer, argument.byteOffset).getUint32(0, true);
  return trampled.filter((at) => at < 0 || at >= says);
};

/** The clause that says how far a call writes: its own, where it has one. */
const writesNoMore = (answer: Answer): Clause =>
  ('unspecified' in answer ? undefined : answer.allowed[0].untouched) ?? WITHIN_ARGUMENT;

/** A deviation that the model can follow is told once; it comes back with every such call. */
const isTold = (divergences: readonly Divergence[], clause: Clause): boolean =>
  divergences.some((one) => one.clauses.includes(clause));

/** Where something diverged; asked for only then, because nearly every call conforms and text is dear. */
const placeOf = (call: Call, seen: Result, iteration: number) => ({
  step: seen.step,
  iteration,
  call: printCall(call),
});

const CLOSENESS = { fits: 0, bytes: 1, errno: 2, result: 3 } as const;

/** Whether one distance is less than another: of two that differ in bytes, the one that does in fewer. */
const isCloser = (one: Distance, other: Distance): boolean =>
  one.kind === 'bytes' && other.kind === 'bytes'
    ? differingBytes(one.mismatches) < differingBytes(other.mismatches)
    : CLOSENESS[one.kind] < CLOSENESS[other.kind];

const differingBytes = (mismatches: readonly Mismatch[]): number =>
  mismatches.reduce((sum, { expected, observed }) => {
    const missing = Math.abs(expected.length - observed.length);
    return sum + missing + expected.filter((byte, index) => index < observed.length && byte !== observed[index]).length;
  }, 0);

const nearestOutcome = (
  allowed: readonly [Outcome, ...Outcome[]],
  seen: Result,
  before: Uint8Array | undefined,
): [Outcome, Distance] => {
  let best: [Outcome, Distance] = [allowed[0], distance(allowed[0], seen, before)];
  for (const outcome of allowed.slice(1)) {
    if (best[1].kind === 'fits') break;
    const gap = distance(outcome, seen, before);
    if (isCloser(gap, best[1])) best = [outcome, gap];
  }
  return best;
};

const describe = (
  allowed: readonly [Outcome, ...Outcome[]],
  nearest: Outcome,
  gap: Distance,
  seen: Result,
): Pick<Divergence, 'clauses' | 'expected' | 'observed' | 'bytes'> => {
  if (gap.kind === 'bytes') {
    return {
      clauses: unique(gap.mismatches.map((mismatch) => mismatch.clause)),
      bytes: gap.mismatches,
      expected: `${outcomeText(nearest)} with ${gap.mismatches.map((m) => bytesText(m, m.expected)).join('; ')}`,
      observed: `${resultText(seen.ret, seen.errno)} with ${gap.mismatches.map((m) => bytesText(m, m.observed)).join('; ')}`,
    };
  }
  const conforming = allowed.filter((outcome) => outcome.breaks === undefined);
  return {
    clauses: unique(conforming.flatMap((outcome) => outcome.clauses)),
    expected: [...new Set(conforming.map(outcomeText))].join(' or '),
    observed: resultText(seen.ret, seen.errno),
  };
};

const bytesText = (mismatch: Mismatch, bytes: Uint8Array): string => {
  const shown = Buffer.from(bytes.subarray(0, 16)).toString('hex');
  return `byte ${mismatch.at}: ${shown || 'nothing'}${bytes.length > 16 ? `... (${bytes.length} bytes)` : ''}`;
};

const unique = (clauses: readonly Clause[]): readonly Clause[] => [
  ...new Map(clauses.map((clause) => [clause.id, clause])).values(),
];

const damageOf = (run: Run, followed: Followed, leak: Divergence | undefined): Damage | undefined => {
  const { ending } = run;
  if (ending.kind === 'panicked') return { kind: 'panic', console: ending.console };
  if (ending.kind === 'hung') return { kind: 'hang', detail: 'the host no longer answers' };
  const lines = splats(run.kernelLog ?? []);
  if (lines.length > 0) return { kind: 'kernel-log', lines };
  if (followed.mishap !== undefined) return { kind: 'hang', detail: followed.mishap };
  if (leak !== undefined) {
    return { kind: 'leak', detail: `${leak.call}: expected ${leak.expected}, observed ${leak.observed}` };
  }
  return undefined;
};

/** Looks observations up by call and iteration; each call's ranges are walked once, because iterations are asked for in order. */
export const observationsByStep = (observations: readonly Observation[]) => {
  const byStep = new Map<number, { ranges: Observation[]; next: number }>();
  for (const observation of observations) {
    const entry = byStep.get(observation.step);
    if (entry === undefined) byStep.set(observation.step, { ranges: [observation], next: 0 });
    else entry.ranges.push(observation);
  }
  return (step: number, iteration: number): Observation | undefined => {
    const entry = byStep.get(step);
    if (entry === undefined) return undefined;
    let range = entry.ranges[entry.next];
    while (range !== undefined && range.last < iteration) range = entry.ranges[++entry.next];
    return range !== undefined && range.iteration <= iteration ? range : undefined;
  };
};
