import { IOMMU_FAULT_QUEUE_ALLOC, iommuFaultAlloc } from '../../../uapi/iommufd-commands.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { IoctlCall } from '../../world/kernel-file.ts';
import { ERRNOS } from '../framing.ts';
import { newId } from '../ids.ts';
import { newFileObjections } from '../queue-file.ts';
import type { Context } from '../state.ts';
import { faultQueueFile } from './file.ts';
import { newFaultQueue } from './state.ts';

/* Fault queues: objects with a file of their own. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_FAULT_QUEUE_ALLOC';
const SOURCE = 'iommufd_fault_alloc(), drivers/iommu/iommufd/eventq.c';

interface AllocCall {
  readonly context: Context;
  readonly call: IoctlCall;
  readonly asked: Found<typeof iommuFaultAlloc.fields>;
  readonly writable: boolean;
}

const ALLOC = request<Context, AllocCall>({
  id: 'fault-queue/alloc',
  level: 'must',
  says: 'FAULT_QUEUE_ALLOC makes a fault queue and a descriptor from which its faults are read and to which answers are written, and returns 0.',
  source: HEADER,
  on: 'iommufd',
  request: IOMMU_FAULT_QUEUE_ALLOC,
  situation: (context, call) => ({
    context,
    call,
    asked: readStruct(call.argument, iommuFaultAlloc),
    writable: call.argument.writable(0, sizeOf(iommuFaultAlloc)),
  }),
  stages: ['arguments', 'descriptor', 'reply'],
  effect: ({ context, call }) => {
    const queue = newFaultQueue();
    context.others.set(newId(context), queue);
    call.install(faultQueueFile(context, queue, call.opened));
  },
});

const ID = field(ALLOC, {
  id: 'fault-queue/alloc-id',
  level: 'must',
  says: 'The field out_fault_id returns the id of the new fault queue.',
  source: `${HEADER}: out_fault_id`,
  at: () => offsetOf(iommuFaultAlloc, 'out_fault_id'),
  bytes: ({ context }) => u32Bytes(newId(context)),
});

const FD = field(ALLOC, {
  id: 'fault-queue/alloc-fd',
  level: 'must',
  says: 'The field out_fault_fd returns the descriptor; nothing else of the argument changes.',
  source: `${HEADER}: out_fault_fd`,
  at: () => offsetOf(iommuFaultAlloc, 'out_fault_fd'),
  bytes: () => 4,
});

const FLAGS = objection(ALLOC, {
  id: 'fault-queue/alloc-flags',
  level: 'must',
  says: 'FAULT_QUEUE_ALLOC with flags other than 0 is refused with EOPNOTSUPP.',
  source: `${HEADER}: flags: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
  stage: 'arguments',
  errnos: ['EOPNOTSUPP'],
  when: ({ asked }) => asked.flags !== 0,
});

export const FAULT_QUEUE_ALLOC_CLAUSES = [ALLOC, ID, FD, FLAGS, ...newFileObjections<AllocCall>(ALLOC, SOURCE)];
