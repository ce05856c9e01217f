import type { Answer } from '../../outcome.ts';
import { DESCRIPTORS } from '../clauses.ts';
import { withoutMemory } from '../fail-nth.ts';
import { inMemory } from '../in-memory.ts';
import { fails, unspecified } from '../replies.ts';
import { type Operations, withFile, withPlace } from '../world.ts';

/** The operations on files that are no rows of bytes: what is read is gone from them. */
export const QUEUE_OPERATIONS: Operations<'readfd' | 'writefd' | 'poll'> = {
  readfd: (_world, actor, { fd, size, into }) =>
    withFile(actor, fd, ({ file, flags }) => {
      if (flags === 'w') return fails('EBADF', DESCRIPTORS);
      if (file.read === undefined) return unspecified(`reading a ${file.kind}`);
      const read = file.read;
      const asked = { caller: actor, size: Number(size) };
      if (into === undefined) return withoutMemory(read({ ...asked, room: asked.size }), file, actor);
      return withPlace(actor, into, (address): Answer => {
        const room = Number(actor.space.reach(address, size, 'write'));
        const answer = withoutMemory(read({ ...asked, room }), file, actor);
        if ('unspecified' in answer) return answer;
        const [first, ...others] = answer.allowed;
        return {
          allowed: [inMemory(first, actor, address), ...others.map((outcome) => inMemory(outcome, actor, address))],
        };
      });
    }),

  writefd: (_world, actor, { fd, from, size }) =>
    withFile(actor, fd, ({ file, flags }) => {
      if (flags === 'r') return fails('EBADF', DESCRIPTORS);
      const { write } = file;
      if (write === undefined) return unspecified(`writing to a ${file.kind}`);
      return withPlace(actor, from, (address) => {
        const reach = Number(actor.space.reach(address, size, 'read'));
        const data = actor.space.read(address, reach) ?? new Uint8Array();
        return write({ caller: actor, size: Number(size), data });
      });
    }),

  poll: (_world, actor, { fd, events }) =>
    withFile(actor, fd, ({ file }) => file.poll?.(Number(events)) ?? unspecified(`polling a ${file.kind}`)),
};
