import type { Place } from '../program/step.ts';
import * as commands from '../uapi/iommufd-commands.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import type { Context } from './iommufd.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { inline, u32 } from './vfio.ts';

/* Words for fault queues: their files, and page faults of the mock device. */

export const FAULT = commands.IOMMU_HWPT_FAULT_ID_VALID;
export const FAULT_BYTES = sizeOf(commands.iommuHwptPgfault);
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
