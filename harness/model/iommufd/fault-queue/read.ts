import {
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  iommuHwptPgfault,
} from '../../../uapi/iommufd-commands.ts';
import { encode, offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { rule } from '../../clauses.ts';
import type { Answer, ByteRule, Outcome } from '../../outcome.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { ReadCall } from '../../world/kernel-file.ts';
import { success } from '../../world/replies.ts';
import { answerRead, type Reading, readStages } from '../queue-file.ts';
import type { Context } from '../state.ts';
import type { Fault, FaultQueue } from './state.ts';

/* Faults are read in whole groups; what was read stays to be answered. */

const HEADER = 'include/uapi/linux/iommufd.h: struct iommu_hwpt_pgfault';
const SOURCE = 'iommufd_fault_fops_read(), drivers/iommu/iommufd/eventq.c';
const SIZE = sizeOf(iommuHwptPgfault);
const COOKIE_AT = offsetOf(iommuHwptPgfault, 'cookie');
/** The model's own cookies; no program writes such a number by chance. */
const FIRST_COOKIE = 0x4b00_0000;

const READ = rule<(reading: Reading<Fault>) => readonly Fault[]>({
  id: 'fault-queue/read',
  level: 'must',
  says: 'Reading a fault queue returns the groups of faults that fit, the oldest first, and takes them from it; of an empty queue 0 bytes, at once.',
  source: `Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_FAULT; ${SOURCE}`,
  rule: ({ done }) => done,
});

const MESSAGE = rule<(fault: Fault) => Uint8Array>({
  id: 'fault-queue/fault',
  level: 'must',
  says: 'A fault tells the id of the device, address, permissions and group as the device reported them, its PASID with the flag that says that there is one, the flag of the last of a group, and a length of 0 where there is no hint.',
  source: `${HEADER}`,
  rule: ({ deviceId, pasid, group, perm, addr }) =>
    encode(iommuHwptPgfault, {
      flags: IOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid === 0 ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID),
      dev_id: deviceId,
      pasid,
      grpid: group,
      perm,
      addr,
    }),
});

const COOKIE = rule<(queue: FaultQueue) => number>({
  id: 'fault-queue/cookie',
  level: 'must',
  says: 'Each group has a cookie of its own until it is answered, whose number is for the kernel to choose.',
  source: `${HEADER}: kernel-managed cookie identifying a group of fault messages`,
  rule: ({ unanswered, spent }) => FIRST_COOKIE + unanswered.size + spent.size,
});

const STAGES = readStages<Fault>(READ, {
  size: {
    id: 'fault-queue/read-odd-size',
    says: 'Reading a number of bytes that is no multiple of the size of a fault is refused with ESPIPE.',
    source: SOURCE,
    errnos: ['ESPIPE'],
    when: ({ call }) => call.size % SIZE !== 0,
  },
  tooSmall: {
    id: 'fault-queue/read-too-small',
    says: 'Reading less than the first group of faults is refused with EINVAL, and it stays.',
    source: SOURCE,
  },
  unwritable: {
    id: 'fault-queue/read-unwritable',
    says: 'When not even the first fault can be written where it is to go the read is refused with EFAULT; what could not be written stays the first in the queue.',
    source: SOURCE,
  },
});

/** What reading a fault queue allows. */
export const readFaults = (context: Context, queue: FaultQueue, call: ReadCall): Answer => {
  const { law } = context;
  const succeed = (reading: Reading<Fault>): Outcome => {
    const clause = law.of(READ);
    const read = clause.rule(reading);
    const first = law.of(COOKIE).rule(queue);
    const out = read.flatMap((fault, index) => rulesOf(law, fault, index * SIZE, first + index));
    const effect = (): void => {
      queue.waiting = queue.waiting.filter((fault) => !read.includes(fault));
      for (const [index, fault] of read.entries()) {
        fault.readAt = queue.time++;
        queue.unanswered.set(first + index, fault);
      }
    };
    return success(clause, { ret: BigInt(read.length * SIZE), out, effect });
  };
  return answerRead(context, queue, call, { sizeOf: () => SIZE, stages: STAGES, succeed });
};

const rulesOf = (law: Context['law'], fault: Fault, at: number, cookie: number): readonly ByteRule[] => {
  const [message, numbered] = [law.of(MESSAGE), law.of(COOKIE)];
  return [
    { at, bytes: message.rule(fault).subarray(0, COOKIE_AT), clause: message },
    { at: at + COOKIE_AT, bytes: SIZE - COOKIE_AT, secret: u32Bytes(cookie), clause: numbered },
  ];
};

export const FAULT_READ_CLAUSES = [READ, MESSAGE, COOKIE, ...STAGES.flat()];
