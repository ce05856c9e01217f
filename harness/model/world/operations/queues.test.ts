import { MEMORY_CONTENT } from '../clauses.ts';
import type { Files, KernelFile } from '../kernel-file.ts';
import { fails, succeeds } from '../replies.ts';
import { describeTranscripts } from '../testing.ts';

/** A file of four bytes, of which the last two may be anything; the model has 7 and 8 for them, and takes those back. */
const QUEUE: KernelFile = {
  kind: 'queue',
  read: ({ size, room }) => {
    if (size < 4) return fails('EINVAL', MEMORY_CONTENT);
    if (room < 4) return fails('EFAULT', MEMORY_CONTENT);
    return succeeds(MEMORY_CONTENT, {
      ret: 4n,
      out: [
        { at: 0, bytes: Uint8Array.of(1, 2), clause: MEMORY_CONTENT },
        { at: 2, bytes: 2, secret: Uint8Array.of(7, 8), clause: MEMORY_CONTENT },
      ],
    });
  },
  write: ({ size, data }) => {
    if (data.length < size) return fails('EFAULT', MEMORY_CONTENT);
    return data[0] === 7 && data[1] === 8
      ? succeeds(MEMORY_CONTENT, { ret: BigInt(size) })
      : fails('EINVAL', MEMORY_CONTENT);
  },
  poll: (events) => succeeds(MEMORY_CONTENT, { ret: BigInt(events & 1) }),
};

const FILES: Files = (path) =>
  path === '/queue' ? () => ({ opens: () => QUEUE, clauses: [MEMORY_CONTENT] }) : undefined;

describeTranscripts(
  'queues',
  {
    'show what is read, or put it where it is to go': `
    main open q /queue           => any
    main mem ram 0x1000          => 0
    main readfd q 4              => 4 0102????
    main readfd q 3              => EINVAL
    main readfd q 4 into=&ram+0x8 => 4
    main read ram 7 6            => 0 000102????00
    main readfd q 4 into=&ram+0xffe => EFAULT
    main poll q 5                => 1`,

    'know again what they gave away': `
    main open q /queue           => any
    main mem ram 0x1000          => 0
    main writefd q &ram+0x2 2    => EINVAL
    main readfd q 4 into=&ram+0x0 => 4
    main writefd q &ram+0x2 2    => 2
    main write ram 3 08          => 0
    main writefd q &ram+0x2 2    => 2
    main write ram 3 09          => 0
    main writefd q &ram+0x2 2    => EINVAL
    main writefd q &ram+0xfff 2  => EFAULT`,

    'are opened for what is done with them': `
    main open r /queue flags=r   => any
    main open w /queue flags=w   => any
    main mem ram 0x1000          => 0
    main readfd w 4              => EBADF
    main writefd r &ram+0x0 2    => EBADF
    main close r                 => 0
    main poll r 1                => EBADF`,

    'are no memfds, of which no position is known': `
    main memfd m 0x1000          => any
    main mem ram 0x1000          => 0
    main readfd m 4              => open
    main writefd m &ram+0x0 4    => open
    main poll m 1                => open`,
  },
  FILES,
);
