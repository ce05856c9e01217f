import {
  type Access,
  accessOf,
  askForAccess,
  BASE,
  checkPins,
  holds,
  mapped,
  PINNING,
  ready,
  SIZE,
  TO_WRITE,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Said, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { type Context, openWithMock, READ, WRITE } from '../harness/cases/iommufd.ts';
import { replaceMock } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Users in the kernel of an IO address space: what they pin, and when they let go of it. */

const PAGE = 0x1000n;
const NUMBER_AT = offsetOf(mock.iommuTestAccessPages, 'out_access_pages_id');
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const FIXED_READ = READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
const FIXED_WRITE = WRITE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

const u32 = (number: number): Uint8Array => Uint8Array.of(number, number >> 8, number >> 16, number >>> 24);

const numbered = (said: Said, number: number): Said => said.returns(0).shows(NUMBER_AT, u32(number));

clause('access/create', () => {
  test('an object like any', (s) => {
    const c = ready(s);
    const access = withAccess(s, c);
    c.alloc(3);
    access.close().returns(0);
    c.alloc(2);
  });
  test('that only its driver ends', (s) => {
    const c = ready(s);
    withAccess(s, c);
    c.destroy(2).refused('EBUSY');
    c.attachMock(2).refused('EINVAL');
    c.destroy(1).refused('EBUSY');
  });
  test('the io address space is in use until the file is closed', (s) => {
    const c = ready(s);
    const [one, two] = [withAccess(s, c), withAccess(s, c, { flags: 0 })];
    one.close().returns(0);
    c.destroy(1).refused('EBUSY');
    two.close().returns(0);
    c.destroy(1).returns(0);
  });
  test('closing lets go of what is pinned', (s) => {
    const { access, memory, c } = mapped(s);
    access.pins(BASE, 3n * PAGE, memory.at()).returns(0);
    access.pins(BASE + SIZE - PAGE, PAGE, memory.at(SIZE - PAGE)).returns(0);
    holds(s.main, 4);
    access.close().returns(0);
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
  test('what is pinned outlives the descriptor of the context', (s) => {
    const { access, c } = mapped(s);
    access.pins(BASE, 3n * PAGE).returns(0);
    c.close().returns(0);
    holds(s.main, 3);
    access.close().returns(0);
    holds(s.main, 0);
  });
  test('a process that inherited the file keeps it', (s) => {
    const { access, c } = mapped(s);
    access.pins(BASE, 3n * PAGE).returns(0);
    const child = s.main.forks();
    access.close().returns(0);
    holds(s.main, 3);
    holds(child, 0);
    c.destroy(1).refused('EBUSY');
    access.of(child).close().returns(0);
    holds(s.main, 0);
    c.destroy(1).returns(0);
  });
  test('the process that pinned is gone', (s) => {
    const { access, c } = mapped(s);
    const child = s.main.forks();
    const memory = child.memory(SIZE);
    c.of(child)
      .map({ iova: BASE + SIZE, length: SIZE, vaddr: memory.at() })
      .returns(0);
    access.pins(BASE + SIZE - PAGE, 2n * PAGE).returns(0);
    holds(child, 1);
    holds(s.main, 1);
    child.exits();
    access.pins(BASE + SIZE + PAGE, PAGE).refused('EFAULT');
    access.pins(BASE + SIZE, PAGE).returns(0);
    access.close().returns(0);
    holds(s.main, 0);
  });
});

clause('access/create-descriptor', () => {
  test('in the argument', (s) => {
    const c = ready(s);
    const access = withAccess(s, c);
    access.pins(BASE, PAGE).refused('ENOENT');
    s.main.descriptors().returns(2);
  });
});

clause('access/create-flags', () => {
  each({ 'the second': 2, 'the highest': 0x8000_0000, 'with a known one': 3 }, (s, flags) => {
    const c = ready(s);
    askForAccess(s, c, { flags }).said.refused('EOPNOTSUPP');
    c.alloc(2);
  });
});

clause('access/create-unknown-ioas', () => {
  each({ none: 0, 'never given': 9, 'a mock device': 2, 'a page table': 4 }, (s, ioas) => {
    const c = ready(s);
    c.attachMock(1).returns(0);
    askForAccess(s, c, { ioas }).said.refused('ENOENT');
    c.alloc(5);
  });
});

const MISALIGNED = {
  'an odd iova': [BASE + 2048n, 0n, PAGE],
  'an odd length': [BASE, 0n, 2048n],
  'an odd beginning in the memory': [BASE, 2048n, PAGE],
  bytes: [BASE + 1n, 5n, 1n],
} as const;

clause('access/create-misaligned', () => {
  each(MISALIGNED, (s, [iova, offset, length]) => {
    const c = ready(s);
    c.map({ iova, length, vaddr: s.main.memory(SIZE).at(offset) }).returns(0);
    askForAccess(s, c).said.refused('EADDRINUSE');
    c.alloc(2);
    c.destroy(1).returns(0);
  });
  test('not when it only reads and writes', (s) => {
    const c = ready(s);
    c.map({ iova: BASE + 1n, length: 1n, vaddr: s.main.memory(SIZE).at(5n) }).returns(0);
    withAccess(s, c, { flags: 0 });
  });
  test('and while it is there whole pages are mapped', (s) => {
    const c = ready(s);
    const memory = s.main.memory(SIZE);
    const access = withAccess(s, c);
    c.ranges({ num_iovas: 1 }, memory.at())
      .returns(0)
      .shows(offsetOf(uapi.iommuIoasIovaRanges, 'out_iova_alignment'), u64(PAGE));
    c.map({ iova: BASE, length: 2048n, vaddr: memory.at() }).refused('EINVAL');
    access.close().returns(0);
    c.map({ iova: BASE, length: 2048n, vaddr: memory.at() }).returns(0);
  });
});

clause('access/create-unwritable', () => {
  test('read-only memory', (s) => {
    const c = ready(s);
    const memory = s.main.memory(PAGE);
    const type = mock.iommuTestCreateAccess;
    memory.write(encode(type, { size: sizeOf(type), op: mock.IOMMU_TEST_OP_CREATE_ACCESS, id: 1, flags: PINNING }));
    memory.protect('r');
    c.command(mock.IOMMU_TEST_CMD, { kind: 'place', place: memory.at() }).refused('EFAULT');
    c.alloc(2);
    c.destroy(1).returns(0);
  });
});

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

const NO_ACCESS: Record<string, (s: Scenario, c: Context) => Access> = {
  'a number that is no descriptor': (s, c) => accessOf(0x7fff_ffff, c, s.main),
  'the context itself': (s, c) => accessOf(c.fd, c, s.main),
  'a file': (s, c) => accessOf(s.main.memfd(PAGE), c, s.main),
};

for (const [name, call] of Object.entries({
  'access/pin': (access) => access.pins(BASE, PAGE),
  'access/unpin': (access) => access.unpins(0),
  'access/replace': (access) => access.replaces(1),
} satisfies Record<string, (access: Access) => Said>) as ['access/pin', (access: Access) => Said][])
  clause(`${name}-no-access`, () => {
    each(NO_ACCESS, (s, make) => {
      call(make(s, ready(s))).refused('EBADFD');
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

clause('access/unpin', () => {
  test('in any order', (s) => {
    const { access } = mapped(s);
    for (const page of [0n, 4n, 8n]) access.pins(BASE + page * PAGE, 2n * PAGE).returns(0);
    for (const [number, left] of [
      [1, 4],
      [2, 2],
      [0, 0],
    ] as const) {
      access.unpins(number).returns(0);
      holds(s.main, left);
    }
  });
});

clause('access/unpin-unknown', () => {
  each({ 'never given': 1, 'the highest': 0xffff_ffff }, (s, number) => {
    const { access } = mapped(s);
    access.pins(BASE, PAGE).returns(0);
    access.unpins(number).refused('ENOENT');
    holds(s.main, 1);
  });
  test('for the second time', (s) => {
    const { access } = mapped(s);
    access.pins(BASE, PAGE).returns(0);
    access.unpins(0).returns(0);
    access.unpins(0).refused('ENOENT');
  });
  test("another's", (s) => {
    const { c, access } = mapped(s);
    access.pins(BASE, PAGE).returns(0);
    withAccess(s, c).unpins(0).refused('ENOENT');
    holds(s.main, 1);
  });
});

clause('access/unmap-lets-go', () => {
  test('of all that lies in the mapping', (s) => {
    const { c, memory, access } = mapped(s);
    const other = withAccess(s, c);
    access.pins(BASE, 3n * PAGE).returns(0);
    access.pins(BASE + PAGE, PAGE).returns(0);
    other.pins(BASE, SIZE).returns(0);
    c.unmap(BASE, SIZE).returns(0).shows(LENGTH_AT, u64(SIZE));
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
    for (const number of [0, 1]) access.unpins(number).refused('ENOENT');
    other.unpins(0).refused('ENOENT');
    access.pins(BASE, PAGE).refused('ENOENT');
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at(), flags: FIXED_READ }).returns(0);
    numbered(access.pins(BASE, PAGE, memory.at()), 2);
  });
  test('and of what reaches into it', (s) => {
    const { c, memory, access } = mapped(s);
    c.map({ iova: BASE + SIZE, length: PAGE, vaddr: s.main.memory(PAGE).at() }).returns(0);
    access.pins(BASE, PAGE).returns(0);
    access.pins(BASE + SIZE - 2n * PAGE, 3n * PAGE).returns(0);
    holds(s.main, 4);
    c.unmap(BASE + SIZE, PAGE)
      .returns(0)
      .shows(LENGTH_AT, u64(PAGE));
    holds(s.main, 1);
    checkPins(c, memory.at(PAGE), SIZE - PAGE, 0).returns(0);
    access.unpins(1).refused('ENOENT');
    access.unpins(0).returns(0);
  });
  test('two mappings at once', (s) => {
    const { c, access } = mapped(s);
    c.map({ iova: BASE + 2n * SIZE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    access.pins(BASE, PAGE).returns(0);
    access.pins(BASE + 2n * SIZE, PAGE).returns(0);
    c.unmap(0n, (1n << 64n) - 1n)
      .returns(0)
      .shows(LENGTH_AT, u64(2n * SIZE));
    holds(s.main, 0);
  });
  test('not when a mapping would be cut', (s) => {
    const { c, access } = mapped(s);
    access.pins(BASE, PAGE).returns(0);
    c.unmap(BASE + PAGE, SIZE - PAGE).refused('ENOENT');
    c.unmap(BASE, PAGE).refused('ENOENT');
    holds(s.main, 1);
    access.unpins(0).returns(0);
  });
  test('a copy that is pinned is another mapping', (s) => {
    const { c, access, memory } = mapped(s);
    c.copy({ to: 1, source: BASE, target: BASE + SIZE, length: SIZE }).returns(0);
    access.pins(BASE + SIZE, PAGE, memory.at()).returns(0);
    c.unmap(BASE, SIZE).returns(0);
    holds(s.main, 1);
    c.unmap(BASE + SIZE, SIZE).returns(0);
    holds(s.main, 0);
  });
  test('not of an access that is elsewhere', (s) => {
    const { c, access } = mapped(s);
    c.alloc(3);
    c.copy({ to: 3, source: BASE, target: BASE, length: SIZE }).returns(0);
    const other = withAccess(s, c, { ioas: 3 });
    access.pins(BASE, PAGE).returns(0);
    other.pins(BASE, 2n * PAGE).returns(0);
    holds(s.main, 2);
    c.unmap(BASE, SIZE).returns(0);
    holds(s.main, 2);
    other.unpins(0).returns(0);
    holds(s.main, 0);
  });
  test('of one that only reads and writes', (s) => {
    const c = ready(s);
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    withAccess(s, c, { flags: 0 });
    c.unmap(BASE, SIZE).returns(0).shows(LENGTH_AT, u64(SIZE));
  });
});

clause('access/replace', () => {
  test('lets go, and reaches the other', (s) => {
    const { c, memory, access } = mapped(s);
    c.alloc(3);
    c.map({ ioas: 3, iova: BASE, length: PAGE, vaddr: memory.at(PAGE) }).returns(0);
    access.pins(BASE, 2n * PAGE, memory.at()).returns(0);
    access.replaces(3).returns(0);
    holds(s.main, 0);
    access.unpins(0).refused('ENOENT');
    numbered(access.pins(BASE, PAGE, memory.at(PAGE)), 1);
    access.pins(BASE, 2n * PAGE).refused('ENOENT');
    c.destroy(3).refused('EBUSY');
    c.destroy(1).returns(0);
    holds(s.main, 1);
  });
  test('the same again changes nothing', (s) => {
    const { c, access } = mapped(s);
    access.pins(BASE, 2n * PAGE).returns(0);
    access.replaces(1).returns(0);
    holds(s.main, 2);
    access.unpins(0).returns(0);
    c.destroy(1).refused('EBUSY');
  });
  test('there and back', (s) => {
    const { c, access, memory } = mapped(s);
    c.alloc(3);
    access.replaces(3).returns(0);
    c.map({ iova: BASE + SIZE, length: 2048n, vaddr: memory.at() }).returns(0);
    c.map({ ioas: 3, iova: BASE, length: 2048n, vaddr: memory.at() }).refused('EINVAL');
    c.unmap(BASE + SIZE, 2048n).returns(0);
    access.replaces(1).returns(0);
    c.map({ ioas: 3, iova: BASE, length: 2048n, vaddr: memory.at() }).returns(0);
    c.destroy(3).returns(0);
    access.pins(BASE, SIZE, memory.at()).returns(0);
  });
  test('one of several', (s) => {
    const { c, access } = mapped(s);
    const other = withAccess(s, c);
    c.alloc(4);
    access.pins(BASE, 2n * PAGE).returns(0);
    other.pins(BASE + PAGE, 2n * PAGE).returns(0);
    access.replaces(4).returns(0);
    holds(s.main, 2);
    other.replaces(4).returns(0);
    holds(s.main, 0);
    c.destroy(1).returns(0);
  });
});

clause('access/replace-unknown-ioas', () => {
  each({ none: 0, 'never given': 9, 'the access itself': 2 }, (s, ioas) => {
    const { c, access } = mapped(s);
    access.pins(BASE, PAGE).returns(0);
    access.replaces(ioas).refused('ENOENT');
    holds(s.main, 1);
    c.destroy(1).refused('EBUSY');
    access.unpins(0).returns(0);
  });
});

clause('access/replace-misaligned', () => {
  each(MISALIGNED, (s, [iova, offset, length]) => {
    const { c, memory, access } = mapped(s);
    c.alloc(3);
    c.map({ ioas: 3, iova, length, vaddr: memory.at(offset) }).returns(0);
    access.pins(BASE, PAGE).returns(0);
    access.replaces(3).refused('EADDRINUSE');
    holds(s.main, 1);
    access.unpins(0).returns(0);
    c.destroy(3).returns(0);
  });
  test('not one that only reads and writes', (s) => {
    const { c, memory } = mapped(s);
    const access = withAccess(s, c, { flags: 0 });
    c.alloc(4);
    c.map({ ioas: 4, iova: BASE + 1n, length: 5n, vaddr: memory.at(7n) }).returns(0);
    access.replaces(4).returns(0);
  });
  test('a device that goes to where an access is', (s) => {
    const { c } = mapped(s);
    c.alloc(3);
    c.attachMock(3).returns(0);
    replaceMock(c, 4, 1).returns(0);
    holds(s.main, 16);
  });
});
