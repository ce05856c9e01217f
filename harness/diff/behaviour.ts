import { type Case, makes } from '../cases/case.ts';
import { cleanup } from '../cases/cleanup.ts';
import { MODEL_PLATFORM } from '../cases/model-platform.ts';
import { letsOf } from '../cases/session.ts';
import { createModel } from '../model/create-model.ts';
import type { Program } from '../program/step.ts';
import { printCall, printProgram } from '../program/text.ts';
import type { ClauseId } from '../spec/clause.ts';
import { type Revision, retakenSince } from '../spec/revision.ts';
import { factsOf } from './clauses.ts';
import { clausesBehind, intentOf } from './intent.ts';
import { seenAt } from './seen.ts';
import type { BehaviourChange, Both, Side, SpecDiff } from './spec-diff.ts';
import { traced } from './trace.ts';
import { type Parting, walk } from './walk.ts';
import { wordsOf } from './words.ts';

/** What is found of the programs, and how many differences are put down to each clause. */
export interface BehaviourComparison {
  readonly behaviour: SpecDiff['behaviour'];
  readonly programsOf: ReadonlyMap<ClauseId, number>;
}

/**
 * Runs the programs of cases through the models of both sides, on the platform that the VM host has. Cases need not be in
 * force on either side: a program is a program. Needs no kernel.
 */
export const compareBehaviour = (
  sides: Both<Side>,
  cases: readonly Case[],
  declared: (clause: ClauseId) => boolean,
): BehaviourComparison => {
  const programsOf = new Map<ClauseId, number>();
  const changes: BehaviourChange[] = [];
  const possible = cases.filter(
    (one) => one.needs.every(({ met }) => met(MODEL_PLATFORM)) && !(isRetaken(one, sides.a) && isRetaken(one, sides.b)),
  );
  const part = parter(sides.a.revision, sides.b.revision, declared);
  for (const one of possible) {
    const program = { lets: letsOf(MODEL_PLATFORM), steps: [...one.steps, ...cleanup(one.steps)] };
    const parting = part(program);
    if (parting === undefined) continue;
    changes.push(tell(sides, one, program, parting, declared));
    const behind = clausesBehind(parting);
    const ids = new Set([...behind.a, ...behind.b].map(({ id }) => id));
    for (const id of ids) programsOf.set(id, (programsOf.get(id) ?? 0) + 1);
  }
  return { behaviour: { compared: possible.length, changes: changes.sort(byIntentAndSize) }, programsOf };
};

const byIntentAndSize = (x: BehaviourChange, y: BehaviourChange): number =>
  Number(x.intended) - Number(y.intended) || x.calls - y.calls || (x.id < y.id ? -1 : 1);

/** Whether a request of a program means something else on a side than it did when the case was written. */
const isRetaken = (one: Case, { revision }: Side): boolean => makes(one, retakenSince(revision, one.clause));

/** Takes programs through two revisions; the same revision cannot part from itself. */
const parter = (a: Revision, b: Revision, declared: (clause: ClauseId) => boolean) => {
  if (a === b) return () => undefined;
  const [traceA, traceB] = [traced(a, declared), traced(b, declared)];
  const lookedUp = (): readonly ClauseId[] => [...traceA.take(), ...traceB.take()];
  return (program: Program): Parting | undefined => {
    lookedUp();
    const machines = {
      a: createModel(traceA.revision, MODEL_PLATFORM, program.lets),
      b: createModel(traceB.revision, MODEL_PLATFORM, program.lets),
    };
    return walk(machines, program, declared, lookedUp);
  };
};

const tell = (
  sides: Both<Side>,
  one: Case,
  program: Program,
  parting: Parting,
  declared: (clause: ClauseId) => boolean,
): BehaviourChange => {
  const words = wordsOf(parting);
  const behind = clausesBehind(parting);
  const { entry, line } = placeOf(program, parting.step);
  const seen = (side: Side) => (side.run === undefined ? undefined : seenAt(side.run, one.id, program, parting));
  const [inA, inB] = [seen(sides.a), seen(sides.b)];
  return {
    id: one.id,
    clause: one.clause,
    calls: countCalls(one.steps),
    program: printProgram({ lets: {}, steps: program.steps.slice(0, entry + 1) }),
    line,
    call: printCall(parting.call),
    ...(parting.iteration === 0 ? {} : { iteration: parting.iteration }),
    allowed: {
      a: { words: words.a, clauses: behind.a.map(factsOf) },
      b: { words: words.b, clauses: behind.b.map(factsOf) },
    },
    seen: { ...(inA === undefined ? {} : { a: inA }), ...(inB === undefined ? {} : { b: inB }) },
    ...intentOf(parting, declared, (step) => placeOf(program, step).line),
  };
};

/** Where a call stands: the entry of the program that holds it, and its line in the program's text (from 1, without lets). */
const placeOf = (program: Program, step: number): { readonly entry: number; readonly line: number } => {
  let index = 0;
  let line = 1;
  for (const [at, entry] of program.steps.entries()) {
    const size = entry.op === 'repeat' ? entry.body.length : 1;
    if (step < index + size) return { entry: at, line: line + (entry.op === 'repeat' ? 1 + step - index : 0) };
    index += size;
    line += entry.op === 'repeat' ? size + 2 : 1;
  }
  throw new RangeError(`the program has no call ${step}`);
};

const countCalls = (steps: Program['steps']): number =>
  steps.reduce((count, step) => count + (step.op === 'repeat' ? step.body.length : 1), 0);
