import type { Platform } from '../program/platform.ts';
import type { Call, Program } from '../program/step.ts';
import type { Answer } from './outcome.ts';
import type { Files } from './world/kernel-file.ts';

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
}

/** What a machine is made of. The same values and the same calls give the same answers: there is no clock and no chance in it. */
export interface MachineOptions {
  readonly platform: Platform;
  readonly lets: Program['lets'];
  /** The files that can be opened: VFIO's, and whatever else a revision models. */
  readonly files: Files;
}
