import { MODEL_PLATFORM } from '../cases/model-platform.ts';
import { letsOf } from '../cases/session.ts';
import type { Objection, Request } from '../model/clauses.ts';
import { createModel } from '../model/create-model.ts';
import { lawOf } from '../model/law.ts';
import type { Answer } from '../model/outcome.ts';
import { type Distance, distance, type Result } from '../oracle/compare.ts';
import { calls } from '../oracle/expected-path.ts';
import { observationsByStep } from '../oracle/judge.ts';
import { initialBytes } from '../program/inline.ts';
import type { Call, Program } from '../program/step.ts';
import type { ClauseId } from '../spec/clause.ts';
import type { Revision } from '../spec/revision.ts';
import type { Errno } from '../uapi/errno.ts';
import type { Column } from './columns.ts';
import type { Fault, FaultPair, Results } from './coverage.ts';
import { type KeptRun, keptRunOf } from './kept-run.ts';
import { fileOf, namesOf } from './names.ts';
import { type Look, type Watch, watched } from './watched.ts';

/** What the kernels did where two reasons to refuse a call came together, and the cases of each that could not be followed. */
export interface FaultsFound {
  readonly pairs: readonly FaultPair[];
  readonly notFollowed: readonly number[];
}

/**
 * Finds the calls in which two refusals with different errnos hold at once: the model follows what each kernel did, and at
 * each call all objections are asked, also those that stand behind one that holds.
 */
export const faultCoverage = (columns: readonly Column[]): FaultsFound => {
  const pairs = new Map<string, { readonly pair: Omit<FaultPair, 'seen'>; readonly seen: Record<string, number>[] }>();
  const notFollowed = columns.map(({ cases, revision }, index) => {
    const watch = watched(revision);
    const objections = objectionsOf(revision);
    const nameOf = namesOf(revision);
    const note = (call: Ioctl, { to, faults, order }: Coinciding, errno: string): void => {
      const { file, name } = nameOf(fileRefusing(revision, to), call.request);
      const key = JSON.stringify([file, name, faults.map(({ clause }) => clause), order]);
      const entry = pairs.get(key) ?? {
        pair: { file, name, faults, order },
        seen: columns.map((): Record<string, number> => ({})),
      };
      pairs.set(key, entry);
      const seen = entry.seen[index];
      if (seen !== undefined) seen[errno] = (seen[errno] ?? 0) + 1;
    };
    return cases.filter((record) => {
      if (record.observed === '') return false;
      const kept = keptRunOf(record);
      return kept === undefined || !follow(watch, kept, objections, note);
    }).length;
  });
  return { pairs: [...pairs.values()].map(({ pair, seen }) => ({ ...pair, seen: seen as Results[] })), notFollowed };
};

/** The kind of file that a request is for, or that refuses requests on its own: that is how its clause is called. */
const fileRefusing = (revision: Revision, to: ClauseId): string => {
  const request = lawOf(revision)
    .all<Request<unknown, unknown>>('request')
    .find(({ id }) => id === to);
  return request === undefined ? to.slice(0, to.indexOf('/')) : fileOf(request);
};

type Ioctl = Extract<Call, { op: 'ioctl' }>;
type Objections = ReadonlyMap<ClauseId, readonly Objection<unknown>[]>;

interface Coinciding extends Pick<FaultPair, 'faults' | 'order'> {
  readonly to: ClauseId;
}

/** By the request that they refuse. */
const objectionsOf = (revision: Revision): Objections => {
  const byRequest = new Map<ClauseId, Objection<unknown>[]>();
  for (const one of lawOf(revision).all<Objection<unknown>>('objection')) {
    byRequest.set(one.to, [...(byRequest.get(one.to) ?? []), one]);
  }
  return byRequest;
};

/** Takes a model through what a kernel did; `false` when the model does not allow it, on the platform that it assumes. */
const follow = (
  watch: Watch,
  { program, observations }: KeptRun,
  objections: Objections,
  note: (call: Ioctl, found: Coinciding, errno: string) => void,
): boolean => {
  const machine = createModel(watch.revision, MODEL_PLATFORM, letsOf(MODEL_PLATFORM));
  const find = observationsByStep(observations);
  for (const { call, step, iteration } of calls(program)) {
    const seen = find(step, iteration);
    if (seen === undefined || 'mishap' in seen) return false;
    watch.take();
    const answer = machine.answer(call, iteration);
    if (call.op === 'ioctl') {
      const errno = seen.errno === 0 ? '0' : seen.errno;
      for (const found of watch.take().flatMap((look) => coinciding(look, objections, answer)))
        note(call, found, errno);
    }
    if (!advance(answer, call, seen, iteration, program)) return false;
  }
  return true;
};

/** Moves the model on as the kernel went. */
const advance = (answer: Answer, call: Call, seen: Result, iteration: number, { lets }: Program): boolean => {
  if ('unspecified' in answer) {
    answer.commit?.();
    return true;
  }
  const before = call.op === 'ioctl' ? initialBytes(call.arg, iteration, lets) : undefined;
  const distances = answer.allowed.map((outcome) => ({ outcome, kind: distance(outcome, seen, before).kind }));
  // A reply that differs in its bytes alone leaves the same state (addresses and ranges are the host's own), and so does
  // a refusal with another errno.
  const of = (kind: Distance['kind']) => distances.find((one) => one.kind === kind);
  const taken = of('fits') ?? of('bytes');
  taken?.outcome.commit();
  return taken !== undefined || of('errno') !== undefined;
};

/** What cannot be read is zero to the model: what stands behind such a refusal holds only by chance. */
const READ = 'read';

/** The pairs of objections that hold in one situation, of which the answer gives one or both. */
const coinciding = ({ to, situation }: Look, objections: Objections, answer: Answer): readonly Coinciding[] => {
  const holding = (objections.get(to) ?? []).filter((one) => holds(one, situation));
  if (holding.length < 2 || !('allowed' in answer)) return [];
  const given = new Set(answer.allowed.flatMap(({ clauses }) => clauses.map(({ id }) => id)));
  const first = holding.filter(({ id }) => given.has(id));
  if (first.some(({ stage }) => stage === READ)) return [];
  const tell = (one: Objection<unknown>): Fault => ({ clause: one.id, errnos: errnosOf(one, situation) });
  const [one, other, third] = first;
  // Where more than two may answer, nothing is learnt of any two of them.
  if (one === undefined || third !== undefined) return [];
  const behind = other === undefined ? holding.filter(({ id }) => id !== one.id) : [];
  const pairs: readonly Coinciding[] = [
    ...(other === undefined ? [] : [{ to, faults: [tell(one), tell(other)] as const, order: 'either' as const }]),
    ...behind.map((later) => ({ to, faults: [tell(one), tell(later)] as const, order: 'first' as const })),
  ];
  return pairs.filter(({ faults: [a, b] }) => !sameErrnos(a.errnos, b.errnos));
};

/** Objections of later stages are asked where earlier ones hold, for which they are not made: one that cannot be asked does not hold. */
const holds = (one: Objection<unknown>, situation: unknown): boolean => {
  try {
    return one.when(situation) === true;
  } catch {
    return false;
  }
};

const errnosOf = (one: Objection<unknown>, situation: unknown): readonly Errno[] => {
  const named = one.errno?.(situation);
  return named === undefined ? one.errnos : [named];
};

const sameErrnos = (a: readonly Errno[], b: readonly Errno[]): boolean =>
  a.length === b.length && a.every((errno) => b.includes(errno));
