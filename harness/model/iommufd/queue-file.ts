import type { Clause } from '../../spec/clause.ts';
import { POLLIN, POLLOUT, POLLRDNORM } from '../../uapi/poll.ts';
import { answerInStages, stagesInForce } from '../answer.ts';
import { type Objection, type Refusal, refusing, rule } from '../clauses.ts';
import type { Answer, Outcome } from '../outcome.ts';
import { FILES } from '../world/clauses.ts';
import type { IoctlCall, KernelFile, ReadCall } from '../world/kernel-file.ts';
import type { OpenFile } from '../world/process.ts';
import { fails, succeeds } from '../world/replies.ts';
import type { Context } from './state.ts';

/* What the files of queues have in common. */

const POLLS = rule<(now: { readonly readable: boolean; readonly writable: boolean }) => number>({
  id: 'iommufd/queue-poll',
  level: 'must',
  says: "A queue's file can be read (POLLIN, POLLRDNORM) while something is in the queue; that of a fault queue can always be written (POLLOUT), that of a queue of a virtual IOMMU's events never.",
  source:
    'Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_FAULT, IOMMUFD_OBJ_VEVENTQ; iommufd_eventq_fops_poll(), drivers/iommu/iommufd/eventq.c',
  rule: ({ readable, writable }) => (readable ? POLLIN | POLLRDNORM : 0) | (writable ? POLLOUT : 0),
});

/** What poll(2) returns of some events, and of those that it tells unasked (there are none). */
export const pollAnswer = (
  { law }: Context,
  events: number,
  now: { readonly readable: boolean; readonly writable: boolean },
): Answer => {
  const clause = law.of(POLLS);
  return succeeds(clause, { ret: BigInt(clause.rule(now) & events) });
};

/** What refuses a call that makes a queue and a descriptor for it, in the stages `descriptor` and `reply`; the ids begin with the call's. */
export const newFileObjections = <S extends { readonly call: IoctlCall; readonly writable: boolean }>(
  to: Clause,
  source: string,
): readonly Objection<S>[] => {
  const refuses = refusing<S>(to);
  return [
    refuses({
      id: `${to.id}-no-descriptor`,
      says: 'When the process may have no more descriptors the call fails with EMFILE, and no object is left.',
      source: `${source}: get_unused_fd_flags(); setrlimit(2): RLIMIT_NOFILE`,
      stage: 'descriptor',
      errnos: ['EMFILE'],
      when: ({ call }) => (call.caller.limitBytes('nofile') === undefined ? false : 'perhaps'),
    }),
    refuses({
      id: `${to.id}-unwritable`,
      says: 'When id and descriptor cannot be returned the call fails with EFAULT, and neither object nor descriptor is left.',
      source,
      stage: 'reply',
      errnos: ['EFAULT'],
      when: ({ writable }) => !writable,
    }),
  ];
};

/** One read of a queue's file, whose records are of type `R`, oldest first. */
export interface Reading<R> {
  readonly waiting: readonly R[];
  readonly call: ReadCall;
  /** Records that fit into what is asked for, and those of them that can be written there. */
  readonly fitting: readonly R[];
  readonly done: readonly R[];
}

/** The first records that fit whole into so many bytes. */
const first = <R>(records: readonly R[], bytes: number, sizeOf: (record: R) => number): readonly R[] => {
  let left = bytes;
  const end = records.findIndex((record) => {
    left -= sizeOf(record);
    return left < 0;
  });
  return end === -1 ? records : records.slice(0, end);
};

/** The sentence, source and id of an objection that all queues have. */
type Words = Pick<Clause, 'id' | 'says' | 'source'>;

/** What refuses a read, stage by stage; `size` is what each kind of queue asks of the number of bytes. */
export const readStages = <R>(
  to: Clause,
  { size, tooSmall, unwritable }: { size: Omit<Refusal<Reading<R>>, 'stage'>; tooSmall: Words; unwritable: Words },
): readonly (readonly Objection<Reading<R>>[])[] => {
  const refuses = (stated: Omit<Refusal<Reading<R>>, 'stage'>): Objection<Reading<R>> =>
    refusing<Reading<R>>(to)({ stage: 'read', ...stated });
  return [
    [refuses(size)],
    [
      refuses({
        ...tooSmall,
        errnos: ['EINVAL'],
        when: ({ waiting, fitting }) => waiting.length > 0 && fitting.length === 0,
      }),
    ],
    [
      refuses({
        ...unwritable,
        errnos: ['EFAULT'],
        when: ({ fitting, done }) => fitting.length > 0 && done.length === 0,
      }),
    ],
  ];
};

/** What a read allows; what it returns where nothing refuses it is told by `succeed`. `sizeOf`: of a record as it is read, in bytes. */
export const answerRead = <R>(
  { law }: Context,
  { waiting }: { readonly waiting: readonly R[] },
  call: ReadCall,
  how: {
    readonly sizeOf: (record: R) => number;
    readonly stages: readonly (readonly Objection<Reading<R>>[])[];
    readonly succeed: (reading: Reading<R>) => Outcome;
  },
): Answer => {
  const fitting = first(waiting, call.size, how.sizeOf);
  const reading = { waiting, call, fitting, done: first(fitting, call.room, how.sizeOf) };
  return answerInStages(stagesInForce(law, how.stages), reading, () => [how.succeed(reading)]);
};

/** The file of a queue, which is no row of bytes. As long as it is open the queue and its context stay. */
export const queueFile = (
  queue: { users: number },
  opened: OpenFile,
  its: Pick<KernelFile, 'kind' | 'read' | 'write' | 'poll'>,
): KernelFile => {
  opened.hold();
  return {
    pread: () => fails('ESPIPE', FILES),
    pwrite: () => fails('ESPIPE', FILES),
    ...its,
    release: () => {
      queue.users--;
      opened.drop();
    },
  };
};

export const QUEUE_FILE_CLAUSES = [POLLS];
