import { POLLIN, POLLOUT, POLLRDNORM } from '../../uapi/poll.ts';
import { rule } from '../clauses.ts';
import type { Answer } from '../outcome.ts';
import { succeeds } from '../world/replies.ts';
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

export const QUEUE_FILE_CLAUSES = [POLLS];
