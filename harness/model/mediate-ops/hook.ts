import type { Clause } from '../../spec/clause.ts';
import { COUNTER, SETTING } from '../../uapi/mediator-test.ts';
import type { Law } from '../law.ts';
import { DECLARED, HANDLE } from './clauses.ts';
import { count, hookOf, type Mediated, type Mediator, slotOf, wordOf } from './state.ts';

/** What a hook notes of the handle that it is given. */
export const notesHandle = (law: Law, mediator: Mediator, { handle }: Mediated): void => {
  const seen = law.of(HANDLE).rule(handle);
  mediator.words[COUNTER.handleSeen] = seen;
  if (seen !== wordOf(mediator, SETTING.handle)) count(mediator, COUNTER.strange);
};

/** A hook that is to be called; or, where it is not, what that leaves behind and the clause for which it is not. */
export type HookCall =
  | { readonly mediator: Mediator; readonly called: () => void }
  | { readonly passed: () => void; readonly by?: Clause };

const NOTHING = { passed: (): void => undefined };

/** The hook for a region of a device, which counts in the words that begin at `words`. */
export const hookFor = (
  law: Law,
  mediated: Mediated | undefined,
  hook: bigint,
  words: number,
  region: number,
): HookCall => {
  const mediator = mediated && hookOf(mediated, hook);
  if (mediated === undefined || mediator === undefined) return NOTHING;
  const word = words + slotOf(region);
  const declared = law.of(DECLARED);
  if (!declared.rule(mediated.regions, slotOf(region)))
    return { passed: () => mediator.by.set(word, declared), by: declared };
  return {
    mediator,
    called: () => {
      notesHandle(law, mediator, mediated);
      count(mediator, word);
    },
  };
};
