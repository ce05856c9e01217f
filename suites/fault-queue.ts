import {
  allocFaultQueue,
  FAULT,
  FAULT_BYTES,
  fault,
  type QueueFile,
  readToAnswer,
} from '../harness/cases/fault-queues.ts';
import { clause, each, inline, type Memory, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, PARENT, replaceMock } from '../harness/cases/page-tables.ts';
import { allocNested, allocVdevice, allocViommu, besideHardware } from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { POLLIN, POLLOUT, POLLRDNORM } from '../harness/uapi/poll.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Page faults of devices: queues that they go to, what is read there, and how they are answered. */

const PAGE = 0x1000n;
/** Mock device 2 is bound as device 3; fault queue 5; page table 6, whose faults go there. */
const [MOCK, DEVICE, QUEUE, TABLE] = [2, 3, 5, 6];
const ID_AT = offsetOf(commands.iommuFaultAlloc, 'out_fault_id');
const [SUCCESS, INVALID] = [commands.IOMMUFD_PAGE_RESP_SUCCESS, commands.IOMMUFD_PAGE_RESP_INVALID];
const ALL_EVENTS = POLLIN | POLLOUT | POLLRDNORM;

interface Ready {
  readonly c: Context;
  readonly queue: QueueFile;
  readonly memory: Memory;
}

/** IO address space 1, its page table with a fault queue, and the mock device attached to that. */
const ready = (s: Scenario): Ready => {
  const c = openWithMock(s);
  c.alloc(1);
  c.attachMock(1)
    .returns(0)
    .shows(16, u32(MOCK, 4, DEVICE));
  const queue = allocFaultQueue(s, c);
  queue.said.returns(0).shows(ID_AT, u32(QUEUE));
  allocTable(c, { dev_id: DEVICE, flags: FAULT, fault_id: QUEUE }).returns(0);
  replaceMock(c, MOCK, TABLE).returns(0);
  return { c, queue, memory: s.main.memory(PAGE) };
};

/** Faults of the mock device that tell themselves apart by their addresses: 0x1000, 0x2000, ... */
const faults = (c: Context, count: number, from = 1): void => {
  for (let one = from; one < from + count; one++) fault(c, { addr: BigInt(one) * PAGE }).returns(0);
};

/** What a read of one fault shows, up to its cookie. */
const shown = (fields: {
  pasid?: number;
  grpid?: number;
  perm?: number;
  addr?: bigint;
  dev_id?: number;
}): Uint8Array => {
  const flags = 2 | (fields.pasid === undefined ? 0 : 1);
  return encode(commands.iommuHwptPgfault, { flags, dev_id: DEVICE, ...fields }).subarray(0, 36);
};

/** That the next faults of a queue are those, and then there are none. */
const holds = (queue: QueueFile, ...pages: readonly number[]): void => {
  for (const page of pages) {
    queue
      .read(FAULT_BYTES)
      .returns(FAULT_BYTES)
      .shows(0, shown({ addr: BigInt(page) * PAGE }));
  }
  queue.read(FAULT_BYTES).returns(0);
};

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

clause('fault-queue/read', () => {
  each(
    { 'one of two': [1, 1], 'both of two': [2, 2], 'two, with room for more': [5, 2] } as const,
    (s, [room, count]) => {
      const { c, queue, memory } = ready(s);
      faults(c, 2);
      queue.read(room * FAULT_BYTES, memory.at()).returns(count * FAULT_BYTES);
      for (let one = 0; one < count; one++)
        memory.read(BigInt(one * FAULT_BYTES), 36n).shows(0, shown({ addr: BigInt(one + 1) * PAGE }));
      if (count === 1) holds(queue, 2);
      else holds(queue);
    },
  );
  each(
    { 'of an empty queue': FAULT_BYTES, 'of an empty queue, nothing': 0, 'of an empty queue, much': 100 * FAULT_BYTES },
    (s, size) => {
      ready(s).queue.read(size).returns(0);
    },
  );
  test('faults that came meanwhile', (s) => {
    const { c, queue } = ready(s);
    faults(c, 1);
    holds(queue, 1);
    faults(c, 2, 2);
    holds(queue, 2, 3);
  });
});

clause('fault-queue/read-odd-size', () => {
  each(
    {
      'a byte': 1,
      'a byte less': FAULT_BYTES - 1,
      'a byte more': FAULT_BYTES + 1,
      'one and a half': FAULT_BYTES * 1.5,
    },
    (s, size) => {
      const { c, queue } = ready(s);
      queue.read(size).refused('ESPIPE');
      faults(c, 1);
      queue.read(size).refused('ESPIPE');
      holds(queue, 1);
    },
  );
});

clause('fault-queue/read-too-small', () => {
  test('nothing at all', (s) => {
    const { c, queue } = ready(s);
    faults(c, 1);
    queue.read(0).refused('EINVAL');
    holds(queue, 1);
  });
});

clause('fault-queue/read-unwritable', () => {
  test('nothing', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 2);
    queue.read(2 * FAULT_BYTES, memory.at(PAGE)).refused('EFAULT');
    holds(queue, 1, 2);
  });
  test('the second', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    queue.read(3 * FAULT_BYTES, memory.at(PAGE - BigInt(FAULT_BYTES))).returns(FAULT_BYTES);
    holds(queue, 2, 3);
  });
  test('in the middle of the first', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 2);
    queue.read(FAULT_BYTES, memory.at(PAGE - 20n)).refused('EFAULT');
    holds(queue, 1, 2);
  });
});

clause('fault-queue/cookie', () => {
  test('of several faults, answered in any order', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    const answers = readToAnswer(queue, memory, 3);
    answers.send(1, 1).returns(8);
    answers.send(0, 1).returns(8);
    answers.send(2, 1).returns(8);
    answers.send(1, 1).refused('EINVAL');
  });
  test('of the next fault after an answer', (s) => {
    const { c, queue, memory } = ready(s);
    for (let one = 1; one < 4; one++) {
      faults(c, 1, one);
      readToAnswer(queue, memory, 1).send().returns(8);
    }
    holds(queue);
  });
  test('that could not be written is given to no fault', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 1);
    queue.read(FAULT_BYTES, memory.at(PAGE)).refused('EFAULT');
    readToAnswer(queue, memory, 1).send().returns(8);
  });
});

clause('fault-queue/respond', () => {
  each({ success: SUCCESS, invalid: INVALID }, (s, code) => {
    const { c, queue, memory } = ready(s);
    faults(c, 1);
    const answers = readToAnswer(queue, memory, 1);
    answers.code(0, code);
    answers.send().returns(8);
    answers.send().refused('EINVAL');
    holds(queue);
  });
  test('several at once', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 4);
    const answers = readToAnswer(queue, memory, 4);
    answers.code(2, INVALID);
    answers.send().returns(32);
    for (const back of [0, 1, 2, 3]) answers.send(back, 1).refused('EINVAL');
  });
  test('none at all', (s) => {
    const { queue, memory } = ready(s);
    queue.write(memory.at(), 0).returns(0);
  });
  test('those before one that cannot be', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    const answers = readToAnswer(queue, memory, 3);
    answers.code(1, 2);
    answers.send().returns(8);
    answers.code(1, SUCCESS);
    answers.send(1, 2).returns(16);
  });
  test('those before one that was answered before', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    const answers = readToAnswer(queue, memory, 3);
    answers.send(1, 1).returns(8);
    answers.send().returns(8);
    answers.send(2, 1).returns(8);
  });
  test('while others wait to be read', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    readToAnswer(queue, memory, 1).send().returns(8);
    holds(queue, 2, 3);
  });
});

clause('fault-queue/respond-odd-size', () => {
  each({ 'a byte': 1, 'a byte less': 7, 'one and a half': 12 }, (s, size) => {
    const { c, queue, memory } = ready(s);
    faults(c, 2);
    const answers = readToAnswer(queue, memory, 2);
    queue.write(memory.at(36), size).refused('ESPIPE');
    answers.send().returns(16);
  });
});

clause('fault-queue/respond-unreadable', () => {
  test('nothing', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 1);
    const answers = readToAnswer(queue, memory, 1);
    queue.write(memory.at(PAGE), 8).refused('EFAULT');
    queue.write(memory.at(PAGE - 4n), 8).refused('EFAULT');
    answers.send().returns(8);
  });
});

clause('fault-queue/respond-code', () => {
  each({ failure: 2, highest: 0xffff_ffff }, (s, code) => {
    const { c, queue, memory } = ready(s);
    faults(c, 1);
    const answers = readToAnswer(queue, memory, 1);
    answers.code(0, code);
    answers.send().refused('EINVAL');
    answers.code(0, INVALID);
    answers.send().returns(8);
  });
});

clause('fault-queue/respond-cookie', () => {
  each({ none: 0, one: 1, highest: 0xffff_ffff }, (s, cookie) => {
    const { c, queue, memory } = ready(s);
    memory.write(u32(cookie, SUCCESS));
    queue.write(memory.at(), 8).refused('EINVAL');
    faults(c, 1);
    queue.write(memory.at(), 8).refused('EINVAL');
    holds(queue, 1);
  });
  test('of another queue', (s) => {
    const { c, queue, memory } = ready(s);
    const other = allocFaultQueue(s, c);
    other.said.returns(0);
    faults(c, 1);
    const answers = readToAnswer(queue, memory, 1);
    other.write(memory.at(36), 8).refused('EINVAL');
    answers.send().returns(8);
  });
});

/** What ends the attachment of the mock device to page table 6. */
const ENDINGS = {
  'another page table': (c: Context) => replaceMock(c, MOCK, 1).returns(0),
  'the end of the device': (c: Context) => c.destroy(MOCK).returns(0),
} as const;

clause('fault-queue/ends-with-attachment', () => {
  each(ENDINGS, (s, end) => {
    const { c, queue, memory } = ready(s);
    faults(c, 4);
    const answers = readToAnswer(queue, memory, 2);
    end(c);
    holds(queue);
    queue.poll(ALL_EVENTS).returns(POLLOUT);
    for (const back of [0, 1]) answers.send(back, 1).refused('EINVAL');
    c.destroy(TABLE).returns(0);
    queue.close().succeeds();
    c.destroy(QUEUE).returns(0);
  });
  test('the same page table again ends nothing', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    const answers = readToAnswer(queue, memory, 2);
    replaceMock(c, MOCK, TABLE).returns(0);
    answers.send().returns(16);
    holds(queue, 3);
  });
  test('another page table with the same queue', (s) => {
    const { c, queue, memory } = ready(s);
    allocTable(c, { dev_id: DEVICE, flags: FAULT, fault_id: QUEUE }).returns(0);
    faults(c, 2);
    const answers = readToAnswer(queue, memory, 1);
    replaceMock(c, MOCK, 4).returns(0);
    answers.send().refused('EINVAL');
    holds(queue);
    faults(c, 1, 7);
    readToAnswer(queue, memory, 1).send().returns(8);
  });
  test('of one of two devices', (s) => {
    const { c, queue, memory } = ready(s);
    attachMockAs(c, TABLE, 0)
      .returns(0)
      .shows(16, u32(4, TABLE, 7));
    fault(c, { dev_id: 7 }).returns(0);
    faults(c, 2);
    const answers = readToAnswer(queue, memory, 2);
    c.destroy(4).returns(0);
    answers.send(1, 1).refused('EINVAL');
    answers.send(0, 1).returns(8);
    holds(queue, 2);
  });
  test('a replacement that is refused ends nothing', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 2);
    const answers = readToAnswer(queue, memory, 1);
    replaceMock(c, MOCK, 99).refused('ENOENT');
    replaceMock(c, MOCK, QUEUE).refused('EINVAL');
    answers.send().returns(8);
    holds(queue, 2);
  });
  test('closing everything with faults in it', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    readToAnswer(queue, memory, 2);
    queue.close().succeeds();
    c.close().succeeds();
    openIommufd(s).alloc(1);
  });
  test('a device that ends after the queue was closed', (s) => {
    const { c, queue, memory } = ready(s);
    faults(c, 3);
    readToAnswer(queue, memory, 2);
    queue.close().succeeds();
    faults(c, 1);
    c.destroy(MOCK).returns(0);
    c.destroy(TABLE).returns(0);
    c.destroy(QUEUE).returns(0);
  });
});

clause('iommufd/queue-poll', () => {
  test('with faults and without', (s) => {
    const { c, queue } = ready(s);
    queue.poll(ALL_EVENTS).returns(POLLOUT);
    queue.poll(POLLIN).returns(0);
    faults(c, 2);
    queue.poll(ALL_EVENTS).returns(ALL_EVENTS);
    queue.poll(POLLIN).returns(POLLIN);
    queue.read(FAULT_BYTES).returns(FAULT_BYTES);
    queue.poll(POLLIN).returns(POLLIN);
    queue.read(FAULT_BYTES).returns(FAULT_BYTES);
    queue.poll(ALL_EVENTS).returns(POLLOUT);
  });
});
