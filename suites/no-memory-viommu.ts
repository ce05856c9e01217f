import { failingAllocations } from '../harness/cases/failing.ts';
import { allocFaultQueue, FAULT, FAULT_BYTES, fault, readToAnswer } from '../harness/cases/fault-queues.ts';
import { clause, each, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, invalidate, replaceMock } from '../harness/cases/page-tables.ts';
import { attachPasid, checkPasid, detachPasid, FOR_PASIDS, replacePasid } from '../harness/cases/pasids.ts';
import {
  allocEventQueue,
  allocHwQueue,
  allocNested,
  allocVdevice,
  allocViommu,
  event,
  withParent,
  withViommu,
} from '../harness/cases/viommus.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode } from '../harness/uapi/struct.ts';

/*
 * Allocations of the kernel that fail while objects of virtual machines are made and used: what was begun is undone. The
 * model follows what was answered.
 */

const PAGE = 0x1000n;

/** Has allocation after allocation fail in a call, and undoes what it did. */
const eachFailing = (s: Scenario, count: number, act: () => void, undo: () => void): void => {
  const failing = failingAllocations(s);
  for (let nth = 1; nth <= count; nth++) {
    failing.each(nth, nth, act);
    undo();
  }
};

clause('fault-queue/alloc', () => {
  test('while an allocation fails', (s) => {
    const c = openIommufd(s);
    let close = (): void => undefined;
    eachFailing(
      s,
      10,
      () => {
        const queue = allocFaultQueue(s, c);
        close = () => void queue.close();
      },
      () => {
        close();
        c.destroy(1);
        s.main.descriptors().returns(2);
      },
    );
    c.alloc(1);
  });
});

/** Fault queue 5, and the device attached to page table 6, whose faults go there. */
const withFaults = (s: Scenario) => {
  const c = openWithMock(s);
  c.alloc(1);
  c.attachMock(1).returns(0);
  const queue = allocFaultQueue(s, c);
  queue.said.returns(0);
  allocTable(c, { dev_id: 3, flags: FAULT, fault_id: 5 }).returns(0);
  replaceMock(c, 2, 6).returns(0);
  return { c, queue };
};

clause('fault-queue/read', () => {
  test('while an allocation fails', (s) => {
    const { c, queue } = withFaults(s);
    const memory = s.main.memory(PAGE);
    const failing = failingAllocations(s);
    fault(c).returns(0);
    failing.each(1, 1, () => void queue.read(FAULT_BYTES, memory.at()));
    queue.read(FAULT_BYTES, memory.at());
    for (let left = 0; left < 80; left++) fault(c).returns(0);
    for (let nth = 1; nth <= 70; nth++) failing.each(1, 1, () => void queue.read(FAULT_BYTES, memory.at()));
    readToAnswer(queue, memory, 5).send().returns(40);
  });
});

clause('hwpt/alloc', () => {
  each({ 'with a fault queue': 4, 'with a fault queue that is not there': 99 }, (s, fault_id) => {
    const { c } = withFaults(s);
    const other = allocFaultQueue(s, c);
    other.said.returns(0);
    eachFailing(
      s,
      16,
      () => void allocTable(c, { dev_id: 3, flags: FAULT, fault_id }),
      () => void c.destroy(7),
    );
    other.close().succeeds();
    c.destroy(4).returns(0);
  });
  test('nested in a virtual IOMMU, while an allocation fails', (s) => {
    const c = withViommu(s);
    const data = s.main.memory(PAGE);
    data.write(encode(mock.iommuHwptSelftest, { iotlb: 1 }));
    const fields = { dev_id: 3, pt_id: 6, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 8 };
    eachFailing(
      s,
      12,
      () => void allocTable(c, fields, data.at()),
      () => void c.destroy(7),
    );
    c.destroy(6).returns(0);
  });
});

clause('viommu/alloc', () => {
  each({ 'while an allocation fails': 0, 'with data, while an allocation fails': 24 }, (s, data_len) => {
    const c = withParent(s);
    const data = s.main.memory(PAGE);
    data.write(u32(7));
    eachFailing(
      s,
      16,
      () => void allocViommu(c, { data_len }, data_len === 0 ? undefined : data.at()),
      () => void c.destroy(6),
    );
    c.destroy(5).returns(0);
  });
});

clause('vdevice/alloc', () => {
  test('while an allocation fails', (s) => {
    const c = withViommu(s);
    eachFailing(
      s,
      12,
      () => void allocVdevice(c, 0x1_0000_0000n),
      () => void c.destroy(7),
    );
    allocVdevice(c, 0x1_0000_0000n).returns(0);
    c.destroy(7).returns(0);
    c.destroy(6).returns(0);
  });
});

clause('veventq/alloc', () => {
  test('while an allocation fails', (s) => {
    const c = withViommu(s);
    let close = (): void => undefined;
    eachFailing(
      s,
      12,
      () => {
        const queue = allocEventQueue(s, c);
        close = () => void queue.close();
      },
      () => {
        close();
        c.destroy(7);
        s.main.descriptors().returns(2);
      },
    );
    c.destroy(6).returns(0);
  });
});

/** The device in a page table of a virtual IOMMU, and its queue of so many events. */
const withEvents = (s: Scenario, veventq_depth: number) => {
  const c = withViommu(s);
  allocVdevice(c, 5n).returns(0);
  allocNested(s, c).returns(0);
  const queue = allocEventQueue(s, c, { veventq_depth });
  queue.said.returns(0);
  replaceMock(c, 2, 8).returns(0);
  return { c, queue };
};

clause('veventq/loses', () => {
  test('one, and several', (s) => {
    const { c, queue } = withEvents(s, 8);
    const failing = failingAllocations(s);
    event(c).returns(0);
    failing.each(1, 3, () => void event(c));
    for (const _ of [1, 2, 3, 4]) queue.read(12);
    event(c).returns(0);
    failing.each(1, 1, () => void event(c));
    event(c).returns(0);
    for (const _ of [1, 2, 3]) queue.read(12);
    queue.read(12).returns(0);
  });
});

clause('veventq/delivers-without-memory', () => {
  test('into an empty queue', (s) => {
    const { c, queue } = withEvents(s, 1);
    failingAllocations(s).each(1, 1, () => void event(c));
    queue.read(12);
    event(c).returns(0);
    queue.read(12).returns(12);
  });
});

clause('veventq/read', () => {
  test('what is lost, while an allocation fails', (s) => {
    const { c, queue } = withEvents(s, 1);
    const memory = s.main.memory(PAGE);
    const failing = failingAllocations(s);
    for (const _ of [1, 2]) event(c).returns(0);
    queue.read(12).returns(12);
    failing.each(1, 1, () => void queue.read(12, memory.at()));
    queue.read(12);
    queue.read(12).returns(0);
  });
});

clause('hw-queue/alloc', () => {
  test('while an allocation fails', (s) => {
    const c = withViommu(s);
    const iova = mock.MOCK_APERTURE.start;
    const memory = s.main.memory(PAGE);
    c.map({ iova, length: PAGE, vaddr: memory.at() }).returns(0);
    eachFailing(
      s,
      20,
      () => void allocHwQueue(c, { nesting_parent_iova: iova, length: PAGE }),
      () => void c.destroy(7),
    );
    c.unmap(iova, PAGE).returns(0);
    c.destroy(6).returns(0);
  });
});

/** A device with PASIDs, attached to page table 5; page table 6. */
const withPasids = (s: Scenario): Context => {
  const c = openWithMock(s);
  c.alloc(1);
  attachMockAs(c, 1, mock.MOCK_FLAGS_DEVICE_PASID).returns(0);
  for (const _ of [5, 6]) allocTable(c, { dev_id: 3, flags: FOR_PASIDS }).returns(0);
  replaceMock(c, 2, 5).returns(0);
  return c;
};

clause('pasid/attach', () => {
  each({ 'while an allocation fails': 6, 'to an IO address space, while an allocation fails': 1 }, (s, target) => {
    const c = withPasids(s);
    eachFailing(
      s,
      14,
      () => void attachPasid(c, 1000, target),
      () => {
        void detachPasid(c, 1000);
        checkPasid(c, 1000, 0).returns(0);
      },
    );
    c.destroy(6).returns(0);
  });
});

clause('pasid/replace', () => {
  test('while an allocation fails', (s) => {
    const c = withPasids(s);
    attachPasid(c, 7, 6).returns(0);
    eachFailing(
      s,
      10,
      () => void replacePasid(c, 7, 5),
      () => {
        replacePasid(c, 7, 6).returns(0);
        checkPasid(c, 7, 6).returns(0);
      },
    );
    detachPasid(c, 7).returns(0);
  });
});

clause('hwpt/invalidate-without-memory', () => {
  test('by a virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    const entries = s.main.memory(PAGE);
    entries.write(u32(0, 1, 2));
    const fields = { hwpt_id: 6, entry_num: 1, entry_len: 12 };
    failingAllocations(s).each(1, 4, () => void invalidate(c, fields, entries.at()));
    invalidate(c, fields, entries.at()).returns(0);
  });
});
