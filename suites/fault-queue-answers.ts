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
  readToAnswer,
  ready,
  shown,
  TABLE,
} from '../harness/cases/fault-queues.ts';
import { clause, each, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, replaceMock } from '../harness/cases/page-tables.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import { POLLIN, POLLOUT, POLLRDNORM } from '../harness/uapi/poll.ts';

/* Page faults of devices: what is read of them in a queue, and how they are answered. */

const PAGE = 0x1000n;
const [SUCCESS, INVALID] = [commands.IOMMUFD_PAGE_RESP_SUCCESS, commands.IOMMUFD_PAGE_RESP_INVALID];
const ALL_EVENTS = POLLIN | POLLOUT | POLLRDNORM;

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
