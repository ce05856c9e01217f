import type { Outcome } from '../outcome.ts';
import type { Actor } from './actor.ts';

/**
 * What a call copies to an address is not shown by the step: it goes where the process will read it. Bytes that may be
 * anything, which the model must know again when they come back, are put there unseen by programs.
 */
export const inMemory = (outcome: Outcome, { space }: Actor, address: bigint): Outcome => {
  const { out, ...rest } = outcome;
  if (out === undefined || out === 'anything') return rest;
  return {
    ...rest,
    commit: () => {
      outcome.commit();
      for (const { at, bytes, secret, clause } of out) {
        const vaddr = address + BigInt(at);
        if (typeof bytes !== 'number') space.write(vaddr, bytes, clause);
        else if (secret === undefined) space.fill(vaddr, BigInt(bytes), undefined, clause);
        else space.writeAddress(vaddr, secret);
      }
    },
  };
};
