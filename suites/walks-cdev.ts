import { type Cdev, openCdev } from '../harness/cases/cdev.ts';
import { clause, each, inline, type Memory, type Scenario } from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { allocTable, DIRTY, PARENT } from '../harness/cases/page-tables.ts';
import {
  type Move as AnyMove,
  looksAtCharges,
  type Numbers,
  numbersFrom,
  seeds,
  somePages,
  wander,
} from '../harness/cases/walks.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';

/* Random programs, as in walks-iommufd.ts, with two devices of the machine by their own files. */

const PAGE = 0x1000n;
const STEPS = 48;
const PAGES = 32;

interface Walk {
  readonly s: Scenario;
  readonly c: Context;
  readonly devices: readonly [Cdev, Cdev];
  readonly memory: Memory;
  readonly room: Memory;
  readonly numbers: Numbers;
}

type Move = AnyMove<Walk>;

/** An object's number: the devices are 1 and 2, the IO address spaces that a walk begins with 3 and 4. */
const someone = ({ below }: Numbers): number => 1 + below(9);
const space = ({ oneOf }: Numbers): number => oneOf([3, 3, 3, 4, 4, 5]);
const rangeOf = (numbers: Numbers) => {
  const { iova, size: length } = somePages(numbers, PAGES);
  return { iova, length };
};

const attaches: Move = ({ devices, numbers }) =>
  void numbers.oneOf(devices).asksToAttach({ target: numbers.oneOf([3, 3, 4, someone(numbers)]) });
const detaches: Move = ({ devices, numbers }) => void numbers.oneOf(devices).detach();
const makesSpace: Move = ({ c }) =>
  void c.command(uapi.IOMMU_IOAS_ALLOC, inline(encode(uapi.iommuIoasAlloc, { size: sizeOf(uapi.iommuIoasAlloc) })));
const makesTable: Move = ({ c, numbers }) =>
  void allocTable(c, {
    dev_id: numbers.oneOf([1, 2]),
    pt_id: numbers.oneOf([3, 4]),
    flags: numbers.oneOf([0, 0, 0, DIRTY, PARENT]),
  });
const destroys: Move = ({ c, numbers }) => void c.destroy(3 + numbers.below(7));
const maps: Move = ({ c, memory, numbers }) => {
  const vaddr = memory.at(BigInt(numbers.below(30)) * PAGE);
  void c.map({ ioas: space(numbers), ...rangeOf(numbers), vaddr });
};
/** Among them what a device does not reach: beyond its IOMMU's addresses, and where its interrupts go. */
const mapsElsewhere: Move = ({ c, memory, numbers }) => {
  const iova = numbers.oneOf([0xfee0_0000n, 0xfedf_f000n, 0xfef0_0000n, 1n << 39n, (1n << 39n) - PAGE]);
  void c.map({ ioas: space(numbers), iova, length: PAGE, vaddr: memory.at() });
};
const mapsAnywhere: Move = ({ c, memory, numbers }) =>
  void c.map({
    ioas: space(numbers),
    length: rangeOf(numbers).length,
    vaddr: memory.at(BigInt(numbers.below(8)) * PAGE),
  });
const unmaps: Move = ({ c, numbers }) => {
  const { iova, length } = rangeOf(numbers);
  void c.unmap(iova, length, space(numbers));
};
const unmapsAll: Move = ({ c, numbers }) => void c.unmap(0n, (1n << 64n) - 1n, space(numbers));
const copies: Move = ({ c, numbers }) => {
  const { iova: source, length } = rangeOf(numbers);
  void c.copy({ from: space(numbers), to: space(numbers), source, length, target: rangeOf(numbers).iova });
};
const allows: Move = ({ c, room, numbers }) => {
  const { iova, length } = rangeOf(numbers);
  const last = numbers.oneOf([iova + length * 16n - 1n, 0xff00_0000n, 1n << 40n]);
  room.write(encode(uapi.iommuIovaRange, { start: iova, last }));
  void c.allow({ ioas_id: space(numbers), num_iovas: numbers.oneOf([0, 1, 1]) }, room.at());
};
const looksAtRanges: Move = ({ c, room, numbers }) => {
  room.fill(0xa5, 0n, 128n);
  void c.ranges({ ioas_id: space(numbers), num_iovas: numbers.oneOf([1, 8]) }, room.at());
  room.read(0n, 128n);
};
const looks: Move = ({ s }) => looksAtCharges(s.main);

const MOVES = [
  ...([attaches, attaches, attaches, attaches, detaches, detaches, makesTable, makesTable, destroys] as const),
  ...([makesSpace, maps, maps, maps, mapsElsewhere, mapsAnywhere, unmaps, unmapsAll, copies, allows] as const),
  ...([looksAtRanges, looks] as const),
] as const;

const walk = (s: Scenario, seed: number): void => {
  const numbers = numbersFrom(seed);
  const c = openIommufd(s);
  const devices = [openCdev(s), openCdev(s, s.main, 'device1')] as const;
  devices[0].bind(c, 1);
  devices[1].bind(c, 2);
  c.alloc(3);
  c.alloc(4);
  const memory = s.main.memory(32n * PAGE);
  memory.hole(28n * PAGE, 4n * PAGE).succeeds();
  const now: Walk = { s, c, devices, memory, room: s.main.memory(PAGE), numbers };
  wander(now, STEPS, MOVES);
  looks(now);
};

clause('cdev/attach', () => {
  each(seeds(1, 12), walk);
});
