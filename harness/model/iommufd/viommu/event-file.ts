import { IOMMU_VEVENTQ_FLAG_LOST_EVENTS, iommufdVeventHeader } from '../../../uapi/iommufd-commands.ts';
import { encode, sizeOf } from '../../../uapi/struct.ts';
import { rule } from '../../clauses.ts';
import type { Answer, ByteRule, Outcome } from '../../outcome.ts';
import { FILES } from '../../world/clauses.ts';
import type { KernelFile, ReadCall } from '../../world/kernel-file.ts';
import type { OpenFile } from '../../world/process.ts';
import { fails, success } from '../../world/replies.ts';
import { answerRead, pollAnswer, queueFile, type Reading, readStages } from '../queue-file.ts';
import type { Context } from '../state.ts';
import type { EventQueue, VirtualEvent } from './state.ts';

/* The file of a queue of events: a header for each, and its data. */

const HEADER = 'include/uapi/linux/iommufd.h: struct iommufd_vevent_header';
const SOURCE = 'iommufd_veventq_fops_read(), drivers/iommu/iommufd/eventq.c';
const HEADER_SIZE = sizeOf(iommufdVeventHeader);

const sizeOfEvent = ({ data }: VirtualEvent): number => HEADER_SIZE + (data?.length ?? 0);

const READ = rule<(reading: Reading<VirtualEvent>) => readonly VirtualEvent[]>({
  id: 'veventq/read',
  level: 'must',
  says: "Reading a virtual IOMMU's queue returns the events that fit whole, the oldest first, and takes them from it; of an empty queue 0 bytes, at once.",
  source: `Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_VEVENTQ; ${SOURCE}`,
  rule: ({ done }) => done,
});

const EVENT = rule<(event: VirtualEvent) => Uint8Array>({
  id: 'veventq/event',
  level: 'must',
  says: 'Each event is a header with its number, counted from 0 on, and its data behind it; events that were lost at the end of the queue show as a header without data, with the flag for it and the number of the last that was lost.',
  source: HEADER,
  rule: ({ sequence, data }) =>
    Uint8Array.of(
      ...encode(iommufdVeventHeader, { flags: data === undefined ? IOMMU_VEVENTQ_FLAG_LOST_EVENTS : 0, sequence }),
      ...(data ?? []),
    ),
});

const STAGES = readStages<VirtualEvent>(READ, {
  size: {
    id: 'veventq/read-less-than-header',
    says: 'Reading less than a header is refused with EINVAL, whether there are events or not.',
    source: SOURCE,
    errnos: ['EINVAL'],
    when: ({ call }) => call.size < HEADER_SIZE,
  },
  tooSmall: {
    id: 'veventq/read-too-small',
    says: 'Reading less than the first event is refused with EINVAL, and it stays.',
    source: SOURCE,
  },
  unwritable: {
    id: 'veventq/read-unwritable',
    says: 'When not even the first event can be written where it is to go the read is refused with EFAULT; what could not be written stays the first in the queue.',
    source: SOURCE,
  },
});

const readEvents = (context: Context, queue: EventQueue, call: ReadCall): Answer => {
  const { law } = context;
  const succeed = (reading: Reading<VirtualEvent>): Outcome => {
    const [clause, format] = [law.of(READ), law.of(EVENT)];
    const events = clause.rule(reading);
    const out: ByteRule[] = [];
    let at = 0;
    for (const event of events) {
      out.push({ at, bytes: format.rule(event), clause: format });
      at += sizeOfEvent(event);
    }
    const effect = (): void => void queue.waiting.splice(0, events.length);
    return success(clause, { ret: BigInt(at), out, effect });
  };
  return answerRead(context, queue, call, { sizeOf: sizeOfEvent, stages: STAGES, succeed });
};

/** The file of a queue of events. */
export const eventQueueFile = (context: Context, queue: EventQueue, opened: OpenFile): KernelFile =>
  queueFile(queue, opened, {
    kind: 'event queue',
    read: (call) =>
      context.unclear === undefined ? readEvents(context, queue, call) : { unspecified: context.unclear },
    write: () => fails('EINVAL', FILES),
    poll: (events) => pollAnswer(context, events, { readable: queue.waiting.length > 0, writable: false }),
  });

export const EVENT_FILE_CLAUSES = [READ, EVENT, ...STAGES.flat()];
