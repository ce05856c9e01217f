import type { Machine } from '../model/machine.ts';
import type { Platform } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { Case } from './case.ts';
import { checkModel, type ModelCheck } from './check-model.ts';

/** Makes the model of one revision for one program on one platform. */
export type MakeModel = (platform: Platform, lets: Program['lets']) => Machine;

export interface Models {
  readonly makeModel: MakeModel;
  /** The same for the revisions that it is built on, its own base first; absent: none. */
  readonly makeBaseModels?: readonly MakeModel[];
}

/**
 * A case through the model of the revision. Cases are written for what a revision is built on: where one of those agrees with
 * a case and the revision does not, a revision has changed what the case expects, which is no fault of the case's, and the
 * model alone says what must follow.
 */
export const checkCase = (
  { makeModel, makeBaseModels = [] }: Models,
  platform: Platform,
  program: Program,
  { expectations }: Case,
): ModelCheck & { readonly superseded?: true } => {
  const check = (make: MakeModel, expected: Case['expectations']): ModelCheck =>
    checkModel(make(platform, program.lets), program, expected);
  const found = check(makeModel, expectations);
  if (found.disagreement === undefined) return found;
  if (!makeBaseModels.some((make) => check(make, expectations).disagreement === undefined)) return found;
  return { ...check(makeModel, []), superseded: true };
};
