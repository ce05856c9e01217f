import { boundEmulated, openEmulated } from '../harness/cases/cdev.ts';
import { deviceOf, emulated, emulatedOf } from '../harness/cases/emulated.ts';
import { failingAllocations } from '../harness/cases/failing.ts';
import { clause, deviceName, each, pointerTo, test, u64 } from '../harness/cases/index.ts';
import {
  featuresOf,
  type Logger,
  type LogRange,
  logging,
  loggingDevice,
  logsNow,
  MAPPED,
  pages,
  rangeBytes,
  SET,
  START,
  STOP,
  WAYS,
} from '../harness/cases/logging.ts';
import { LOGS } from '../harness/cases/needs.ts';
import { VFIO_GROUP_GET_DEVICE_FD } from '../harness/uapi/vfio.ts';

/* Devices that log what they write by DMA: when they do, and what. */

const PAGE = 0x1000n;
const M = 0x100000n;
const G = 0x40000000n;
const TOP = 1n << 64n;
const { iova: BASE, length: SIZE } = MAPPED;

clause('logging/start', () => {
  each(WAYS, (s, way) => {
    const { f, writes, tells } = loggingDevice(s, way);
    writes(0);
    f.logs([MAPPED]);
    writes(5);
    tells([0x20, 0]);
  });
  test('again after a stop', (s) => {
    const { f, writes, tells } = logging(s);
    writes(1);
    f.stops().returns(0);
    writes(2);
    f.logs([MAPPED]);
    writes(3);
    tells([8, 0]);
  });
  test('of memory that is not mapped yet, and of none at all', (s) => {
    const { f, d, map, tells } = loggingDevice(s);
    const range = { iova: 4n * G, length: 4n * PAGE };
    f.logs([range, { iova: 8n * G, length: G }]);
    map(range, s.main.memory(4n * PAGE).at());
    d.writes(range.iova + PAGE, 1).succeeds();
    tells([2], range);
    tells([0], { iova: 8n * G, length: PAGE });
  });
  test('while an allocation fails', (s) => {
    const { f, writes, tells } = loggingDevice(s);
    const memory = s.main.memory(PAGE);
    memory.write(rangeBytes([MAPPED]));
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 5; nth++) {
      failing.each(nth, nth, () => void f.starts({ ranges: [MAPPED], at: memory.at() }));
      f.stops();
    }
    f.logs([MAPPED]);
    writes(1);
    tells([2, 0]);
  });
});

clause('logging/start-page-size', () => {
  each(
    {
      'one byte': [1n, PAGE, { iova: 1n, length: 1n }],
      '2 KiB': [2048n, PAGE, { iova: 2048n, length: 2048n }],
      '4 KiB': [PAGE, PAGE, MAPPED],
      '8 KiB': [2n * PAGE, 2n * PAGE, MAPPED],
      '1 MiB': [M, M, { iova: M, length: M }],
      '2 MiB': [2n * M, 2n * M, { iova: 2n * M, length: 2n * M }],
      '1 GiB': [G, 2n * M, { iova: G, length: G }],
      '2^63': [1n << 63n, 2n * M, { iova: 0n, length: 1n << 63n }],
      'three pages': [3n * PAGE, 2n * PAGE, { iova: 4n * PAGE, length: 4n * PAGE }],
      'all ones': [TOP - 1n, 2n * M, { iova: 0n, length: 1n }],
    } as const,
    (s, [hint, taken, range]) => {
      const { f } = loggingDevice(s);
      f.starts({ ranges: [range], pageSize: hint })
        .returns(0)
        .shows(8, u64(taken));
    },
  );
  test('is what the device tells pages apart by', (s) => {
    const { f, writes, tells } = loggingDevice(s);
    f.logs([MAPPED], 4n * PAGE);
    writes(5);
    tells([0xf0, 0]);
  });
  test('in memory of the caller, and nothing else', (s) => {
    const { f } = loggingDevice(s);
    const memory = s.main.memory(PAGE, { guard: true });
    memory.fill(0xee);
    memory.write(rangeBytes([{ iova: BASE, length: M }]), 0x800n);
    memory.write(Uint8Array.of(32, 0, 0, 0, START, 0, SET >> 16, 0, ...u64(M), 1, 0, 0, 0, 0xdd, 0xdd, 0xdd, 0xdd));
    memory.link(24n, memory.at(0x800n));
    f.ask(pointerTo(memory.at())).returns(0);
    memory.read(8n, 8n).shows(0, u64(M));
    memory.read(16n, 8n).shows(0, Uint8Array.of(1, 0, 0, 0, 0xdd, 0xdd, 0xdd, 0xdd));
    memory.read(32n, 16n).shows(0, new Uint8Array(16).fill(0xee));
    memory.read(0x800n, 16n).shows(0, rangeBytes([{ iova: BASE, length: M }]));
    memory.guards().returns(0);
  });
});

clause('logging/start-unreadable', () => {
  test('data that lies behind the memory', (s) => {
    const logger = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(32, 0, 0, 0, START, 0, SET >> 16, 0), PAGE - 8n);
    memory.hole(PAGE, PAGE);
    logger.f.ask(pointerTo(memory.at(PAGE - 8n))).refused('EFAULT');
    logsNow(logger, false);
  });
  test('its last byte', (s) => {
    const logger = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(32, 0, 0, 0, START, 0, SET >> 16, 0), PAGE - 31n);
    memory.hole(PAGE, PAGE);
    logger.f.ask(pointerTo(memory.at(PAGE - 31n))).refused('EFAULT');
    logsNow(logger, false);
  });
});

clause('logging/start-no-ranges', () => {
  test('none', (s) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [] }).refused('EINVAL');
    logger.f.starts({ ranges: [], at: 0n }).refused('EINVAL');
    logsNow(logger, false);
  });
});

/** So many ranges of a page, with a page between them. */
const many = (count: number): readonly LogRange[] =>
  Array.from({ length: count }, (_, index) => ({ iova: BASE + BigInt(index) * 2n * PAGE, length: PAGE }));

clause('logging/start-too-many-ranges', () => {
  each({ 'one more than a page has': 257, 'very many': 0xffff_ffff }, (s, count) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: many(257), count }).refused('E2BIG');
    logger.f.starts({ ranges: [], count, at: 0n }).refused('E2BIG');
    logsNow(logger, false);
  });
});

clause('logging/start-unreadable-ranges', () => {
  test('all of them', (s) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [], count: 1, at: 0n }).refused('EFAULT');
    logsNow(logger, false);
  });
  each({ 'the second': 16n, 'the end of the last': 31n }, (s, room) => {
    const logger = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(rangeBytes([pages(0), pages(2)]).subarray(0, Number(room)), PAGE - room);
    memory.hole(PAGE, PAGE);
    logger.f.starts({ ranges: [], count: 2, at: memory.at(PAGE - room) }).refused('EFAULT');
    logsNow(logger, false);
  });
});

clause('logging/start-misaligned', () => {
  test('of no page size everything that has a length', (s) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [{ iova: 0n, length: PAGE }], pageSize: 0n }).refused('EINVAL');
    logger.f.starts({ ranges: [MAPPED], pageSize: 0n }).refused('EINVAL');
    logsNow(logger, false);
  });
  each(
    {
      'its start': [{ iova: BASE + 0x800n, length: PAGE }],
      'its length': [{ iova: BASE, length: PAGE + 0x800n }],
      'by one byte': [{ iova: BASE + 1n, length: PAGE }],
      'the last of several': [pages(0), pages(2), { iova: BASE + 4n * PAGE, length: 1n }],
    } as Readonly<Record<string, readonly LogRange[]>>,
    (s, ranges) => {
      const logger = loggingDevice(s);
      logger.f.starts({ ranges }).refused('EINVAL');
      logsNow(logger, false);
    },
  );
  each(
    { 'a start of another granularity': pages(1, 2), 'a length of another granularity': pages(0, 1) },
    (s, range) => {
      const logger = loggingDevice(s);
      logger.f.starts({ ranges: [range], pageSize: 2n * PAGE }).refused('EINVAL');
      logsNow(logger, false);
    },
  );
});

clause('logging/start-wraps', () => {
  each(
    {
      'beyond the last iova': { iova: TOP - PAGE, length: 2n * PAGE },
      'up to the last iova': { iova: TOP - PAGE, length: PAGE },
      'far beyond': { iova: TOP - PAGE, length: TOP - PAGE },
    },
    (s, range) => {
      const logger = loggingDevice(s);
      logger.f.starts({ ranges: [range] }).refused('EOVERFLOW');
      logger.f.starts({ ranges: [pages(0), range] }).refused('EOVERFLOW');
      logsNow(logger, false);
    },
  );
  test('up to the last page but one it is taken', (s) => {
    const logger = loggingDevice(s);
    logger.f.logs([{ iova: 0n, length: TOP - PAGE }]);
    logsNow(logger, true);
  });
});

clause('logging/start-overlap', () => {
  each(
    {
      'the same twice': [pages(2), pages(2)],
      'one in the other': [pages(0, 8), pages(2)],
      'the other in the one': [pages(2), pages(0, 8)],
      'the end of the first': [pages(0, 4), pages(3, 4)],
      'the start of the first': [pages(3, 4), pages(0, 4)],
      'the first and the last': [pages(0, 2), pages(6), pages(1)],
    } as Readonly<Record<string, readonly LogRange[]>>,
    (s, ranges) => {
      const logger = loggingDevice(s);
      logger.f.starts({ ranges }).refused('EINVAL');
      logsNow(logger, false);
    },
  );
  each({ ascending: [pages(0, 4), pages(4, 4)], descending: [pages(4, 4), pages(0, 4)] } as const, (s, ranges) => {
    const { f, writes, tells } = loggingDevice(s);
    f.logs(ranges);
    for (const page of [0, 3, 4, 7, 8]) writes(page);
    tells([0x99, 0]);
  });
});

clause('logging/start-twice', () => {
  each(WAYS, (s, way) => {
    const { f, writes, tells } = logging(s, way);
    writes(2);
    f.starts({ ranges: [pages(8, 2)], pageSize: PAGE }).refused('EBUSY');
    writes(4);
    tells([0x14, 0]);
  });
});

clause('logging/start-unwritable', () => {
  test('read-only memory', (s) => {
    const logger = loggingDevice(s);
    const { f, writes } = logger;
    const memory = s.main.memory(PAGE);
    memory.write(rangeBytes([MAPPED]), 0x800n);
    memory.write(Uint8Array.of(32, 0, 0, 0, START, 0, SET >> 16, 0, ...u64(PAGE), 1));
    memory.link(24n, memory.at(0x800n));
    memory.protect('r');
    f.ask(pointerTo(memory.at())).refused('EFAULT');
    writes(1);
    logsNow(logger, false);
    f.logs([MAPPED]);
    logsNow(logger, true);
  });
});

clause('logging/start-beyond-device', () => {
  each({ five: 5, 'as many as a page has': 256 }, (s, count) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: many(count) }).refused('EDQUOT');
    logsNow(logger, false);
    logger.f.logs(many(4));
  });
  test('two of 2 MiB', (s) => {
    const logger = loggingDevice(s);
    const ranges = [0n, 4n * M].map((iova) => ({ iova, length: 2n * M }));
    logger.f.starts({ ranges, pageSize: 2n * M }).refused('EDQUOT');
    logger.f.logs(ranges.slice(0, 1), 2n * M);
    logsNow(logger, true);
  });
});

/** Ranges of a page each, by their first pages. */
const at = (...first: readonly number[]): readonly LogRange[] => first.map((page) => pages(page));

const writesAll = ({ writes }: Logger): void => {
  for (let page = 0; page < 16; page++) writes(page);
};

clause('logging/combines-ranges', () => {
  each(
    {
      'the smallest gap': [at(0, 3, 6, 8, 13), [0xc9, 0x21]],
      'the smallest gap, in any order': [at(13, 8, 0, 6, 3), [0xc9, 0x21]],
      'the lowest of equal gaps': [at(0, 3, 6, 9, 12), [0x4f, 0x12]],
      'such as touch': [at(0, 1, 4, 8, 12), [0x13, 0x11]],
      'twice, with what was made one before': [at(0, 2, 4, 9, 12, 15), [0x1f, 0x92]],
      'twice, at both ends': [at(0, 2, 5, 9, 12, 14), [0x27, 0x72]],
    } as const,
    (s, [ranges, bits]) => {
      const logger = loggingDevice(s);
      logger.f.logs(ranges);
      writesAll(logger);
      logger.tells(bits);
    },
  );
  test('one range is left', (s) => {
    const { f, d, map, tells } = loggingDevice(s);
    const memory = s.main.memory(PAGE);
    f.logs(
      [8n, 2n, 14n].map((first) => ({ iova: G + first * M, length: 2n * M })),
      2n * M,
    );
    for (const first of [0n, 4n, 12n, 16n]) {
      const range = { iova: G + first * M, length: PAGE };
      map(range, memory.at());
      d.writes(range.iova, 1).succeeds();
    }
    tells([0x44], { iova: G, length: 18n * M, pageSize: 2n * M });
  });
  test('as many as a page has', (s) => {
    const { f, writes, tells } = loggingDevice(s);
    f.logs(many(256));
    for (let page = 0; page < 16; page++) writes(page);
    tells([0xff, 0xff]);
  });
  test('four are left as they are', (s) => {
    const logger = loggingDevice(s);
    logger.f.logs(at(0, 1, 3, 5));
    writesAll(logger);
    logger.tells([0x2b, 0]);
  });
});

clause('logging/logs-writes', () => {
  each(WAYS, (s, way) => {
    const { f, d, writes, tells } = loggingDevice(s, way);
    f.logs([pages(2, 3), pages(8, 2)]);
    for (let page = 0; page < 16; page++) writes(page);
    d.writesByThread(BASE + 3n * PAGE, 1).succeeds();
    tells([0x1c, 0x03]);
  });
  test('over several pages, and from one to the next', (s) => {
    const { d, tells } = logging(s);
    d.writes(BASE + 3n * PAGE - 1n, 2).succeeds();
    d.writes(BASE + 6n * PAGE + 1n, 4096).succeeds();
    tells([0xcc, 0]);
  });
  test('of memory that it holds', (s) => {
    const { d, tells } = logging(s);
    d.pins(BASE, 8).succeeds();
    d.stores(BASE + 5n * PAGE - 1n, 2).succeeds();
    d.loads(BASE + 1n * PAGE, 16).succeeds();
    tells([0x30, 0]);
  });
  test('not what it reads', (s) => {
    const { d, tells } = logging(s);
    d.reads(BASE, 4096).succeeds();
    d.readsByThread(BASE + PAGE, 4096).succeeds();
    tells([0, 0]);
  });
  test('not what the processor writes', (s) => {
    const { memory, tells } = logging(s);
    memory.fill(7);
    tells([0, 0]);
  });
  test('into and out of a range', (s) => {
    const { f, d, tells } = loggingDevice(s);
    f.logs([pages(4, 2)]);
    d.writes(BASE + 4n * PAGE - 2n, 4).succeeds();
    d.writes(BASE + 6n * PAGE - 2n, 4).succeeds();
    tells([0x30, 0]);
  });
  test('a range that begins inside a page of the device', (s) => {
    const { f, d, tells } = loggingDevice(s);
    f.starts({ ranges: [{ iova: BASE + 16n, length: 1n }], pageSize: 1n })
      .returns(0)
      .shows(8, u64(PAGE));
    d.writes(BASE, 16).succeeds();
    d.writes(BASE + 17n, 16).succeeds();
    tells([0, 0]);
    d.writes(BASE + 15n, 2).succeeds();
    tells([1, 0]);
  });
  test('what it was not let write it says that it wrote', (s) => {
    const { d, tells } = logging(s);
    d.writes(BASE + SIZE - 1n, 2).refused('EINVAL');
    tells([0, 0x80]);
  });
  test('many pages many times', (s) => {
    const { f, d, tells } = logging(s);
    for (let turn = 0; turn < 3; turn++) {
      for (let page = 0n; page < 16n; page += 2n) d.writes(BASE + page * PAGE, 1).succeeds();
      tells([0x55, 0x55]);
    }
    f.stops().returns(0);
  });
});

clause('logging/stop', () => {
  each(WAYS, (s, way) => {
    const logger = logging(s, way);
    logsNow(logger, true);
    logsNow(logger, false);
  });
  test('what was not reported is forgotten', (s) => {
    const { f, writes, tells } = logging(s);
    writes(1);
    f.stops().returns(0);
    f.logs([MAPPED]);
    tells([0, 0]);
  });
  test('takes no data', (s) => {
    const { f } = logging(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(8, 0, 0, 0, STOP, 0, SET >> 16, 0), PAGE - 8n);
    memory.hole(PAGE, PAGE);
    f.ask(pointerTo(memory.at(PAGE - 8n))).returns(0);
  });
});

clause('logging/stop-while-off', () => {
  test('before any start', (s) => {
    logsNow(loggingDevice(s), false);
  });
  test('again, and then a start', (s) => {
    const logger = logging(s);
    logsNow(logger, true);
    logsNow(logger, false);
    logger.f.logs([MAPPED]);
    logger.writes(0);
    logger.tells([1]);
  });
});

clause('logging/close', () => {
  test('of the last file', (s) => {
    const groups = ['emulated0'];
    const { c, d } = emulated(s, { groups });
    s.needs(LOGS);
    c.map({ iova: BASE, size: SIZE }).succeeds();
    featuresOf(d.device.fd, s.main).logs([MAPPED]);
    d.close().succeeds();
    const again = emulatedOf(c, groups, s.main);
    featuresOf(again.device.fd, s.main).stops().refused('ENOENT');
  });
  test('not of the one that asked for it, while another is open', (s) => {
    s.needs(LOGS);
    const groups = ['emulated0'];
    const { c, d } = emulated(s, { groups });
    c.map({ iova: BASE, size: SIZE }).succeeds();
    const group = c.groups[0];
    if (group === undefined) throw new Error('the container has no group');
    group.ioctl(VFIO_GROUP_GET_DEVICE_FD, deviceName('emulated0-device'), 'other').succeeds();
    featuresOf(d.device.fd, s.main).logs([MAPPED]);
    d.close().succeeds();
    const other = featuresOf('other', s.main);
    other.starts({ ranges: [MAPPED] }).refused('EBUSY');
    deviceOf({ fd: 'other' }, s.main).writes(BASE, 1).succeeds();
    other.stops().returns(0);
  });
  test('of its own file', (s) => {
    s.needs(LOGS);
    const { c, cdev, d } = boundEmulated(s);
    featuresOf(d.device.fd, s.main).logs([MAPPED]);
    cdev.close().returns(0);
    const again = openEmulated(s);
    again.cdev.bind(c, 1);
    featuresOf(again.cdev.fd, s.main).stops().refused('ENOENT');
  });
  test('not of the container', (s) => {
    const { f, writes } = loggingDevice(s);
    f.logs([MAPPED]);
    s.main.does({ op: 'close', fd: 'container' }).succeeds();
    s.main.does({ op: 'close', fd: 'group' }).succeeds();
    writes(0);
    f.stops().returns(0);
  });
});
