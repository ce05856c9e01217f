import { failingAllocations } from '../harness/cases/failing.ts';
import { clause, each, type Memory, pointerTo, type Scenario, test } from '../harness/cases/index.ts';
import {
  featuresOf,
  GET,
  type Logger,
  type LogRange,
  logging,
  loggingDevice,
  logsNow,
  MAPPED,
  PROBE,
  pages,
  REPORT,
  type ReportRequest,
  WAYS,
} from '../harness/cases/logging.ts';
import { NO_REPORTS, REPORTS } from '../harness/cases/needs.ts';

/* What devices that log tell of it. */

const PAGE = 0x1000n;
const M = 0x100000n;
const G = 0x40000000n;
const TOP = 1n << 64n;
const { iova: BASE } = MAPPED;

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
  test('while an allocation fails', (s) => {
    s.needs(REPORTS);
    const { f, writes, tells } = logging(s);
    const bitmap = s.main.memory(PAGE);
    bitmap.fill(0);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 5; nth++) {
      writes(nth);
      failing.each(nth, nth, () => void f.reports({ ...MAPPED, bitmap: bitmap.at() }));
      bitmap.read(0n, 2n);
    }
    writes(9);
    tells([], { bitmap: bitmap.at() });
    bitmap.read(0n, 2n).shows(0, Uint8Array.of(0x3e, 0x02));
  });
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
