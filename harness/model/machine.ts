import type { Platform } from '../program/platform.ts';
import type { Call, OpName, Program } from '../program/step.ts';
import type { Clause } from '../spec/clause.ts';
import type { Silence } from './clauses.ts';
import type { Answer } from './outcome.ts';
import { Actor } from './world/actor.ts';
import type { Files } from './world/kernel-file.ts';
import { Mm } from './world/mm.ts';
import { DESCRIPTOR_OPERATIONS } from './world/operations/descriptors.ts';
import { IOCTL_OPERATIONS } from './world/operations/ioctl.ts';
import { MEMORY_CONTENT_OPERATIONS } from './world/operations/memory-content.ts';
import { MEMORY_MAPPING_OPERATIONS } from './world/operations/memory-mapping.ts';
import { PROCESS_OPERATIONS } from './world/operations/processes.ts';
import { QUEUE_OPERATIONS } from './world/operations/queues.ts';
import { REGISTER_OPERATIONS } from './world/operations/registers.ts';
import { STATE_OPERATIONS } from './world/operations/state.ts';
import { unspecified } from './world/replies.ts';
import type { Operations, World } from './world/world.ts';

/**
 * The model at work on one program: the state of a machine on which only this program runs.
 * `answer` has no effect; `commit` of one of the outcomes it returned moves the state on.
 */
export interface Machine {
  /** What is allowed for the next call (`iteration` from 0, other than 0 only in a repeat). */
  answer(call: Call, iteration: number): Answer;
  /**
   * The acting process died in a way the program did not ask for (an observation's mishap): its memory and descriptors are gone.
   * Later calls of it are not judged.
   */
  actorDied(actor: string): void;
  /** The lines of the kernel's log, of the time of the program, that a clause does not want; each clause once. */
  unwanted(log: readonly string[]): readonly { readonly clause: Clause; readonly line: string }[];
}

/** What a machine is made of. The same values and the same calls give the same answers: there is no clock and no chance in it. */
export interface MachineOptions {
  readonly platform: Platform;
  readonly lets: Program['lets'];
  /** The files that can be opened: VFIO's, and whatever else a revision models. */
  readonly files: Files;
  /** What holds a test module; nothing unless given. */
  readonly holderOf?: World['holderOf'];
  /** What the kernel must not say; nothing unless given. */
  readonly silences?: readonly Silence[];
}

/** The operations of ops.def, each with what it allows. */
const OPERATIONS: Operations<OpName> = {
  ...PROCESS_OPERATIONS,
  ...MEMORY_MAPPING_OPERATIONS,
  ...MEMORY_CONTENT_OPERATIONS,
  ...REGISTER_OPERATIONS,
  ...DESCRIPTOR_OPERATIONS,
  ...QUEUE_OPERATIONS,
  ...IOCTL_OPERATIONS,
  ...STATE_OPERATIONS,
};

/** A machine on which one process, `main`, has just started as root. */
export const createMachine = ({
  platform,
  lets,
  files,
  holderOf = () => undefined,
  silences = [],
}: MachineOptions): Machine => {
  const actors = new Map([['main', new Actor('main', new Mm(platform.pageSizeBytes))]]);
  const world: World = { platform, lets, files, holderOf, actors };
  return {
    answer: (call, iteration) => {
      const actor = actors.get(call.actor);
      if (actor === undefined || !actor.alive) return unspecified(`${call.actor} is not there`);
      return perform(call.op, world, actor, call, iteration);
    },
    actorDied: (name) => actors.get(name)?.die(),
    unwanted: (log) =>
      silences.flatMap((clause) => {
        const line = log.find((one) => clause.heard(one));
        return line === undefined ? [] : [{ clause, line }];
      }),
  };
};

/** Takes the operation by its name; the names of a call and of its operation are the same, which the type checker cannot see. */
const perform = <K extends OpName>(op: K, world: World, actor: Actor, call: Call, iteration: number): Answer =>
  OPERATIONS[op](world, actor, call as Extract<Call, { op: K }>, iteration);
