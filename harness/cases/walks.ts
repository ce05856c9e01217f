import type { Actor } from './scenario.ts';

/* What random programs are drawn from: a case is the same every time. */

const PAGE = 0x1000n;

/** Numbers that a seed gives. */
export interface Numbers {
  /** A whole number below `bound`. */
  below(bound: number): number;
  oneOf<T>(values: readonly [T, ...T[]]): T;
}

/** The Mulberry32 generator: the same numbers for the same seed, everywhere. */
export const numbersFrom = (seed: number): Numbers => {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return {
    below: (bound) => next() % bound,
    oneOf: (values) => values[next() % values.length] ?? values[0],
  };
};

/** Titles of cases, and the seed of each. */
export const seeds = (first: number, count: number): Readonly<Record<string, number>> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`walk ${first + index}`, first + index]));

/** Whole pages within the first so many of an IO address space, mostly few and near each other, so that ranges meet. */
export const somePages = ({ below, oneOf }: Numbers, pages: number): { iova: bigint; size: bigint } => ({
  iova: BigInt(below(pages)) * PAGE,
  size: BigInt(1 + below(oneOf([1, 2, 4, 16]))) * PAGE,
});

/** One thing that a random program does next. */
export type Move<W> = (walk: W) => void;

/** Makes so many moves, each as likely as any other. */
export const wander = <W extends { readonly numbers: Numbers }>(
  walk: W,
  steps: number,
  moves: readonly [Move<W>, ...Move<W>[]],
): void => {
  for (let step = 0; step < steps; step++) walk.numbers.oneOf(moves)(walk);
};

/** What an actor has pinned and locked: the model says how much that is. */
export const looksAtCharges = (actor: Actor): void => {
  actor.does({ op: 'status', field: 'VmPin' }).succeeds();
  actor.lockedKb().succeeds();
};
