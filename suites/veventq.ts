import type { QueueFile } from '../harness/cases/fault-queues.ts';
import { clause, each, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { attachMockAs, replaceMock } from '../harness/cases/page-tables.ts';
import {
  allocEventQueue,
  allocNested,
  allocVdevice,
  allocViommu,
  event,
  withViommu,
} from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { POLLIN, POLLOUT, POLLRDNORM } from '../harness/uapi/poll.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Events of virtual IOMMUs: queues of them, and how they are read. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [IOAS, MOCK, DEVICE, PARENT_ID, VIOMMU, NEXT] = [1, 2, 3, 5, 6, 7];
const ID_AT = offsetOf(commands.iommuVeventqAlloc, 'out_veventq_id');
const [HEADER, EVENT] = [8, 12];
const LOST = commands.IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
const ALL_EVENTS = POLLIN | POLLOUT | POLLRDNORM;
/** What the virtual machine knows device 3 as. */
const VIRT_ID = 0x99;

/** Virtual device 7, device 3 in page table 8 of the virtual IOMMU, and queue 9 of so many events. */
const ready = (s: Scenario, veventq_depth = 2): { readonly c: Context; readonly queue: QueueFile } => {
  const c = withViommu(s);
  allocVdevice(c, BigInt(VIRT_ID)).returns(0);
  allocNested(s, c).returns(0);
  const queue = allocEventQueue(s, c, { veventq_depth });
  queue.said.returns(0).shows(ID_AT, u32(9));
  replaceMock(c, MOCK, 8).returns(0);
  return { c, queue };
};

const events = (c: Context, count: number): void => {
  for (let one = 0; one < count; one++) event(c).returns(0);
};

/** That the next events are those with these numbers (a number in brackets: the last that was lost), and then there are none. */
const holds = (queue: QueueFile, ...numbers: readonly (number | readonly [number])[]): void => {
  for (const number of numbers) {
    if (typeof number === 'number')
      queue
        .read(EVENT)
        .returns(EVENT)
        .shows(0, u32(0, number, VIRT_ID));
    else
      queue
        .read(EVENT)
        .returns(HEADER)
        .shows(0, u32(LOST, ...number));
  }
  queue.read(EVENT).returns(0);
};

clause('veventq/alloc', () => {
  each({ 'as small as can be': 1, 'as large as can be': 1 << 19 }, (s, veventq_depth) => {
    const c = withViommu(s);
    const queue = allocEventQueue(s, c, { veventq_depth });
    queue.said.returns(0).shows(ID_AT, u32(NEXT));
    c.destroy(VIOMMU).refused('EBUSY');
    queue.close().succeeds();
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
  each({ 'a structure as it was at first': 28, 'a longer structure': 40 }, (s, size) => {
    allocEventQueue(s, withViommu(s), { size }).said.returns(0).shows(ID_AT, u32(NEXT));
  });
  test('of two virtual IOMMUs', (s) => {
    const c = withViommu(s);
    allocViommu(c).returns(0);
    allocEventQueue(s, c).said.returns(0).shows(ID_AT, u32(8));
    allocEventQueue(s, c, { viommu_id: 7 }).said.returns(0).shows(ID_AT, u32(9));
  });
  test('its file outlives that of the context', (s) => {
    const { c, queue } = ready(s);
    events(c, 2);
    c.close().succeeds();
    holds(queue, 0, 1);
    queue.close().succeeds();
    openIommufd(s).alloc(1);
  });
  test('closing everything with events in it', (s) => {
    const { c, queue } = ready(s);
    events(c, 3);
    queue.close().succeeds();
    c.close().succeeds();
    openIommufd(s).alloc(1);
  });
});

clause('veventq/alloc-id', () => {
  test('the lowest that is free', (s) => {
    const c = withViommu(s);
    c.alloc(7);
    c.alloc(8);
    c.destroy(7).returns(0);
    allocEventQueue(s, c).said.returns(0).shows(ID_AT, u32(7));
  });
});

clause('veventq/alloc-fd', () => {
  test('a descriptor that can only be read, one event after the other', (s) => {
    const { queue } = ready(s);
    const memory = s.main.memory(PAGE);
    queue.write(memory.at(), 8).refused('EINVAL');
    s.main.does({ op: 'pread', fd: queue.fd, offset: 0n, size: 12n }).refused('ESPIPE');
    s.main.does({ op: 'pwrite', fd: queue.fd, offset: 0n, data: u32(0, 0) }).refused('ESPIPE');
    s.main.descriptors().returns(2);
  });
});

clause('veventq/alloc-flags', () => {
  each({ lowest: 1, highest: 0x8000_0000 }, (s, flags) => {
    const c = withViommu(s);
    allocEventQueue(s, c, { flags }).said.refused('EOPNOTSUPP');
    s.main.descriptors().returns(1);
    c.destroy(VIOMMU).returns(0);
  });
});

clause('veventq/alloc-reserved', () => {
  test('not 0', (s) => {
    const c = withViommu(s);
    allocEventQueue(s, c, { __reserved: 1 }).said.refused('EOPNOTSUPP');
    c.destroy(VIOMMU).returns(0);
  });
});

clause('veventq/alloc-default-type', () => {
  test('type 0', (s) => {
    const c = withViommu(s);
    allocEventQueue(s, c, { type: 0 }).said.refused('EOPNOTSUPP');
    c.destroy(VIOMMU).returns(0);
  });
});

clause('veventq/alloc-type', () => {
  each({ 'defined nowhere': 0x7777, highest: 0xffff_ffff }, (s, type) => {
    allocEventQueue(s, withViommu(s), { type }).said.refused('EOPNOTSUPP');
  });
});

clause('veventq/alloc-depth', () => {
  each({ none: 0, 'one too many': (1 << 19) + 1, highest: 0xffff_ffff }, (s, veventq_depth) => {
    const c = withViommu(s);
    allocEventQueue(s, c, { veventq_depth }).said.refused('EINVAL');
    c.alloc(NEXT);
  });
});

clause('veventq/alloc-unknown-viommu', () => {
  each(
    { none: 0, 'an IO address space': IOAS, 'a device': DEVICE, 'a page table': PARENT_ID, 'never given': 9 },
    (s, viommu_id) => {
      const c = withViommu(s);
      allocEventQueue(s, c, { viommu_id }).said.refused('ENOENT');
      c.alloc(NEXT);
    },
  );
});

clause('veventq/alloc-second', () => {
  test('until the first is gone', (s) => {
    const c = withViommu(s);
    const queue = allocEventQueue(s, c);
    queue.said.returns(0);
    allocEventQueue(s, c).said.refused('EEXIST');
    queue.close().succeeds();
    allocEventQueue(s, c, { veventq_depth: 5 }).said.refused('EEXIST');
    s.main.descriptors().returns(1);
    c.destroy(NEXT).returns(0);
    const again = allocEventQueue(s, c);
    again.said.returns(0).shows(ID_AT, u32(NEXT));
    again.close().succeeds();
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
});

clause('veventq/alloc-no-descriptor', () => {
  test('no more are allowed', (s) => {
    const c = withViommu(s);
    s.main.limits('nofile', 4).succeeds();
    allocEventQueue(s, c);
    allocViommu(c);
    allocEventQueue(s, c, { viommu_id: 8 });
    s.main.limits('nofile', 64);
    allocEventQueue(s, c, { viommu_id: 8 });
  });
});

clause('veventq/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const c = withViommu(s);
    const type = commands.iommuVeventqAlloc;
    const memory = s.main.memory(PAGE);
    const fields = { viommu_id: VIOMMU, type: mock.IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth: 1 };
    memory.write(encode(type, { size: sizeOf(type), ...fields }));
    memory.protect('r');
    c.command(commands.IOMMU_VEVENTQ_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    s.main.descriptors().returns(1);
    c.destroy(VIOMMU).returns(0);
  });
  test('read-only memory, and the type is free', (s) => {
    const c = withViommu(s);
    const type = commands.iommuVeventqAlloc;
    const memory = s.main.memory(PAGE);
    const fields = { viommu_id: VIOMMU, type: mock.IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth: 1 };
    memory.write(encode(type, { size: sizeOf(type), ...fields }));
    memory.protect('r');
    c.command(commands.IOMMU_VEVENTQ_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    allocEventQueue(s, c).said.returns(0).shows(ID_AT, u32(NEXT));
  });
});

clause('iommufd/destroy-busy', () => {
  test('a queue of events whose file is open', (s) => {
    const c = withViommu(s);
    const queue = allocEventQueue(s, c);
    queue.said.returns(0);
    c.destroy(NEXT).refused('EBUSY');
    queue.close().succeeds();
    c.destroy(NEXT).returns(0);
  });
});

clause('veventq/delivers', () => {
  test('with the virtual id of the device', (s) => {
    const { c, queue } = ready(s);
    events(c, 2);
    holds(queue, 0, 1);
  });
  test('of two devices', (s) => {
    const { c, queue } = ready(s);
    attachMockAs(c, IOAS, 0)
      .returns(0)
      .shows(16, u32(4, 11, 10));
    allocVdevice(c, 0x55n, { dev_id: 10 }).returns(0);
    event(c, 10).refused('ENOENT');
    replaceMock(c, 4, 8).returns(0);
    event(c, 10).returns(0);
    event(c).returns(0);
    queue
      .read(EVENT)
      .returns(EVENT)
      .shows(0, u32(0, 0, 0x55));
    holds(queue, 1);
  });
  test('of two virtual IOMMUs', (s) => {
    const { c, queue } = ready(s);
    allocViommu(c).returns(0);
    const other = allocEventQueue(s, c, { viommu_id: 4 });
    other.said.returns(0).shows(ID_AT, u32(10));
    events(c, 1);
    holds(other);
    holds(queue, 0);
  });
  test('as the virtual device of another page table of the same virtual IOMMU', (s) => {
    const { c, queue } = ready(s);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 4).returns(0);
    events(c, 1);
    holds(queue, 0);
  });
  test('to the queue that comes later', (s) => {
    const { c, queue } = ready(s);
    events(c, 1);
    queue.close().succeeds();
    c.destroy(9).returns(0);
    event(c).refused('EOPNOTSUPP');
    const later = allocEventQueue(s, c);
    later.said.returns(0);
    events(c, 1);
    holds(later, 0);
  });
});

clause('mock/event-no-device', () => {
  each({ none: 0, 'a mock device': MOCK, 'never given': 99 }, (s, dev_id) => {
    event(ready(s).c, dev_id).refused('ENOENT');
  });
  test('in a page table of the kernel', (s) => {
    const { c, queue } = ready(s);
    replaceMock(c, MOCK, IOAS).returns(0);
    event(c).refused('ENOENT');
    holds(queue);
  });
  test('the virtual id 0', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 0n).returns(0);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    allocEventQueue(s, c).said.returns(0);
    event(c).refused('ENOENT');
  });
});

clause('veventq/delivers-nowhere', () => {
  test('no queue at all', (s) => {
    const { c, queue } = ready(s);
    queue.close().succeeds();
    c.destroy(9).returns(0);
    event(c).refused('EOPNOTSUPP');
  });
});

clause('veventq/queues', () => {
  test('up to its depth', (s) => {
    const { c, queue } = ready(s, 3);
    events(c, 3);
    holds(queue, 0, 1, 2);
  });
  test('one is lost', (s) => {
    const { c, queue } = ready(s);
    events(c, 3);
    holds(queue, 0, 1, [2]);
  });
  test('several are lost', (s) => {
    const { c, queue } = ready(s);
    events(c, 6);
    holds(queue, 0, 1, [5]);
    events(c, 1);
    holds(queue, 6);
  });
  test('one comes behind those that are lost', (s) => {
    const { c, queue } = ready(s);
    events(c, 4);
    queue
      .read(EVENT)
      .returns(EVENT)
      .shows(0, u32(0, 0, VIRT_ID));
    events(c, 1);
    holds(queue, 1, 4);
  });
  test('lost, behind, and lost again', (s) => {
    const { c, queue } = ready(s);
    events(c, 3);
    queue.read(EVENT).returns(EVENT);
    events(c, 2);
    holds(queue, 1, 3, [4]);
  });
  test('what is lost takes no room', (s) => {
    const { c, queue } = ready(s, 1);
    events(c, 2);
    queue
      .read(EVENT)
      .returns(EVENT)
      .shows(0, u32(0, 0, VIRT_ID));
    events(c, 1);
    holds(queue, 2);
    events(c, 3);
    holds(queue, 3, [5]);
    events(c, 1);
    holds(queue, 6);
  });
});

clause('veventq/event', () => {
  test('several at once, and what was lost behind them', (s) => {
    const { c, queue } = ready(s);
    events(c, 4);
    queue
      .read(100)
      .returns(2 * EVENT + HEADER)
      .shows(0, u32(0, 0, VIRT_ID, 0, 1, VIRT_ID, LOST, 3));
  });
  test('a virtual id of more than 32 bits is cut', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 0x1_2345_6789n).returns(0);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    const queue = allocEventQueue(s, c);
    queue.said.returns(0);
    events(c, 1);
    queue
      .read(EVENT)
      .returns(EVENT)
      .shows(0, u32(0, 0, 0x2345_6789));
  });
});

clause('veventq/read', () => {
  each(
    { 'of an empty queue': EVENT, 'of an empty queue, a header': HEADER, 'of an empty queue, much': 4096 },
    (s, size) => {
      ready(s).queue.read(size).returns(0);
    },
  );
  each(
    {
      'one and a bit': [EVENT + 3, 1],
      'one and a header': [EVENT + HEADER, 1],
      'both and a bit': [2 * EVENT + 7, 2],
    } as const,
    (s, [size, count]) => {
      const { c, queue } = ready(s);
      events(c, 2);
      queue.read(size).returns(count * EVENT);
      if (count === 1) holds(queue, 1);
      else holds(queue);
    },
  );
  test('what is lost needs a header only', (s) => {
    const { c, queue } = ready(s);
    events(c, 3);
    queue.read(2 * EVENT).returns(2 * EVENT);
    queue.read(HEADER).returns(HEADER).shows(0, u32(LOST, 2));
    holds(queue);
  });
  test('what is lost waits when there is no room for its header', (s) => {
    const { c, queue } = ready(s);
    events(c, 3);
    queue.read(2 * EVENT + HEADER - 1).returns(2 * EVENT);
    queue.poll(POLLIN).returns(POLLIN);
    holds(queue, [2]);
  });
});

clause('veventq/read-less-than-header', () => {
  each({ nothing: 0, 'a byte': 1, 'a byte less': HEADER - 1 }, (s, size) => {
    const { c, queue } = ready(s);
    queue.read(size).refused('EINVAL');
    events(c, 1);
    queue.read(size).refused('EINVAL');
    holds(queue, 0);
  });
});

clause('veventq/read-too-small', () => {
  each({ 'a header': HEADER, 'a byte less': EVENT - 1 }, (s, size) => {
    const { c, queue } = ready(s);
    events(c, 2);
    queue.read(size).refused('EINVAL');
    holds(queue, 0, 1);
  });
});

clause('veventq/read-unwritable', () => {
  each({ nothing: 0, 'the header alone': HEADER, 'a part of the header': 4 }, (s, room) => {
    const { c, queue } = ready(s);
    const memory = s.main.memory(PAGE);
    events(c, 2);
    queue.read(EVENT, memory.at(PAGE - BigInt(room))).refused('EFAULT');
    queue.poll(POLLIN).returns(POLLIN);
    events(c, 1);
    holds(queue, 0, 1, [2]);
  });
  test('the second', (s) => {
    const { c, queue } = ready(s, 3);
    const memory = s.main.memory(PAGE);
    events(c, 3);
    queue.read(3 * EVENT, memory.at(PAGE - BigInt(EVENT))).returns(EVENT);
    holds(queue, 1, 2);
  });
  test('what was lost', (s) => {
    const { c, queue } = ready(s, 1);
    const memory = s.main.memory(PAGE);
    events(c, 2);
    queue.read(EVENT).returns(EVENT);
    queue.read(EVENT, memory.at(PAGE)).refused('EFAULT');
    queue.poll(POLLIN).returns(POLLIN);
    holds(queue, [1]);
    events(c, 1);
    holds(queue, 2);
  });
});

clause('iommufd/queue-poll', () => {
  test('with events and without', (s) => {
    const { c, queue } = ready(s);
    queue.poll(ALL_EVENTS).returns(0);
    events(c, 3);
    for (let left = 3; left > 0; left--) {
      queue.poll(ALL_EVENTS).returns(POLLIN | POLLRDNORM);
      queue.read(EVENT);
    }
    queue.poll(ALL_EVENTS).returns(0);
  });
});
