import { IOMMU_VEVENTQ_ALLOC, IOMMU_VEVENTQ_TYPES, iommuVeventqAlloc } from '../../../uapi/iommufd-commands.ts';
import { IOMMU_VEVENTQ_TYPE_SELFTEST } from '../../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { IoctlCall } from '../../world/kernel-file.ts';
import { ERRNOS } from '../framing.ts';
import { newId } from '../ids.ts';
import { newFileObjections } from '../queue-file.ts';
import { type Context, objectOf } from '../state.ts';
import { eventQueueFile } from './event-file.ts';
import { refusedArguments, refusedReserved, refusedViommu } from './refusals.ts';
import type { EventQueue, Viommu } from './state.ts';

/* Queues of the events of a virtual IOMMU. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_VEVENTQ_ALLOC';
const SOURCE = 'iommufd_veventq_alloc(), drivers/iommu/iommufd/eventq.c';
const MOST_DEPTH = 1 << 19;

interface AllocCall {
  readonly context: Context;
  readonly call: IoctlCall;
  readonly asked: Found<typeof iommuVeventqAlloc.fields>;
  readonly viommu: Viommu | undefined;
  readonly writable: boolean;
}

const ALLOC = request<Context, AllocCall>({
  id: 'veventq/alloc',
  level: 'must',
  says: 'VEVENTQ_ALLOC makes a queue for events of one type of a virtual IOMMU and a descriptor from which they are read, and returns 0. The virtual IOMMU stays as long.',
  source: `${HEADER}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_VEVENTQ`,
  on: 'iommufd',
  request: IOMMU_VEVENTQ_ALLOC,
  situation: (context, call) => {
    const { argument } = call;
    const size = Math.min(readStruct(argument, iommuVeventqAlloc, 0, 4).size, sizeOf(iommuVeventqAlloc));
    const asked = readStruct(argument, iommuVeventqAlloc, 0, size);
    return {
      context,
      call,
      asked,
      viommu: objectOf(context, asked.viommu_id, 'virtual IOMMU'),
      writable: argument.writable(0, size),
    };
  },
  stages: ['arguments', 'object', 'type', 'descriptor', 'reply'],
  effect: ({ context, call, asked, viommu }) => {
    if (viommu === undefined) return;
    const { type, veventq_depth: depth } = asked;
    const queue: EventQueue = { kind: 'event queue', viommu, type, depth, users: 1, waiting: [], sequence: 0 };
    context.others.set(newId(context), queue);
    viommu.eventQueues.add(queue);
    viommu.users++;
    call.install(eventQueueFile(context, queue, call.opened));
  },
});

const FIELDS = [
  field(ALLOC, {
    id: 'veventq/alloc-id',
    level: 'must',
    says: 'The field out_veventq_id returns the id of the new queue.',
    source: `${HEADER}: out_veventq_id`,
    at: () => offsetOf(iommuVeventqAlloc, 'out_veventq_id'),
    bytes: ({ context }) => u32Bytes(newId(context)),
  }),
  field(ALLOC, {
    id: 'veventq/alloc-fd',
    level: 'must',
    says: 'The field out_veventq_fd returns the descriptor; nothing else of the argument changes.',
    source: `${HEADER}: out_veventq_fd`,
    at: () => offsetOf(iommuVeventqAlloc, 'out_veventq_fd'),
    bytes: () => 4,
  }),
];

/** Whether a type is one of the mock device's; others that are defined are other IOMMUs', and nothing says what becomes of them here. */
const isUndefined = (type: number): boolean | 'perhaps' => {
  if (type === IOMMU_VEVENTQ_TYPE_SELFTEST) return false;
  return IOMMU_VEVENTQ_TYPES.includes(type) ? 'perhaps' : true;
};

const refuses = refusing(ALLOC);

const OBJECTIONS = [
  ...refusedArguments(ALLOC, { header: HEADER, defaultType: 'IOMMU_VEVENTQ_TYPE_DEFAULT' }),
  refusedReserved(ALLOC, { header: HEADER }),
  refusedViommu(ALLOC),
  refuses({
    id: 'veventq/alloc-depth',
    says: 'A depth of 0, and one above 2^19, is refused with EINVAL.',
    source: `${HEADER}: veventq_depth: Maximum number of events in the vEVENTQ; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.veventq_depth === 0 || asked.veventq_depth > MOST_DEPTH,
  }),
  refuses({
    id: 'veventq/alloc-type',
    says: 'A type that is not defined is refused with EOPNOTSUPP.',
    source: `${HEADER}: type: Must be defined in enum iommu_veventq_type; ${ERRNOS}: EOPNOTSUPP: a known field has a value the kernel does not understand`,
    stage: 'type',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => isUndefined(asked.type),
  }),
  refuses({
    id: 'veventq/alloc-second',
    says: 'A second queue of one type for a virtual IOMMU is refused with EEXIST.',
    source: `${HEADER}: A vIOMMU can have multiple FDs for different types, but is confined to one per type`,
    stage: 'type',
    errnos: ['EEXIST'],
    when: ({ asked, viommu }) => [...(viommu?.eventQueues ?? [])].some(({ type }) => type === asked.type),
  }),
  ...newFileObjections<AllocCall>(ALLOC, SOURCE),
];

export const EVENT_QUEUE_CLAUSES = [ALLOC, ...FIELDS, ...OBJECTIONS];
