import { IOMMU_VEVENTQ_FLAG_LOST_EVENTS, iommufdVeventHeader } from '../../../uapi/iommufd-commands.ts';
import { encode, sizeOf } from '../../../uapi/struct.ts';
import { answerInStages } from '../../answer.ts';
import { type Objection, rule } from '../../clauses.ts';
import type { Answer, ByteRule } from '../../outcome.ts';
import { FILES } from '../../world/clauses.ts';
import type { KernelFile, ReadCall } from '../../world/kernel-file.ts';
import type { OpenFile } from '../../world/process.ts';
import { fails, success } from '../../world/replies.ts';
import { pollAnswer } from '../queue-file.ts';
import type { Context } from '../state.ts';
import type { EventQueue, VirtualEvent } from './state.ts';

/* The file of a queue of events: a header for each, and its data. */

const HEADER = 'include/uapi/linux/iommufd.h: struct iommufd_vevent_header';
const SOURCE = 'iommufd_veventq_fops_read(), drivers/iommu/iommufd/eventq.c';
const HEADER_SIZE = sizeOf(iommufdVeventHeader);

const sizeOfEvent = ({ data }: VirtualEvent): number => HEADER_SIZE + (data?.length ?? 0);

/** The first events that fit into so many bytes. */
const first = (events: readonly VirtualEvent[], size: number): readonly VirtualEvent[] => {
  let left = size;
  const end = events.findIndex((event) => {
    left -= sizeOfEvent(event);
    return left < 0;
  });
  return end === -1 ? events : events.slice(0, end);
};

interface Reading {
  readonly queue: EventQueue;
  readonly call: ReadCall;
  /** Events that fit into what is asked for, and those of them that can be written there. */
  readonly fitting: readonly VirtualEvent[];
  readonly done: readonly VirtualEvent[];
}

const READ = rule<(reading: Reading) => readonly VirtualEvent[]>({
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

type Stated = Omit<Objection<Reading>, 'kind' | 'to' | 'level' | 'stage'>;
const refuses = (stated: Stated): Objection<Reading> => ({
  kind: 'objection',
  to: READ.id,
  level: 'must',
  stage: 'read',
  ...stated,
});

const NO_HEADER = refuses({
  id: 'veventq/read-less-than-header',
  says: 'Reading less than a header is refused with EINVAL, whether there are events or not.',
  source: SOURCE,
  errnos: ['EINVAL'],
  when: ({ call }) => call.size < HEADER_SIZE,
});

const TOO_SMALL = refuses({
  id: 'veventq/read-too-small',
  says: 'Reading less than the first event is refused with EINVAL, and it stays.',
  source: SOURCE,
  errnos: ['EINVAL'],
  when: ({ queue, fitting }) => queue.waiting.length > 0 && fitting.length === 0,
});

const UNWRITABLE = refuses({
  id: 'veventq/read-unwritable',
  says: 'When not even the first event can be written where it is to go the read is refused with EFAULT; what could not be written stays the first in the queue.',
  source: SOURCE,
  errnos: ['EFAULT'],
  when: ({ fitting, done }) => fitting.length > 0 && done.length === 0,
});

const STAGES = [[NO_HEADER], [TOO_SMALL], [UNWRITABLE]];

const readEvents = ({ law }: Context, queue: EventQueue, call: ReadCall): Answer => {
  const fitting = first(queue.waiting, call.size);
  const situation: Reading = { queue, call, fitting, done: first(fitting, call.room) };
  const stages = STAGES.map((stage) => stage.map((one) => law.of(one)));
  return answerInStages(stages, situation, () => {
    const [clause, format] = [law.of(READ), law.of(EVENT)];
    const events = clause.rule(situation);
    const out: ByteRule[] = [];
    let at = 0;
    for (const event of events) {
      out.push({ at, bytes: format.rule(event), clause: format });
      at += sizeOfEvent(event);
    }
    const effect = (): void => void queue.waiting.splice(0, events.length);
    return [success(clause, { ret: BigInt(at), out, effect })];
  });
};

/** The file of a queue. As long as it is open the queue and its context stay. */
export const eventQueueFile = (context: Context, queue: EventQueue, opened: OpenFile): KernelFile => {
  opened.hold();
  return {
    kind: 'event queue',
    pread: () => fails('ESPIPE', FILES),
    pwrite: () => fails('ESPIPE', FILES),
    read: (call) =>
      context.unclear === undefined ? readEvents(context, queue, call) : { unspecified: context.unclear },
    write: () => fails('EINVAL', FILES),
    poll: (events) => pollAnswer(context, events, { readable: queue.waiting.length > 0, writable: false }),
    release: () => {
      queue.users--;
      opened.drop();
    },
  };
};

export const EVENT_FILE_CLAUSES = [READ, EVENT, NO_HEADER, TOO_SMALL, UNWRITABLE];
