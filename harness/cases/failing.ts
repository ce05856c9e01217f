import { FAILED_ALLOCATIONS } from './needs.ts';
import type { Actor, Scenario } from './scenario.ts';

/** Has allocations of the kernel fail in what a process asks for. */
export interface FailingAllocations {
  /** Does something with the nth allocation failing that the kernel makes from there on; for n from `from` to `to`, both inclusive. */
  each(from: number, to: number, act: () => void): void;
}

/** The nth allocation of what main asks for fails. */
export const failingAllocations = (s: Scenario, actor: Actor = s.main): FailingAllocations => {
  s.needs(FAILED_ALLOCATIONS);
  const fd = actor.opens('/proc/self/fail-nth', 'failing');
  const set = (nth: number): void =>
    void actor.does({ op: 'pwrite', fd, offset: 0n, data: new TextEncoder().encode(`${nth}`) });
  // The first writing makes what the helper itself needs.
  set(0);
  return {
    each: (from, to, act) => {
      for (let nth = from; nth <= to; nth++) {
        set(nth);
        act();
        set(0);
      }
    },
  };
};
