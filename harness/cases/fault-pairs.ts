import type { Errno } from '../uapi/errno.ts';
import type { Scenario } from './scenario.ts';
import { clause, test } from './suite.ts';

/** Something wrong with a request: other fields, or another state of what is asked, or of the process that asks. */
export interface Fault<Request, On> {
  readonly errnos: readonly [Errno, ...Errno[]];
  readonly request?: Partial<Request>;
  readonly before?: (on: On, s: Scenario) => void;
}

type ClauseName = Parameters<typeof clause>[0];

/** Faults of one call, each under the clause that refuses it. */
export type Faults<Request, On> = Partial<Record<ClauseName, Fault<Request, On>>>;

interface Refused {
  refused(...errnos: readonly [Errno, ...Errno[]]): unknown;
}

/** How a request is made, whatever is wrong with it. */
interface Asking<Request, On> {
  /** What is there before anything is wrong. */
  ready(s: Scenario): On;
  ask(on: On, request: Partial<Request>, s: Scenario): Refused;
  /** What must be left behind, which is nothing of the request. */
  left?(on: On, s: Scenario): void;
}

/**
 * A case for every two faults that are not about the same field, under the clause of the first: either errno may be the
 * answer, where the model does not say more.
 */
export const pairs = <Request, On>(faults: Faults<Request, On>, { ready, ask, left }: Asking<Request, On>): void => {
  const all = Object.entries(faults) as [ClauseName, Fault<Request, On>][];
  all.forEach(([id, one], index) => {
    const others = all.slice(index + 1).filter(([, other]) => !sameField(one.request, other.request));
    if (others.length === 0) return;
    clause(id, () => {
      for (const [name, other] of others) {
        test(`and ${name}`, (s) => {
          const on = ready(s);
          for (const { before } of [one, other]) before?.(on, s);
          const said = ask(on, { ...one.request, ...other.request }, s);
          left?.(on, s);
          said.refused(...one.errnos, ...other.errnos);
        });
      }
    });
  });
};

const sameField = (one: object = {}, other: object = {}): boolean => Object.keys(one).some((key) => key in other);
