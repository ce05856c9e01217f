import type { Place } from '../program/step.ts';
import * as commands from '../uapi/iommufd-commands.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import { type Context, openWithMock } from './iommufd.ts';
import { allocTable, replaceMock } from './page-tables.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { inline, u32 } from './vfio.ts';

/* Words for fault queues: their files, and page faults of the mock device. */

export const FAULT = commands.IOMMU_HWPT_FAULT_ID_VALID;
export const FAULT_BYTES = sizeOf(commands.iommuHwptPgfault);
const PAGE = 0x1000n;
const ID_AT = offsetOf(commands.iommuFaultAlloc, 'out_fault_id');
const ANSWER_BYTES = sizeOf(commands.iommuHwptPageResponse);
const COOKIE_AT = offsetOf(commands.iommuHwptPgfault, 'cookie');
const CODE_AT = offsetOf(commands.iommuHwptPageResponse, 'code');

/** A queue's file as one actor speaks to it. */
export interface QueueFile {
  readonly fd: string;
  /** What the call that made it must do. */
  readonly said: Said;
  /** read(2) of so many bytes, shown or put somewhere. */
  read(size: number, into?: Place): Said;
  write(from: Place, size: number): Said;
  poll(events: number): Said;
  close(): Said;
  of(actor: Actor): QueueFile;
}

/** The words of a queue's file. */
export const queueFileOf = (fd: string, actor: Actor, said: Said): QueueFile => ({
  fd,
  said,
  read: (size, into) => actor.does({ op: 'readfd', fd, size: BigInt(size), ...(into === undefined ? {} : { into }) }),
  write: (from, size) => actor.does({ op: 'writefd', fd, from, size: BigInt(size) }),
  poll: (events) => actor.does({ op: 'poll', fd, events: BigInt(events) }),
  close: () => actor.does({ op: 'close', fd }),
  of: (other) => queueFileOf(fd, other, said),
});

/** FAULT_QUEUE_ALLOC. */
export const allocFaultQueue = (s: Scenario, { fd }: Context, flags = 0): QueueFile => {
  const type = commands.iommuFaultAlloc;
  const to = s.fresh('faults');
  const arg = inline(encode(type, { size: sizeOf(type), flags, out_fault_id: 0xeeee_eeee, out_fault_fd: 0xeeee_eeee }));
  const at = BigInt(offsetOf(type, 'out_fault_fd'));
  return queueFileOf(
    to,
    s.main,
    s.main.does({ op: 'ioctl', fd, request: commands.IOMMU_FAULT_QUEUE_ALLOC, arg, to, at }),
  );
};

/** The mock device has a page fault; device 3 unless a case says otherwise. */
export const fault = (
  { command }: Context,
  fields: Omit<Initialiser<typeof mock.iommuTestTriggerIopf>, 'size' | 'op'> = {},
): Said => {
  const type = mock.iommuTestTriggerIopf;
  const op = mock.IOMMU_TEST_OP_TRIGGER_IOPF;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, dev_id: 3, ...fields })));
};

/** Faults that were read, and what they are to be answered. */
export interface Answers {
  /** Answers them in one write: all of them, or `count` from the `first`th that was read backwards (the last is 0). */
  send(first?: number, count?: number): Said;
  /** Says what the fault is answered that was read so many reads before the last. */
  code(back: number, code: number): Said;
}

/**
 * Reads so many faults, each by a read of its own, so that their cookies lie one beside the other with room for a code
 * behind each: nobody knows their numbers.
 */
export const readToAnswer = (queue: QueueFile, memory: Memory, count: number): Answers => {
  for (let left = count - 1; left >= 0; left--)
    queue.read(FAULT_BYTES, memory.at(left * ANSWER_BYTES)).returns(FAULT_BYTES);
  return {
    send: (first = 0, many = count - first) =>
      queue.write(memory.at(COOKIE_AT + first * ANSWER_BYTES), many * ANSWER_BYTES),
    code: (back, code) => memory.write(u32(code), BigInt(COOKIE_AT + back * ANSWER_BYTES + CODE_AT)),
  };
};

/** What `ready` makes: mock device 2, bound as device 3; fault queue 5; page table 6, whose faults go there. */
export const [MOCK, DEVICE, QUEUE, TABLE] = [2, 3, 5, 6] as const;

/** A fault queue that a device's faults go to, and memory. */
export interface Ready {
  readonly c: Context;
  readonly queue: QueueFile;
  readonly memory: Memory;
}

/** IO address space 1, its page table with a fault queue, and the mock device attached to that. */
export const ready = (s: Scenario): Ready => {
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
export const faults = (c: Context, count: number, from = 1): void => {
  for (let one = from; one < from + count; one++) fault(c, { addr: BigInt(one) * PAGE }).returns(0);
};

/** What a read of one fault shows, up to its cookie. */
export const shown = (fields: {
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
export const holds = (queue: QueueFile, ...pages: readonly number[]): void => {
  for (const page of pages) {
    queue
      .read(FAULT_BYTES)
      .returns(FAULT_BYTES)
      .shows(0, shown({ addr: BigInt(page) * PAGE }));
  }
  queue.read(FAULT_BYTES).returns(0);
};
