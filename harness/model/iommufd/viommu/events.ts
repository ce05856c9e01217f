import {
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  iommuTestTriggerVevent,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { objection, request, rule } from '../../clauses.ts';
import { readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { Process } from '../../world/process.ts';
import { type Context, type Device, objectOf } from '../state.ts';
import type { EventQueue } from './state.ts';

/* Events of a virtual IOMMU: the mock device has one. */

const MOCK = 'iommufd_test_trigger_vevent(), drivers/iommu/iommufd/selftest.c';
const REPORT = 'iommufd_viommu_report_event(), drivers/iommu/iommufd/driver.c';
const HEADER = 'include/uapi/linux/iommufd.h: struct iommufd_vevent_header';
const LAST_SEQUENCE = 0x7fff_ffff;

/** What a queue does with an event. */
const QUEUES = rule<(queue: EventQueue, data: Uint8Array) => void>({
  id: 'veventq/queues',
  level: 'must',
  says: 'An event gets the next number and goes to the end of the queue; when the queue is as full as its depth says the event is lost, which the next number tells, or a header of its own as long as no event comes behind.',
  source: `${HEADER}: If two adjacent sequence indexes has a delta larger than 1, it means that delta - 1 number of vEVENTs has lost; IOMMU_VEVENTQ_ALLOC: A vEVENTQ will lose events due to overflow, if the number of the vEVENTs hits veventq_depth`,
  rule: (queue, data) => {
    const { waiting, depth, sequence } = queue;
    if (waiting.at(-1)?.data === undefined) waiting.pop();
    waiting.push({ sequence, data: waiting.length < depth ? data : undefined });
    queue.sequence = (sequence + 1) & LAST_SEQUENCE;
  },
});

/** What a queue does with an event for which it finds no memory. */
const LOSES = rule<(queue: EventQueue) => void>({
  id: 'veventq/loses',
  level: 'must',
  says: 'An event for which the kernel finds no memory is refused with ENOMEM, and lost like one for which there is no room.',
  source: `${REPORT}; ${HEADER}`,
  rule: (queue) => {
    if (queue.waiting.at(-1)?.data === undefined) queue.waiting.pop();
    queue.waiting.push({ sequence: queue.sequence, data: undefined });
    queue.sequence = (queue.sequence + 1) & LAST_SEQUENCE;
  },
});

interface TriggerCall {
  readonly context: Context;
  readonly caller: Process;
  readonly device: Device | undefined;
  readonly queue: EventQueue | undefined;
}

const TRIGGER = request<Context, TriggerCall>({
  id: 'veventq/delivers',
  level: 'must',
  says: "An event of a device goes to the queue of its type of the virtual IOMMU in whose page table the device is, with the device's virtual id.",
  source: `Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_VEVENTQ; ${REPORT}; ${MOCK}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_TRIGGER_VEVENT),
  situation: (context, { caller, argument }) => {
    const device = objectOf(context, readStruct(argument, iommuTestTriggerVevent).dev_id, 'device');
    const queues = [...(device?.reports?.viommu.eventQueues ?? [])];
    return { context, caller, device, queue: queues.find(({ type }) => type === IOMMU_VEVENTQ_TYPE_SELFTEST) };
  },
  leavesOpen: ({ device }) => (device?.hardware === undefined ? undefined : 'events of hardware are not stated'),
  stages: ['device', 'queue', 'memory'],
  effect: ({ context, device, queue }) => {
    if (queue === undefined || device?.reports === undefined) return;
    const virtId = Number(BigInt.asUintN(32, device.reports.virtId));
    context.law.of(QUEUES).rule(queue, u32Bytes(virtId));
  },
});

const OBJECTIONS = [
  objection(TRIGGER, {
    id: 'mock/event-no-device',
    level: 'must',
    says: 'An id that no device has is refused with ENOENT, and so is a device that is not attached to a page table nested in a virtual IOMMU, or whose virtual id is 0.',
    source: MOCK,
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device?.reports === undefined || device.reports.virtId === 0n,
  }),
  objection(TRIGGER, {
    id: 'veventq/delivers-nowhere',
    level: 'must',
    says: 'An event for which the virtual IOMMU has no queue is refused with EOPNOTSUPP.',
    source: REPORT,
    stage: 'queue',
    errnos: ['EOPNOTSUPP'],
    when: ({ queue }) => queue === undefined,
  }),
  objection(TRIGGER, {
    id: 'veventq/delivers-without-memory',
    level: 'must',
    says: LOSES.says,
    source: REPORT,
    stage: 'memory',
    errnos: ['ENOMEM'],
    when: ({ caller }) => (caller.failsAllocations ? 'perhaps' : false),
    leaves: ({ context, queue }) => {
      if (queue !== undefined) context.law.of(LOSES).rule(queue);
    },
  }),
];

export const EVENT_CLAUSES = [TRIGGER, QUEUES, LOSES, ...OBJECTIONS];
