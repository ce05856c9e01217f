import {
  type Access,
  accessOf,
  askForAccess,
  BASE,
  checkPins,
  holds,
  mapped,
  numbered,
  PINNING,
  ready,
  SIZE,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Said, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { type Context, READ } from '../harness/cases/iommufd.ts';
import { replaceMock } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Users in the kernel of an IO address space: what they pin, and when they let go of it. */

const PAGE = 0x1000n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const FIXED_READ = READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

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
