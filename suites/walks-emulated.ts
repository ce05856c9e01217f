import { type EmulatedDevice, emulated, PIN_READ, PIN_WRITE } from '../harness/cases/emulated.ts';
import { type Container, clause, each, type Memory, READ, type Scenario, WRITE } from '../harness/cases/index.ts';
import { type Move as AnyMove, type Numbers, numbersFrom, seeds, somePages, wander } from '../harness/cases/walks.ts';

/* Random programs, as in walks.ts, with a device without an IOMMU, alone or beside one that has one: what it pins and writes, and what is told of that. */

const PAGE = 0x1000n;
const STEPS = 48;
const PAGES = 40;

interface Walk {
  readonly s: Scenario;
  readonly c: Container;
  readonly d: EmulatedDevice;
  /** 48 pages, the last 8 of which are not there. */
  readonly memory: Memory;
  readonly bitmap: Memory;
  readonly numbers: Numbers;
}

type Move = AnyMove<Walk>;

const rangeOf = (numbers: Numbers) => somePages(numbers, PAGES);
const iovaOf = ({ below }: Numbers): bigint => BigInt(below(PAGES)) * PAGE;

const maps: Move = ({ c, memory, numbers }) => {
  const vaddr = memory.at(BigInt(numbers.below(44)) * PAGE);
  void c.map({ ...rangeOf(numbers), vaddr, flags: numbers.oneOf([READ, READ | WRITE, READ | WRITE]) });
};
const unmaps: Move = ({ c, numbers }) => void c.unmap(rangeOf(numbers));
const unmapsMuch: Move = ({ c, numbers }) =>
  void c.unmap({ iova: BigInt(numbers.below(8)) * PAGE, size: BigInt(16 + numbers.below(64)) * PAGE });
const unmapsAll: Move = ({ c }) => void c.unmapAll();
const pins: Move = ({ d, numbers }) =>
  void d.pins(iovaOf(numbers), numbers.oneOf([1, 1, 2, 5]), numbers.oneOf([PIN_READ, PIN_READ | PIN_WRITE]));
const unpins: Move = ({ d, numbers }) => void d.unpins(iovaOf(numbers), numbers.oneOf([1, 1, 2, 5]));
const unpinsAll: Move = ({ d }) => void d.unpinsAll();
const reads: Move = ({ d, numbers }) => {
  d.fills(0xa5).succeeds();
  d.reads(iovaOf(numbers) + BigInt(numbers.below(0x1000)), 1 + numbers.below(64));
  d.loads(iovaOf(numbers), 16);
};
const writes: Move = ({ d, memory, numbers }) => {
  d.fills(numbers.below(256)).succeeds();
  d.writes(iovaOf(numbers) + BigInt(numbers.below(0x1000)), 1 + numbers.below(64));
  memory.read(BigInt(numbers.below(40)) * PAGE, PAGE);
};
const stores: Move = ({ d, memory, numbers }) => {
  d.fills(numbers.below(256)).succeeds();
  d.stores(iovaOf(numbers), 1 + numbers.below(64));
  memory.read(BigInt(numbers.below(40)) * PAGE, PAGE);
};
const looks: Move = ({ s, d }) => {
  d.tells({});
  s.main.lockedKb().succeeds();
};
const starts: Move = ({ c }) => void c.startDirty();
const stops: Move = ({ c }) => void c.stopDirty();
const asksWhatIsDirty: Move = ({ c, bitmap, numbers }) => {
  bitmap.fill(numbers.oneOf([0, 0, 0xa5])).succeeds();
  const size = BigInt(numbers.oneOf([1, 63, 64])) * PAGE;
  void c.getDirty({ iova: BigInt(numbers.below(8)) * PAGE, size, bitmap: { data: bitmap.at(), size: 8n } });
  bitmap.read();
};
const unmapsWithBitmap: Move = ({ c, bitmap, numbers }) => {
  bitmap.fill(0).succeeds();
  void c.unmap({ ...rangeOf(numbers), bitmap: { data: bitmap.at(), size: 8n } });
  bitmap.read();
};

const walk = (
  s: Scenario,
  seed: number,
  groups: readonly string[],
  moves: readonly [Move, ...Move[]],
  last: Move = looks,
): void => {
  const numbers = numbersFrom(seed);
  const { c, d } = emulated(s, { groups });
  const memory = s.main.memory(48n * PAGE);
  memory.fill(1);
  memory.hole(40n * PAGE, 8n * PAGE).succeeds();
  const now: Walk = { s, c, d, memory, bitmap: s.main.memory(8, { offset: 512, guard: true }), numbers };
  wander(now, STEPS, moves);
  last(now);
  c.unmapAll();
  looks(now);
};

const PINNING = [
  maps,
  maps,
  maps,
  unmaps,
  unmapsMuch,
  unmapsAll,
  pins,
  pins,
  pins,
  unpins,
  unpinsAll,
  reads,
  looks,
] as const;
const DIRTYING = [maps, maps, maps, unmaps, pins, pins, unpins, writes, writes, stores, starts, starts, stops] as const;

clause('pin/pins', () => {
  each(seeds(1, 12), (s, seed) => walk(s, seed, ['emulated0'], [...PINNING, writes, stores]));
});
clause('pin/charges', () => {
  each(seeds(101, 12), (s, seed) => walk(s, seed, ['emulated0', 'group0'], PINNING));
});
/** What is dirty is asked once, at the end: a second reading shows bits in holes, which is known. */
clause('pin/dirty-when-written', () => {
  const dirtying = [...DIRTYING, unmapsWithBitmap, unmapsWithBitmap] as const;
  each(seeds(201, 12), (s, seed) => walk(s, seed, ['emulated0'], dirtying, asksWhatIsDirty));
  each(seeds(301, 12), (s, seed) => walk(s, seed, ['emulated0', 'group0'], dirtying, asksWhatIsDirty));
});
