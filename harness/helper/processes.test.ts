import { expect } from 'chai';
import { skipBecause } from '../testing.ts';
import { helperOrSkip, IS_ROOT, itObserves, observe, type Row } from './testing.ts';

const LIVES: readonly Row[] = [
  [
    'a child has what its parent had, and its own from then on',
    [
      'main mem s 4096 share=shared',
      'main mem p 4096',
      'main fill p 0 8 1',
      'main memfd f 8',
      'main spawn kid',
      'kid read p 0 8',
      'kid fill p 0 8 2',
      'kid fill s 0 8 3',
      'kid pwrite f 0 04*8',
      'kid close f',
      'main read p 0 8',
      'main read s 0 8',
      'main pread f 0 8',
      'kid fds',
      'main fds',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 0 0',
      '3 3 0',
      '4 0 0',
      '5 0 0 out=01*8',
      '6 0 0',
      '7 0 0',
      '8 8 0',
      '9 0 0',
      '10 0 0 out=01*8',
      '11 0 0 out=03*8',
      '12 8 0 out=04*8',
      '13 0 0',
      '14 1 0',
    ],
  ],
  [
    'a child outlives who made it',
    ['main spawn a', 'a spawn b', 'main kill a', 'a fds', 'b fds', 'b kill main', 'main fds', 'b spawn c', 'c fds'],
    [
      '0 0 0',
      '1 0 0',
      '2 9 0',
      '3 !gone actor a is gone',
      '4 0 0',
      '5 9 0',
      '6 !gone actor main is gone',
      '7 0 0',
      '8 0 0',
    ],
  ],
  [
    'ends by its own will',
    ['main spawn a', 'a exit 255', 'a fds', 'main kill a', 'main kill main', 'main fds'],
    ['0 0 0', '1 0 0', '2 !gone actor a is gone', '3 !gone a is gone', '4 9 0', '5 !gone actor main is gone'],
  ],
  [
    'an end in a repeat',
    ['repeat 5', 'main fds', 'main exit 0', 'main limits nofile', 'end', 'main fds'],
    [
      '0.0 0 0',
      '1.0 0 0',
      '0.1-4 !gone actor main is gone',
      '1.1-4 !gone actor main is gone',
      '2.0-4 !gone actor main is gone',
      '3 !gone actor main is gone',
    ],
  ],
  [
    'a name for an actor is used once',
    ['repeat 3', 'main spawn a', 'end', 'a exit 0', 'main spawn a'],
    [
      '0.0 0 0',
      '0.1-2 !bad there was an actor of this name already: a',
      '1 0 0',
      '2 !bad there was an actor of this name already: a',
    ],
  ],
  [
    'exec: another address space, the same descriptors',
    [
      'main mem m 4096',
      'main memfd f 8',
      'main pwrite f 0 07*8',
      'main exec',
      'main peek m 0 1',
      'main pread f 0 8',
      'main fds',
      'main mem m 8192',
      'main peek m 0x1000 1',
      'main open z /dev/zero',
      'main shut',
    ],
    ['0 0 0', '1 3 0', '2 8 0', '3 0 0', '4 -1 14', '5 8 0 out=07*8', '6 1 0', '7 0 0', '8 0 0', '9 4 0', '10 2 0'],
  ],
  [
    'exec keeps a descriptor that the kernel made to be closed by it',
    // TIOCGPTPEER, with O_CLOEXEC.
    [
      'main open t /dev/ptmx',
      'main ioctl t 0x40045431 [00*4]',
      'main ioctl t 0x5441 =0x80002 to=peer',
      'main exec',
      'main ioctl peer 0x5413 [ff*8]',
      'main fds',
    ],
    ['0 3 0', '1 0 0', '2 4 0', '3 0 0', '4 0 0 out=00*8', '5 2 0'],
  ],
  [
    'no huge pages that nobody asked for, after fork and exec either',
    ['main status THP_enabled', 'main spawn a', 'a exec', 'a status THP_enabled'],
    ['0 0 0', '1 0 0', '2 0 0', '3 0 0'],
  ],
  [
    'exec in a repeat, and in a child',
    [
      'main spawn kid',
      'kid open z /dev/zero',
      'repeat 3',
      'kid mem m 16',
      'kid exec',
      'kid peek m 0 1',
      'end',
      'kid fds',
      'main kill kid',
    ],
    ['0 0 0', '1 3 0', '2.0-2 0 0', '3.0-2 0 0', '4.0-2 -1 14', '5 1 0', '6 9 0'],
  ],
  [
    'descriptors that are sent',
    [
      'main spawn a',
      'main spawn b',
      'main memfd f 8',
      'main send f a',
      'a pwrite f 0 0102',
      'a send f b',
      'a close f',
      'b pread f 0 4',
      'main send f b',
      'main send f main',
      'b exec',
      'b pread f 0 2',
      'main kill a',
      'b send f a',
      'a fds',
      'b fds',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 3 0',
      '3 0 0',
      '4 2 0',
      '5 0 0',
      '6 0 0',
      '7 4 0 out=01020000',
      '8 !bad the receiver has this descriptor already: f',
      '9 !bad an actor has what it would send itself: f',
      '10 0 0',
      '11 2 0 out=0102',
      '12 9 0',
      '13 !gone a is gone',
      '14 !gone actor a is gone',
      '15 1 0',
    ],
  ],
  [
    'descriptors that are sent one after the other',
    [
      'main spawn a',
      'main spawn b',
      'main memfd f 8',
      'main memfd g 8',
      'main memfd h 8',
      'main send f a',
      'main send f b',
      'main send g a',
      'main send h a',
      'main send h b',
      'main kill b',
      'main send g b',
      'main spawn c',
      'main close h',
      'a send h main',
      'a send h c',
      'a fds',
      'c fds',
    ],
    [
      '0 0 0',
      '1 0 0',
      '2 3 0',
      '3 4 0',
      '4 5 0',
      '5 0 0',
      '6 0 0',
      '7 0 0',
      '8 0 0',
      '9 0 0',
      '10 9 0',
      '11 !gone b is gone',
      '12 0 0',
      '13 0 0',
      '14 0 0',
      '15 !bad the receiver has this descriptor already: h',
      '16 3 0',
      '17 3 0',
    ],
  ],
  [
    'a receiver that has no number left',
    ['main spawn a', 'a limit nofile 3', 'main memfd f 8', 'main send f a', 'main close f', 'main send f a'],
    ['0 0 0', '1 0 0', '2 3 0', '3 -1 24', '4 0 0', '5 -1 9'],
  ],
];

const STATE: readonly Row[] = [
  [
    'limits',
    [
      'main limit nofile 5',
      'main limits nofile',
      'main open a /dev/zero',
      'main open b /dev/zero',
      'main open c /dev/zero',
      'main spawn kid',
      'kid limits nofile',
      'kid close a',
      'kid exec',
      'kid open a /dev/zero',
      'main limit memlock 4096',
      'main limits memlock',
      'kid limit data 0xffffffffffffffff',
      'kid limits data',
    ],
    [
      '0 0 0',
      '1 5 0',
      '2 3 0',
      '3 4 0',
      '4 -1 24',
      '5 0 0',
      '6 5 0',
      '7 0 0',
      '8 0 0',
      '9 3 0',
      '10 0 0',
      '11 4096 0',
      '12 0 0',
      '13 -1 0',
    ],
  ],
  [
    'fields of its status',
    ['main status VmLck', 'main status Threads', 'main status NoSuchField', 'main status State', 'main status SigCgt'],
    ['0 0 0', '1 1 0', '2 -1 2', '3 !bad this field has no number: State', '4 <any> 0'],
  ],
];

const CAP_IPC_LOCK = 1n << 14n;

describe('helper: processes', () => {
  let path = '';
  before(async function () {
    path = await helperOrSkip(this);
  });
  const at = (): string => path;

  describe('lives', () => itObserves(LIVES, at));
  describe('state', () => itObserves(STATE, at));

  it("hands over to one that has just exec'd, however fast", async () => {
    const program = ['main spawn a', ...Array.from({ length: 200 }, () => 'a exec\na fds\nmain fds').flat()];
    const observed = await observe(path, program.join('\n'), { stepMs: 5000 });
    expect(observed).to.deep.equal(Array.from({ length: 601 }, (_, step) => `${step} 0 0`));
  });

  describe('credentials', () => {
    before(function () {
      if (!IS_ROOT) skipBecause(this, 'only root may do this');
    });
    const capabilities = (line: string | undefined): bigint => BigInt(line?.split(' ')[1] ?? -1);

    it('becomes another user, without capabilities, for good', async () => {
      const program = [
        'main spawn kid',
        'kid user 65534',
        'kid status CapEff',
        'kid status Uid',
        'kid user 0',
        'kid exec',
        'kid status CapPrm',
        'kid status Gid',
        'main status Uid',
      ];
      expect(await observe(path, program.join('\n'))).to.deep.equal([
        ...['0 0 0', '1 0 0', '2 0 0', '3 65534 0', '4 -1 1', '5 0 0', '6 0 0', '7 65534 0', '8 0 0'],
      ]);
    });

    it('drops one capability, and exec does not bring it back', async () => {
      const program = [
        'main status CapEff',
        'main drop ipc_lock',
        'main status CapEff',
        'main exec',
        'main status CapEff',
      ];
      const [before, dropped, after, exec, later] = await observe(path, program.join('\n'));
      expect([dropped, exec]).to.deep.equal(['1 0 0', '3 0 0']);
      expect(capabilities(after)).to.equal(capabilities(before) & ~CAP_IPC_LOCK);
      expect(capabilities(later)).to.equal(capabilities(after));
    });

    it('drops all of them', async () => {
      const program = [
        'main drop all',
        'main status CapEff',
        'main exec',
        'main status CapPrm',
        'main user 1000',
        'main drop ipc_lock',
      ];
      expect(await observe(path, program.join('\n'))).to.deep.equal([
        '0 0 0',
        '1 0 0',
        '2 0 0',
        '3 0 0',
        '4 -1 1',
        '5 0 0',
      ]);
    });
  });
});
