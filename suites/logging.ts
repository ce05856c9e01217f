import { boundEmulated, openEmulated } from '../harness/cases/cdev.ts';
import { deviceOf, emulated, emulatedOf } from '../harness/cases/emulated.ts';
import {
  clause,
  deviceName,
  each,
  type Memory,
  NULL,
  pointerTo,
  readyContainer,
  type Scenario,
  test,
  u64,
  value,
} from '../harness/cases/index.ts';
import {
  featureArgument,
  featuresOf,
  GET,
  type Logger,
  type LogRange,
  loggingDevice,
  MAPPED,
  PROBE,
  REPORT,
  type ReportRequest,
  rangeBytes,
  SET,
  START,
  STOP,
  type Way,
} from '../harness/cases/logging.ts';
import { LOGS, NO_REPORTS, REPORTS } from '../harness/cases/needs.ts';
import { VFIO_GROUP_GET_DEVICE_FD } from '../harness/uapi/vfio.ts';

/* Features of devices, and devices that log what they write by DMA. */

const PAGE = 0x1000n;
const M = 0x100000n;
const G = 0x40000000n;
const TOP = 1n << 64n;
const { iova: BASE, length: SIZE } = MAPPED;
const WAYS: Readonly<Record<Way, Way>> = {
  'in a container': 'in a container',
  'by its own file': 'by its own file',
};
/** Features that no test device has. */
const OTHERS = {
  'a PCI token': 0,
  migration: 1,
  'its state': 2,
  'low power': 3,
  'data size': 9,
  none: 13,
  last: 0xffff,
};
const PRECOPY_INFO = 12;

const pages = (first: number, count = 1): LogRange => ({
  iova: BASE + BigInt(first) * PAGE,
  length: BigInt(count) * PAGE,
});

/** A logging device that logs all of MAPPED. */
const logging = (s: Scenario, way?: Way): Logger => {
  const logger = loggingDevice(s, way);
  logger.f.logs([MAPPED]);
  return logger;
};

/** A device that was asked to log nothing yet, and whether it logs now: STOP tells. */
const logsNow = ({ f }: Pick<Logger, 'f'>, on: boolean): void => {
  if (on) f.stops().returns(0);
  else f.stops().refused('ENOENT');
};

clause('device/feature', () => {
  each(
    {
      'start, whether there is it': START,
      'start, whether it can be set': START | SET,
      'stop, whether there is it': STOP,
      'stop, whether it can be set': STOP | SET,
      'report, whether there is it': REPORT,
      'report, whether it can be got': REPORT | GET,
    },
    (s, flags) => {
      const { f } = loggingDevice(s);
      f.ask(featureArgument({ flags: flags | PROBE })).returns(0);
      f.ask(featureArgument({ flags: flags | PROBE, data: new Uint8Array(100).fill(0xff) })).returns(0);
    },
  );
  test('probing does nothing', (s) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [MAPPED], flags: START | SET | PROBE }).returns(0);
    logsNow(logger, false);
    logger.f.logs([MAPPED]);
    logger.f.ask(featureArgument({ flags: STOP | SET | PROBE })).returns(0);
    logsNow(logger, true);
  });
  test('probing a report neither tells nor clears', (s) => {
    const { f, writes, tells } = logging(s);
    writes(3);
    const bitmap = s.main.memory(PAGE);
    f.reports({ ...MAPPED, bitmap: bitmap.at(), flags: REPORT | GET | PROBE }).returns(0);
    bitmap.read(0n, 2n).shows(0, Uint8Array.of(0, 0));
    tells([8, 0]);
  });
  test('by the own file of a device', (s) => {
    const { f } = loggingDevice(s, 'by its own file');
    for (const flags of [START | SET, STOP | SET, REPORT | GET])
      f.ask(featureArgument({ flags: flags | PROBE })).returns(0);
  });
});

clause('device/feature-unreadable', () => {
  each({ null: 0n, 'an address that nobody has': 8n }, (s, at) => {
    loggingDevice(s)
      .f.ask(at === 0n ? NULL : value(at))
      .refused('EFAULT');
  });
  test('flags that lie behind the memory', (s) => {
    const { f } = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(8), PAGE - 4n);
    memory.hole(PAGE, PAGE);
    f.ask(pointerTo(memory.at(PAGE - 4n))).refused('EFAULT');
  });
});

clause('device/feature-argsz', () => {
  each({ none: 0, 'without flags': 4, 'one byte too few': 7 }, (s, argsz) => {
    loggingDevice(s)
      .f.ask(featureArgument({ flags: START | PROBE, argsz }))
      .refused('EINVAL');
  });
});

clause('device/feature-flags', () => {
  each({ lowest: 1 << 19, highest: 0x8000_0000 }, (s, flag) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: (START | PROBE | flag) >>> 0 })).refused('EINVAL');
    f.ask(featureArgument({ flags: (STOP | SET | flag) >>> 0 })).refused('EINVAL');
  });
});

clause('device/feature-get-and-set', () => {
  each({ start: START, stop: STOP, report: REPORT, 'a feature that the device has not': 0xffff }, (s, feature) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: feature | GET | SET, data: new Uint8Array(32) })).refused('EINVAL');
  });
});

/** All that can be asked of what does not log. */
const logsNothing = (s: Scenario, fd: string): void => {
  const f = featuresOf(fd, s.main);
  for (const flags of [START | SET, STOP | SET, REPORT | GET]) {
    f.ask(featureArgument({ flags: flags | PROBE })).refused('ENOTTY');
    f.ask(featureArgument({ flags })).refused('ENOTTY');
  }
  f.ask(featureArgument({ flags: START })).refused('ENOTTY');
  f.ask(featureArgument({ flags: START | GET })).refused('ENOTTY');
  f.starts({ ranges: [MAPPED] }).refused('ENOTTY');
  f.reports({ ...MAPPED, bitmap: s.main.memory(PAGE).at() }).refused('ENOTTY');
};

clause('device/feature-unsupported', () => {
  test('dma logging of a device without an iommu that has no log', (s) => {
    s.needs(LOGS);
    const { d } = emulated(s, { groups: ['emulated1'] });
    logsNothing(s, d.device.fd);
  });
  test('the same by its own file', (s) => {
    s.needs(LOGS);
    logsNothing(s, boundEmulated(s, 'emulated1').d.device.fd);
  });
  test('dma logging of a PCI device', (s) => {
    const device = readyContainer(s).groups[0]?.device();
    if (device === undefined) throw new Error('the container has no group');
    device.opened.succeeds();
    logsNothing(s, device.fd);
  });
  each(OTHERS, (s, feature) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: feature | PROBE })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature | PROBE | GET | SET })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature | SET, data: new Uint8Array(64) })).refused('ENOTTY');
  });
  test('what is told before a copy', (s) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: PRECOPY_INFO | PROBE })).refused('ENOTTY');
  });
});

clause('device/feature-method', () => {
  each({ 'start got': START | GET, 'stop got': STOP | GET, 'report set': REPORT | SET }, (s, flags) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags, data: new Uint8Array(64) })).refused('EINVAL');
    f.ask(featureArgument({ flags: flags | PROBE })).refused('EINVAL');
    f.ask(featureArgument({ flags: flags | PROBE | GET | SET })).refused('EINVAL');
  });
});

clause('device/feature-no-method', () => {
  each({ start: START, stop: STOP, report: REPORT }, (s, flags) => {
    loggingDevice(s)
      .f.ask(featureArgument({ flags, data: new Uint8Array(64) }))
      .refused('EINVAL');
  });
});

clause('device/feature-data-argsz', () => {
  each({ none: 8, 'one byte too few': 8 + 23 }, (s, argsz) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [MAPPED], argsz }).refused('EINVAL');
    logsNow(logger, false);
  });
  each({ 'of a report: none': 8, 'of a report: one byte too few': 8 + 31 }, (s, argsz) => {
    const { f, writes } = logging(s);
    writes(0);
    f.reports({ ...MAPPED, bitmap: s.main.memory(PAGE).at(), argsz }).refused('EINVAL');
  });
  test('more than is needed is taken', (s) => {
    const { f, writes } = loggingDevice(s);
    s.needs(REPORTS);
    f.starts({ ranges: [MAPPED], argsz: 4096 }).returns(0);
    writes(1);
    const bitmap = s.main.memory(PAGE);
    f.reports({ ...MAPPED, bitmap: bitmap.at(), argsz: 0xffff_ffff }).returns(0);
    bitmap.read(0n, 1n).shows(0, Uint8Array.of(2));
    f.stops(4096).returns(0);
  });
});

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

clause('logging/report', () => {
  each(WAYS, (s, way) => {
    const { writes, tells } = logging(s, way);
    writes(0);
    writes(15);
    tells([0x01, 0x80]);
  });
  test('of nothing', (s) => {
    logging(s).tells([0, 0]);
  });
  test('to another process, into its own memory', (s) => {
    s.needs(REPORTS);
    const { d, writes } = logging(s);
    writes(3);
    const child = s.main.forks();
    const bitmap = child.memory(PAGE);
    featuresOf(d.device.fd, child)
      .reports({ ...MAPPED, bitmap: bitmap.at() })
      .returns(0);
    bitmap.read(0n, 2n).shows(0, Uint8Array.of(8, 0));
  });
});

/** A device that wrote the fourth page from the top and the last but one, and logs up to the last but one. */
const nearTheTop = (s: Scenario): Logger => {
  const logger = loggingDevice(s);
  const range = { iova: TOP - 8n * PAGE, length: 7n * PAGE };
  logger.map(range, logger.memory.at());
  logger.f.logs([range]);
  logger.d.writes(TOP - 4n * PAGE, 1).succeeds();
  logger.d.writes(TOP - 2n * PAGE, 1).succeeds();
  return logger;
};

clause('logging/report-bits', () => {
  each(
    {
      'from the second page on': [pages(1, 15), 0x1000n, [0x44, 0x10]],
      'from the middle of a byte on': [pages(5, 11), 0x1000n, [0x04, 0x01]],
      'up to before a written page': [pages(0, 7), 0x1000n, [0x08]],
      'up to behind a written page': [pages(0, 8), 0x1000n, [0x88]],
      'one page': [pages(7, 1), 0x1000n, [0x01]],
      'a part of one page': [{ iova: BASE + 7n * PAGE + 8n, length: 1n }, 0x1000n, [0x01]],
      'from the middle of pages on': [{ iova: BASE + 0x800n, length: 8n * PAGE }, 0x1000n, [0xcc]],
      'pages of 8 KiB': [MAPPED, 0x2000n, [0x4a]],
      'pages of 8 KiB, from the second on': [pages(1, 15), 0x2000n, [0x4a]],
      'pages of 64 KiB': [MAPPED, 0x10000n, [0x01]],
      'pages of 1 GiB': [MAPPED, G, [0x01]],
      'pages of 2^57 bytes': [{ iova: 0n, length: G }, 1n << 57n, [0x01]],
      'around what is logged': [{ iova: 0n, length: 2n * G }, M, [0x02]],
    } as Readonly<Record<string, readonly [LogRange, bigint, readonly number[]]>>,
    (s, [range, pageSize, bits]) => {
      const { writes, tells } = logging(s);
      for (const page of [3, 7, 13]) writes(page);
      tells([...bits, 0, 0], { ...range, pageSize });
    },
  );
  test('finer than the device logs', (s) => {
    const { f, d, map, tells } = loggingDevice(s);
    f.logs([{ iova: G, length: 4n * M }], 2n * M);
    map({ iova: G, length: 4n * M }, s.main.memory(4n * M).at());
    d.writes(G + 3n * M, 1).succeeds();
    tells([...new Uint8Array(64), ...new Uint8Array(64).fill(0xff), 0], { iova: G, length: 4n * M });
  });
  test('outside of what is logged', (s) => {
    const { f, writes, tells } = loggingDevice(s);
    f.logs([pages(4, 4)]);
    for (let page = 0; page < 16; page++) writes(page);
    tells([0], pages(0, 4));
    tells([0], pages(8, 8));
    tells([0], { iova: 4n * G, length: G, pageSize: M });
    tells([0xf0, 0]);
  });
  test('a bitmap that begins inside a page, and one that ends with the memory', (s) => {
    s.needs(REPORTS);
    const { f, writes } = logging(s);
    const memory = s.main.memory(2n * PAGE);
    memory.hole(PAGE, PAGE);
    for (const offset of [1n, 8n, PAGE - 2n]) {
      for (const page of [0, 9, 15]) writes(page);
      memory.fill(0, 0n, PAGE);
      f.reports({ ...MAPPED, bitmap: memory.at(offset) }).returns(0);
      memory.read(offset - 1n, 3n).shows(0, Uint8Array.of(0, 0x01, 0x82));
    }
  });
  test('near the top, of a part', (s) => {
    nearTheTop(s).tells([0x01, 0], { iova: TOP - 4n * PAGE, length: 2n * PAGE });
  });
  test('near the top, and then of the rest', (s) => {
    const { f, tells } = nearTheTop(s);
    const bitmap = s.main.memory(PAGE).at();
    f.reports({ iova: TOP - 4n * PAGE, length: 2n * PAGE, bitmap }).returns(0);
    tells([0x01, 0], { iova: TOP - 2n * PAGE, length: PAGE });
  });
});

clause('logging/report-once', () => {
  each(WAYS, (s, way) => {
    const { writes, tells } = logging(s, way);
    writes(2);
    tells([0x04, 0]);
    tells([0, 0]);
    writes(2);
    writes(9);
    tells([0x04, 0x02]);
  });
  test('what was not asked for stays', (s) => {
    const { writes, tells } = logging(s);
    for (const page of [0, 7, 8, 15]) writes(page);
    tells([0x81], pages(0, 8));
    tells([0, 0x81]);
    tells([0, 0]);
  });
  test('a part of what the device tells apart', (s) => {
    const { f, writes, tells } = loggingDevice(s);
    f.logs([MAPPED], 8n * PAGE);
    writes(3);
    tells([0x0f], pages(0, 4));
    tells([0xf0, 0]);
  });
  test('a part of a page', (s) => {
    const { writes, tells } = logging(s);
    writes(0);
    tells([1], { iova: BASE + 0x800n, length: 0x800n });
    tells([1, 0]);
    tells([0, 0]);
  });
  test('what was refused clears nothing', (s) => {
    const { f, writes, tells } = logging(s);
    writes(5);
    const bitmap = s.main.memory(PAGE).at();
    f.reports({ ...MAPPED, bitmap, pageSize: 2048n }).refused('EINVAL');
    f.reports({ iova: BASE, length: TOP - BASE, bitmap }).refused('EOVERFLOW');
    tells([0x20, 0]);
  });
});

clause('logging/report-keeps-bits', () => {
  each({ 'some of them': 0x81, 'all of them': 0xff }, (s, before) => {
    s.needs(REPORTS);
    const { f, writes } = logging(s);
    const bitmap = s.main.memory(PAGE);
    bitmap.fill(before);
    writes(1);
    writes(8);
    f.reports({ ...MAPPED, bitmap: bitmap.at() }).returns(0);
    bitmap.read(0n, 4n).shows(0, Uint8Array.of(before | 2, before | 1, before, before));
    f.reports({ ...MAPPED, bitmap: bitmap.at() }).returns(0);
    bitmap.read(0n, 4n).shows(0, Uint8Array.of(before | 2, before | 1, before, before));
  });
});

clause('logging/report-unreadable', () => {
  each({ 'all of it': 8n, 'its last byte': 39n }, (s, room) => {
    const { f, writes, tells } = logging(s);
    writes(4);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(40, 0, 0, 0, REPORT, 0, GET >> 16, 0), PAGE - room);
    memory.hole(PAGE, PAGE);
    f.ask(pointerTo(memory.at(PAGE - room))).refused('EFAULT');
    tells([0x10, 0]);
  });
  test('on any kernel', (s) => {
    const { f } = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(40, 0, 0, 0, REPORT, 0, GET >> 16, 0), PAGE - 8n);
    memory.hole(PAGE, PAGE);
    f.ask(pointerTo(memory.at(PAGE - 8n))).refused('EFAULT');
  });
});

clause('logging/report-page-size', () => {
  each(
    {
      none: 0n,
      'one byte': 1n,
      '2 KiB': 2048n,
      'a page less one byte': 4095n,
      'a page and one byte': 4097n,
      'three pages': 0x3000n,
      'all ones': TOP - 1n,
    },
    (s, pageSize) => {
      const { f, writes } = logging(s);
      writes(0);
      const bitmap = s.main.memory(PAGE);
      f.reports({ ...MAPPED, bitmap: bitmap.at(), pageSize }).refused('EINVAL');
      bitmap.read(0n, 8n).shows(0, new Uint8Array(8));
    },
  );
});

clause('logging/report-wraps', () => {
  each(
    {
      'beyond the last iova': { iova: TOP - PAGE, length: 2n * PAGE },
      'up to the last iova': { iova: TOP - PAGE, length: PAGE },
      'from a logged page on': { iova: BASE, length: TOP - BASE },
      'far beyond': { iova: TOP - PAGE, length: TOP - PAGE },
    },
    (s, range) => {
      const { f, writes } = logging(s);
      writes(0);
      f.reports({ ...range, bitmap: s.main.memory(PAGE).at() }).refused('EOVERFLOW');
    },
  );
  test('near the top', (s) => {
    const { f, d, map, tells } = loggingDevice(s);
    const range = { iova: TOP - 9n * PAGE, length: 8n * PAGE };
    map(range, s.main.memory(range.length).at());
    f.logs([range]);
    d.writes(range.iova, 1).succeeds();
    d.writes(range.iova + 7n * PAGE, 1).succeeds();
    tells([0x81, 0], range);
    tells([0, 0], range);
  });
  test('near the top, less than a byte of bits', (s) => {
    const { f, d, map, tells } = loggingDevice(s);
    const range = { iova: TOP - 4n * PAGE, length: 3n * PAGE };
    map({ iova: range.iova, length: range.length }, s.main.memory(range.length).at());
    f.logs([range]);
    d.writes(range.iova + PAGE, 1).succeeds();
    tells([0x02, 0], range);
  });
});

clause('logging/report-while-off', () => {
  each({ 'before any start': false, 'after a stop': true }, (s, started) => {
    s.needs(REPORTS);
    const { f, writes } = started ? logging(s) : loggingDevice(s);
    writes(1);
    if (started) f.stops().returns(0);
    const bitmap = s.main.memory(PAGE);
    f.reports({ ...MAPPED, bitmap: bitmap.at() }).refused('ENOENT');
    bitmap.read(0n, 2n).shows(0, Uint8Array.of(0, 0));
  });
  test('of arguments that are refused anyhow', (s) => {
    const { f } = loggingDevice(s);
    f.reports({ ...MAPPED, bitmap: 0n, pageSize: 1n }).refused('EINVAL');
  });
});

/** Of 4 KiB pages 2 MiB of bitmap are a window of 64 GiB; this is a window and a page more. */
const LONG: LogRange = { iova: 4n * G, length: 64n * G + 8n * PAGE };
const LONG_PAGES = [0n, 64n * G - PAGE, 64n * G, 64n * G + 7n * PAGE];

/** A device that wrote at both ends of a window and behind it, and memory for the bitmap. */
const longRange = (s: Scenario): Logger => {
  s.needs(REPORTS);
  const logger = loggingDevice(s);
  logger.f.logs([LONG]);
  for (const at of LONG_PAGES) {
    logger.map({ iova: LONG.iova + at, length: PAGE }, logger.memory.at());
    logger.d.writes(LONG.iova + at, 1).succeeds();
  }
  return { ...logger, memory: s.main.memory(2n * M + 2n * PAGE) };
};

clause('logging/report-unwritable', () => {
  each(
    {
      'not there': (memory: Memory) => memory.hole(0n, PAGE),
      'read-only': (memory: Memory) => memory.protect('r'),
    },
    (s, prepare) => {
      s.needs(REPORTS);
      const logger = logging(s);
      logger.writes(1);
      const memory = s.main.memory(PAGE);
      prepare(memory);
      logger.f.reports({ ...MAPPED, bitmap: memory.at() }).refused('EFAULT');
      logsNow(logger, true);
    },
  );
  test('null', (s) => {
    s.needs(REPORTS);
    const { f, writes } = logging(s);
    writes(1);
    f.reports({ ...MAPPED, bitmap: 0n }).refused('EFAULT');
  });
  test('logging anew helps', (s) => {
    s.needs(REPORTS);
    const { f, writes, tells } = logging(s);
    writes(1);
    f.reports({ ...MAPPED, bitmap: 0n }).refused('EFAULT');
    f.stops().returns(0);
    f.logs([MAPPED]);
    writes(2);
    tells([4, 0]);
  });
  test('a range of which only a part has a bitmap', (s) => {
    const { f, memory } = longRange(s);
    memory.hole(2n * M, PAGE);
    f.reports({ ...LONG, bitmap: memory.at() }).refused('EFAULT');
  });
});

clause('iova-bitmap/offered', () => {
  each({ 'at the start of a page': 0n, 'inside a page': 24n, 'at the last byte of a page': PAGE - 1n }, (s, offset) => {
    const { f, memory } = longRange(s);
    f.reports({ ...LONG, bitmap: memory.at(offset) }).returns(0);
    memory.read(offset, 8n).shows(0, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    memory.read(offset + 2n * M - 8n, 10n).shows(0, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80, 0x81, 0));
    memory.hash();
    memory.fill(0);
    f.reports({ ...LONG, bitmap: memory.at(offset) }).returns(0);
    memory.read(offset + 2n * M - 2n, 4n).shows(0, Uint8Array.of(0, 0, 0, 0));
    memory.hash();
  });
});

clause('logging/report-without-functions', () => {
  test('while the device logs, and while it does not', (s) => {
    s.needs(NO_REPORTS);
    const { f, writes } = loggingDevice(s);
    const request: ReportRequest = { ...MAPPED, bitmap: s.main.memory(PAGE).at() };
    f.reports(request).refused('EOPNOTSUPP');
    f.reports({ ...request, flags: REPORT | GET | PROBE }).returns(0);
    f.logs([MAPPED]);
    writes(1);
    f.reports(request).refused('EOPNOTSUPP');
    f.reports({ ...request, pageSize: 1n }).refused('EINVAL');
    f.stops().returns(0);
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

clause('cdev/access-before-binding', () => {
  each(
    { 'probing a feature': START | PROBE, 'starting to log': START | SET, 'what no feature is': 0xffff },
    (s, flags) => {
      const { cdev } = openEmulated(s);
      featuresOf(cdev.fd, s.main)
        .ask(featureArgument({ flags, data: new Uint8Array(32) }))
        .refused('EINVAL');
    },
  );
});
