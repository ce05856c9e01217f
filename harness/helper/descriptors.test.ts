import { expect } from 'chai';
import { skipBecause } from '../testing.ts';
import { helperOrSkip, IS_ROOT, itObserves, observe, type Row } from './testing.ts';

const FILES: readonly Row[] = [
  [
    'what is opened, duplicated and closed',
    [
      'main open z /dev/zero',
      'main open n /dev/null flags=w',
      'main pread n 0 1',
      'main dup d z',
      'main close z',
      'main pread d 0 9',
      'main pread z 0 1',
      'main close z',
      'main open z /nothing',
      'main open z /dev/full flags=r',
      'main fds',
    ],
    ['0 3 0', '1 4 0', '2 -1 9', '3 5 0', '4 0 0', '5 9 0 out=00*9', '6 -1 9', '7 -1 9', '8 -1 2', '9 3 0', '10 3 0'],
  ],
  [
    'a name that is taken',
    ['main open z /dev/zero', 'main open z /dev/null', 'main memfd z 1', 'main dup z z', 'main fds'],
    [
      '0 3 0',
      '1 !bad this descriptor is open already: z',
      '2 !bad this descriptor is open already: z',
      '3 !bad this descriptor is open already: z',
      '4 1 0',
    ],
  ],
  [
    'one that a call leaves in its argument (here: how much there is to read, FIONREAD)',
    [
      'main memfd m 3',
      'main ioctl m 0x541b [ff*4,00*4] to=same at=0',
      'main pread same 0 9',
      'main ioctl m 0x541b [ff*4,00*4] to=less at=5',
      'main ioctl m 0x541b =0 to=nowhere at=0',
      'main close same',
      'main close m',
    ],
    [
      '0 3 0',
      '1 0 0 out=0300000000000000',
      '2 3 0 out=000000',
      '3 !bad no room in the argument for a descriptor',
      '4 !bad no room in the argument for a descriptor',
      '5 0 0',
      '6 -1 9',
    ],
  ],
  [
    'files without a name',
    [
      'main memfd m 0x1800',
      'main file f 100',
      'main pwrite f 98 aabbcc',
      'main pread f 96 200',
      'main truncate f 97',
      'main pread f 96 200',
      'main pread f 97 1',
      'main pread m 0x1700 0x200',
      'main truncate m 0x8000000000000000',
    ],
    [
      '0 3 0',
      '1 4 0',
      '2 3 0',
      '3 5 0 out=0000aabbcc',
      '4 0 0',
      '5 1 0 out=00',
      '6 0 0 out=-',
      '7 256 0 out=00*256',
      '8 -1 22',
    ],
  ],
  [
    'what is read and written where the last one ended, and asked for',
    [
      'main memfd m 0x100',
      'main mem r 0x1000',
      'main write r 0 616263',
      'main writefd m &r+0x1 2',
      'main readfd m 2',
      'main pread m 0 3',
      'main readfd m 1 into=&r+0x0',
      'main read r 0 3',
      'main readfd m 1 into=&r+0x1000',
      'main writefd m 0 1',
      'main poll m 5',
      'main poll m 1',
      'main ioctl m 0x5451 [00*4] to=f at=2',
      'main close m',
      'main poll m 1',
    ],
    [
      '0 3 0',
      '1 0 0',
      '2 0 0',
      '3 2 0',
      '4 2 0 out=0000',
      '5 3 0 out=626300',
      '6 1 0',
      '7 0 0 out=006263',
      '8 -1 14',
      '9 -1 14',
      '10 5 0',
      '11 1 0',
      '12 !bad no room in the argument for a descriptor',
      '13 0 0',
      '14 -1 9',
    ],
  ],
  [
    'everything at once, newest first',
    [
      'main open a /dev/zero',
      'main open b /dev/zero',
      'main fds',
      'main shut',
      'main fds',
      'main shut',
      'main close a',
    ],
    ['0 3 0', '1 4 0', '2 2 0', '3 2 0', '4 0 0', '5 0 0', '6 -1 9'],
  ],
  [
    'the start of a file',
    ['main cat /proc/sys/kernel/ostype', 'main cat /nothing', 'main cat /proc', 'main fds'],
    ['0 6 0 out=4c696e75780a', '1 -1 2', '2 -1 21', '3 0 0'],
  ],
  [
    'paths that the program names',
    [
      'let dev /dev',
      'let zero zero',
      'main open a $dev/$zero',
      'main open b /$zero/dev',
      'main ioctl a 0x1234 [$zero,00,$dev]',
    ],
    ['0 3 0', '1 -1 2', '2 -1 25'],
  ],
];

/** TIOCSWINSZ (0x5414) takes 8 bytes and TIOCGWINSZ (0x5413) gives them back: what a system call got can be seen. */
const IOCTLS: readonly Row[] = [
  [
    'the bytes that came back, when they differ',
    [
      'main open t /dev/ptmx',
      'main ioctl t 0x5413 [ff*8]',
      'main ioctl t 0x5413 [00*8]',
      'main ioctl t 0x5414 [0102030405060708]',
      'main ioctl t 0x5413 [00*8,ee*4]',
      'main ioctl t 0xffffffff [-]',
    ],
    ['0 3 0', '1 0 0 out=00*8', '2 0 0', '3 0 0', '4 0 0 out=0102030405060708,eeeeeeee', '5 -1 25'],
  ],
  [
    'guard bytes that changed',
    [
      'main open t /dev/ptmx',
      'main ioctl t 0x5414 [0102030405060708]',
      'main ioctl t 0x5413 [00*4]',
      'main ioctl t 0x5413 [-]',
      'main ioctl t 0x5413 [00*8]',
      'main ioctl t 0x5413 [00*7]',
    ],
    [
      '0 3 0',
      '1 0 0',
      '2 0 0 out=01020304 trampled=4,5,6,7',
      '3 0 0 trampled=0,1,2,3,4,5,6,7',
      '4 0 0 out=0102030405060708',
      '5 0 0 out=01020304050607 trampled=7',
    ],
  ],
  [
    'arguments that are numbers, places or nothing',
    [
      'main open t /dev/ptmx',
      'main mem m 64',
      'main write m 8 1122334455667788',
      'main ioctl t 0x5414 &m+0x8',
      'main ioctl t 0x5413 &m+0x20',
      'main read m 0x20 8',
      'main ioctl t 0x5413 =0',
      'main ioctl t 0x5413 =0xffff800000000000',
      'main ioctl t 0x5413 &m+0xfffffffffffff000',
    ],
    ['0 3 0', '1 0 0', '2 0 0', '3 0 0', '4 0 0', '5 0 0 out=1122334455667788', '6 -1 14', '7 -1 14', '8 -1 14'],
  ],
  [
    'descriptors that are put in',
    [
      'main open t /dev/ptmx',
      'main memfd m 1',
      'main ioctl t 0x5414 [ff*8 @4=fd:m]',
      'main ioctl t 0x5413 [00*8]',
      'main close m',
      'main ioctl t 0x5414 [ff*8 @4=fd:m]',
      'main ioctl m 0x5414 [ff*8 @4=fd:m]',
    ],
    ['0 3 0', '1 4 0', '2 0 0', '3 0 0 out=ffffffff04000000', '4 0 0', '5 -1 9', '6 -1 9'],
  ],
  [
    'strides',
    [
      'main open t /dev/ptmx',
      'repeat 3',
      'main ioctl t 0x5414 [feff000000000000 +0=0x1]',
      'main ioctl t 0x5413 [00*8]',
      'end',
      'main ioctl t 0x5414 [0a00*4 +0=0xffff]',
      'main ioctl t 0x5413 [00*8]',
    ],
    [
      '0 3 0',
      '2.0 0 0 out=feff000000000000',
      '2.1 0 0 out=ffff000000000000',
      '1.0-2 0 0',
      '2.2 0 0 out=0000010000000000',
      '3 0 0',
      '4 0 0 out=0a000a000a000a00',
    ],
  ],
  [
    'pointers that did not change, as they were written',
    [
      'main open t /dev/ptmx',
      'main mem m 16',
      'main ioctl t 0x5414 [0102*4]',
      'main ioctl t 0x5413 [00*16 @8=&m+0x0]',
      'main ioctl t 0x5413 [00*16 @0=&m+0x0 @12=fd:t]',
      'repeat 2',
      'main ioctl t 0x5413 [00*16 @8=&m+0x0 +8=0x10]',
      'end',
    ],
    [
      '0 3 0',
      '1 0 0',
      '2 0 0',
      '3 0 0 out=0102010201020102,00*8',
      '4 0 0 out=0102010201020102,00*8',
      '5.0-1 0 0 out=0102010201020102,00*8',
    ],
  ],
  [
    'a descriptor that an ioctl makes',
    // TIOCGPTPEER opens the other side of a terminal that TIOCSPTLCK has unlocked.
    [
      'main open t /dev/ptmx',
      'main ioctl t 0x40045431 [00*4]',
      'main ioctl t 0x5441 =2 to=peer',
      'main ioctl peer 0x5413 [ff*8]',
      'main ioctl t 0x5441 =2 to=peer',
      'main fds',
      'main close peer',
      'main ioctl t 0x1234 =2 to=peer',
      'main close peer',
    ],
    [
      '0 3 0',
      '1 0 0',
      '2 4 0',
      '3 0 0 out=00*8',
      '4 !bad this descriptor is open already: peer',
      '5 2 0',
      '6 0 0',
      '7 -1 25',
      '8 -1 9',
    ],
  ],
];

describe('helper: descriptors', () => {
  let path = '';
  before(async function () {
    path = await helperOrSkip(this);
  });
  const at = (): string => path;

  describe('files', () => itObserves(FILES, at));
  describe('ioctl', () => itObserves(IOCTLS, at));

  it('puts addresses in, which move with a stride', async () => {
    const observed = await observe(
      path,
      [
        'main open t /dev/ptmx',
        'main mem m 16',
        'main mem p 8',
        'main link p 0 &m+0x8',
        'main peek p 0 8',
        'repeat 2',
        'main ioctl t 0x5414 [00*8 @0=&m+0x8 +0=0x10000]',
        'main ioctl t 0x5413 [00*8]',
        'end',
      ].join('\n'),
    );
    const address = BigInt(observed[4]?.split(' ')[1] ?? 0);
    const bytes = (value: bigint): string => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigUInt64LE(value);
      return buffer.toString('hex');
    };
    expect(observed.filter((line) => line.startsWith('6.'))).to.deep.equal([
      `6.0 0 0 out=${bytes(address)}`,
      `6.1 0 0 out=${bytes(address + 0x10000n)}`,
    ]);
  });

  it('lets a call that reads far behind its argument find no page there', async function () {
    if (!IS_ROOT) skipBecause(this, 'only root may do this');
    // RNDADDENTROPY: no bits of entropy, and a number of bytes that follow.
    const observed = await observe(
      path,
      [
        'main open r /dev/urandom',
        'main ioctl r 0x40085203 [00*4,ff000000]',
        'main ioctl r 0x40085203 [00*4,00100000]',
      ].join('\n'),
    );
    expect(observed).to.deep.equal(['0 3 0', '1 0 0', '2 -1 14']);
  });
});
