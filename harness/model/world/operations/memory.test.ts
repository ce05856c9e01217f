import { describeTranscripts } from '../testing.ts';

describeTranscripts('the content of memory', {
  'reads as zeros, then as what was written': `
    main mem ram 0x2000          => 0
    main read ram 0xffc 8        => 0 0000000000000000
    main write ram 0xffe 01020304 => 0
    main read ram 0xffc 8        => 0 0000010203040000
    main fill ram 0xfff 2 0xee   => 0
    main read ram 0xffc 8        => 0 000001eeee040000`,
  'is what a wide fill made it, but for what was written over it': `
    main mem ram 0x100000000     => 0
    main fill ram 0 0x100000000 0x5a => 0
    main write ram 0x80000000 ff => 0
    main read ram 0x7fffffff 3   => 0 5aff5a
    main read ram 0xffffffff 1   => 0 5a`,
  'faults beside the memory, and nobody knows how far a write got': `
    main mem ram 0x1000          => 0
    main fill ram 0 0x1000 1     => 0
    main read ram 0xfff 2        => EFAULT
    main write ram 0xffe 020202  => EFAULT
    main read ram 0xffc 4        => 0 0101????
    main read ram 0x1000 1       => EFAULT
    main read ram 0 0            => 0 -
    main read ram 0x2001 0       => open
    main read ram 0xfffffffffffff000 1 => EFAULT
    main fill ram 0xffffffffffffefff 1 0 => open`,
  'can be read, not written, when it is protected': `
    main mem ram 0x1000 prot=r   => 0
    main read ram 0 1            => 0 00
    main write ram 0 01          => EFAULT
    main protect ram 0 0x1000 rw => 0
    main write ram 0 01          => 0
    main protect ram 0 0x1000 none => 0
    main read ram 0 1            => EFAULT
    main protect ram 0 0x1000 w  => 0
    main read ram 0 1            => 0 01`,
  'is hashed with FNV-1a': `
    main mem ram 0x100000000     => 0
    main hash ram 0 0            => 0 cbf29ce484222325
    main write ram 0 666f6f626172 => 0
    main hash ram 0 6            => 0 85944171f73967e8`,
  'holds addresses that nobody can foresee': `
    main mem ram 0x1000          => 0
    main link ram 8 &ram+0x10    => 0
    main read ram 4 16           => 0 00000000????????????????00000000
    main hash ram 0 16           => open
    main peek ram 8 8            => open
    main link ram 0xffc &ram+0x0 => EFAULT`,
  'is loaded and stored in small pieces': `
    main mem ram 0x1000          => 0
    main poke ram 0 8 0x8877665544332211 => 0
    main peek ram 0 1            => 17
    main peek ram 0 2            => 8721
    main peek ram 4 4            => 2289526357
    main peek ram 0 8            => -8613303245920329199
    main poke ram 1 2 0x12345    => 0
    main read ram 0 4            => 0 11452344
    main peek ram 0xfff 2        => EFAULT
    main await ram 0 4 0xff 0x11 10 => 1143162129
    main await ram 0 4 0xff 0x12 10 => ETIMEDOUT`,
});

describeTranscripts('guard bytes', {
  'fill what a memory does not take of its pages': `
    main mem ram 0x10 offset=0xff8 => 0
    main guards ram              => 0
    main write ram 0x10 00a5     => 0
    main guards ram              => 1
    main read ram 0x10 3         => 0 00a5a5`,
  'stand beside a memory when they are asked for': `
    main mem ram 0x1000 guard=1  => 0
    main write ram 0x1000 00     => 0
    main guards ram              => 1
    main read ram 0x1fff 1       => 0 a5
    main read ram 0x2000 1       => EFAULT`,
  'are not written into files': `
    main memfd fd 0x1000         => any
    main map ram fd 0 0x10       => 0
    main guards ram              => 0
    main read ram 0x10 2         => 0 0000`,
});

describeTranscripts('mappings', {
  'leave holes where they are taken away, which can be filled again': `
    main mem ram 0x3000          => 0
    main fill ram 0 0x3000 7     => 0
    main unmap ram 0x1000 0x1000 => 0
    main read ram 0xfff 1        => 0 07
    main read ram 0x1000 1       => EFAULT
    main read ram 0x2000 1       => 0 07
    main mem other 0x1000 at=&ram+0x1000 => 0
    main read ram 0xfff 2        => 0 0700
    main mem third 0x1000 at=&ram+0x1000 => EEXIST
    main unmap ram 1 0x1000      => EINVAL
    main unmap ram 0 0           => EINVAL
    main unmap ram 0 0x3000      => 0
    main unmap ram 0 0x3000      => 0`,
  'stand where they are put, or are refused': `
    main mem low 0x1000 at=0x10000000 => 0
    main mem beside 0x1000 at=0x10001000 => EEXIST
    main mem near 0x1000 at=0x10002000 => 0
    main mem guarded 0x1000 at=0x10004000 guard=1 => EEXIST
    main mem guarded 0x1000 at=0x10005000 guard=1 => 0
    main mem same 0x1000 at=0x10000000 => EEXIST
    main mem odd 0x1000 at=0x20000001 => EINVAL
    main mem high 0x1000 at=0x7ffffffff000 => ENOMEM
    main mem below 0x1000 at=0x1000 => open
    main mem top 0x1000 at=0x7fffffffe000 => 0
    main mem nothing 0           => EINVAL`,
  'cannot be protected over holes': `
    main mem ram 0x3000          => 0
    main unmap ram 0x1000 0x1000 => 0
    main protect ram 0 0x3000 r  => ENOMEM
    main write ram 0 01          => EFAULT
    main write ram 0x2000 01     => 0
    main protect ram 1 0x1000 r  => EINVAL
    main protect ram 0x1000 0x3000 r => open
    main unmap ram 0x4000 0x1000 => open
    main protect ram 0 0 r       => 0`,
  'of huge pages may not be had, and come whole': `
    main mem ram 0x200000 huge=0x200000 => 0|ENOMEM|EINVAL|ENODEV
    main unmap ram 0 0x1000      => EINVAL
    main protect ram 0x1000 0x1000 r => EINVAL
    main unmap ram 0 0x200000    => 0`,
  'may fail for want of address space when that is limited': `
    main limit as 0x10000000     => 0
    main mem ram 0x1000          => 0|ENOMEM`,
});
