import { clause, each, type Memory, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, DIRTY, getDirty, NO_CLEAR, PARENT, setTracking } from '../harness/cases/page-tables.ts';
import { BASE, maps, ready, SIZE, shows, TABLE, tracking, writes } from '../harness/cases/tracked.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { offsetOf } from '../harness/uapi/struct.ts';

/* What devices wrote through a page table of IOMMUFD, and how it is told. */

const PAGE = 0x1000n;
const MIB = 0x100000n;
/** The mock device's smallest page. */
const HALF = mock.MOCK_PAGE_SIZE;
const TOP = (1n << 64n) - 1n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
/** The page table that attaching the device made. */
const PLAIN = 4;

const numbers = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, at) => from + at);

/** A case for each row of a table, whose titles begin alike. */
const eachOf = <Row>(what: string, rows: Readonly<Record<string, Row>>, write: (s: Scenario, row: Row) => void): void =>
  each(Object.fromEntries(Object.entries(rows).map(([title, row]) => [`${what} ${title}`, row])), write);

clause('hwpt/set-dirty-tracking', () => {
  test('nothing is dirty at first', (s) => {
    const c = tracking(s);
    shows(s, c, []);
  });
  test('each start forgets what was written', (s) => {
    const c = tracking(s);
    writes(s, c, [3, 5]);
    setTracking(c, TABLE).returns(0);
    shows(s, c, []);
    writes(s, c, [4]);
    setTracking(c, TABLE, { flags: 0 }).returns(0);
    setTracking(c, TABLE).returns(0);
    shows(s, c, []);
  });
  test('what was written is there after a stop', (s) => {
    const c = tracking(s);
    writes(s, c, [3, 5]);
    for (const _ of [1, 2]) setTracking(c, TABLE, { flags: 0 }).returns(0);
    shows(s, c, [3, 5]);
    shows(s, c, []);
  });
  test('also of a parent', (s) => {
    const c = ready(s, { flags: DIRTY | PARENT });
    maps(s, c);
    setTracking(c, TABLE).returns(0);
    writes(s, c, [1]);
    shows(s, c, [1]);
  });
  test('a table that was not made for it goes on as before', (s) => {
    const c = tracking(s);
    for (const flags of [1, 0]) setTracking(c, PLAIN, { flags }).refused('EOPNOTSUPP');
    writes(s, c, [1]);
    shows(s, c, [1]);
    c.unmap(0n, TOP).returns(0).shows(LENGTH_AT, u64(SIZE));
  });
});

const NO_TABLES = { none: 0, 'an IO address space': 1, 'a mock device': 2, 'a device': 3, 'never given': 9 };

clause('hwpt/set-dirty-tracking-flags', () => {
  each(
    { 'the next': { flags: 2 }, 'the highest': { flags: 0x8000_0000 }, 'the reserved field': { __reserved: 1 } },
    (s, fields) => {
      const c = ready(s);
      for (const table of [PLAIN, TABLE]) setTracking(c, table, fields).refused('EOPNOTSUPP');
    },
  );
});

clause('hwpt/set-dirty-tracking-unknown', () => {
  each(NO_TABLES, (s, id) => void setTracking(ready(s), id).refused('ENOENT'));
});

clause('hwpt/set-dirty-tracking-not-made-for-it', () => {
  each({ start: 1, stop: 0 }, (s, flags) => void setTracking(ready(s), PLAIN, { flags }).refused('EOPNOTSUPP'));
});

clause('hwpt/get-dirty-bitmap', () => {
  test('of what was mapped before the page table was made, and after', (s) => {
    const c = openWithMock(s);
    c.alloc(1);
    c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, op: uapi.IOMMU_OPTION_OP_SET, object_id: 1 }).returns(0);
    maps(s, c, BASE, PAGE);
    c.attachMock(1).returns(0);
    allocTable(c, { dev_id: 3, flags: DIRTY }).returns(0);
    setTracking(c, TABLE).returns(0);
    maps(s, c, BASE + PAGE, PAGE);
    writes(s, c, [0, 1]);
    shows(s, c, [0, 1], { length: 2n * PAGE });
  });
  test('each page table for itself', (s) => {
    const c = tracking(s);
    allocTable(c, { dev_id: 3, flags: DIRTY }).returns(0);
    setTracking(c, 6).returns(0);
    writes(s, c, [7]);
    shows(s, c, [], { table: 6 });
    shows(s, c, [7]);
  });
  test('of a page table that is not tracked now', (s) => {
    const c = ready(s);
    maps(s, c);
    shows(s, c, []);
  });
  test('of a table that was not made for it nothing is written', (s) => {
    const c = tracking(s);
    const bitmap = s.main.memory(64);
    bitmap.fill(0xee);
    getDirty(c, { hwpt_id: PLAIN, iova: BASE, length: SIZE, page_size: PAGE }, bitmap.at()).refused('EOPNOTSUPP');
    bitmap.read().shows(0, new Uint8Array(64).fill(0xee));
  });
  test('what is unmapped is forgotten', (s) => {
    const c = tracking(s);
    writes(s, c, [1, 2]);
    c.unmap(BASE, SIZE).returns(0);
    maps(s, c);
    shows(s, c, []);
  });
  test('what is unmapped was read first', (s) => {
    const c = tracking(s);
    writes(s, c, [1, 2]);
    shows(s, c, [1, 2], { flags: NO_CLEAR });
    c.unmap(BASE, SIZE).returns(0);
  });
});

/** Pages that are written, of 64. */
const PATTERNS: Readonly<Record<string, readonly number[]>> = {
  none: [],
  'the first': [0],
  'the last': [63],
  'every other': numbers(0, 32).map((page) => 2 * page),
  'over the border of two bytes': [6, 7, 8, 9],
  all: numbers(0, 64),
};

clause('hwpt/dirty-bits', () => {
  for (const [name, pages] of Object.entries(PATTERNS)) {
    eachOf(`${name},`, { 'a page a bit': PAGE, 'two pages a bit': 2n * PAGE, '64 pages a bit': SIZE }, (s, unit) => {
      const c = tracking(s);
      if (pages.length > 0) writes(s, c, pages);
      shows(s, c, [...new Set(pages.map((page) => Number((BigInt(page) * PAGE) / unit)))], { unit });
      shows(s, c, [], { unit });
    });
    eachOf(`${name}, of half pages`, { 'a half page a bit': 2048, 'a byte a bit': 1 }, (s, unit) => {
      const c = ready(s, { large: true });
      const memory = s.main.memory(32n * PAGE);
      for (let at = 0n; at < 32n * PAGE; at += HALF) {
        c.map({ iova: BASE + at, length: HALF, vaddr: memory.at(at) }).returns(0);
      }
      setTracking(c, TABLE).returns(0);
      if (pages.length > 0) writes(s, c, pages, BASE, HALF);
      const each = 2048 / unit;
      const bits = pages.flatMap((page) => numbers(page * each, (page + 1) * each));
      shows(s, c, bits, { unit: BigInt(unit), length: 32n * PAGE });
    });
  }
  eachOf('a page that is one entry,', { 'half a page a bit': 2048, 'a byte a bit': 1 }, (s, unit) => {
    const c = tracking(s);
    writes(s, c, [5]);
    shows(s, c, numbers(5 * (4096 / unit), 6 * (4096 / unit)), { unit: BigInt(unit) });
  });
  eachOf(
    'a bitmap behind the start of its page by',
    { 'eight bytes': 8, 'a byte': 1, 'all but a byte of a page': 4095, 'all but a word of a page': 4088 },
    (s, offset) => {
      const c = tracking(s);
      writes(s, c, [0, 9, 62, 63]);
      shows(s, c, [0, 9, 62, 63], { offset: (offset + 4096 - 16) % 4096 });
    },
  );
  eachOf(
    'a part of the range,',
    {
      'from the second page on': [1, 64],
      'but for the last page': [0, 63],
      'one page': [9, 10],
      'a page without': [10, 11],
    } as const,
    (s, [from, to]) => {
      const c = tracking(s);
      const written = [0, 1, 9, 62, 63];
      writes(s, c, written);
      const range = { iova: BASE + BigInt(from) * PAGE, length: BigInt(to - from) * PAGE };
      shows(
        s,
        c,
        written.filter((page) => page >= from && page < to).map((page) => page - from),
        range,
      );
      shows(
        s,
        c,
        written.filter((page) => page < from || page >= to),
      );
    },
  );
  test('several mappings that follow each other', (s) => {
    const c = ready(s);
    for (const page of [0n, 3n, 4n, 6n])
      maps(s, c, BASE + page * PAGE, (page === 0n ? 3n : page === 4n ? 2n : 1n) * PAGE);
    setTracking(c, TABLE).returns(0);
    writes(s, c, [2, 3, 4, 6]);
    shows(s, c, [2, 3, 4, 6], { length: 7n * PAGE });
  });
  test('a hole of which nothing was written behind', (s) => {
    const c = ready(s);
    for (const page of [0n, 4n]) maps(s, c, BASE + page * PAGE, PAGE);
    setTracking(c, TABLE).returns(0);
    writes(s, c, [0]);
    const bitmap = s.main.memory(8);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: 8n * PAGE, page_size: PAGE }, bitmap.at());
    bitmap.read().shows(0, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  });
  eachOf('a hole', { 'in the middle': [0n, 4n], 'at the start': [1n, 4n] } as const, (s, mapped) => {
    const c = ready(s);
    for (const page of mapped) maps(s, c, BASE + page * PAGE, PAGE);
    setTracking(c, TABLE).returns(0);
    writes(s, c, mapped.map(Number));
    const bitmap = s.main.memory(8);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: 8n * PAGE, page_size: PAGE }, bitmap.at());
    bitmap.read();
  });
  eachOf(
    'several windows, a bitmap',
    { 'at the start of a page': 0, 'a word behind it': 8, 'a byte behind it': 1 },
    (s, offset) => {
      const c = ready(s, { large: true });
      const memory = s.main.memory(32n * MIB);
      // A byte a bit: 4 MiB of bitmap, of which the kernel looks at 2 MiB at a time. What is written are mappings of their own.
      const written = [0n, 8190n, 8191n, 8192n, 8193n, 16383n];
      let end = 0n;
      for (const half of written) {
        if (half > end) c.map({ iova: BASE + end * HALF, length: (half - end) * HALF, vaddr: memory.at(end * HALF) });
        c.map({ iova: BASE + half * HALF, length: HALF, vaddr: memory.at(half * HALF) }).returns(0);
        end = half + 1n;
      }
      setTracking(c, TABLE).returns(0);
      writes(s, c, written.map(Number), BASE, HALF);
      const bitmap = s.main.memory(4n * MIB, { offset });
      getDirty(c, { hwpt_id: TABLE, iova: BASE, length: 32n * MIB, page_size: 1n }, bitmap.at()).returns(0);
      for (const [from, to] of [
        [0n, 4n],
        [8188n, 8196n],
        [16380n, 16384n],
      ] as const) {
        const expected = new Uint8Array(Number(to - from) * 256);
        for (const half of written) {
          if (half >= from && half < to) expected.fill(0xff, Number(half - from) * 256, Number(half - from + 1n) * 256);
        }
        bitmap.read(from * 256n, (to - from) * 256n).shows(0, expected);
      }
      bitmap.hash();
    },
  );
  eachOf(
    'an entry of 2 MiB,',
    { 'all of it': [0n, 512], 'its second page and the next': [1n, 2] } as const,
    (s, [from, count]) => {
      const c = ready(s, { large: true });
      maps(s, c, 16n * MIB, 2n * MIB, 2n * MIB);
      setTracking(c, TABLE).returns(0);
      writes(s, c, [3], 16n * MIB);
      shows(s, c, numbers(0, count), { iova: 16n * MIB + from * PAGE, length: BigInt(count) * PAGE });
    },
  );
  eachOf(
    'huge pages,',
    {
      'not aligned like the IOVA': [
        BASE + PAGE,
        0n,
        512,
        [
          [0, 0, 0],
          [1, 1, 1],
          [511, 511, 511],
        ],
      ],
      'aligned like the IOVA, from their second page on': [
        BASE + PAGE,
        PAGE,
        511,
        [
          [0, 0, 0],
          [2, 1, 2],
          [4, 3, 6],
          [14, 7, 14],
        ],
      ],
      'a part that is no power of two': [
        BASE,
        0n,
        7,
        [
          [0, 0, 3],
          [4, 4, 5],
          [6, 6, 6],
        ],
      ],
      'from their middle on': [BASE, MIB, 256, [[9, 0, 255]]],
      'from an odd page on': [
        BASE,
        3n * PAGE,
        8,
        [
          [0, 0, 0],
          [7, 7, 7],
        ],
      ],
    } as const,
    (s, [iova, offset, pages, entries]) => {
      const c = ready(s, { large: true });
      const memory = s.main.memory(2n * MIB, { huge: 2n * MIB });
      const length = BigInt(pages) * PAGE;
      c.map({ iova, length, vaddr: memory.at(offset) }).returns(0);
      setTracking(c, TABLE).returns(0);
      for (const [written, first, last] of entries) {
        writes(s, c, [written], iova);
        shows(s, c, numbers(first, last + 1), { iova, length });
      }
    },
  );
});

clause('hwpt/dirty-bits-kept', () => {
  each({ ones: 0xff, 'every other': 0x55, none: 0 }, (s, before) => {
    const c = tracking(s);
    writes(s, c, [0, 1, 62]);
    shows(s, c, [0, 1, 62], { before });
    shows(s, c, [], { before });
  });
  test('two readings into one bitmap', (s) => {
    const c = tracking(s);
    const bitmap = s.main.memory(8);
    const range = { hwpt_id: TABLE, iova: BASE, length: SIZE, page_size: PAGE };
    writes(s, c, [1]);
    getDirty(c, range, bitmap.at()).returns(0);
    writes(s, c, [2]);
    getDirty(c, range, bitmap.at()).returns(0);
    bitmap.read().shows(0, Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0));
  });
});

clause('hwpt/dirty-read-once', () => {
  test('read, and written again', (s) => {
    const c = tracking(s);
    writes(s, c, [1, 40]);
    shows(s, c, [1, 40]);
    shows(s, c, []);
    writes(s, c, [40]);
    shows(s, c, [40]);
  });
  test('only looked at', (s) => {
    const c = tracking(s);
    writes(s, c, [1, 40]);
    for (const _ of [1, 2]) shows(s, c, [1, 40], { flags: NO_CLEAR });
    shows(s, c, [1, 40]);
    shows(s, c, [], { flags: NO_CLEAR });
  });
  test('the part of an entry that was not asked for', (s) => {
    const c = ready(s, { large: true });
    maps(s, c, 16n * MIB, 2n * MIB, 2n * MIB);
    setTracking(c, TABLE).returns(0);
    writes(s, c, [3], 16n * MIB);
    const half = { length: MIB };
    const bitmap = s.main.memory(64);
    getDirty(c, { hwpt_id: TABLE, iova: 16n * MIB, page_size: PAGE, ...half }, bitmap.at()).returns(0);
    shows(s, c, numbers(0, 256), { iova: 17n * MIB, ...half });
  });
});

clause('hwpt/get-dirty-bitmap-flags', () => {
  each({ 'the next flag': { flags: 2 }, 'the reserved field': { __reserved: 1 } }, (s, more) => {
    const c = tracking(s);
    writes(s, c, [1]);
    const fields = { iova: BASE, length: SIZE, page_size: PAGE, ...more };
    for (const hwpt_id of [PLAIN, TABLE]) getDirty(c, { hwpt_id, ...fields }).refused('EOPNOTSUPP');
    shows(s, c, [1]);
  });
});

clause('hwpt/get-dirty-bitmap-unknown', () => {
  each(NO_TABLES, (s, hwpt_id) => {
    getDirty(ready(s), { hwpt_id, iova: BASE, length: SIZE, page_size: PAGE }).refused('ENOENT');
  });
});

clause('hwpt/get-dirty-bitmap-not-made-for-it', () => {
  each({ 'read and cleared': 0, 'only read': NO_CLEAR }, (s, flags) => {
    getDirty(ready(s), { hwpt_id: PLAIN, iova: BASE, length: SIZE, page_size: PAGE, flags }).refused('EOPNOTSUPP');
  });
});

type Range = readonly [iova: bigint, length: bigint, page_size: bigint];

const refused = (s: Scenario, [iova, length, page_size]: Range, errno: 'EINVAL' | 'EOVERFLOW'): void => {
  const c = tracking(s);
  writes(s, c, [0, 63]);
  const bitmap = s.main.memory(64);
  bitmap.fill(0x5a);
  getDirty(c, { hwpt_id: TABLE, iova, length, page_size }, bitmap.at()).refused(errno);
  bitmap.read().shows(0, new Uint8Array(64).fill(0x5a));
  shows(s, c, [0, 63]);
};

clause('hwpt/get-dirty-bitmap-overflow', () => {
  each(
    {
      'a page too long': [TOP - PAGE + 1n, 2n * PAGE, PAGE],
      'as long as can be said': [2n * PAGE, TOP - PAGE + 1n, PAGE],
      'no bytes': [BASE, 0n, PAGE],
    } as const,
    (s, range) => refused(s, range, 'EOVERFLOW'),
  );
});

clause('hwpt/get-dirty-bitmap-unaligned', () => {
  each(
    {
      'an iova within a page': [BASE + 2048n, 2n * PAGE - 2048n, 1n],
      'an end within a page': [BASE, PAGE + 2048n, 1n],
      'an iova within two pages': [BASE + PAGE, PAGE, 2n * PAGE],
      'an end within two pages': [BASE, 3n * PAGE, 2n * PAGE],
      'a page size larger than the range': [BASE, SIZE, 2n * SIZE],
    } as const,
    (s, range) => refused(s, range, 'EINVAL'),
  );
});

clause('hwpt/get-dirty-bitmap-page-size', () => {
  each(
    {
      0: [BASE, SIZE, 0n],
      'three pages': [4098n * PAGE, 3n * PAGE, 3n * PAGE],
      // The bits of three pages, less one, are in neither end.
      'three pages, from another iova': [4101n * PAGE, 3n * PAGE, 3n * PAGE],
    } as const,
    (s, range) => refused(s, range, 'EINVAL'),
  );
});

clause('hwpt/get-dirty-bitmap-hole', () => {
  test('nothing is lost', (s) => {
    const c = ready(s);
    for (const page of [0n, 4n]) maps(s, c, BASE + page * PAGE, PAGE);
    setTracking(c, TABLE).returns(0);
    writes(s, c, [4]);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: 4n * PAGE, page_size: PAGE }, s.main.memory(8).at());
    shows(s, c, [0], { length: PAGE, iova: BASE + 4n * PAGE });
  });
});

clause('hwpt/get-dirty-bitmap-unwritable', () => {
  const spoils: Readonly<Record<string, (memory: Memory) => void>> = {
    'read-only': (memory) => void memory.protect('r'),
    'not there': (memory) => void memory.hole(0n, PAGE),
  };
  each(spoils, (s, spoil) => {
    const c = tracking(s);
    writes(s, c, [1, 40]);
    const bitmap = s.main.memory(PAGE);
    spoil(bitmap);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: SIZE, page_size: PAGE }, bitmap.at()).refused('EFAULT');
    shows(s, c, [1, 40]);
  });
  test('its second page', (s) => {
    const c = tracking(s);
    writes(s, c, [1, 63]);
    const bitmap = s.main.memory(2n * PAGE);
    bitmap.protect('r', PAGE, PAGE);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: SIZE, page_size: PAGE }, bitmap.at(PAGE - 4n)).refused('EFAULT');
    shows(s, c, [1, 63]);
  });
  test('where nothing was written', (s) => {
    const c = tracking(s);
    writes(s, c, [1]);
    const bitmap = s.main.memory(2n * PAGE);
    bitmap.protect('r', PAGE, PAGE);
    getDirty(c, { hwpt_id: TABLE, iova: BASE, length: SIZE, page_size: PAGE }, bitmap.at(PAGE - 4n));
    s.main.does({ op: 'fds' });
  });
});
