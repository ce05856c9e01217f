import { clause, each, readyContainer, type Scenario, TWO_GROUPS, test, u32, u64 } from '../harness/cases/index.ts';
import { mediator, offered, regionAt, taken } from '../harness/cases/mediators.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const BAR0 = 0;
const CONFIG = 7;
const K4 = 0x1000n;
const [EIO, EACCES, ENODEV] = [5n, 13n, 19n];
const bit = (region: number): bigint => 1n << BigInt(region);

clause('mediate-ops/register', () => {
  test('and unregister', (s) => {
    const { mediator: one, offered: device, ends } = taken(s);
    one.reads('registered').shows(0, u64(1n));
    one.reads('opens').shows(0, u64(1n));
    one.reads('device').shows(0, u64(0x11e8_1234n));
    ends();
    one.reads('registered').shows(0, u64(0n));
    device.visit();
    one.reads('opens').shows(0, u64(1n));
  });
});

clause('mediate-ops/order', () => {
  test('two that take every device', (s) => {
    const [first, second] = [mediator(s), mediator(s, {}, 1)];
    first.register().succeeds();
    second.register().succeeds();
    const device = offered(s);
    device.visit();
    first.reads('opens');
    second.reads('opens');
    second.unregister();
    device.visit();
    first.unregister();
    second.unregister();
  });
  test('the first one declines', (s) => {
    const [first, second] = [mediator(s, { match: 0x8086n }), mediator(s, {}, 1)];
    first.register().succeeds();
    second.register().succeeds();
    const device = offered(s);
    device.visit();
    first.reads('opens').shows(0, u64(0n));
    second.reads('opens').shows(0, u64(1n));
    first.reads('declines');
    second.unregister().succeeds();
    first.set({ match: 0n });
    device.visit();
    first.unregister().succeeds();
  });
});

clause('mediate-ops/declined', () => {
  each({ 'another device': { match: 0x8086n }, 'every device': { decline: EIO } }, (s, settings) => {
    const one = mediator(s, settings);
    one.register().succeeds();
    const device = offered(s);
    device.open().close();
    one.reads('declines').shows(0, u64(1n));
    one.set({ match: 0n, decline: 0n });
    device.visit();
    one.unregister().succeeds();
  });
  test('one that was not registered is not asked', (s) => {
    const one = mediator(s, { decline: ENODEV });
    offered(s).visit();
    one.reads('declines').shows(0, u64(0n));
  });
});

clause('mediate-ops/registered-once', () => {
  test('twice', (s) => {
    const one = mediator(s);
    one.register().succeeds();
    one.register();
    one.reads('registered');
    const device = offered(s);
    device.visit();
    one.unregister().succeeds();
    device.visit();
    device.visit();
    one.unregister();
  });
  test('again after it was unregistered', (s) => {
    const one = mediator(s);
    const device = offered(s);
    for (let round = 0; round < 2; round++) {
      one.register().succeeds();
      device.visit();
      one.unregister().succeeds();
    }
    one.reads('opens').shows(0, u64(2n));
  });
});

clause('mediate-ops/release-hook', () => {
  test('none', (s) => {
    const one = mediator(s, { hooks: 7n });
    one.register();
    const device = offered(s);
    device.visit();
    one.unregister();
    const open = device.open();
    s.main.does({ op: 'pread', fd: open.fd, offset: regionAt(CONFIG), size: 4n });
    one.reads('reads', CONFIG);
    open.close();
    one.set({ hooks: 15n });
    one.register().succeeds();
    device.visit();
    one.unregister().succeeds();
  });
});

clause('mediate-ops/open-once', () => {
  test('two files of one device', (s) => {
    const { mediator: one, ends } = taken(s);
    const again = {
      kind: 'inline',
      segments: [{ text: 'device0' }, { bytes: new Uint8Array(1) }],
      patches: [],
    } as const;
    s.main.does({ op: 'ioctl', fd: 'group', request: uapi.VFIO_GROUP_GET_DEVICE_FD, arg: again, to: 'second' });
    one.reads('opens').shows(0, u64(1n));
    s.main.does({ op: 'close', fd: 'second' }).succeeds();
    one.reads('releases').shows(0, u64(0n));
    ends();
    one.reads('releases').shows(0, u64(1n));
  });
  test('two devices', (s) => {
    s.needs(TWO_GROUPS);
    const one = mediator(s);
    one.register().succeeds();
    const { groups } = readyContainer(s, { groups: ['group0', 'group1'] });
    const devices = groups.map((group, index) => group.device(`device${index}`));
    for (const device of devices) device.opened.succeeds();
    one.reads('opens').shows(0, u64(2n));
    for (const device of devices) device.close().succeeds();
    one.reads('releases').shows(0, u64(2n));
    one.unregister().succeeds();
    one.unregister();
  });
});

clause('mediate-ops/release-once', () => {
  test('with a mapping left', (s) => {
    const { mediator: one, device } = taken(s);
    const registers = s.main.maps(device.fd, K4);
    device.close().succeeds();
    one.reads('releases').shows(0, u64(0n));
    registers.hole(0n, K4).succeeds();
    one.reads('releases').shows(0, u64(1n));
    one.unregister().succeeds();
  });
  test('with its process', (s) => {
    const { mediator: one, device } = taken(s);
    const child = s.main.forks();
    device.close().succeeds();
    one.reads('releases').shows(0, u64(0n));
    child.exits();
    one.reads('releases').shows(0, u64(1n));
    one.unregister().succeeds();
  });
});

clause('mediate-ops/handle', () => {
  each(
    {
      'a pointer': 0xffff_8880_1234_5678n,
      '31 bits': 0x7fff_ffffn,
      '32 bits': 0x8000_0000n,
      '33 bits': 0x1_0000_0000n,
      none: 0n,
    },
    (s, handle) => {
      const { mediator: one, read, ends } = taken(s, { handle });
      read(CONFIG, 4);
      one.reads('handleSeen');
      one.reads('strange');
      ends();
    },
  );
});

clause('mediate-ops/region-flags', () => {
  const { VFIO_REGION_INFO_FLAG_MMAP: mmap, VFIO_REGION_INFO_FLAG_WRITE: write } = uapi;
  test('BAR0 cannot be mapped', (s) => {
    const { info, ends } = taken(s, { infoRegions: bit(BAR0), infoClear: BigInt(mmap) });
    info(BAR0).shows(4, u32(3));
    info(CONFIG).shows(4, u32(3));
    ends();
  });
  test('config space cannot be written', (s) => {
    const { info, ends } = taken(s, { infoRegions: bit(CONFIG), infoClear: BigInt(write) });
    info(CONFIG).shows(4, u32(1));
    info(BAR0).shows(4, u32(7));
    ends();
  });
  test('a flag more', (s) => {
    const { info, ends } = taken(s, { infoRegions: bit(CONFIG), infoSet: BigInt(mmap) });
    info(CONFIG).shows(4, u32(7));
    ends();
  });
  test('a region that is not there', (s) => {
    const { mediator: one, info, ends } = taken(s, { infoRegions: 0xffffn, infoSet: 7n });
    info(1).shows(4, u32(0));
    one.reads('infos', 1).shows(0, u64(0n));
    ends();
  });
});

clause('mediate-ops/sparse-mmap', () => {
  const sparse = { infoRegions: bit(BAR0), sparseOffset: K4, sparseSize: 2n * K4 };
  each({ '32': 32, '63': 63 }, (s, argsz) => {
    const { info, ends } = taken(s, sparse);
    info(BAR0, argsz, 96).shows(0, u32(64)).shows(4, u32(15));
    ends();
  });
  each({ '64': 64, '96': 96 }, (s, argsz) => {
    const { info, ends } = taken(s, sparse);
    info(BAR0, argsz).shows(12, u32(32)).shows(32, u32(0x1_0001)).shows(40, u32(1)).shows(48, u64(K4));
    ends();
  });
  test('of config space there is none', (s) => {
    const { info, ends } = taken(s, sparse);
    info(CONFIG, 64).shows(4, u32(3));
    ends();
  });
});

clause('mediate-ops/info-error', () => {
  test('EIO', (s) => {
    const { mediator: one, info, ends } = taken(s, { infoRegions: bit(BAR0), infoErrno: EIO });
    info(BAR0);
    info(CONFIG).succeeds();
    one.reads('infos', BAR0).shows(0, u64(1n));
    ends();
  });
});

/** Memory space and bus master, in the command register. */
const BUS_MASTER = new Uint8Array([6, 0]);
const IDENTITY = new Uint8Array([0x34, 0x12, 0xe8, 0x11]);

clause('mediate-ops/rw', () => {
  test('a read that is passed on', (s) => {
    const { mediator: one, read, ends } = taken(s);
    read(CONFIG, 4).shows(0, IDENTITY);
    one.reads('reads', CONFIG).shows(0, u64(1n));
    ends();
  });
  each({ 'config space': CONFIG, BAR0 }, (s, region) => {
    const { mediator: one, read, ends } = taken(s, { rwKeeps: bit(region), fill: 0x5an });
    read(region, 8).shows(0, new Uint8Array(8).fill(0x5a));
    one.reads('reads', region).shows(0, u64(1n));
    one.reads('writes', region).shows(0, u64(0n));
    ends();
  });
  test('a write that is kept', (s) => {
    const { mediator: one, write, ends } = taken(s, { rwKeeps: bit(CONFIG) });
    write(CONFIG, BUS_MASTER, 4n).returns(2);
    one.reads('writes', CONFIG).shows(0, u64(1n));
    ends();
  });
  test('a write that is kept does not reach the device: it is no bus master', (s) => {
    const {
      offered: { ready },
      device,
      write,
      ends,
    } = taken(s, { rwKeeps: bit(CONFIG) });
    ready.memory.fill(0x11);
    ready.map({ iova: 0x10000n, size: K4 }).succeeds();
    write(CONFIG, BUS_MASTER, 4n).returns(2);
    const registers = s.main.maps(device.fd, 0x100000);
    // From the device's buffer, which is full of zeros, to the memory.
    for (const [offset, value] of [
      [0x80n, 0x40000n],
      [0x88n, 0x10000n],
      [0x90n, 16n],
      [0x98n, 3n],
    ] as const) {
      s.main.does({ op: 'poke', name: registers.name, offset, width: 8n, value }).succeeds();
    }
    const done = { offset: 0x98n, width: 8n, mask: 1n, value: 0n, timeout_ms: 5000n };
    s.main.does({ op: 'await', name: registers.name, ...done }).succeeds();
    ready.memory.read(0n, 16n).shows(0, new Uint8Array(16).fill(0x11));
    registers.hole(0n, 0x100000n);
    ends();
  });
  test('an errno', (s) => {
    const { read, write, ends } = taken(s, { rwKeeps: bit(CONFIG), rwErrno: EACCES });
    read(CONFIG, 4).refused('EACCES');
    write(CONFIG, BUS_MASTER, 4n).refused('EACCES');
    ends();
  });
  test('other regions are passed on', (s) => {
    const { read, ends } = taken(s, { rwKeeps: bit(BAR0), fill: 0x5an });
    read(CONFIG, 4).shows(0, IDENTITY);
    ends();
  });
});

/** The register of edu that tells what it is. */
const EDU_ID = 0x0100_00edn;

clause('mediate-ops/mmap', () => {
  const maps = (s: Scenario, fd: string, region: number) => s.main.maps(fd, K4, { start: regionAt(region) });
  test('passed on', (s) => {
    const { mediator: one, device, ends } = taken(s);
    const registers = maps(s, device.fd, BAR0);
    s.main.does({ op: 'peek', name: registers.name, offset: 0n, width: 4n }).returns(EDU_ID);
    one.reads('mmaps', BAR0).shows(0, u64(1n));
    registers.hole(0n, K4);
    ends();
  });
  each({ BAR0, 'config space, which cannot be mapped otherwise': CONFIG }, (s, region) => {
    const { mediator: one, device, ends } = taken(s, { mmapKeeps: bit(region), fill: 0x77n });
    const own = maps(s, device.fd, region);
    own.read(0n, 16n).shows(0, new Uint8Array(16).fill(0x77));
    one.reads('mmaps', region).shows(0, u64(1n));
    own.hole(0n, K4);
    ends();
  });
  test('an errno', (s) => {
    const { device, ends } = taken(s, { mmapKeeps: bit(BAR0), mmapErrno: EACCES });
    const start = regionAt(BAR0);
    s.main.does({ op: 'map', name: 'refused', fd: device.fd, start, size: K4, share: 'shared' }).refused('EACCES');
    ends();
  });
});

clause('mediate-ops/mapping-checked', () => {
  each(
    {
      'a private mapping': { share: 'private', region: BAR0 },
      'a region that is none': { share: 'shared', region: 100 },
    } as const,
    (s, { share, region }) => {
      const { mediator: one, device, ends } = taken(s, { mmapKeeps: 0xffffn });
      s.main.does({ op: 'map', name: 'odd', fd: device.fd, start: regionAt(region), size: K4, share });
      one.reads('mmaps', Math.min(region, 15));
      s.main.does({ op: 'unmap', name: 'odd', offset: 0n, size: K4 });
      ends();
    },
  );
});

clause('mediate-ops/declared-regions', () => {
  test('config space alone', (s) => {
    const { mediator: one, device, read, info, ends } = taken(s, { regions: bit(CONFIG) });
    read(CONFIG, 4).shows(0, IDENTITY);
    one.reads('reads', CONFIG).shows(0, u64(1n));
    info(BAR0).succeeds();
    one.reads('infos', BAR0);
    const registers = s.main.maps(device.fd, K4);
    one.reads('mmaps', BAR0);
    registers.hole(0n, K4);
    ends();
  });
  test('none: what would be kept goes on to the device', (s) => {
    const { read, ends } = taken(s, { regions: 0n, rwKeeps: 0xffffn, fill: 0x5an });
    read(CONFIG, 4);
    ends();
  });
});

clause('mediate-ops/unregister', () => {
  test('one that was never opened', (s) => {
    const one = mediator(s);
    one.register().succeeds();
    one.unregister().succeeds();
    const device = offered(s);
    device.visit();
    one.reads('opens');
    device.visit();
    one.unregister();
  });
});

clause('mediate-ops/unregister-unknown', () => {
  test('never registered', (s) => void mediator(s).unregister());
});

clause('mediate-ops/balanced-counts', () => {
  test('opened twice', (s) => {
    const one = mediator(s);
    one.register().succeeds();
    const device = offered(s);
    device.visit();
    device.visit();
    one.unregister().succeeds();
    device.visit();
    one.reads('opens');
    one.unregister();
    one.unregister();
  });
});

clause('mediate-ops/in-use', () => {
  test('a device is open', (s) => {
    const { mediator: one, read, ends } = taken(s);
    one.unregister();
    read(CONFIG, 4).shows(0, IDENTITY);
    one.reads('reads', CONFIG).shows(0, u64(1n));
    ends();
  });
});

const references = (s: Scenario, module: string) => s.main.does({ op: 'cat', path: `/sys/module/${module}/refcnt` });

clause('mediate-ops/module-held', () => {
  test('while a device is open', (s) => {
    const { device, mediator: one } = taken(s);
    references(s, 'mediator_test');
    device.close().succeeds();
    references(s, 'mediator_test').shows(0, new TextEncoder().encode('1\n'));
    one.unregister().succeeds();
  });
  test('by the mediator itself, as was proposed', (s) => {
    const { ends } = taken(s, { holds: 1n });
    references(s, 'mediator_test');
    ends();
    references(s, 'mediator_test').shows(0, new TextEncoder().encode('1\n'));
  });
});

clause('mediate-ops/stays-loaded', () => {
  test('under an open device', (s) => {
    const { device, mediator: one } = taken(s);
    s.main.does({ op: 'close', fd: one.fd }).succeeds();
    s.main.does({ op: 'unload', module: 'mediator_test' }).refused('EAGAIN');
    device.close().succeeds();
    mediator(s).unregister().succeeds();
  });
});

clause('mediate-ops/no-dependency', () => {
  test('no device is open', (s) => {
    mediator(s);
    references(s, 'vfio_pci');
  });
});

clause('mediate-ops/quiet', () => {
  test('a device is opened', (s) => taken(s).ends());
});
