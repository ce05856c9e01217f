import {
  type Access,
  BASE,
  checkMap,
  holds,
  limitMemory,
  ready,
  SLOW,
  USUAL_MEMORY,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Memory, type Scenario, test } from '../harness/cases/index.ts';
import type { Context } from '../harness/cases/iommufd.ts';
import { allocTable } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';

/*
 * Memory of which the pages lie one behind the other: page tables have them in one entry, which is undone as a whole, while
 * users in the kernel have some of the pages still. How often a page is pinned cannot be asked there, but how many are charged.
 */

const PAGE = 0x1000n;
const LARGE = 0x200000n;
const PAGES = 512;

/** The memory that pages are collected in. */
const LIMITS = { usual: USUAL_MEMORY, 'one page': 12, 'five pages': 60 } as const;

/** Pages that bear a mark, each its own: those at which what is pinned begins or ends, and their neighbours. */
const MARKED = [0, 1, 2, 29, 30, 99, 100, 199, 200, 201, 299, 300, 399, 400, 510, 511] as const;
const marked = (memory: Memory): void => {
  for (const [index, page] of MARKED.entries()) memory.write(Uint8Array.of(0, index + 1), BigInt(page) * PAGE);
};
/** That an access reads the same of `count` pages from page `from` on, whatever has them. */
const readsAll = (s: Scenario, access: Access, from = 0, count = PAGES): void => {
  const buffer = s.main.memory(BigInt(count) * PAGE);
  access.reads(BASE, buffer.size, buffer.at(), SLOW).returns(0);
  for (const [index, page] of MARKED.entries())
    if (from <= page && page < from + count)
      buffer.read(BigInt(page - from) * PAGE, 3n).shows(0, Uint8Array.of(0, index + 1, 0));
};

/** What 2 MiB are mapped from. */
const KINDS: Record<string, (s: Scenario, c: Context) => Memory> = {
  'a large page': (s, c) => {
    const memory = s.main.memory(LARGE, { huge: LARGE });
    c.map({ iova: BASE, length: LARGE, vaddr: memory.at() }).returns(0);
    return memory;
  },
  'a file of large pages': (s, c) => {
    s.main.does({ op: 'memfd', fd: 'large', size: LARGE, huge: LARGE });
    const memory = s.main.maps('large', LARGE, { align: LARGE });
    c.mapFile({ fd: 'large', iova: BASE, length: LARGE }).returns(0);
    return memory;
  },
};

/** Which pages [from, to) an access has beside the device. */
const HELD: Record<string, readonly (readonly [from: number, to: number])[]> = {
  'the first page': [[0, 1]],
  'the last page': [[511, 512]],
  'the middle': [[100, 300]],
  'three parts': [
    [1, 2],
    [30, 200],
    [400, 511],
  ],
  'parts of the same': [
    [100, 300],
    [200, 400],
    [100, 300],
  ],
  all: [[0, 512]],
};

const pinAll = (access: Access, parts: (typeof HELD)[string]): void => {
  for (const [from, to] of parts) access.pins(BASE + BigInt(from) * PAGE, BigInt(to - from) * PAGE).returns(0);
};
const countOf = (parts: (typeof HELD)[string]): number =>
  Array.from({ length: PAGES }, (_, page) => parts.some(([from, to]) => from <= page && page < to)).filter(Boolean)
    .length;

for (const [kind, make] of Object.entries(KINDS))
  for (const [limit, bytes] of Object.entries(LIMITS))
    clause('ioas/charges-pinned', () => {
      each(
        Object.fromEntries(
          Object.entries(HELD).flatMap(([title, parts]) =>
            (['before the device', 'after the device'] as const).map((when) => [
              `${kind}: an access has ${title}, ${when}; memory: ${limit}`,
              { parts, when },
            ]),
          ),
        ),
        (s, { parts, when }) => {
          const c = ready(s);
          s.main.limits('memlock', 4n * LARGE);
          const memory = make(s, c);
          marked(memory);
          const access = withAccess(s, c);
          limitMemory(c, bytes).returns(0);
          if (when === 'before the device') pinAll(access, parts);
          c.attachMock(1).returns(0);
          if (when === 'after the device') pinAll(access, parts);
          holds(s.main, PAGES);
          checkMap(c, 5, BASE, LARGE, memory.at()).returns(0);
          readsAll(s, access);
          c.destroy(3).returns(0);
          holds(s.main, countOf(parts));
          readsAll(s, access);
          c.attachMock(1).returns(0);
          checkMap(c, 5, BASE, LARGE, memory.at()).returns(0);
          for (const number of parts.keys()) access.unpins(number).returns(0);
          holds(s.main, PAGES);
          checkMap(c, 5, BASE, LARGE, memory.at()).returns(0);
          pinAll(access, parts);
          c.unmap(BASE, LARGE).returns(0);
          holds(s.main, 0);
          limitMemory(c, USUAL_MEMORY).returns(0);
        },
      );
    });

clause('mock/check-map', () => {
  each({ combined: 1n, 'not combined': 0n }, (s, largePages) => {
    const c = ready(s);
    s.main.limits('memlock', 4n * LARGE);
    c.option({ option_id: 1, object_id: 1, op: uapi.IOMMU_OPTION_OP_SET, val64: largePages }).returns(0);
    const memory = s.main.memory(2n * LARGE, { huge: LARGE });
    marked(memory);
    // Neither the IOVA nor the ends are those of a large page.
    c.map({ iova: BASE + 3n * PAGE, length: 2n * LARGE - 9n * PAGE, vaddr: memory.at(5n * PAGE) }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + 300n * PAGE, 400n * PAGE, memory.at(302n * PAGE)).returns(0);
    c.attachMock(1).returns(0);
    allocTable(c, { dev_id: 4 }).returns(0);
    for (const table of [5, 6])
      checkMap(c, table, BASE + 3n * PAGE, 2n * LARGE - 9n * PAGE, memory.at(5n * PAGE)).returns(0);
    holds(s.main, 1015);
    c.destroy(3).returns(0);
    checkMap(c, 6, BASE + 3n * PAGE, 2n * LARGE - 9n * PAGE, memory.at(5n * PAGE)).returns(0);
    c.destroy(6).returns(0);
    holds(s.main, 400);
    access.close().returns(0);
    holds(s.main, 0);
  });
  each({ 'half of a page at each end': 2048n, 'whole pages': 0n } as const, (s, odd) => {
    const c = ready(s);
    s.main.limits('memlock', 4n * LARGE);
    const memory = s.main.memory(LARGE, { huge: LARGE });
    marked(memory);
    const at = { iova: BASE + odd, length: 100n * PAGE - 2n * odd, vaddr: memory.at(7n * PAGE + odd) };
    c.map(at).returns(0);
    c.alloc(2);
    c.copy({ to: 2, source: at.iova, target: BASE + odd, length: at.length }).returns(0);
    c.attachMock(1).returns(0);
    c.attachMock(2).returns(0);
    for (const table of [5, 8]) checkMap(c, table, at.iova, at.length, memory.at(7n * PAGE + odd)).returns(0);
    holds(s.main, 100);
    const buffer = s.main.memory(LARGE);
    withAccess(s, c, { flags: 0 }).reads(at.iova, at.length, buffer.at(odd), SLOW).returns(0);
    buffer.read(22n * PAGE, 2n).shows(0, Uint8Array.of(0, 4));
    buffer.read(23n * PAGE, 2n).shows(0, Uint8Array.of(0, 5));
    c.unmap(at.iova, at.length).returns(0);
    holds(s.main, 100);
    checkMap(c, 8, at.iova, at.length, memory.at(7n * PAGE + odd)).returns(0);
    c.unmap(at.iova, at.length, 2).returns(0);
    holds(s.main, 0);
  });
  test('parts of a file of large pages', (s) => {
    const c = ready(s);
    s.main.limits('memlock', 4n * LARGE);
    s.main.does({ op: 'memfd', fd: 'large', size: 2n * LARGE, huge: LARGE });
    const memory = s.main.maps('large', 2n * LARGE, { align: LARGE });
    marked(memory);
    c.mapFile({ fd: 'large', start: 500n * PAGE, iova: BASE, length: 30n * PAGE }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + 2n * PAGE, PAGE, memory.at(502n * PAGE)).returns(0);
    access.pins(BASE + 10n * PAGE, 5n * PAGE, memory.at(510n * PAGE)).returns(0);
    c.attachMock(1).returns(0);
    checkMap(c, 5, BASE, 30n * PAGE, memory.at(500n * PAGE)).returns(0);
    holds(s.main, 30);
    readsAll(s, access, 500, 30);
    access.unpins(1).returns(0);
    c.destroy(3).returns(0);
    holds(s.main, 1);
    readsAll(s, access, 500, 30);
    access.close().returns(0);
    holds(s.main, 0);
  });
});
