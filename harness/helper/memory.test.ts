import { helperOrSkip, itObserves, type Row } from './testing.ts';

const CONTENT: readonly Row[] = [
  ['fresh memory is zeros', ['main mem m 4096', 'main read m 0 4096'], ['0 0 0', '1 0 0 out=00*4096']],
  [
    'bytes and patterns that are written',
    ['main mem m 64', 'main write m 1 01020304*2,ff', 'main read m 0 24', 'main write m 0 -', 'main read m 0 0'],
    ['0 0 0', '1 0 0', '2 0 0 out=0001020304010203,04ff000000000000,00*8', '3 0 0', '4 0 0 out=-'],
  ],
  [
    'a run that is cut at the end of the data',
    ['main mem m 64', 'main fill m 0 21 0x33', 'main read m 0 21', 'main read m 0 22'],
    ['0 0 0', '1 0 0', '2 0 0 out=33*21', '3 0 0 out=33*16,333333333300'],
  ],
  [
    'a long write from a short text',
    ['main mem m 0x4000000', 'main write m 0 0102030405060708*8388608', 'main read m 0 0x4000000'],
    ['0 0 0', '1 0 0', '2 0 0 out=0102030405060708*8388608'],
  ],
  [
    'the FNV-1a hash of bytes',
    ['main mem m 16', 'main write m 0 666f6f626172', 'main hash m 0 6', 'main hash m 0 0'],
    ['0 0 0', '1 0 0', '2 0 0 out=85944171f73967e8', '3 0 0 out=cbf29ce484222325'],
  ],
  [
    'single loads and stores',
    [
      'main mem m 16',
      'main poke m 0 8 0xfedcba9876543210',
      'main peek m 0 1',
      'main peek m 1 2',
      'main peek m 0 4',
      'main peek m 0 8',
      'main poke m 0 2 0x12345',
      'main peek m 0 4',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 16 0',
      '3 21554 0',
      '4 1985229328 0',
      `5 ${0xfedcba9876543210n - (1n << 64n)} 0`,
      '6 0 0',
      '7 1985225541 0',
    ],
  ],
  [
    'pointers that are stored',
    [
      'main mem m 16',
      'main link m 0 0x1122334455667788',
      'main read m 0 8',
      'main mem n 16',
      'main link m 0 &n+0x0',
      'main link m 8 &n+0x0',
      'repeat 2',
      'main hash m 0 8',
      'main hash m 8 8',
      'end',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 0 0 out=8877665544332211',
      '3 0 0',
      '4 0 0',
      '5 0 0',
      '6.0-1 0 0 out=<any>',
      '7.0-1 0 0 out=<any>',
    ],
  ],
  [
    'a value that is awaited and there, and one that is not',
    ['main mem m 16', 'main poke m 4 4 0x1234', 'main await m 4 4 0xff 0x34 0', 'main await m 4 4 0xff 0x35 20'],
    ['0 0 0', '1 0 0', '2 4660 0', '3 -1 110'],
  ],
];

const FAULTS: readonly Row[] = [
  [
    'a hole',
    [
      'main mem m 0x3000',
      'main unmap m 0x1000 0x1000',
      'main read m 0xffc 8',
      'main read m 0xff8 8',
      'main write m 0x1000 00',
      'main fill m 0 0x3000 1',
      'main read m 0xff8 8',
      'main read m 0x2000 8',
      'main peek m 0x1ffc 4',
      'main poke m 0x1000 8 0',
      'main hash m 0 0x2000',
      'main await m 0x1000 4 1 1 100',
      'main link m 0x1ff9 0',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 -1 14',
      '3 0 0 out=00*8',
      '4 -1 14',
      '5 -1 14',
      '6 0 0 out=01*8',
      '7 0 0 out=00*8',
      '8 -1 14',
      '9 -1 14',
      '10 -1 14',
      '11 -1 14',
      '12 -1 14',
    ],
  ],
  [
    'protections',
    [
      'main mem r 4096 prot=r',
      'main read r 0 8',
      'main fill r 0 8 1',
      'main mem n 4096 prot=none',
      'main peek n 0 1',
      'main protect n 0 4096 rw',
      'main poke n 0 1 9',
      'main protect n 0 4096 r',
      'main poke n 0 1 8',
      'main peek n 0 1',
      'main mem w 4096 prot=w',
      'main fill w 0 8 1',
    ],
    [
      '0 0 0',
      '1 0 0 out=00*8',
      '2 -1 14',
      '3 0 0',
      '4 -1 14',
      '5 0 0',
      '6 0 0',
      '7 0 0',
      '8 -1 14',
      '9 9 0',
      '10 0 0',
      '11 0 0',
    ],
  ],
  [
    'the end of a file',
    [
      'main memfd f 0x1000',
      'main map m f 0 0x2000',
      'main peek m 0x1000 4',
      'main read m 0xff8 16',
      'main truncate f 0x2000',
      'main peek m 0x1000 4',
      'main truncate f 0',
      'main poke m 0 4 1',
    ],
    ['0 3 0', '1 0 0', '2 -1 14', '3 -1 14', '4 0 0', '5 0 0', '6 0 0', '7 -1 14'],
  ],
  [
    'the pages on both sides of a memory',
    [
      'main mem m 4096',
      'main peek m 0x1000 1',
      'main peek m 0xffffffffffffffff 1',
      'main peek m 0xfff 2',
      'main peek m 0xfff 1',
    ],
    ['0 0 0', '1 -1 14', '2 -1 14', '3 -1 14', '4 0 0'],
  ],
  [
    'what lies too far off to be meant',
    [
      'main mem m 4096',
      'main peek m 0x10000 1',
      'main fill m 0 0x100000 1',
      'main unmap m 0x1000 0x1000',
      'main protect m 0 0x2000 r',
      'main read m 0 0',
      'main unmap m 8 8',
    ],
    [
      '0 0 0',
      '1 !bad this range is not within m',
      '2 !bad this range is not within m',
      '3 !bad this range is not within the pages of m',
      '4 !bad this range is not within the pages of m',
      '5 0 0 out=-',
      '6 -1 22',
    ],
  ],
  [
    'names that stand for nothing',
    [
      'main mem m 0',
      'main read m 0 1',
      'main guards m',
      'main unmap m 0 4096',
      'main mem m 4096',
      'main peek m 0 1',
      'main mem m 4096',
    ],
    ['0 -1 22', '1 -1 14', '2 -1 14', '3 -1 14', '4 0 0', '5 0 0', '6 !bad this memory is there already: m'],
  ],
];

const PLACES: readonly Row[] = [
  [
    'a place of its own choice, taken and free again',
    [
      'main mem a 0x2000 at=0x10000000',
      'main mem b 0x1000 at=0x10001000',
      'main unmap a 0x1000 0x1000',
      'main mem b 0x1000 at=0x10001000',
      'main fill b 0 0x1000 7',
      'main read a 0xff8 16',
      'main mem c 0x1000 at=&a+0x1000',
      'main mem c 0x1000 at=0x10001001',
    ],
    ['0 0 0', '1 -1 17', '2 0 0', '3 0 0', '4 0 0', '5 0 0 out=00*8,07*8', '6 -1 17', '7 -1 22'],
  ],
  [
    'a hole that no other memory fills by itself',
    [
      'main mem a 0x100000',
      'main unmap a 0x1000 0xfe000',
      'main mem b 0x1000',
      'main mem c 0x10000',
      'main memfd f 0x1000',
      'main map d f 0 0x1000',
      'main peek a 0x1000 1',
      'main peek a 0x80000 1',
      'main peek a 0xfefff 1',
    ],
    ['0 0 0', '1 0 0', '2 0 0', '3 0 0', '4 3 0', '5 0 0', '6 -1 14', '7 -1 14', '8 -1 14'],
  ],
  [
    'an aligned address',
    [
      'main mem a 4096 align=0x200000',
      'main mem p 8',
      'main link p 0 &a+0x0',
      'main peek p 0 2',
      'main peek p 2 1',
      'main mem b 4096 offset=0x123',
      'main link p 0 &b+0x0',
      'main peek p 0 1',
    ],
    ['0 0 0', '1 0 0', '2 0 0', '3 0 0', '4 <any> 0', '5 0 0', '6 0 0', '7 35 0'],
  ],
  [
    'files that are mapped, shared and private',
    [
      'main memfd f 0x2000',
      'main map s f 0x1000 0x1000',
      'main map p f 0x1000 0x1000 share=private',
      'main fill s 0 8 1',
      'main fill p 8 8 2',
      'main read p 0 16',
      'main read s 0 16',
      'main pread f 0x1000 16',
      'main map x f 1 4096',
      'main map y f 0 0',
    ],
    [
      '0 3 0',
      '1 0 0',
      '2 0 0',
      '3 0 0',
      '4 0 0',
      '5 0 0 out=01*8,02*8',
      '6 0 0 out=01*8,00*8',
      '7 16 0 out=01*8,00*8',
      '8 -1 22',
      '9 -1 22',
    ],
  ],
];

/** TIOCGWINSZ on a terminal writes 8 bytes to where it is told. */
const GUARDS: readonly Row[] = [
  [
    'guard bytes in the pages of a memory',
    [
      'main mem m 16 offset=0x10',
      'main guards m',
      'main read m 0xfffffffffffffff0 48',
      'main fill m 16 3 0',
      'main fill m 0xffffffffffffffff 1 0',
      'main guards m',
      'main fill m 0 16 0',
      'main guards m',
    ],
    ['0 0 0', '1 0 0', '2 0 0 out=a5*16,00*16,a5*16', '3 0 0', '4 0 0', '5 4 0', '6 0 0', '7 4 0'],
  ],
  [
    'guard pages that can be written',
    [
      'main mem m 4096 guard=1',
      'main open t /dev/ptmx',
      'main ioctl t 0x5413 &m+0xffc',
      'main guards m',
      'main read m 0x1000 8',
      'main fill m 0xfffffffffffff000 4096 1',
      'main guards m',
      'main peek m 0xffffffffffffefff 1',
    ],
    ['0 0 0', '1 3 0', '2 0 0', '3 4 0', '4 0 0 out=00000000a5a5a5a5', '5 0 0', '6 4100 0', '7 -1 14'],
  ],
  [
    'a system call that writes beyond the end',
    [
      'main mem m 4096',
      'main open t /dev/ptmx',
      'main ioctl t 0x5413 &m+0xffc',
      'main ioctl t 0x5413 &m+0xff8',
      'main ioctl t 0x5413 0',
    ],
    ['0 0 0', '1 3 0', '2 -1 14', '3 0 0', '4 -1 14'],
  ],
];

describe('helper: memory', () => {
  let path = '';
  before(async function () {
    path = await helperOrSkip(this);
  });
  const at = (): string => path;

  describe('its bytes', () => itObserves(CONTENT, at));
  describe('what cannot be touched is an observation', () => itObserves(FAULTS, at));
  describe('its place', () => itObserves(PLACES, at));
  describe('its guards', () => itObserves(GUARDS, at));
});
