import type { Machine } from '../model/machine.ts';
import type { Platform } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { Case } from './case.ts';
import { checkModel, type ModelCheck } from './check-model.ts';

/** Makes the model of one revision for one program on one platform. */
export type MakeModel = (platform: Platform, lets: Program['lets']) => Machine;

export interface Models {
  readonly makeModel: MakeModel;
  /** The same for the revision that it is built on, if it is. */
  readonly makeBaseModel?: MakeModel;
}

/**
 * A case through the model of the revision. Cases are written for what a revision is built on: where that agrees with a
 * case and the revision does not, the revision changes what the case expects, which is no fault of the case's, and the
 * model alone says what must follow.
 */
export const checkCase = (
  { makeModel, makeBaseModel }: Models,
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
