import type { KernelFile } from '../../world/kernel-file.ts';
import type { OpenFile } from '../../world/process.ts';
import { pollAnswer, queueFile } from '../queue-file.ts';
import type { Context } from '../state.ts';
import { readFaults } from './read.ts';
import { respond } from './respond.ts';
import type { FaultQueue } from './state.ts';

/** The file of a fault queue. */
export const faultQueueFile = (context: Context, queue: FaultQueue, opened: OpenFile): KernelFile => {
  const unclear = (): string | undefined => queue.unclear ?? context.unclear;
  return queueFile(queue, opened, {
    kind: 'fault queue',
    read: (call) => {
      const why = unclear();
      return why === undefined ? readFaults(context, queue, call) : { unspecified: why };
    },
    write: (call) => {
      const why = unclear();
      return why === undefined ? respond(context, queue, call) : { unspecified: why };
    },
    poll: (events) => {
      const why = unclear();
      return why === undefined
        ? pollAnswer(context, events, { readable: queue.waiting.length > 0, writable: true })
        : { unspecified: why };
    },
  });
};
