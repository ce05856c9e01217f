import { describeTranscripts } from '../testing.ts';

describeTranscripts('processes', {
  'inherit memory by fork: shared the same, private a copy': `
    main mem own 0x1000          => 0
    main mem both 0x1000 share=shared => 0
    main write own 0 01          => 0
    main spawn child             => 0
    main write own 1 02          => 0
    main write both 0 03         => 0
    child read own 0 3           => 0 010000
    child write own 2 04         => 0
    child write both 1 05        => 0
    main read own 0 3            => 0 010200
    main read both 0 3           => 0 030500
    child mem own 0x1000         => open`,
  'have fresh memory after exec': `
    main mem ram 0x1000          => 0
    main exec                    => 0
    main read ram 0 1            => EFAULT
    main mem ram 0x1000          => 0
    main read ram 0 1            => 0 00`,
  end: `
    main spawn a                 => 0
    main spawn b                 => 0
    main kill a                  => 9
    a fds                        => open
    main kill a                  => open
    b exit 3                     => 0
    b fds                        => open`,
  'change their user once': `
    main user 1000               => 0
    main user 1000               => 0
    main user 0                  => EPERM
    main drop ipc_lock           => 0
    main spawn child             => 0
    child user 1000              => 0
    child user 0                 => EPERM`,
  'drop capabilities': `
    main drop ipc_lock           => 0
    main user 0                  => 0
    main drop all                => 0
    main user 1000               => EPERM
    main drop all                => 0`,
  'lower their limits': `
    main limits memlock          => open
    main limit memlock 0x10000   => 0
    main limits memlock          => 65536
    main limit memlock 0x20000   => 0|EINVAL
    main spawn child             => 0
    child limits memlock         => 131072
    child limit memlock 0        => 0
    child exec                   => 0
    child limits memlock         => 0
    main limits memlock          => 131072`,
  'have locked nothing at first': `
    main status VmLck            => 0
    main status VmPin            => 0
    main status VmRSS            => open`,
});
