import {
  allocFaultQueue,
  DEVICE,
  FAULT,
  FAULT_BYTES,
  fault,
  faults,
  holds,
  MOCK,
  QUEUE,
  ready,
  shown,
  TABLE,
} from '../harness/cases/fault-queues.ts';
import { clause, each, inline, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, PARENT, replaceMock } from '../harness/cases/page-tables.ts';
import { allocNested, allocVdevice, allocViommu, besideHardware } from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { POLLIN, POLLOUT, POLLRDNORM } from '../harness/uapi/poll.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Page faults of devices: the queues that they go to. */

const PAGE = 0x1000n;
const ID_AT = offsetOf(commands.iommuFaultAlloc, 'out_fault_id');
const ALL_EVENTS = POLLIN | POLLOUT | POLLRDNORM;

clause('fault-queue/alloc', () => {
  test('several, each of its own', (s) => {
    const c = openIommufd(s);
    const [one, other] = [allocFaultQueue(s, c), allocFaultQueue(s, c)];
    one.said.returns(0).shows(ID_AT, u32(1));
    other.said.returns(0).shows(ID_AT, u32(2));
    one.close().succeeds();
    c.destroy(1).returns(0);
    other.read(FAULT_BYTES).returns(0);
    other.close().succeeds();
    c.destroy(2).returns(0);
  });
  test('its file outlives that of the context', (s) => {
    const { c, queue } = ready(s);
    faults(c, 2);
    c.close().succeeds();
    holds(queue, 1, 2);
    queue.close().succeeds();
    openIommufd(s).alloc(1);
  });
  test('a second descriptor of its file', (s) => {
    const { c, queue } = ready(s);
    s.main.does({ op: 'dup', fd: 'second', from: queue.fd });
    faults(c, 1);
    queue.close().succeeds();
    replaceMock(c, MOCK, 1).returns(0);
    c.destroy(TABLE).returns(0);
    c.destroy(QUEUE).refused('EBUSY');
    s.main.does({ op: 'readfd', fd: 'second', size: BigInt(FAULT_BYTES) }).returns(0);
    s.main.does({ op: 'close', fd: 'second' }).succeeds();
    c.destroy(QUEUE).returns(0);
  });
  test('a child reads on', (s) => {
    const { c, queue } = ready(s);
    faults(c, 2);
    queue.read(FAULT_BYTES).returns(FAULT_BYTES);
    const child = s.main.forks();
    holds(queue.of(child), 2);
    queue.close().succeeds();
    replaceMock(c, MOCK, 1).returns(0);
    c.destroy(TABLE).returns(0);
    c.destroy(QUEUE).refused('EBUSY');
    child.exits();
    c.destroy(QUEUE).returns(0);
  });
});

clause('fault-queue/alloc-id', () => {
  test('the lowest that is free', (s) => {
    const c = openIommufd(s);
    for (const id of [1, 2, 3]) c.alloc(id);
    c.destroy(2).returns(0);
    allocFaultQueue(s, c).said.returns(0).shows(ID_AT, u32(2));
    allocFaultQueue(s, c).said.returns(0).shows(ID_AT, u32(4));
  });
});

clause('fault-queue/alloc-fd', () => {
  test('a descriptor that is no row of bytes', (s) => {
    const c = openIommufd(s);
    const queue = allocFaultQueue(s, c);
    queue.said.returns(0);
    s.main.does({ op: 'pread', fd: queue.fd, offset: 0n, size: BigInt(FAULT_BYTES) }).refused('ESPIPE');
    s.main.does({ op: 'pwrite', fd: queue.fd, offset: 0n, data: u32(0, 0) }).refused('ESPIPE');
    s.main
      .does({ op: 'ioctl', fd: queue.fd, request: commands.IOMMU_FAULT_QUEUE_ALLOC, arg: inline(u32(16, 0, 0, 0)) })
      .refused('ENOTTY');
    s.main.descriptors().returns(2);
  });
});

clause('fault-queue/alloc-flags', () => {
  each({ lowest: 1, highest: 0x8000_0000 }, (s, flags) => {
    const c = openIommufd(s);
    allocFaultQueue(s, c, flags).said.refused('EOPNOTSUPP');
    s.main.descriptors().returns(1);
    c.alloc(1);
  });
});

clause('fault-queue/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const c = openIommufd(s);
    const memory = s.main.memory(PAGE);
    memory.write(encode(commands.iommuFaultAlloc, { size: sizeOf(commands.iommuFaultAlloc) }));
    memory.protect('r');
    c.command(commands.IOMMU_FAULT_QUEUE_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    allocFaultQueue(s, c).said.returns(0).shows(ID_AT, u32(1));
  });
});

clause('fault-queue/alloc-no-descriptor', () => {
  test('no more are allowed', (s) => {
    const c = openIommufd(s);
    s.main.limits('nofile', 4).succeeds();
    allocFaultQueue(s, c);
    allocFaultQueue(s, c);
    s.main.limits('nofile', 64);
    allocFaultQueue(s, c);
  });
});

clause('iommufd/destroy-busy', () => {
  test('a fault queue whose file is open', (s) => {
    const c = openIommufd(s);
    const queue = allocFaultQueue(s, c);
    queue.said.returns(0);
    c.destroy(1).refused('EBUSY');
    queue.close().succeeds();
    c.destroy(1).returns(0);
  });
  test('a fault queue that a page table has', (s) => {
    const { c, queue } = ready(s);
    queue.close().succeeds();
    c.destroy(QUEUE).refused('EBUSY');
    replaceMock(c, MOCK, 1).returns(0);
    c.destroy(QUEUE).refused('EBUSY');
    c.destroy(TABLE).returns(0);
    c.destroy(QUEUE).returns(0);
  });
});

clause('hwpt/alloc-unknown-fault-queue', () => {
  each(
    { none: 0, 'an IO address space': 1, 'a mock device': 2, 'a device': 3, 'a page table': 4, gone: 5 },
    (s, fault_id) => {
      const c = openWithMock(s);
      c.alloc(1);
      c.attachMock(1).returns(0);
      const queue = allocFaultQueue(s, c);
      queue.said.returns(0);
      queue.close().succeeds();
      c.destroy(QUEUE).returns(0);
      allocTable(c, { dev_id: DEVICE, flags: FAULT, fault_id }).refused('ENOENT');
      c.alloc(QUEUE);
    },
  );
});

clause('hwpt/alloc-unknown-fault-queue', () => {
  test('of another opening', (s) => {
    const { c } = ready(s);
    const other = openIommufd(s);
    for (const id of [1, 2, 3, 4, 5, 6]) other.alloc(id);
    const queue = allocFaultQueue(s, other);
    queue.said.returns(0).shows(ID_AT, u32(7));
    allocTable(c, { dev_id: DEVICE, flags: FAULT, fault_id: 7 }).refused('ENOENT');
  });
});

clause('hwpt/alloc', () => {
  test('a fault queue that nobody asks for is not looked at', (s) => {
    const { c, queue } = ready(s);
    allocTable(c, { dev_id: DEVICE, fault_id: QUEUE }).returns(0);
    allocTable(c, { dev_id: DEVICE, fault_id: 99 }).returns(0);
    replaceMock(c, MOCK, 4).returns(0);
    fault(c).returns(0);
    holds(queue);
  });
});

/** A page table nested in a parent of its own; returns what ids they have. */
const nest = (s: Scenario, c: Context, first: number, flags = FAULT): number => {
  allocTable(c, { dev_id: DEVICE, flags: PARENT }).returns(0);
  const data = s.main.memory(PAGE);
  data.write(encode(mock.iommuHwptSelftest, { iotlb: 1 }));
  const data_type = mock.IOMMU_HWPT_DATA_SELFTEST;
  allocTable(c, { dev_id: DEVICE, pt_id: first, flags, fault_id: QUEUE, data_type, data_len: 8 }, data.at()).returns(0);
  return first + 1;
};

clause('fault-queue/delivers', () => {
  test('from a page table of the kernel', (s) => {
    const { c, queue } = ready(s);
    faults(c, 3);
    holds(queue, 1, 2, 3);
  });
  test('from a nested page table', (s) => {
    const { c, queue } = ready(s);
    nest(s, c, 4);
    replaceMock(c, MOCK, 7).returns(0);
    faults(c, 2);
    holds(queue, 1, 2);
  });
  each({ 'from one of the kernel': [false, 0], 'from a nested one': [true, 1] } as const, (s, [nested, count]) => {
    const { c, queue } = ready(s);
    if (nested) {
      nest(s, c, 4);
      replaceMock(c, MOCK, 7).returns(0);
    }
    fault(c, { pasid: 5 }).returns(0);
    if (count === 1)
      queue
        .read(FAULT_BYTES)
        .returns(FAULT_BYTES)
        .shows(0, shown({ pasid: 5 }));
    holds(queue);
  });
  test('from a page table nested in a virtual IOMMU', (s) => {
    const { c, queue } = ready(s);
    allocTable(c, { dev_id: DEVICE, flags: PARENT }).returns(0);
    allocViommu(c, { hwpt_id: 4 }).returns(0);
    allocNested(s, c, { pt_id: 7, flags: FAULT, fault_id: 99 }).refused('ENOENT');
    allocNested(s, c, { pt_id: 7, flags: FAULT, fault_id: QUEUE }).returns(0);
    allocVdevice(c, 1n, { viommu_id: 7 }).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    faults(c, 2);
    fault(c, { pasid: 9 }).returns(0);
    for (const page of [1, 2])
      queue
        .read(FAULT_BYTES)
        .returns(FAULT_BYTES)
        .shows(0, shown({ addr: BigInt(page) * PAGE }));
    queue
      .read(FAULT_BYTES)
      .returns(FAULT_BYTES)
      .shows(0, shown({ pasid: 9 }));
    replaceMock(c, MOCK, TABLE).returns(0);
    c.destroy(8).returns(0);
    c.destroy(9).returns(0);
    c.destroy(7).returns(0);
  });
  test('nowhere without a queue', (s) => {
    const { c, queue } = ready(s);
    replaceMock(c, MOCK, 1).returns(0);
    faults(c, 2);
    holds(queue);
    queue.poll(ALL_EVENTS).returns(POLLOUT);
  });
  test('of two devices to one queue', (s) => {
    const { c, queue } = ready(s);
    attachMockAs(c, TABLE, 0)
      .returns(0)
      .shows(16, u32(4, TABLE, 7));
    fault(c, { dev_id: 7, addr: PAGE }).returns(0);
    fault(c, { addr: PAGE }).returns(0);
    for (const dev_id of [7, DEVICE])
      queue
        .read(FAULT_BYTES)
        .returns(FAULT_BYTES)
        .shows(0, shown({ dev_id, addr: PAGE }));
    holds(queue);
  });
  test('of two page tables to two queues', (s) => {
    const { c, queue } = ready(s);
    const other = allocFaultQueue(s, c);
    other.said.returns(0).shows(ID_AT, u32(4));
    allocTable(c, { dev_id: DEVICE, flags: FAULT, fault_id: 4 }).returns(0);
    faults(c, 1);
    attachMockAs(c, 7, 0)
      .returns(0)
      .shows(16, u32(8, 7, 9));
    fault(c, { dev_id: 9, addr: PAGE }).returns(0);
    holds(queue, 1);
    other
      .read(FAULT_BYTES)
      .returns(FAULT_BYTES)
      .shows(0, shown({ dev_id: 9, addr: PAGE }));
    holds(other);
  });
});

clause('mock/fault-no-device', () => {
  each(
    { none: 0, 'an IO address space': 1, 'a mock device': 2, 'a page table': TABLE, 'never given': 9 },
    (s, dev_id) => {
      const { c, queue } = ready(s);
      fault(c, { dev_id }).refused('ENOENT');
      holds(queue);
    },
  );
});

clause('mock/fault-of-hardware', () => {
  test('a device of the machine', (s) => {
    fault(besideHardware(s), { dev_id: 1 }).refused('EINVAL');
  });
});

clause('fault-queue/fault', () => {
  each(
    {
      'an address': { addr: 0xdead_beef_0123_4567n },
      permissions: { perm: 0xf },
      'other permissions': { perm: 0x8000_0005 },
      'a group': { grpid: 511 },
      'the highest group': { grpid: 0xffff_ffff },
    },
    (s, fields) => {
      const { c, queue } = ready(s);
      fault(c, fields).returns(0);
      queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(fields));
    },
  );
  each({ 'a PASID': 1, 'the highest PASID': 0xffff_ffff }, (s, pasid) => {
    const { c, queue } = ready(s);
    nest(s, c, 4);
    replaceMock(c, MOCK, 7).returns(0);
    fault(c, { pasid, perm: 1, addr: PAGE }).returns(0);
    queue
      .read(FAULT_BYTES)
      .returns(FAULT_BYTES)
      .shows(0, shown({ pasid, perm: 1, addr: PAGE }));
  });
});
