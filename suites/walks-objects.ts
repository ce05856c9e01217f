import { BASE } from '../harness/cases/accesses.ts';
import { allocFaultQueue, FAULT, FAULT_BYTES, fault, type QueueFile } from '../harness/cases/fault-queues.ts';
import { clause, each, type Memory, type Scenario } from '../harness/cases/index.ts';
import { type Context, openWithMock } from '../harness/cases/iommufd.ts';
import {
  allocTable,
  attachMockAs,
  checkCache,
  DIRTY,
  invalidate,
  PARENT,
  replaceMock,
} from '../harness/cases/page-tables.ts';
import { attachPasid, checkPasid, detachPasid, FOR_PASIDS, replacePasid } from '../harness/cases/pasids.ts';
import {
  allocEventQueue,
  allocHwQueue,
  allocNested,
  allocVdevice,
  allocViommu,
  checkDeviceCache,
  event,
} from '../harness/cases/viommus.ts';
import { type Move as AnyMove, type Numbers, numbersFrom, seeds, wander } from '../harness/cases/walks.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';

/* Random programs, as in walks-iommufd.ts: objects of virtual machines, page tables for PASIDs and queues come and go in any order. */

const PAGE = 0x1000n;
const STEPS = 56;

interface Walk {
  readonly s: Scenario;
  readonly c: Context;
  readonly room: Memory;
  readonly numbers: Numbers;
  readonly events: QueueFile;
  readonly faults: QueueFile;
}

type Move = AnyMove<Walk>;

/** An object's number: mostly one that there is. */
const someone = ({ below }: Numbers): number => 1 + below(14);
/** The device that a walk begins with, mostly. */
const device = ({ oneOf, below }: Numbers): number => oneOf([3, 3, 3, 1 + below(14)]);
const viommu = ({ oneOf, below }: Numbers): number => oneOf([6, 6, 1 + below(14)]);

/** The mock device stays: its driver forgets PASIDs that are attached when it goes, and the kernel warns of that. */
const destroys: Move = ({ c, numbers }) => {
  const id = someone(numbers);
  if (id !== 2) c.destroy(id);
};
const attaches: Move = ({ c, numbers }) => {
  const flags = numbers.oneOf([0, mock.MOCK_FLAGS_DEVICE_PASID, mock.MOCK_FLAGS_DEVICE_NO_DIRTY]);
  void attachMockAs(c, numbers.oneOf([1, someone(numbers)]), flags);
};
const reattaches: Move = ({ c, numbers }) =>
  void replaceMock(c, numbers.oneOf([2, someone(numbers)]), someone(numbers));
const makesTable: Move = ({ c, numbers }) =>
  void allocTable(c, {
    dev_id: device(numbers),
    pt_id: numbers.oneOf([1, 1, 1, 2, 4, 5]),
    flags: numbers.oneOf([0, DIRTY, PARENT, FOR_PASIDS, PARENT | FOR_PASIDS]),
  });
const makesTableForFaults: Move = ({ c, numbers }) =>
  void allocTable(c, {
    dev_id: device(numbers),
    flags: numbers.oneOf([FAULT, FAULT, FAULT | FOR_PASIDS]),
    fault_id: numbers.oneOf([8, 8, someone(numbers)]),
  });
const nests: Move = ({ s, c, numbers }) =>
  void allocNested(
    s,
    c,
    {
      dev_id: device(numbers),
      pt_id: numbers.oneOf([5, 6, 6, 3]),
      flags: numbers.oneOf([0, 0, FOR_PASIDS, PARENT]),
    },
    numbers.below(256),
  );
const makesViommu: Move = ({ c, numbers }) =>
  void allocViommu(c, { dev_id: device(numbers), hwpt_id: numbers.oneOf([5, 5, someone(numbers)]) });
const makesVdevice: Move = ({ c, numbers }) =>
  void allocVdevice(c, BigInt(numbers.below(4)), { viommu_id: viommu(numbers), dev_id: device(numbers) });
const makesHwQueue: Move = ({ c, numbers }) =>
  void allocHwQueue(c, {
    viommu_id: viommu(numbers),
    index: numbers.below(3),
    nesting_parent_iova: BASE + BigInt(numbers.below(6)) * PAGE,
    length: BigInt(1 + numbers.below(3)) * PAGE,
  });
const maps: Move = ({ c, room, numbers }) =>
  void c.map({
    iova: BASE + BigInt(numbers.below(6)) * PAGE,
    length: BigInt(1 + numbers.below(3)) * PAGE,
    vaddr: room.at(),
  });
const unmaps: Move = ({ c, numbers }) =>
  void c.unmap(BASE + BigInt(numbers.below(6)) * PAGE, BigInt(1 + numbers.below(6)) * PAGE);
const invalidates: Move = ({ c, room, numbers }) => {
  room.write(Uint8Array.of(numbers.oneOf([0, 1]), 0, 0, 0, numbers.below(6), 0, 0, 0));
  void invalidate(c, { hwpt_id: someone(numbers), entry_num: 1 }, room.at());
};
const looksAtCache: Move = ({ c, numbers }) =>
  void checkCache(c, someone(numbers), numbers.below(4), numbers.oneOf([0, numbers.below(256)]));
const looksAtDeviceCache: Move = ({ c, numbers }) => void checkDeviceCache(c, device(numbers), numbers.below(4), 0);
const hasEvent: Move = ({ c, numbers }) => void event(c, device(numbers));
const readsEvents: Move = ({ events, numbers }) => void events.read(numbers.oneOf([8, 12, 16, 24, 64]));
const polls: Move = ({ events, faults, numbers }) => void numbers.oneOf([events, faults]).poll(1);
const hasFault: Move = ({ c, numbers }) =>
  void fault(c, {
    dev_id: device(numbers),
    pasid: numbers.oneOf([0, 1]),
    grpid: 1 + numbers.below(4),
    perm: 1,
    addr: PAGE,
  });
const readsFaults: Move = ({ faults, room, numbers }) => {
  room.fill(0, 0n, 512n);
  faults.read(numbers.oneOf([FAULT_BYTES, FAULT_BYTES, 2 * FAULT_BYTES, FAULT_BYTES - 1]), room.at());
};
const PASIDS = [1, 2, 3] as const;
const pasid = ({ oneOf }: Numbers): number => oneOf([1, 1, ...PASIDS]);
const NONE = 60;
const mockDevice = ({ oneOf }: Numbers): number => oneOf([2, 2, 2, 2, NONE]);
const attachesPasid: Move = ({ c, numbers }) =>
  void attachPasid(c, pasid(numbers), someone(numbers), mockDevice(numbers));
const replacesPasid: Move = ({ c, numbers }) =>
  void replacePasid(c, pasid(numbers), someone(numbers), mockDevice(numbers));
const detachesPasid: Move = ({ c, numbers }) => void detachPasid(c, pasid(numbers), mockDevice(numbers));
const looksAtPasid: Move = ({ c, numbers }) =>
  void checkPasid(c, pasid(numbers), someone(numbers), mockDevice(numbers));

/** IO address space 1, mock device 2 bound as device 3, page table 4; parent 5, virtual IOMMU 6, its events 7, faults 8. */
const walk = (s: Scenario, seed: number, moves: readonly [Move, ...Move[]]): void => {
  const numbers = numbersFrom(seed);
  const c = openWithMock(s);
  c.alloc(1);
  attachMockAs(c, 1, mock.MOCK_FLAGS_DEVICE_PASID).returns(0);
  allocTable(c, { dev_id: 3, flags: numbers.oneOf([PARENT, PARENT | FOR_PASIDS]) }).returns(0);
  allocViommu(c).returns(0);
  const events = allocEventQueue(s, c);
  events.said.returns(0);
  const faults = allocFaultQueue(s, c);
  faults.said.returns(0);
  const room = s.main.memory(4n * PAGE);
  const now: Walk = { s, c, room, numbers, events, faults };
  wander(now, STEPS, moves);
  for (const one of PASIDS) detachPasid(c, one);
};

clause('viommu/alloc', () => {
  each(seeds(1, 12), (s, seed) =>
    walk(s, seed, [
      ...([
        makesViommu,
        makesVdevice,
        makesVdevice,
        nests,
        nests,
        makesHwQueue,
        makesTable,
        hasEvent,
        readsEvents,
      ] as const),
      ...[
        reattaches,
        reattaches,
        destroys,
        destroys,
        maps,
        unmaps,
        invalidates,
        looksAtCache,
        looksAtDeviceCache,
        polls,
      ],
    ]),
  );
});
clause('pasid/attach', () => {
  each(seeds(101, 12), (s, seed) =>
    walk(s, seed, [
      ...([makesTable, makesTable, nests, attachesPasid, attachesPasid, attachesPasid, replacesPasid] as const),
      ...[replacesPasid, detachesPasid, looksAtPasid, looksAtPasid, reattaches, attaches, destroys, maps, unmaps],
    ]),
  );
});
clause('fault-queue/fault', () => {
  each(seeds(201, 12), (s, seed) =>
    walk(s, seed, [
      ...([makesTableForFaults, makesTableForFaults, makesTable, reattaches, reattaches, hasFault, hasFault] as const),
      ...[hasFault, readsFaults, polls, attachesPasid, detachesPasid, destroys, attaches],
    ]),
  );
});
