import { expect } from 'chai';
import { MEMORY_CONTENT } from '../clauses.ts';
import type { Files, KernelFile } from '../kernel-file.ts';
import { MemoryObject } from '../memory-object.ts';
import { succeeds, unspecified } from '../replies.ts';
import { describeTranscripts, transcript } from '../testing.ts';

/** A file whose opening, mapping and calls are all left open. */
const CLOSES: string[] = [];
const traced = (kind: string): KernelFile => ({ kind, release: () => void CLOSES.push(kind) });

const FILES: Files = (path) => {
  const opens = (make: () => KernelFile) => () => ({ opens: make, clauses: [MEMORY_CONTENT] as const });
  switch (path) {
    case '/traced':
      return opens(() => traced('traced'));
    case '/maker':
      return opens(() => ({
        kind: 'maker',
        ioctl: ({ install, request }) =>
          request === 1n
            ? {
                allowed: [
                  { ret: { atLeast: 0n }, errno: 0, clauses: [MEMORY_CONTENT], commit: () => install(traced('made')) },
                ],
              }
            : unspecified('nobody knows'),
        release: () => void CLOSES.push('maker'),
      }));
    case '/rom': {
      const object = new MemoryObject(4096, 4096);
      return opens(() => ({ ...traced('rom'), backing: () => ({ kind: 'memory', object }) }));
    }
    case '/text':
      return opens(() => ({
        kind: 'text',
        pread: () =>
          succeeds(MEMORY_CONTENT, {
            ret: 2n,
            out: [{ at: 0, bytes: Uint8Array.of(0x31, 0x0a), clause: MEMORY_CONTENT }],
          }),
      }));
    case '/refused':
      return () => ({ refused: 'EBUSY', clauses: [MEMORY_CONTENT] });
    default:
      return undefined;
  }
};

describeTranscripts(
  'files',
  {
    'hold what is written to them, through any way': `
    main memfd fd 0x2000         => any
    main map ram fd 0 0x2000 share=shared => 0
    main write ram 0x1004 0102   => 0
    main pread fd 0x1003 4       => 4 00010200
    main pwrite fd 0 aabb        => 2
    main read ram 0 3            => 0 aabb00
    main map again fd 0x1000 0x1000 share=shared => 0
    main read again 4 2          => 0 0102`,
    'are copied where they are mapped private and written': `
    main memfd fd 0x2000         => any
    main map shared fd 0 0x2000 share=shared => 0
    main map own fd 0 0x2000 share=private => 0
    main write shared 0 01       => 0
    main read own 0 2            => 0 0100
    main write own 1 02          => 0
    main write shared 0 03       => 0
    main read own 0 2            => 0 0102
    main read shared 0 2         => 0 0300
    main write shared 0x1000 04  => 0
    main read own 0x1000 1       => 0 04`,
    'end where they end': `
    main file fd 0x1800          => any
    main map ram fd 0 0x4000 share=shared => 0
    main read ram 0x1fff 1       => 0 00
    main read ram 0x2000 1       => EFAULT
    main pread fd 0x17fe 8       => 2 0000
    main pread fd 0x1800 8       => 0 -
    main pwrite fd 0x2000 ff     => 1
    main read ram 0x1fff 3       => 0 00ff00
    main read ram 0x2fff 2       => EFAULT`,
    'promise nothing of what was written behind their end': `
    main memfd fd 0x800          => any
    main map ram fd 0 0x1000     => 0
    main write ram 0x7fe 01020304 => 0
    main truncate fd 0x801       => 0
    main pread fd 0x7fe 4        => 3 0102??`,
    'lose what is cut off': `
    main memfd fd 0x3000         => any
    main map ram fd 0 0x3000 share=shared => 0
    main map own fd 0 0x3000 share=private => 0
    main fill ram 0 0x3000 9     => 0
    main write own 0x2000 08     => 0
    main truncate fd 0x800       => 0
    main read ram 0x7ff 2        => 0 0900
    main read ram 0x1000 1       => EFAULT
    main read own 0x2000 1       => EFAULT
    main spawn child             => 0
    child write own 0 07         => 0
    main truncate fd 0           => 0
    main truncate fd 0x3000      => 0
    child read own 0 1           => 0 00
    main read ram 0x1000 1       => 0 00
    main read own 0x2000 1       => 0 00
    main truncate fd 0x8000000000000000 => EINVAL`,
    'refuse what they are not for': `
    main memfd fd 0x1000         => any
    main map a fd 1 0x1000       => EINVAL
    main map b fd 0 0            => EINVAL
    main map c fd 0x7ffffffffffff000 0x2000 => EOVERFLOW
    main ioctl fd 0x3b64 =0      => ENOTTY
    main ioctl fd 0x5401 =0      => open
    main pread fd 0x8000000000000000 1 => EINVAL
    main open other /traced      => any
    main map d other 0 0x1000    => ENODEV
    main pread other 0 1         => EINVAL
    main pwrite other 0 00       => EINVAL
    main truncate other 0        => EINVAL`,
    'open for reading only cannot be written': `
    main open fd /text flags=r   => any
    main pwrite fd 0 00          => EBADF
    main map ram fd 0 0x1000 share=shared prot=rw => EACCES
    main open wo /text flags=w   => any
    main pread wo 0 1            => EBADF
    main map none wo 0 0x1000 share=shared prot=r => EACCES
    main open rom /rom flags=r   => any
    main map shown rom 0 0x1000 prot=r => 0
    main protect shown 0 0x1000 rw => EACCES
    main map own rom 0 0x1000 share=private prot=r => 0
    main protect own 0 0x1000 rw => 0`,
  },
  FILES,
);

describeTranscripts(
  'descriptors',
  {
    'are counted, and closed together': `
    main memfd a 0               => any
    main dup b a                 => any
    main fds                     => 2
    main close a                 => 0
    main close a                 => EBADF
    main pwrite b 0 01           => 1
    main fds                     => 1
    main shut                    => 1
    main fds                     => 0
    main dup c b                 => EBADF`,
    'belong to each process on its own': `
    main memfd a 1               => any
    main spawn child             => 0
    main close a                 => 0
    child pwrite a 0 07          => 1
    child memfd b 1              => any
    child send b main            => 0
    main pread b 0 1             => 1 00
    main pread a 0 1             => EBADF
    child send a main            => 0
    main pread a 0 1             => 1 07
    child exec                   => 0
    child fds                    => 2`,
    'come from opening, which may be refused or not modelled': `
    main open a /refused         => EBUSY
    main close a                 => EBADF
    main open b /elsewhere       => open
    main close b                 => open
    main fds                     => open
    main shut                    => open
    main fds                     => 0
    main cat /text               => 2 310a
    main cat /elsewhere          => open
    main cat /refused            => EBUSY`,
    'are made by calls, under the name that was asked for': `
    main open m /maker           => any
    main ioctl m 1 =0 to=made    => any
    main ioctl m 1 =0            => any
    main fds                     => 2
    main ioctl m 2 =0 to=perhaps => open
    main fds                     => open
    main ioctl m 1 =0 to=made    => open`,
    'may run out when they are limited': `
    main limit nofile 10         => 0
    main memfd a 0               => any|EMFILE
    main limits nofile           => 10`,
  },
  FILES,
);

describe('a file', () => {
  /** Programs after which the files named were released, in order. */
  const RELEASES: Readonly<Record<string, readonly [program: string, released: readonly string[]]>> = {
    'the last descriptor': ['main open a /traced\nmain dup b a\nmain close a', []],
    'the last of two descriptors': ['main open a /traced\nmain dup b a\nmain close a\nmain close b', ['traced']],
    'a descriptor in a child': ['main open a /traced\nmain spawn c\nmain close a', []],
    'a descriptor in a child that died': ['main open a /traced\nmain spawn c\nmain close a\nmain kill c', ['traced']],
    'a descriptor that was sent': ['main spawn c\nmain open a /traced\nmain send a c\nmain close a\nc exec', []],
    'a mapping that exec took away': ['main open a /rom\nmain map m a 0 0x1000\nmain close a\nmain exec', ['rom']],
    'a mapping that is still there': ['main open a /rom\nmain map m a 0 0x1000\nmain close a', []],
    'a descriptor without a name in a child': [
      'main open m /maker\nmain ioctl m 1 =0\nmain close m\nmain spawn c\nmain exit 0',
      ['maker'],
    ],
    'all of them, the newest first': [
      'main open a /traced\nmain open m /maker\nmain ioctl m 1 =0 to=n\nmain shut',
      ['made', 'maker', 'traced'],
    ],
    'one without a name, at the end of the process': [
      'main spawn c\nc open m /maker\nc ioctl m 1 =0\nc shut\nc exit 0',
      ['maker', 'made'],
    ],
  };
  for (const [title, [program, released]] of Object.entries(RELEASES)) {
    it(`releases a file with ${title}`, () => {
      CLOSES.length = 0;
      transcript(program, FILES);
      expect(CLOSES).to.deep.equal(released);
    });
  }
});
