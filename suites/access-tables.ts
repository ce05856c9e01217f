import {
  type Access,
  BASE,
  checkMap,
  checkPins,
  holds,
  limitMemory,
  mapped,
  ready,
  reserve,
  SIZE,
  SLOW,
  scattered,
  TO_WRITE,
  USUAL_MEMORY,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Memory, type Scenario, test, u64 } from '../harness/cases/index.ts';
import type { Context } from '../harness/cases/iommufd.ts';
import { allocTable } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, offsetOf } from '../harness/uapi/struct.ts';

/* Page tables and users in the kernel that have the same pages: in whichever order they come and go, a page is pinned once while any has it. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

/** The memory that pages are collected in: as much as there ever is, for one page, for a few, and for a part of the pages of a case. */
const LIMITS = { usual: USUAL_MEMORY, 'one page': 12, 'five pages': 60, 'a page of them': 4096 } as const;

/** What has pages of 16: pages [from, to), by how it comes and how it goes. Ids: the access is 2, a device 3 to 5, a page table 6. */
interface User {
  readonly from: number;
  readonly to: number;
  readonly comes: (c: Context, access: Access) => void;
  readonly goes: (c: Context, access: Access, number: number) => void;
}

const pins = (from: number, to: number): User => ({
  from,
  to,
  comes: (_, access) => access.pins(BASE + BigInt(from) * PAGE, BigInt(to - from) * PAGE).returns(0),
  goes: (_, access, number) => access.unpins(number).returns(0),
});

const USERS = {
  device: {
    from: 0,
    to: 16,
    comes: (c: Context) => c.attachMock(1).returns(0),
    goes: (c: Context) => c.destroy(3).returns(0),
  },
  'an access': pins(3, 7),
  'an access that has some of the same': pins(5, 12),
} as const satisfies Record<string, User>;
type Name = keyof typeof USERS;

const ORDERS = (names: readonly Name[]): readonly (readonly Name[])[] =>
  names.length < 2
    ? [names]
    : names.flatMap((name) => ORDERS(names.filter((one) => one !== name)).map((rest) => [name, ...rest]));

/** Says which of 16 pages are pinned once, and that the others are not. */
const pinned = (s: Scenario, c: Context, memory: Memory, users: readonly User[]): void => {
  const pages = Array.from({ length: 16 }, (_, page) => users.some(({ from, to }) => from <= page && page < to));
  holds(s.main, pages.filter((one) => one).length);
  for (let from = 0; from < 16; ) {
    let to = from;
    while (to < 16 && pages[to] === pages[from]) to++;
    checkPins(c, memory.at(BigInt(from) * PAGE), BigInt(to - from) * PAGE, pages[from] ? 1 : 0).returns(0);
    from = to;
  }
};

clause('mock/check-pins', () => {
  const all = ORDERS(Object.keys(USERS) as Name[]);
  for (const [limit, bytes, kind] of [
    ...Object.entries(LIMITS).map(([title, bytes]) => [title, bytes, undefined] as const),
    ['five pages, which lie apart', LIMITS['five pages'], scattered] as const,
  ])
    each(
      Object.fromEntries(
        all.flatMap((come) =>
          all.map((go) => [`${come.join(', ')}; then without ${go.join(', ')}; memory: ${limit}`, { come, go }]),
        ),
      ),
      (s, { come, go }) => {
        const { c, memory, access } = mapped(s, kind);
        limitMemory(c, bytes).returns(0);
        const there = new Set<Name>();
        const numbers = new Map<Name, number>();
        for (const name of come) {
          USERS[name].comes(c, access);
          if (name !== 'device') numbers.set(name, numbers.size);
          there.add(name);
          pinned(
            s,
            c,
            memory,
            [...there].map((one) => USERS[one]),
          );
        }
        checkMap(c, 5, BASE, SIZE, memory.at()).returns(0);
        for (const name of go) {
          USERS[name].goes(c, access, numbers.get(name) ?? 0);
          there.delete(name);
          pinned(
            s,
            c,
            memory,
            [...there].map((one) => USERS[one]),
          );
        }
        limitMemory(c, USUAL_MEMORY).returns(0);
      },
    );
  each({ 'a byte more': 1n, 'half a page': 2048n } as const, (s, odd) => {
    const { c, memory } = mapped(s);
    checkPins(c, memory.at(), PAGE + odd, 0).refused('EINVAL');
    checkPins(c, memory.at(odd), PAGE, 0).refused('EINVAL');
  });
});

clause('mock/check-pins-other', () => {
  test('more and fewer', (s) => {
    const { c, memory, access } = mapped(s);
    access.pins(BASE + PAGE, PAGE).returns(0);
    checkPins(c, memory.at(), 2n * PAGE, 0).refused('EIO');
    checkPins(c, memory.at(PAGE), 2n * PAGE, 1).refused('EIO');
    checkPins(c, memory.at(PAGE), PAGE, 2).refused('EIO');
    checkPins(c, memory.at(PAGE), PAGE, 1).returns(0);
  });
  test('nothing', (s) => {
    const { c, memory } = mapped(s);
    memory.hole(PAGE, PAGE);
    checkPins(c, memory.at(), 2n * PAGE, 0).refused('EFAULT');
  });
});

clause('mock/check-pins-unaligned', () => {
  each({ 'the address': [1n, PAGE], 'the length': [0n, PAGE - 1n] } as const, (s, [offset, length]) => {
    const { c, memory } = mapped(s);
    checkPins(c, memory.at(offset), length, 0).refused('EINVAL');
  });
});

/** Memory of a file at two addresses, mapped at BASE by the first of them. */
const twice = (s: Scenario) => {
  const c = ready(s);
  const fd = s.main.memfd(SIZE);
  const [memory, same] = [s.main.maps(fd, SIZE), s.main.maps(fd, SIZE)];
  c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
  return { c, memory, same, access: withAccess(s, c) };
};

for (const [limit, bytes] of Object.entries(LIMITS)) {
  const limited = (c: Context): void => void limitMemory(c, bytes).returns(0);
  const freed = (c: Context): void => void limitMemory(c, USUAL_MEMORY).returns(0);

  clause('mock/check-map', () => {
    test(`pages that an access has, for a device; memory: ${limit}`, (s) => {
      const { c, memory, same, access } = twice(s);
      limited(c);
      access.pins(BASE, 5n * PAGE).returns(0);
      access.pins(BASE + 9n * PAGE, 3n * PAGE).returns(0);
      memory.hole(PAGE, 3n * PAGE);
      memory.hole(10n * PAGE, PAGE);
      c.attachMock(1).returns(0);
      checkMap(c, 5, BASE, SIZE, same.at()).returns(0);
      holds(s.main, 16);
      access.close().returns(0);
      checkMap(c, 4, BASE, SIZE, same.at()).refused('ENOENT');
      checkMap(c, 5, BASE, SIZE, same.at()).returns(0);
      checkPins(c, same.at(), SIZE, 1).returns(0);
      c.destroy(3).returns(0);
      holds(s.main, 0);
      checkPins(c, same.at(), SIZE, 0).returns(0);
      freed(c);
    });
    test(`pages that a device has, for an access; memory: ${limit}`, (s) => {
      const { c, memory, same, access } = twice(s);
      limited(c);
      c.attachMock(1).returns(0);
      memory.hole(0n, SIZE);
      access.pins(BASE + 2n * PAGE, 11n * PAGE, same.at(2n * PAGE), TO_WRITE).returns(0);
      c.destroy(3).returns(0);
      holds(s.main, 11);
      checkPins(c, same.at(), 2n * PAGE, 0).returns(0);
      checkPins(c, same.at(2n * PAGE), 11n * PAGE, 1).returns(0);
      access.pins(BASE + 4n * PAGE, 2n * PAGE, same.at(4n * PAGE)).returns(0);
      access.unpins(0).returns(0);
      holds(s.main, 2);
      access.pins(BASE + 2n * PAGE, 11n * PAGE).refused('EFAULT');
      access.unpins(1).returns(0);
      checkPins(c, same.at(), SIZE, 0).returns(0);
      freed(c);
    });
    test(`pages that one page table has, for another; memory: ${limit}`, (s) => {
      const { c, memory, same, access } = twice(s);
      limited(c);
      c.attachMock(1).returns(0);
      memory.hole(0n, SIZE);
      access.pins(BASE + 3n * PAGE, PAGE, same.at(3n * PAGE)).returns(0);
      allocTable(c, { dev_id: 4 }).returns(0);
      checkMap(c, 6, BASE, SIZE, same.at()).returns(0);
      c.destroy(3).returns(0);
      checkMap(c, 6, BASE, SIZE, same.at()).returns(0);
      holds(s.main, 16);
      access.pins(BASE, SIZE, same.at()).returns(0);
      c.destroy(6).returns(0);
      holds(s.main, 16);
      access.unpins(1).returns(0);
      holds(s.main, 1);
      access.unpins(0).returns(0);
      checkPins(c, same.at(), SIZE, 0).returns(0);
      freed(c);
    });
    test(`a copy in another io address space; memory: ${limit}`, (s) => {
      const { c, memory, same, access } = twice(s);
      limited(c);
      access.pins(BASE, 3n * PAGE).returns(0);
      c.alloc(3);
      c.attachMock(3).returns(0);
      c.copy({ to: 3, source: BASE + PAGE, target: BASE, length: SIZE - PAGE }).returns(0);
      memory.hole(0n, SIZE);
      checkMap(c, 6, BASE, SIZE - PAGE, same.at(PAGE)).returns(0);
      holds(s.main, 16);
      c.unmap(BASE, SIZE).returns(0).shows(LENGTH_AT, u64(SIZE));
      holds(s.main, 15);
      checkPins(c, same.at(), PAGE, 0).returns(0);
      checkPins(c, same.at(PAGE), SIZE - PAGE, 1).returns(0);
      checkMap(c, 6, BASE, SIZE - PAGE, same.at(PAGE)).returns(0);
      c.unmap(BASE, SIZE - PAGE, 3).returns(0);
      holds(s.main, 0);
      checkPins(c, same.at(), SIZE, 0).returns(0);
      freed(c);
    });
    test(`mappings that end within pages; memory: ${limit}`, (s) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      limited(c);
      c.attachMock(1).returns(0);
      c.map({ iova: BASE + 2048n, length: 9n * 2048n, vaddr: memory.at(2048n) }).returns(0);
      c.map({ iova: BASE + SIZE, length: 6n * 2048n, vaddr: memory.at(2048n) }).returns(0);
      checkMap(c, 4, BASE + 2048n, 9n * 2048n, memory.at(2048n)).returns(0);
      checkMap(c, 4, BASE + SIZE, 6n * 2048n, memory.at(2048n)).returns(0);
      checkMap(c, 4, BASE + SIZE, 6n * 2048n, memory.at()).refused('EINVAL');
      holds(s.main, 9);
      checkPins(c, memory.at(), 4n * PAGE, 2).returns(0);
      checkPins(c, memory.at(4n * PAGE), PAGE, 1).returns(0);
      const buffer = s.main.memory(SIZE);
      memory.fill(4);
      withAccess(s, c, { flags: 0 })
        .reads(BASE + 2049n, 8n * 2048n, buffer.at(), SLOW)
        .returns(0);
      buffer.read(0n, 8n * 2048n).shows(0, new Uint8Array(8 * 2048).fill(4));
      c.unmap(BASE + 2048n, 9n * 2048n).returns(0);
      checkPins(c, memory.at(), 4n * PAGE, 1).returns(0);
      holds(s.main, 4);
      c.destroy(2).returns(0);
      checkPins(c, memory.at(), SIZE, 0).returns(0);
      freed(c);
    });
    test(`pages that are not combined; memory: ${limit}`, (s) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      c.option({ option_id: 1, object_id: 1, op: uapi.IOMMU_OPTION_OP_SET, val64: 0n }).returns(0);
      limited(c);
      c.attachMock(1).returns(0);
      c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
      const access = withAccess(s, c);
      access.pins(BASE + 6n * PAGE, PAGE, memory.at(6n * PAGE)).returns(0);
      checkMap(c, 4, BASE, SIZE, memory.at()).returns(0);
      allocTable(c, { dev_id: 3 }).returns(0);
      checkMap(c, 6, BASE, SIZE, memory.at()).returns(0);
      c.destroy(2).returns(0);
      c.destroy(6).returns(0);
      holds(s.main, 1);
      freed(c);
    });
    test(`a file, while an access has a part of it; memory: ${limit}`, (s) => {
      const c = ready(s);
      const fd = s.main.memfd(SIZE);
      const memory = s.main.maps(fd, SIZE);
      c.mapFile({ fd, iova: BASE, start: PAGE, length: SIZE - PAGE }).returns(0);
      limited(c);
      const access = withAccess(s, c);
      access.pins(BASE + 2n * PAGE, 7n * PAGE, memory.at(3n * PAGE)).returns(0);
      c.attachMock(1).returns(0);
      checkMap(c, 5, BASE, SIZE - PAGE, memory.at(PAGE)).returns(0);
      checkPins(c, memory.at(PAGE), SIZE - PAGE, 1).returns(0);
      c.destroy(3).returns(0);
      holds(s.main, 7);
      checkPins(c, memory.at(), 3n * PAGE, 0).returns(0);
      checkPins(c, memory.at(3n * PAGE), 7n * PAGE, 1).returns(0);
      access.unpins(0).returns(0);
      checkPins(c, memory.at(), SIZE, 0).returns(0);
      freed(c);
    });
  });

  for (const [what, page, errno] of [
    ['gone at the beginning', 0n, 'EFAULT'],
    ['gone in the middle', 8n, 'EFAULT'],
    ['gone at the end', 15n, 'EFAULT'],
    ['too many', undefined, 'ENOMEM'],
  ] as const) {
    const fails = (s: Scenario, memory: Memory): void => {
      if (page === undefined) s.main.limits('memlock', 15n * PAGE);
      else memory.hole(page * PAGE, PAGE);
    };
    /** That only three pages are pinned, from the fifth on. */
    const asBefore = (s: Scenario, c: Context, same: Memory): void => {
      holds(s.main, 3);
      checkPins(c, same.at(), 4n * PAGE, 0).returns(0);
      checkPins(c, same.at(4n * PAGE), 3n * PAGE, 1).returns(0);
      checkPins(c, same.at(7n * PAGE), 9n * PAGE, 0).returns(0);
    };
    clause('mock/check-pins', () => {
      test(`a device that is refused leaves what an access has: pages are ${what}; memory: ${limit}`, (s) => {
        const { c, memory, same, access } = twice(s);
        limited(c);
        access.pins(BASE + 4n * PAGE, 3n * PAGE).returns(0);
        fails(s, memory);
        c.attachMock(1).refused(errno);
        asBefore(s, c, same);
        access.unpins(0).returns(0);
        checkPins(c, same.at(), SIZE, 0).returns(0);
        freed(c);
      });
      test(`so does a mapping for two page tables: pages are ${what}; memory: ${limit}`, (s) => {
        const { c, memory, same, access } = twice(s);
        limited(c);
        c.alloc(3);
        c.attachMock(3).returns(0);
        allocTable(c, { dev_id: 5, pt_id: 3 }).returns(0);
        access.pins(BASE + 4n * PAGE, 3n * PAGE).returns(0);
        fails(s, memory);
        c.copy({ to: 3, source: BASE, target: BASE, length: SIZE }).refused(errno);
        asBefore(s, c, same);
        checkMap(c, 6, BASE, 2048n, same.at()).refused('EINVAL');
        access.unpins(0).returns(0);
        checkPins(c, same.at(), SIZE, 0).returns(0);
        freed(c);
      });
      test(`so does an access: pages are ${what}; memory: ${limit}`, (s) => {
        const { c, memory, same, access } = twice(s);
        limited(c);
        access.pins(BASE + 4n * PAGE, 3n * PAGE).returns(0);
        fails(s, memory);
        access.pins(BASE, SIZE).refused(errno);
        asBefore(s, c, same);
        freed(c);
      });
    });
  }
}

clause('mock/check-map', () => {
  test('so many pages that they are collected more than once', (s) => {
    const c = ready(s);
    const size = 40n << 20n;
    s.main.limits('memlock', 2n * size);
    const memory = s.main.memory(size, { share: 'shared' });
    c.map({ iova: BASE, length: size, vaddr: memory.at() }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + (9n << 20n), 16n << 20n, memory.at(9n << 20n)).returns(0);
    c.attachMock(1).returns(0);
    checkMap(c, 5, BASE, size, memory.at()).returns(0);
    holds(s.main, 10240);
    checkPins(c, memory.at(), size, 1).returns(0);
    allocTable(c, { dev_id: 4 }).returns(0);
    checkMap(c, 6, BASE, size, memory.at()).returns(0);
    c.destroy(3).returns(0);
    c.destroy(6).returns(0);
    holds(s.main, 4096);
    access.close().returns(0);
    checkPins(c, memory.at(), size, 0).returns(0);
  });
  test('each of two mappings, by a page table of each io address space', (s) => {
    const { c, memory } = mapped(s);
    c.alloc(3);
    c.copy({ to: 3, source: BASE, target: BASE + SIZE, length: SIZE }).returns(0);
    c.attachMock(1).returns(0);
    c.attachMock(3).returns(0);
    checkMap(c, 6, BASE, SIZE, memory.at()).returns(0);
    checkMap(c, 9, BASE + SIZE, SIZE, memory.at()).returns(0);
    checkMap(c, 9, BASE, PAGE, memory.at()).refused('EINVAL');
    holds(s.main, 16);
    c.destroy(4).returns(0);
    checkMap(c, 9, BASE + SIZE, SIZE, memory.at()).returns(0);
    holds(s.main, 16);
    c.unmap(BASE + SIZE, SIZE, 3).returns(0);
    holds(s.main, 0);
  });
});

clause('mock/check-map-unknown', () => {
  each({ none: 0, 'an io address space': 1, 'an access': 2, 'a mock device': 3, 'a device': 4 }, (s, id) => {
    const { c, memory } = mapped(s);
    c.attachMock(1).returns(0);
    checkMap(c, id, BASE, PAGE, memory.at()).refused('ENOENT');
  });
});

clause('mock/check-map-unaligned', () => {
  each(
    {
      'the iova': [1024n, 2048n, 0n],
      'the length': [0n, 1n, 0n],
      'the address': [0n, 2048n, 1n],
    } as const,
    (s, [iova, length, offset]) => {
      const { c, memory } = mapped(s);
      c.attachMock(1).returns(0);
      checkMap(c, 5, BASE + iova, length, memory.at(offset)).refused('EINVAL');
    },
  );
});

clause('mock/check-map-elsewhere', () => {
  each(
    {
      'half a page on': [0n, PAGE, 2048n],
      'the next page': [0n, PAGE, PAGE],
      'nothing is mapped': [SIZE, PAGE, 0n],
      'behind the end': [SIZE - PAGE, 2n * PAGE, SIZE - 2n * PAGE],
    } as const,
    (s, [iova, length, offset]) => {
      const { c, memory } = mapped(s);
      c.attachMock(1).returns(0);
      checkMap(c, 5, BASE + iova, length, memory.at(offset)).refused('EINVAL');
    },
  );
  test('other memory was put there', (s) => {
    const { c, memory } = mapped(s);
    c.attachMock(1).returns(0);
    memory.hole(0n, SIZE);
    checkMap(c, 5, BASE, PAGE, memory.at()).refused('EFAULT');
    const other = s.main.memory(SIZE, { at: memory.at() });
    other.fill(1);
    checkMap(c, 5, BASE, PAGE, other.at()).refused('EINVAL');
  });
});

clause('mock/limit-memory', () => {
  test('more than ever', (s) => {
    const { c, memory, access } = mapped(s);
    limitMemory(c, 0xffff_ffff).returns(0);
    access.pins(BASE, SIZE, memory.at()).returns(0);
    limitMemory(c, USUAL_MEMORY).returns(0);
  });
});

clause('mock/limit-memory-too-small', () => {
  each({ none: 0, 'a byte less than a page takes': 11 }, (s, limit) => {
    limitMemory(ready(s), limit).refused('EINVAL');
  });
});

clause('ioas/change-process-moves-charges', () => {
  test('what accesses have, too', (s) => {
    const c = ready(s);
    const fd = s.main.memfd(SIZE);
    c.mapFile({ fd, iova: BASE, length: SIZE }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE, 5n * PAGE).returns(0);
    const child = s.main.forks();
    c.of(child).changeProcess().returns(0);
    holds(s.main, 0);
    holds(child, 5);
    access.pins(BASE + PAGE, 6n * PAGE).returns(0);
    holds(child, 7);
    access.of(child).unpins(0).returns(0);
    holds(child, 6);
    access.close().returns(0);
    holds(child, 6);
    access.of(child).close().returns(0);
    holds(child, 0);
  });
});

clause('mock/reserve', () => {
  test('nothing is mapped there, and the ranges say so', (s) => {
    const { c, memory } = mapped(s);
    reserve(c, 1, BASE + SIZE, PAGE).returns(0);
    c.map({ iova: BASE + SIZE, length: PAGE, vaddr: memory.at() }).refused('EINVAL');
    c.map({ iova: BASE + SIZE + PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
    const ranges = s.main.memory(PAGE);
    c.ranges({ num_iovas: 2 }, ranges.at()).returns(0);
    ranges
      .read(0n, 32n)
      .shows(8, u64(BASE + SIZE - 1n))
      .shows(16, u64(BASE + SIZE + PAGE))
      .shows(24, u64(TOP));
  });
  test('with that of a page table', (s) => {
    const { c } = mapped(s);
    reserve(c, 1, BASE + SIZE, PAGE).returns(0);
    c.attachMock(1).returns(0);
    const ranges = s.main.memory(PAGE);
    c.ranges({ num_iovas: 2 }, ranges.at()).returns(0);
    ranges.read(0n, 32n).shows(0, u64(BASE));
    c.destroy(3).returns(0);
    c.ranges({ num_iovas: 2 }, ranges.at()).returns(0);
    ranges.read(0n, 32n).shows(0, u64(0n));
  });
});

clause('mock/reserve-empty', () => {
  test('nothing', (s) => {
    reserve(ready(s), 1, BASE, 0n).refused('EINVAL');
  });
});

clause('mock/reserve-overflow', () => {
  test('a byte', (s) => {
    reserve(ready(s), 1, TOP, 2n).refused('EOVERFLOW');
  });
});

clause('mock/reserve-unknown', () => {
  each({ none: 0, 'never given': 9 }, (s, ioas) => {
    reserve(ready(s), ioas, BASE, PAGE).refused('ENOENT');
  });
});

clause('mock/reserve-in-use', () => {
  each(
    { 'all of it': [0n, SIZE], 'its first byte': [-8n, 9n], 'its last byte': [SIZE - 1n, 1n] } as const,
    (s, [offset, length]) => {
      const { c } = mapped(s);
      reserve(c, 1, BASE + offset, length).refused('EADDRINUSE');
      reserve(c, 1, BASE + SIZE, length).returns(0);
    },
  );
  test('allowed', (s) => {
    const c = ready(s);
    const ranges = s.main.memory(PAGE);
    ranges.write(encode(uapi.iommuIovaRange, { start: BASE, last: BASE + SIZE - 1n }));
    c.allow({ num_iovas: 1 }, ranges.at()).returns(0);
    reserve(c, 1, BASE + SIZE - 1n, 1n).refused('EADDRINUSE');
    reserve(c, 1, BASE + SIZE, 1n).returns(0);
  });
});
