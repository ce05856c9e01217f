import {
  type Access,
  BASE,
  checkMap,
  checkPins,
  PINNING,
  SLOW,
  TO_WRITE,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Memory, type Scenario } from '../harness/cases/index.ts';
import { type Context, FIXED, openWithMock, READ, WRITE } from '../harness/cases/iommufd.ts';
import {
  allocTable,
  DIRTY,
  getDirty,
  NO_CLEAR,
  replaceMock,
  setTracking,
  writeThrough,
} from '../harness/cases/page-tables.ts';
import { inline } from '../harness/cases/vfio.ts';
import {
  type Move as AnyMove,
  looksAtCharges,
  type Numbers,
  numbersFrom,
  seeds,
  wander,
} from '../harness/cases/walks.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';

/*
 * Long programs for IOMMUFD whose calls are drawn at random from a fixed seed, as walks.ts has them for type1: objects, ranges and users
 * come and go in orders that no table of neat cases comes to. They state no expectations of their own: the model follows them.
 */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const STEPS = 48;
const PAGES = 48;

interface Walk {
  readonly s: Scenario;
  readonly c: Context;
  /** 64 pages, the last 8 of which are not there. */
  readonly memory: Memory;
  /** A page that users read to and write from, and that holds lists and bitmaps. */
  readonly room: Memory;
  readonly numbers: Numbers;
  /** Users in the kernel of the first IO address space. */
  readonly users?: readonly [Access, ...Access[]];
}

type Move = AnyMove<Walk>;

/** An object's number, one that there may be. */
const someone = ({ below }: Numbers): number => 1 + below(9);
/** The IO address spaces that every walk begins with, most of the time. */
const space = ({ oneOf }: Numbers): number => oneOf([1, 1, 1, 1, 2, 2, 3]);

/** Where in IOVA space, and how much: mostly whole pages near each other, so that they meet. */
const rangeOf = ({ below, oneOf }: Numbers): { iova: bigint; length: bigint } => ({
  iova: BASE + BigInt(below(PAGES)) * PAGE + oneOf([0n, 0n, 0n, 0n, 0n, 0n, 0x800n, 1n]),
  length: BigInt(1 + below(oneOf([1, 2, 4, 16]))) * PAGE + oneOf([0n, 0n, 0n, 0n, 0n, 0n, 0x800n, 1n]),
});

/** The same, of whole pages. */
const pagesOf = ({ below, oneOf }: Numbers): { iova: bigint; length: bigint } => ({
  iova: BASE + BigInt(below(PAGES)) * PAGE,
  length: BigInt(1 + below(oneOf([1, 2, 4, 16]))) * PAGE,
});

const makesSpace: Move = ({ c }) =>
  void c.command(uapi.IOMMU_IOAS_ALLOC, inline(encode(uapi.iommuIoasAlloc, { size: sizeOf(uapi.iommuIoasAlloc) })));
const destroys: Move = ({ c, numbers }) => void c.destroy(someone(numbers));

const from = ({ memory, numbers }: Walk) =>
  memory.at(BigInt(numbers.below(60)) * PAGE + numbers.oneOf([0n, 0n, 0n, 0n, 0x800n]));
const maps: Move = (walk) => {
  const flags = FIXED | walk.numbers.oneOf([READ, WRITE, READ | WRITE, READ | WRITE]);
  void walk.c.map({ ioas: space(walk.numbers), ...rangeOf(walk.numbers), vaddr: from(walk), flags });
};
const mapsPages: Move = ({ c, memory, numbers }) => {
  const flags = FIXED | numbers.oneOf([READ, READ | WRITE, READ | WRITE]);
  const vaddr = memory.at(BigInt(numbers.below(60)) * PAGE);
  void c.map({ ioas: space(numbers), ...pagesOf(numbers), vaddr, flags });
};
const mapsAnywhere: Move = (walk) => {
  const { length } = rangeOf(walk.numbers);
  void walk.c.map({ ioas: space(walk.numbers), length, vaddr: from(walk), flags: READ | WRITE });
};
const unmaps: Move = ({ c, numbers }) => {
  const { iova, length } = pagesOf(numbers);
  void c.unmap(iova, length, space(numbers));
};
const unmapsMuch: Move = ({ c, numbers }) =>
  void c.unmap(BASE + BigInt(numbers.below(8)) * PAGE, BigInt(16 + numbers.below(64)) * PAGE, space(numbers));
const unmapsAll: Move = ({ c, numbers }) => void c.unmap(0n, TOP, space(numbers));
const copies: Move = ({ c, numbers }) => {
  const { iova: source, length } = pagesOf(numbers);
  const [from, to] = [space(numbers), space(numbers)];
  const target = numbers.oneOf([undefined, pagesOf(numbers).iova]);
  const flags = numbers.oneOf([READ, READ | WRITE]) | (target === undefined ? 0 : FIXED);
  void c.copy({ from, to, source, length, flags, ...(target === undefined ? {} : { target }) });
};
/** One range, or two, that may overlap or be in the way of what is mapped. */
const allows: Move = ({ c, room, numbers }) => {
  const ranges = [pagesOf(numbers), pagesOf(numbers)].slice(0, numbers.oneOf([0, 1, 1, 2]));
  for (const [index, { iova, length }] of ranges.entries()) {
    const wide = [iova, iova + length * numbers.oneOf([1n, 16n]) - 1n] as const;
    room.write(encode(uapi.iommuIovaRange, { start: wide[0], last: wide[1] }), BigInt(index) * 16n);
  }
  void c.allow({ ioas_id: space(numbers), num_iovas: ranges.length }, room.at());
};
const looksAtRanges: Move = ({ c, room, numbers }) => {
  room.fill(0xa5, 0n, 256n);
  void c.ranges({ ioas_id: space(numbers), num_iovas: numbers.oneOf([1, 3, 16]) }, room.at());
  room.read(0n, 256n);
};
const looks: Move = ({ s }) => looksAtCharges(s.main);

const some = ({ users, numbers }: Walk): Access => {
  if (users === undefined) throw new RangeError('nobody to do this');
  return numbers.oneOf(users);
};
const pins: Move = (walk) => {
  const { iova, length } = rangeOf(walk.numbers);
  void some(walk).pins(iova, length, from(walk), walk.numbers.oneOf([0, TO_WRITE]));
};
const unpins: Move = (walk) => void some(walk).unpins(1 + walk.numbers.below(6));
const reads: Move = (walk) => {
  const { room, numbers } = walk;
  const { iova } = rangeOf(numbers);
  room.fill(0xa5, 0n, PAGE);
  some(walk).reads(iova, BigInt(1 + numbers.below(0x1000)), room.at(), numbers.oneOf([0, SLOW]));
  room.read(0n, PAGE);
};
const writes: Move = (walk) => {
  const { memory, room, numbers } = walk;
  const { iova } = rangeOf(numbers);
  room.fill(numbers.below(256), 0n, PAGE);
  some(walk).writes(iova, BigInt(1 + numbers.below(0x1000)), room.at(), numbers.oneOf([0, SLOW]));
  memory.read(0n, 8n * PAGE);
};
const replaces: Move = (walk) => void some(walk).replaces(space(walk.numbers));

/** Devices and their page tables. */
const attaches: Move = ({ c, numbers }) => void c.attachMock(someone(numbers));
const reattaches: Move = ({ c, numbers }) => void replaceMock(c, someone(numbers), someone(numbers));
const makesTable: Move = ({ c, numbers }) =>
  void allocTable(c, { dev_id: someone(numbers), pt_id: space(numbers), flags: numbers.oneOf([0, DIRTY]) });
const tracks: Move = ({ c, numbers }) => void setTracking(c, someone(numbers), { flags: numbers.oneOf([0, 1, 1]) });
const devicesWrite: Move = ({ c, room, numbers }) => {
  const { iova, length } = pagesOf(numbers);
  room.write(Uint8Array.from({ length: 16 }, () => numbers.below(256)));
  void writeThrough(c, { id: someone(numbers), iova, length, page_size: PAGE }, room.at());
};
const asksWhatWasWritten: Move = ({ c, room, numbers }) => {
  const { iova, length } = pagesOf(numbers);
  room.fill(numbers.oneOf([0, 0, 0xa5]), 0n, 64n);
  const flags = numbers.oneOf([0, 0, NO_CLEAR]);
  void getDirty(c, { hwpt_id: someone(numbers), flags, iova, length, page_size: PAGE }, room.at());
  room.read(0n, 64n);
};
const followsTable: Move = (walk) => {
  const { iova, length } = pagesOf(walk.numbers);
  void checkMap(walk.c, someone(walk.numbers), iova, length, from(walk));
};
const countsPins: Move = (walk) => {
  const { memory, numbers } = walk;
  const page = BigInt(numbers.below(56)) * PAGE;
  void checkPins(walk.c, memory.at(page), PAGE, numbers.below(2));
};
const combines: Move = ({ c, numbers }) =>
  void c.option({
    option_id: uapi.IOMMU_OPTION_HUGE_PAGES,
    op: numbers.oneOf([uapi.IOMMU_OPTION_OP_SET, uapi.IOMMU_OPTION_OP_GET]),
    object_id: space(numbers),
    val64: BigInt(numbers.below(2)),
  });

const walk = (s: Scenario, seed: number, moves: readonly [Move, ...Move[]]): void => {
  const numbers = numbersFrom(seed);
  const c = openWithMock(s);
  c.alloc(1);
  c.alloc(2);
  const memory = s.main.memory(64n * PAGE);
  memory.fill(1);
  memory.hole(56n * PAGE, 8n * PAGE).succeeds();
  const room = s.main.memory(2n * PAGE);
  const users = moves.some((move) => USES.includes(move))
    ? { users: [withAccess(s, c, { flags: PINNING }), withAccess(s, c, { flags: 0 })] as const }
    : {};
  const now: Walk = { s, c, memory, room, numbers, ...users };
  wander(now, STEPS, moves);
  looks(now);
};

const USES: readonly Move[] = [pins, unpins, reads, writes, replaces];

clause('ioas/map', () => {
  each(seeds(1, 12), (s, seed) =>
    walk(s, seed, [maps, maps, maps, mapsAnywhere, unmaps, unmaps, unmapsMuch, unmapsAll, makesSpace, destroys, looks]),
  );
});
clause('ioas/copy', () => {
  each(seeds(101, 12), (s, seed) =>
    walk(s, seed, [mapsPages, mapsPages, maps, copies, copies, copies, unmaps, unmapsMuch, destroys, makesSpace]),
  );
});
clause('ioas/allow', () => {
  each(seeds(201, 12), (s, seed) =>
    walk(s, seed, [mapsAnywhere, mapsAnywhere, mapsPages, allows, allows, unmaps, unmapsAll, looksAtRanges, attaches]),
  );
});
clause('access/pin', () => {
  each(seeds(301, 12), (s, seed) =>
    walk(s, seed, [mapsPages, mapsPages, mapsPages, maps, copies, unmaps, pins, pins, unpins, replaces, looks]),
  );
});
clause('access/rw', () => {
  each(seeds(401, 12), (s, seed) =>
    walk(s, seed, [mapsPages, mapsPages, mapsPages, maps, copies, unmaps, reads, reads, writes, pins, unpins]),
  );
});
clause('hwpt/dirty-bits', () => {
  each(seeds(501, 12), (s, seed) =>
    walk(s, seed, [
      mapsPages,
      mapsPages,
      mapsPages,
      unmaps,
      unmapsMuch,
      attaches,
      makesTable,
      makesTable,
      tracks,
      tracks,
      devicesWrite,
      devicesWrite,
      devicesWrite,
      asksWhatWasWritten,
      asksWhatWasWritten,
      combines,
    ]),
  );
});
clause('hwpt/alloc', () => {
  each(seeds(601, 12), (s, seed) =>
    walk(s, seed, [
      mapsPages,
      mapsPages,
      maps,
      copies,
      unmaps,
      unmapsMuch,
      attaches,
      attaches,
      reattaches,
      makesTable,
      makesTable,
      pins,
      unpins,
      reads,
      followsTable,
      countsPins,
      destroys,
      destroys,
      makesSpace,
      combines,
      looks,
    ]),
  );
});
