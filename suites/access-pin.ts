import {
  BASE,
  checkPins,
  holds,
  mapped,
  numbered,
  ready,
  SIZE,
  TO_WRITE,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, test } from '../harness/cases/index.ts';
import { openWithMock, READ, WRITE } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';

/* Pages that users in the kernel of an IO address space pin. */

const PAGE = 0x1000n;
const FIXED_READ = READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
const FIXED_WRITE = WRITE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

clause('access/pin', () => {
  each(
    {
      'the first page': [0n, 1n],
      'the last page': [15n, 1n],
      'all of it': [0n, 16n],
      'in the middle': [5n, 3n],
    } as const,
    (s, [first, count]) => {
      const { c, memory, access } = mapped(s);
      numbered(access.pins(BASE + first * PAGE, count * PAGE, memory.at(first * PAGE)), 0);
      holds(s.main, Number(count));
      checkPins(c, memory.at(first * PAGE), count * PAGE, 1).returns(0);
      if (first > 0n) checkPins(c, memory.at(), first * PAGE, 0).returns(0);
    },
  );
  each(
    { 'a byte': [1n, 1], 'a byte less than a page': [PAGE - 1n, 1], 'a byte more': [PAGE + 1n, 2] } as const,
    (s, [length, pages]) => {
      const { memory, access } = mapped(s);
      access.pins(BASE + PAGE, length, memory.at(PAGE)).returns(0);
      holds(s.main, pages);
    },
  );
  test('over several mappings', (s) => {
    const c = ready(s);
    const memory = s.main.memory(SIZE);
    for (const page of [4n, 0n, 9n])
      c.map({
        iova: BASE + (page === 4n ? 0n : page === 0n ? 2n : 5n) * PAGE,
        length: page === 0n ? 3n * PAGE : 2n * PAGE,
        vaddr: memory.at(page * PAGE),
      }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + PAGE, 5n * PAGE).returns(0);
    holds(s.main, 5);
    checkPins(c, memory.at(0n), 3n * PAGE, 1).returns(0);
    checkPins(c, memory.at(4n * PAGE), PAGE, 0).returns(0);
    checkPins(c, memory.at(5n * PAGE), PAGE, 1).returns(0);
    checkPins(c, memory.at(9n * PAGE), PAGE, 1).returns(0);
    access.unpins(0).returns(0);
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
  test('the same pages twice, and each time by itself', (s) => {
    const { c, memory, access } = mapped(s);
    const other = withAccess(s, c);
    for (const one of [access, access, other]) one.pins(BASE + PAGE, 4n * PAGE, memory.at(PAGE)).returns(0);
    holds(s.main, 4);
    checkPins(c, memory.at(PAGE), 4n * PAGE, 1).returns(0);
    access.unpins(0).returns(0);
    access.close().returns(0);
    holds(s.main, 4);
    other.unpins(0).returns(0);
    holds(s.main, 0);
  });
  each(
    {
      'the beginning first': [0, 1, 2],
      'the middle first': [1, 0, 2],
      'the end first': [2, 1, 0],
    } as const,
    (s, order) => {
      const { c, memory, access } = mapped(s);
      for (const [first, count] of [
        [0n, 6n],
        [4n, 6n],
        [8n, 8n],
      ] as const)
        access.pins(BASE + first * PAGE, count * PAGE, memory.at(first * PAGE)).returns(0);
      holds(s.main, 16);
      const left = [
        [0n, 6n],
        [4n, 10n],
        [8n, 16n],
      ] as const;
      const gone = new Set<number>();
      for (const number of order) {
        access.unpins(number).returns(0);
        gone.add(number);
        const pages = Array.from({ length: 16 }, (_, page) =>
          left.some(([from, to], index) => !gone.has(index) && from <= BigInt(page) && BigInt(page) < to),
        );
        holds(s.main, pages.filter((one) => one).length);
        for (const [page, pinned] of pages.entries())
          checkPins(c, memory.at(BigInt(page) * PAGE), PAGE, pinned ? 1 : 0).returns(0);
      }
    },
  );
  test('one memory under two iovas is pinned once', (s) => {
    const { c, memory, access } = mapped(s);
    c.copy({ to: 1, source: BASE, target: BASE + SIZE, length: SIZE }).returns(0);
    access.pins(BASE, 2n * PAGE, memory.at()).returns(0);
    access.pins(BASE + SIZE + PAGE, 2n * PAGE, memory.at(PAGE)).returns(0);
    holds(s.main, 3);
    checkPins(c, memory.at(), 3n * PAGE, 1).returns(0);
    access.unpins(0).returns(0);
    holds(s.main, 2);
  });
  test('mapped twice it is pinned twice', (s) => {
    const { c, memory, access } = mapped(s);
    c.map({ iova: BASE + SIZE, length: SIZE, vaddr: memory.at() }).returns(0);
    access.pins(BASE, PAGE, memory.at()).returns(0);
    access.pins(BASE + SIZE, PAGE, memory.at()).returns(0);
    holds(s.main, 2);
    checkPins(c, memory.at(), PAGE, 2).returns(0);
    access.unpins(0).returns(0);
    checkPins(c, memory.at(), PAGE, 1).returns(0);
    holds(s.main, 1);
  });
  test('pages that are pinned stay those that they were', (s) => {
    const c = ready(s);
    const fd = s.main.memfd(SIZE);
    const [memory, same] = [s.main.maps(fd, SIZE), s.main.maps(fd, SIZE)];
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE, 2n * PAGE, memory.at()).returns(0);
    memory.hole(0n, SIZE);
    access.pins(BASE, 2n * PAGE, same.at()).returns(0);
    access.pins(BASE + PAGE, PAGE, same.at(PAGE)).returns(0);
    access.pins(BASE + 2n * PAGE, PAGE).refused('EFAULT');
    holds(s.main, 2);
  });
  test('a file', (s) => {
    const c = ready(s);
    const fd = s.main.memfd(SIZE);
    const memory = s.main.maps(fd, SIZE);
    c.mapFile({ fd, iova: BASE, start: PAGE, length: SIZE - PAGE }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + PAGE, 3n * PAGE, memory.at(2n * PAGE), TO_WRITE).returns(0);
    access.pins(BASE + 3n * PAGE, 3n * PAGE, memory.at(4n * PAGE)).returns(0);
    holds(s.main, 5);
    checkPins(c, memory.at(2n * PAGE), 5n * PAGE, 1).returns(0);
    s.main.does({ op: 'close', fd }).returns(0);
    access.unpins(0).returns(0);
    holds(s.main, 3);
    access.unpins(1).returns(0);
    holds(s.main, 0);
  });
  test('nothing counts in the name of one who may lock what he likes', (s) => {
    const c = openWithMock(s);
    c.alloc(1);
    const memory = s.main.memory(SIZE);
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
    withAccess(s, c).pins(BASE, SIZE, memory.at()).returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(64);
    s.main.lockedKb().returns(0);
  });
});

clause('access/pin', () => {
  test('nothing stays of what cannot be returned', (s) => {
    const { c, memory } = mapped(s);
    const args = s.main.memory(PAGE);
    const type = mock.iommuTestAccessPages;
    // Of which file 4 is the number nothing says; it is the access.
    args.write(
      encode(type, { size: sizeOf(type), op: mock.IOMMU_TEST_OP_ACCESS_PAGES, id: 4, iova: BASE, length: PAGE }),
    );
    args.protect('r');
    c.command(mock.IOMMU_TEST_CMD, { kind: 'place', place: args.at() });
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
    withAccess(s, c).pins(BASE, PAGE, memory.at()).returns(0);
  });
});

clause('access/pin-number', () => {
  test('counts from 0 for each access, and none is given again', (s) => {
    const { c, access } = mapped(s);
    numbered(access.pins(BASE, PAGE), 0);
    numbered(access.pins(BASE, PAGE), 1);
    access.unpins(0).returns(0);
    numbered(access.pins(BASE, PAGE), 2);
    numbered(withAccess(s, c).pins(BASE, PAGE), 0);
  });
});

clause('access/pin-too-long', () => {
  test('a byte more than 16 MiB', (s) => {
    const { access } = mapped(s);
    access.pins(BASE, (16n << 20n) + 1n).refused('ENOMEM');
    access.pins(BASE, 16n << 20n).refused('ENOENT');
  });
});

clause('access/pin-flags', () => {
  each({ 'the second': 2, 'the highest': 0x8000_0000 }, (s, flags) => {
    const { access } = mapped(s);
    access.pins(BASE, PAGE, undefined, flags).refused('EOPNOTSUPP');
    holds(s.main, 0);
  });
});

clause('access/pin-not-made-for', () => {
  test('one that only reads and writes', (s) => {
    const { c } = mapped(s);
    withAccess(s, c, { flags: 0 }).pins(BASE, PAGE).refused('EOPNOTSUPP');
    holds(s.main, 0);
  });
});

clause('access/pin-empty', () => {
  each({ mapped: BASE, 'not mapped': BASE - PAGE, 'no whole page': BASE + 1n }, (s, iova) => {
    mapped(s).access.pins(iova, 0n).refused('EINVAL');
  });
});

clause('access/pin-overflow', () => {
  each({ 'by a page': [-PAGE, 2n * PAGE], 'by a byte': [-PAGE, PAGE + 1n] } as const, (s, [iova, length]) => {
    mapped(s)
      .access.pins((1n << 64n) + iova, length)
      .refused('EOVERFLOW');
  });
  test('up to the top it does not', (s) => {
    mapped(s)
      .access.pins((1n << 64n) - PAGE, PAGE)
      .refused('ENOENT');
  });
});

clause('access/pin-unmapped', () => {
  each(
    {
      'before it': [BASE - PAGE, PAGE],
      'from before it': [BASE - PAGE, 2n * PAGE],
      'behind it': [BASE + SIZE, PAGE],
      'to behind it': [BASE + SIZE - 2n * PAGE, 3n * PAGE],
      'a byte to behind it': [BASE + SIZE - PAGE, PAGE + 1n],
      'over a hole': [BASE + SIZE - PAGE, 3n * PAGE],
    } as const,
    (s, [iova, length]) => {
      const { c, memory, access } = mapped(s);
      c.map({ iova: BASE + SIZE + PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
      access.pins(iova, length).refused('ENOENT');
      holds(s.main, 0);
      checkPins(c, memory.at(), SIZE, 0).returns(0);
      numbered(access.pins(BASE, PAGE, memory.at()), 0);
    },
  );
});

clause('access/pin-unaligned', () => {
  each(
    {
      'a byte into a page': [1n, PAGE],
      'within a page': [2048n, 1n],
      'to the end of a page': [1n, PAGE - 1n],
    } as const,
    (s, [offset, length]) => {
      const { access } = mapped(s);
      access.pins(BASE + offset, length).refused('EINVAL');
      holds(s.main, 0);
    },
  );
});

clause('access/pin-beyond-access', () => {
  each(
    {
      'to write what is to be read': [FIXED_READ, TO_WRITE],
      'to read what is to be written': [FIXED_WRITE, 0],
    } as const,
    (s, [flags, asked]) => {
      const { c, memory, access } = mapped(s);
      c.map({ iova: BASE + SIZE, length: SIZE, vaddr: memory.at(), flags }).returns(0);
      access.pins(BASE + SIZE, PAGE, undefined, asked).refused('EPERM');
      access.pins(BASE + SIZE - PAGE, 2n * PAGE, undefined, asked).refused('EPERM');
      holds(s.main, 0);
      access.pins(BASE + SIZE, PAGE, undefined, asked ^ TO_WRITE).returns(0);
      holds(s.main, 1);
    },
  );
  test('before a hole', (s) => {
    const { c, memory, access } = mapped(s);
    c.map({ iova: BASE + SIZE, length: PAGE, vaddr: memory.at(), flags: FIXED_READ }).returns(0);
    access.pins(BASE + SIZE - PAGE, 3n * PAGE, undefined, TO_WRITE).refused('EPERM');
    holds(s.main, 0);
  });
  test('a copy for reading of what may be written', (s) => {
    const { c, access } = mapped(s);
    c.copy({ to: 1, source: BASE, target: BASE + SIZE, length: SIZE, flags: FIXED_READ }).returns(0);
    access.pins(BASE + SIZE, PAGE, undefined, TO_WRITE).refused('EPERM');
    access.pins(BASE + SIZE, PAGE).returns(0);
  });
});

clause('access/pin-no-memory', () => {
  each({ 'the first page': 0n, 'a page in the middle': 7n, 'the last page': 15n }, (s, page) => {
    const { c, memory, access } = mapped(s);
    memory.hole(page * PAGE, PAGE);
    access.pins(BASE, SIZE).refused('EFAULT');
    holds(s.main, 0);
    if (page > 0n) checkPins(c, memory.at(), page * PAGE, 0).returns(0);
    if (page < 15n) checkPins(c, memory.at((page + 1n) * PAGE), SIZE - (page + 1n) * PAGE, 0).returns(0);
  });
  test('pages that are pinned by another part of it stay pinned', (s) => {
    const { c, memory, access } = mapped(s);
    access.pins(BASE + 2n * PAGE, 2n * PAGE).returns(0);
    memory.hole(7n * PAGE, PAGE);
    access.pins(BASE, SIZE).refused('EFAULT');
    holds(s.main, 2);
    checkPins(c, memory.at(), 2n * PAGE, 0).returns(0);
    checkPins(c, memory.at(2n * PAGE), 2n * PAGE, 1).returns(0);
    checkPins(c, memory.at(4n * PAGE), 3n * PAGE, 0).returns(0);
  });
  test('in the second mapping', (s) => {
    const { c, access } = mapped(s);
    const other = s.main.memory(SIZE);
    c.map({ iova: BASE + SIZE, length: SIZE, vaddr: other.at() }).returns(0);
    other.hole(0n, SIZE);
    access.pins(BASE, 2n * SIZE).refused('EFAULT');
    holds(s.main, 0);
  });
  each(
    { 'read-only memory, mapped to be written': [WRITE | READ, 'EFAULT'], 'mapped to be read': [READ, 0] } as const,
    (s, [flags, errno]) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      memory.protect('r');
      c.map({ iova: BASE, length: SIZE, vaddr: memory.at(), flags: flags | uapi.IOMMU_IOAS_MAP_FIXED_IOVA }).returns(0);
      const access = withAccess(s, c);
      if (errno === 0) access.pins(BASE, SIZE, memory.at()).returns(0);
      else access.pins(BASE, SIZE).refused(errno);
      holds(s.main, errno === 0 ? 16 : 0);
    },
  );
  test('behind the end of a file', (s) => {
    const c = ready(s);
    const fd = s.main.memfd(SIZE);
    c.mapFile({ fd, iova: BASE, length: SIZE + PAGE }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE + SIZE, PAGE).refused('EINVAL');
    access.pins(BASE + SIZE - PAGE, 2n * PAGE).refused('EINVAL');
    holds(s.main, 0);
    access.pins(BASE, SIZE).returns(0);
    holds(s.main, 16);
  });
});

clause('access/pin-over-limit', () => {
  each({ 'a page too many': 0x9000n, 'exactly enough': 0xa000n }, (s, limit) => {
    const { c, memory, access } = mapped(s);
    s.main.limits('memlock', limit);
    access.pins(BASE, 4n * PAGE).returns(0);
    const said = access.pins(BASE + 2n * PAGE, 8n * PAGE, memory.at(2n * PAGE));
    if (limit === 0x9000n) said.refused('ENOMEM');
    else said.returns(0);
    const pages = limit === 0x9000n ? 4 : 10;
    holds(s.main, pages);
    checkPins(c, memory.at(4n * PAGE), 6n * PAGE, pages === 4 ? 0 : 1).returns(0);
    access.unpins(0).returns(0);
    holds(s.main, pages === 4 ? 0 : 8);
  });
  test('in the second mapping', (s) => {
    const { c, access } = mapped(s);
    c.map({ iova: BASE + SIZE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    s.main.limits('memlock', SIZE + PAGE);
    access.pins(BASE, SIZE + 2n * PAGE).refused('ENOMEM');
    holds(s.main, 0);
    access.pins(BASE, SIZE + PAGE).returns(0);
    holds(s.main, 17);
  });
  test('counted for the user', (s) => {
    const c = openWithMock(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 4n * PAGE);
    c.alloc(1);
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    const access = withAccess(s, c);
    access.pins(BASE, 5n * PAGE).refused('ENOMEM');
    access.pins(BASE, 4n * PAGE).returns(0);
    access.pins(BASE, 5n * PAGE).refused('ENOMEM');
    access.unpins(0).returns(0);
    access.pins(BASE + 8n * PAGE, 4n * PAGE).returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(16);
    s.main.lockedKb().returns(0);
  });
});

clause('access/pin-elsewhere', () => {
  test('another page', (s) => {
    const { memory, access } = mapped(s);
    memory.fill(1);
    access.pins(BASE, 2n * PAGE, memory.at(PAGE)).refused('EBADE');
    holds(s.main, 0);
    numbered(access.pins(BASE, 2n * PAGE, memory.at()), 0);
  });
  test('memory that was put in the place of what is pinned', (s) => {
    const { c, memory, access } = mapped(s);
    access.pins(BASE, PAGE, memory.at()).returns(0);
    memory.hole(0n, SIZE);
    const other = s.main.memory(SIZE, { at: memory.at() });
    other.fill(1);
    access.pins(BASE, PAGE, other.at()).refused('EBADE');
    access.pins(BASE + PAGE, PAGE, other.at(PAGE)).returns(0);
    access.unpins(0).returns(0);
    access.pins(BASE, PAGE, other.at()).returns(0);
    checkPins(c, other.at(), 2n * PAGE, 1).returns(0);
  });
  test('nowhere', (s) => {
    const { c, memory, access } = mapped(s);
    const other = s.main.memory(PAGE);
    other.hole(0n, PAGE);
    access.pins(BASE, PAGE, other.at()).refused('EFAULT');
    holds(s.main, 0);
    checkPins(c, memory.at(), PAGE, 0).returns(0);
  });
});
