import {
  type Container,
  clause,
  each,
  type Memory,
  READ,
  readyContainer,
  type Scenario,
  test,
  WRITE,
} from '../harness/cases/index.ts';
import { type Move as AnyMove, type Numbers, numbersFrom, seeds, somePages, wander } from '../harness/cases/walks.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/*
 * Long programs whose calls are drawn at random from a fixed seed, so that a case is the same every time. They state no
 * expectations of their own: the model follows them. What a table of neat cases does not come to, such as a mapping that
 * begins at the last bit of a word or a map that fails half way and is tried again, they do.
 */

const PAGE = 0x1000n;
const STEPS = 48;
const ROOM = 160;

interface Walk {
  readonly s: Scenario;
  readonly c: Container;
  /** 64 pages, the last 8 of which are not there. */
  readonly memory: Memory;
  readonly bitmap: Memory;
  readonly numbers: Numbers;
}

const PAGES = 48;

type Move = AnyMove<Walk>;

const maps: Move = ({ c, memory, numbers }) => {
  const vaddr = memory.at(BigInt(numbers.below(60)) * PAGE);
  void c.map({ ...somePages(numbers, PAGES), vaddr, flags: numbers.oneOf([READ, WRITE, READ | WRITE]) });
};
const mapsOddly: Move = ({ c, memory, numbers }) => {
  const range = somePages(numbers, PAGES);
  const size = range.size + numbers.oneOf([0n, 1n, 0x800n, -PAGE]);
  void c.map({ ...range, size, vaddr: memory.at(), flags: numbers.oneOf([READ, 0, 8, READ | WRITE]) });
};
const unmaps: Move = ({ c, numbers }) => void c.unmap(somePages(numbers, PAGES));
const unmapsMuch: Move = ({ c, numbers }) =>
  void c.unmap({ iova: BigInt(numbers.below(8)) * PAGE, size: BigInt(16 + numbers.below(64)) * PAGE });
const unmapsAll: Move = ({ c }) => void c.unmapAll();
const looks: Move = ({ s, c }) => {
  c.info(ROOM).succeeds();
  s.main.lockedKb().succeeds();
};
const invalidates: Move = ({ c, numbers }) => void c.invalidateVaddr(somePages(numbers, PAGES));
const updates: Move = ({ c, memory, numbers }) =>
  void c.updateVaddr({ ...somePages(numbers, PAGES), vaddr: memory.at(BigInt(numbers.below(48)) * PAGE) });
const starts: Move = ({ c }) => void c.startDirty();
const stops: Move = ({ c }) => void c.stopDirty();
/** What stood in the bitmap before must stay where no mapping is. */
const reads: Move = ({ c, bitmap, numbers }) => {
  bitmap.fill(numbers.oneOf([0, 0, 0xa5])).succeeds();
  const iova = BigInt(numbers.below(8)) * PAGE;
  const size = BigInt(numbers.oneOf([1, 63, 64, 65, 128])) * PAGE;
  void c.getDirty({ iova, size, bitmap: { data: bitmap.at(), size: numbers.oneOf([8n, 16n, 24n]) } });
  bitmap.read();
  bitmap.guards().returns(0);
};
const unmapsWithBitmap: Move = ({ c, bitmap, numbers }) => {
  bitmap.fill(0).succeeds();
  void c.unmap({ ...somePages(numbers, PAGES), bitmap: { data: bitmap.at(), size: 8n } });
  bitmap.read();
  bitmap.guards().returns(0);
};

const walk = (s: Scenario, seed: number, type: bigint, moves: readonly [Move, ...Move[]]): void => {
  const numbers = numbersFrom(seed);
  const c = readyContainer(s, { type });
  const memory = s.main.memory(64n * PAGE);
  memory.fill(1);
  memory.hole(56n * PAGE, 8n * PAGE).succeeds();
  const bitmap = s.main.memory(24, { offset: 512, guard: true });
  wander({ s, c, memory, bitmap, numbers }, STEPS, moves);
  c.unmapAll();
  looks({ s, c, memory, bitmap, numbers });
};

clause('unmap/v2-whole-mappings', () => {
  each(seeds(1, 12), (s, seed) =>
    walk(s, seed, uapi.VFIO_TYPE1v2_IOMMU, [maps, maps, maps, mapsOddly, unmaps, unmaps, unmapsMuch, unmapsAll, looks]),
  );
});

clause('unmap/v1-first-iova', () => {
  each(seeds(101, 8), (s, seed) =>
    walk(s, seed, uapi.VFIO_TYPE1_IOMMU, [maps, maps, maps, unmaps, unmaps, unmapsMuch, looks]),
  );
});

clause('vaddr/updates', () => {
  each(seeds(201, 8), (s, seed) =>
    walk(s, seed, uapi.VFIO_TYPE1v2_IOMMU, [maps, maps, unmaps, invalidates, invalidates, updates, updates, looks]),
  );
});

/** A mapping at each place in a word, for one, two and 64 pages: where one word's bits run over into the next. */
clause('dirty/bit-positions', () => {
  const places = Array.from({ length: 66 }, (_, index) => index);
  each(Object.fromEntries(places.map((place) => [`page ${place} of the range`, place])), (s, place) => {
    const c = readyContainer(s, { memory: 64n * PAGE });
    const bitmap = s.main.memory(24, { offset: 512, guard: true });
    c.startDirty().succeeds();
    for (const pages of [1n, 2n, 64n]) {
      const range = { iova: BigInt(place) * PAGE, size: pages * PAGE };
      c.map(range).succeeds();
      bitmap.fill(0).succeeds();
      c.getDirty({ iova: 0n, size: 192n * PAGE, bitmap: { data: bitmap.at(), size: 24n } }).succeeds();
      bitmap.read();
      bitmap.guards().returns(0);
      c.unmap(range).succeeds();
    }
  });
  test('several mappings in one word', (s) => {
    const c = readyContainer(s);
    const bitmap = s.main.memory(24, { offset: 512, guard: true });
    c.startDirty().succeeds();
    for (const first of [0n, 3n, 7n, 62n, 63n, 64n, 66n]) c.map({ iova: first * PAGE, size: PAGE }).succeeds();
    bitmap.fill(0).succeeds();
    c.getDirty({ iova: 0n, size: 192n * PAGE, bitmap: { data: bitmap.at(), size: 24n } }).succeeds();
    bitmap.read();
    bitmap.guards().returns(0);
  });
});

clause('dirty/written-words', () => {
  each(seeds(301, 12), (s, seed) =>
    walk(s, seed, uapi.VFIO_TYPE1v2_IOMMU, [maps, maps, unmaps, unmapsWithBitmap, starts, starts, stops, reads, reads]),
  );
});
