import {
  type Container,
  clause,
  containerOf,
  deviceName,
  each,
  type Group,
  type Memory,
  openContainer,
  openGroup,
  READ,
  type Scenario,
  TWO_GROUPS,
  WRITE,
} from '../harness/cases/index.ts';
import { type Context, contextOf, openIommufd } from '../harness/cases/iommufd.ts';
import {
  type Move as AnyMove,
  looksAtCharges,
  type Numbers,
  numbersFrom,
  seeds,
  somePages,
  wander,
} from '../harness/cases/walks.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* Random programs, as in walks.ts: groups join containers, or /dev/iommu in the place of one, and leave them, before and after all else is done. */

const PAGE = 0x1000n;
const STEPS = 48;
const PAGES = 32;
const ROOM = 160;

interface Walk {
  readonly s: Scenario;
  readonly containers: readonly [Container, ...Container[]];
  /** The last of them, where it is one of /dev/iommu. */
  readonly context?: Context;
  readonly groups: readonly [Group, Group];
  readonly memory: Memory;
  readonly numbers: Numbers;
}

type Move = AnyMove<Walk>;

const container = ({ containers, numbers }: Walk): Container => numbers.oneOf(containers);
const group = ({ groups, numbers }: Walk): Group => numbers.oneOf(groups);
const rangeOf = (numbers: Numbers) => somePages(numbers, PAGES);

const joins: Move = (walk) => void group(walk).setContainer(container(walk));
const leaves: Move = (walk) => void group(walk).unsetContainer();
const setsIommu: Move = (walk) =>
  void container(walk).setIommu(
    walk.numbers.oneOf([uapi.VFIO_TYPE1v2_IOMMU, uapi.VFIO_TYPE1v2_IOMMU, uapi.VFIO_TYPE1_IOMMU, 99n]),
  );
const maps: Move = (walk) => {
  const { memory, numbers } = walk;
  const vaddr = memory.at(BigInt(numbers.below(28)) * PAGE);
  void container(walk).map({ ...rangeOf(numbers), vaddr, flags: numbers.oneOf([READ, READ | WRITE]) });
};
const unmaps: Move = (walk) => void container(walk).unmap(rangeOf(walk.numbers));
const unmapsAll: Move = (walk) => void container(walk).unmapAll();
/** What is opened stays open. */
const opens: Move = (walk) => {
  const { s, groups, numbers } = walk;
  const index = numbers.below(2);
  const [name, other] = index === 0 ? ['device0', 'device1'] : ['device1', 'device0'];
  const asked = numbers.oneOf([name, name, name, name, name, other]);
  (groups[index] ?? groups[0]).ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName(asked), s.fresh('device'));
};
const asks: Move = (walk) => {
  const { numbers } = walk;
  void numbers.oneOf([
    () => group(walk).status(),
    () => container(walk).apiVersion(),
    () => container(walk).extension(numbers.oneOf([1n, 3n, 4n, 6n, 9n, 10n, 11n])),
    () => container(walk).info(ROOM),
  ])();
};
const looks: Move = ({ s }) => looksAtCharges(s.main);
const native = ({ context }: Walk): Context => {
  if (context === undefined) throw new RangeError('no /dev/iommu');
  return context;
};
const mapsNatively: Move = (walk) => {
  const { memory, numbers } = walk;
  const { iova, size: length } = rangeOf(numbers);
  void native(walk).map({ ioas: numbers.oneOf([1, 1, 2]), iova, length, vaddr: memory.at() });
};

const walk = (s: Scenario, seed: number, onIommufd: boolean, moves: readonly [Move, ...Move[]]): void => {
  s.needs(TWO_GROUPS);
  const numbers = numbersFrom(seed);
  const containers = [openContainer(s.main), openContainer(s.main)] as const;
  const memory = s.main.memory(32n * PAGE);
  const groups = [openGroup(s.main), openGroup(s.main, 'group1')] as const;
  if (onIommufd) {
    const { fd } = openIommufd(s);
    const context = contextOf(fd, s.main);
    const now = { s, containers: [containers[0], containerOf(fd, s.main), containerOf(fd, s.main)], context } as const;
    wander<Walk>({ ...now, groups, memory, numbers }, STEPS, moves);
    return;
  }
  wander<Walk>({ s, containers, groups, memory, numbers }, STEPS, moves);
};

const STAYING = [joins, joins, setsIommu, setsIommu, maps, maps, unmaps, unmapsAll, opens, asks, looks] as const;
const COMING_AND_GOING = [joins, joins, joins, leaves, setsIommu, maps, maps, unmaps, unmapsAll, asks, looks] as const;

clause('container/set-iommu', () => {
  each(seeds(1, 12), (s, seed) => walk(s, seed, false, [...STAYING, joins, leaves]));
});
/** Groups do not leave /dev/iommu while their devices are open: that is known to be possible, and the model cannot follow it. */
clause('compat/ioas', () => {
  each(seeds(101, 12), (s, seed) => walk(s, seed, true, [...STAYING, mapsNatively]));
  each(seeds(201, 12), (s, seed) => walk(s, seed, true, [...COMING_AND_GOING, mapsNatively]));
});
