import { openCdev } from '../harness/cases/cdev.ts';
import {
  type Actor,
  type Container,
  clause,
  each,
  type Memory,
  READ,
  readyContainer,
  type Scenario,
  WRITE,
} from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { looksAtCharges, type Move, type Numbers, numbersFrom, seeds, wander } from '../harness/cases/walks.ts';

/* Random programs, as in walks.ts, of a process and its children: who maps, who is charged, and what stays when a process is gone. */

const PAGE = 0x1000n;
const STEPS = 40;
const PAGES = 24;

interface Person {
  readonly actor: Actor;
  /** 16 pages of its own. */
  readonly memory: Memory;
}

interface Walk {
  /** Those that live; the first one always does. */
  readonly people: [Person, ...Person[]];
  readonly numbers: Numbers;
}

const withMemory = (actor: Actor): Person => ({ actor, memory: actor.memory(16n * PAGE) });
const someone = ({ people, numbers }: Walk): Person => people[numbers.below(people.length)] ?? people[0];
const rangeOf = ({ below, oneOf }: Numbers) => ({
  iova: BigInt(below(PAGES)) * PAGE,
  size: BigInt(1 + below(oneOf([1, 2, 4]))) * PAGE,
});
const from = ({ memory }: Person, { below }: Numbers) => memory.at(BigInt(below(14)) * PAGE);

const forks = (walk: Walk): void => {
  const parent = someone(walk);
  if (walk.people.length < 4) walk.people.push(withMemory(parent.actor.forks()));
};
/** Not the first one: it speaks of all that is left. */
const goes = ({ people, numbers }: Walk): void => {
  const index = 1 + numbers.below(3);
  const [gone] = index < people.length ? people.splice(index, 1) : [];
  gone?.actor.exits().succeeds();
};
const becomesAnew = ({ people, numbers }: Walk): void => {
  const index = numbers.below(people.length);
  const one = people[index];
  if (one === undefined) return;
  one.actor.execs().succeeds();
  people[index] = withMemory(one.actor);
};
const looks = ({ people }: Walk): void => {
  for (const { actor } of people) looksAtCharges(actor);
};
const PEOPLE = [forks, forks, goes, becomesAnew, looks, looks] as const;

const run = <W extends Walk>(walk: W, moves: readonly [Move<W>, ...Move<W>[]]): void => {
  wander(walk, STEPS, moves);
  looks(walk);
};

interface OfContainer extends Walk {
  readonly c: Container;
}
const CONTAINER: readonly [Move<OfContainer>, ...Move<OfContainer>[]] = [
  (walk) => {
    const one = someone(walk);
    const flags = walk.numbers.oneOf([READ, READ | WRITE]);
    void walk.c.of(one.actor).map({ ...rangeOf(walk.numbers), vaddr: from(one, walk.numbers), flags });
  },
  (walk) => void walk.c.of(someone(walk).actor).unmap(rangeOf(walk.numbers)),
  (walk) => void walk.c.of(someone(walk).actor).unmapAll(),
];
const UPDATES: readonly Move<OfContainer>[] = [
  (walk) => void walk.c.of(someone(walk).actor).invalidateVaddr(rangeOf(walk.numbers)),
  (walk) => {
    const one = someone(walk);
    void walk.c.of(one.actor).updateVaddr({ ...rangeOf(walk.numbers), vaddr: from(one, walk.numbers) });
  },
];

interface OfIommufd extends Walk {
  readonly c: Context;
}
const IOMMUFD: readonly [Move<OfIommufd>, ...Move<OfIommufd>[]] = [
  (walk) => {
    const one = someone(walk);
    const { iova, size: length } = rangeOf(walk.numbers);
    void walk.c
      .of(one.actor)
      .map({ ioas: walk.numbers.oneOf([2, 2, 3]), iova, length, vaddr: from(one, walk.numbers) });
  },
  (walk) => {
    const { iova, size } = rangeOf(walk.numbers);
    void walk.c.of(someone(walk).actor).unmap(iova, size, walk.numbers.oneOf([2, 3]));
  },
  (walk) => {
    const { iova: source, size: length } = rangeOf(walk.numbers);
    const target = rangeOf(walk.numbers).iova;
    void walk.c.of(someone(walk).actor).copy({ from: walk.numbers.oneOf([2, 3]), to: 2, source, length, target });
  },
];

const inContainer = (s: Scenario, seed: number, moves: readonly [Move<OfContainer>, ...Move<OfContainer>[]]): void =>
  run({ c: readyContainer(s), people: [withMemory(s.main)], numbers: numbersFrom(seed) }, moves);

clause('accounting/charges-caller', () => {
  each(seeds(1, 12), (s, seed) => inContainer(s, seed, [...CONTAINER, CONTAINER[0], CONTAINER[0], ...PEOPLE]));
});
clause('vaddr/updates', () => {
  each(seeds(101, 12), (s, seed) =>
    inContainer(s, seed, [...CONTAINER, CONTAINER[0], ...UPDATES, ...UPDATES, ...PEOPLE]),
  );
});
clause('ioas/charges-pinned', () => {
  each(seeds(201, 12), (s, seed) => {
    const numbers = numbersFrom(seed);
    const c = openIommufd(s);
    const cdev = openCdev(s);
    cdev.bind(c, 1);
    c.alloc(2);
    c.alloc(3);
    cdev.attach(2, 4);
    run({ c, people: [withMemory(s.main)], numbers }, [...IOMMUFD, ...IOMMUFD, ...PEOPLE]);
  });
});
