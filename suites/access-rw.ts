import {
  type Access,
  accessOf,
  BASE,
  checkPins,
  holds,
  mapped,
  ready,
  SIZE,
  SLOW,
  withAccess,
} from '../harness/cases/accesses.ts';
import { clause, each, type Memory, type Scenario, test } from '../harness/cases/index.ts';
import { type Context, READ, WRITE } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';

/* Users in the kernel of an IO address space that read and write memory without pinning it. */

const PAGE = 0x1000n;
const FIXED_READ = READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
const FIXED_WRITE = WRITE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

/** Bytes of which none of a page's is that of its neighbour, nor that of the next page. */
const pattern = (size: bigint, start = 0): Uint8Array =>
  Uint8Array.from({ length: Number(size) }, (_, index) => (start + index * 7 + (index >> 12) * 101) & 0xff);

/** How an access is asked: by whom, and with which flags. */
const WAYS: Record<string, (s: Scenario, access: Access) => { readonly access: Access; readonly flags: number }> = {
  'by the process itself': (_, access) => ({ access, flags: 0 }),
  'not as the process': (_, access) => ({ access, flags: SLOW }),
  'by another process': (s, access) => ({ access: access.of(s.main.forks()), flags: 0 }),
};

/** What is read and written of four pages: the first byte and how many. */
const RANGES = {
  'the first byte': [0n, 1n],
  'the last byte of a page': [PAGE - 1n, 1n],
  'within a page': [100n, 200n],
  'two bytes of two pages': [PAGE - 1n, 2n],
  'from page to page': [4000n, 200n],
  'a page': [PAGE, PAGE],
  'three pages and a bit': [10n, 3n * PAGE],
  all: [0n, 4n * PAGE],
  'all but the ends': [1n, 4n * PAGE - 2n],
} as const;

/** What four pages are: memory, which may be pinned, or a file. */
const KINDS: Record<string, (s: Scenario, c: Context) => Memory> = {
  memory: (s, c) => {
    const memory = s.main.memory(4n * PAGE, { share: 'shared' });
    c.map({ iova: BASE, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    return memory;
  },
  'private memory': (s, c) => {
    const memory = s.main.memory(4n * PAGE);
    c.map({ iova: BASE, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    return memory;
  },
  'memory, partly pinned': (s, c) => {
    const memory = s.main.memory(4n * PAGE);
    c.map({ iova: BASE, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    withAccess(s, c)
      .pins(BASE + PAGE, 2n * PAGE)
      .returns(0);
    return memory;
  },
  'memory that a device has': (s, c) => {
    const memory = s.main.memory(4n * PAGE);
    c.map({ iova: BASE, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    c.attachMock(1).returns(0);
    return memory;
  },
  'a file': (s, c) => {
    const fd = s.main.memfd(5n * PAGE);
    c.mapFile({ fd, iova: BASE, start: PAGE, length: 4n * PAGE }).returns(0);
    return s.main.maps(fd, 4n * PAGE, { start: PAGE });
  },
  'two mappings, of memory and a file': (s, c) => {
    const fd = s.main.memfd(4n * PAGE);
    const memory = s.main.maps(fd, 4n * PAGE);
    c.map({ iova: BASE, length: PAGE, vaddr: memory.at() }).returns(0);
    c.mapFile({ fd, iova: BASE + PAGE, start: PAGE, length: 3n * PAGE }).returns(0);
    return memory;
  },
};

clause('access/rw-content', () => {
  for (const [kind, make] of Object.entries(KINDS))
    for (const [way, as] of Object.entries(WAYS)) {
      // Of private memory a child has a copy of its own, and so its buffer is not the one that is looked at.
      each(
        Object.fromEntries(Object.entries(RANGES).map(([title, range]) => [`${kind}, ${way}: ${title}`, range])),
        (s, [first, length]) => {
          const c = ready(s);
          const memory = make(s, c);
          const buffer = s.main.memory(4n * PAGE, { share: 'shared', guard: true });
          const made = withAccess(s, c, { flags: 0 });
          memory.write(pattern(4n * PAGE));
          const { access, flags } = as(s, made);
          access.reads(BASE + first, length, buffer.at(), flags).returns(0);
          buffer.read(0n, length).shows(0, pattern(4n * PAGE).slice(Number(first), Number(first + length)));
          buffer.write(pattern(length, 200));
          access.writes(BASE + first, length, buffer.at(), flags).returns(0);
          const expected = pattern(4n * PAGE);
          expected.set(pattern(length, 200), Number(first));
          memory.read().shows(0, expected);
          buffer.guards().returns(0);
        },
      );
    }
  each({ 'as the process': 0, 'not as the process': SLOW }, (s, flags) => {
    const c = ready(s);
    const memory = s.main.memory(4n * PAGE);
    memory.write(pattern(4n * PAGE));
    c.map({ iova: BASE + 0x55n, length: 0x2345n, vaddr: memory.at(0x123n) }).returns(0);
    c.map({ iova: BASE + 0x55n + 0x2345n, length: 0x11n, vaddr: memory.at(0x7n) }).returns(0);
    const access = withAccess(s, c, { flags: 0 });
    const buffer = s.main.memory(4n * PAGE);
    access.reads(BASE + 0x55n, 0x2345n + 0x11n, buffer.at(3n), flags).returns(0);
    const whole = pattern(4n * PAGE);
    buffer
      .read(0n, 0x2345n + 0x11n + 6n)
      .shows(3, whole.slice(0x123, 0x123 + 0x2345))
      .shows(3 + 0x2345, whole.slice(7, 7 + 0x11));
    access.writes(BASE + 0x60n, 0x1000n, memory.at(0x3000n), flags).returns(0);
    memory.read();
  });
  test('sixteen mebibytes', (s) => {
    const c = ready(s);
    const size = 16n << 20n;
    const memory = s.main.memory(size, { share: 'shared' });
    const buffer = s.main.memory(size, { share: 'shared' });
    c.map({ iova: BASE, length: size, vaddr: memory.at() }).returns(0);
    memory.fill(5);
    memory.write(Uint8Array.of(1, 2, 3), 0x7f_ffffn);
    const access = withAccess(s, c);
    access.reads(BASE, size, buffer.at(), SLOW).returns(0);
    buffer.hash();
    buffer.write(Uint8Array.of(9), size - 1n);
    access.writes(BASE, size, buffer.at(), SLOW).returns(0);
    memory.hash();
    holds(s.main, 0);
  });
});

clause('access/rw', () => {
  each({ 'as the process': 0, 'not as the process': SLOW }, (s, flags) => {
    const { c, memory, access } = mapped(s);
    const buffer = s.main.memory(SIZE);
    memory.fill(7);
    access.reads(BASE, SIZE, buffer.at(), flags).returns(0);
    access.writes(BASE + PAGE, 2n * PAGE, buffer.at(), flags).returns(0);
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
    checkPins(c, buffer.at(), SIZE, 0).returns(0);
  });
  test('what others have pinned stays so', (s) => {
    const { c, memory, access } = mapped(s);
    access.pins(BASE + PAGE, PAGE).returns(0);
    access.pins(BASE + 3n * PAGE, 2n * PAGE).returns(0);
    access.reads(BASE, SIZE, s.main.memory(SIZE).at(), SLOW).returns(0);
    holds(s.main, 3);
    checkPins(c, memory.at(), PAGE, 0).returns(0);
    checkPins(c, memory.at(PAGE), PAGE, 1).returns(0);
    checkPins(c, memory.at(2n * PAGE), PAGE, 0).returns(0);
    checkPins(c, memory.at(3n * PAGE), 2n * PAGE, 1).returns(0);
    checkPins(c, memory.at(5n * PAGE), SIZE - 5n * PAGE, 0).returns(0);
  });
  test('one who may lock nothing', (s) => {
    const { memory, access } = mapped(s);
    s.main.limits('memlock', 0n);
    access.reads(BASE, SIZE, memory.at(), SLOW).returns(0);
    access.pins(BASE, PAGE).refused('ENOMEM');
  });
  test('in another io address space it reaches what is mapped there', (s) => {
    const { c, access } = mapped(s);
    c.alloc(3);
    const [other, buffer] = [s.main.memory(PAGE), s.main.memory(PAGE)];
    other.fill(3);
    c.map({ ioas: 3, iova: BASE, length: PAGE, vaddr: other.at() }).returns(0);
    access.replaces(3).returns(0);
    access.reads(BASE, PAGE, buffer.at()).returns(0);
    buffer.read().shows(0, new Uint8Array(4096).fill(3));
    access.reads(BASE + PAGE, 1n, buffer.at()).refused('ENOENT');
  });
});

/** Memory of which three pages are pinned, and other memory that was put in its place then. */
const replaced = (s: Scenario, device: boolean) => {
  const c = ready(s);
  const fd = s.main.memfd(SIZE);
  const [memory, same] = [s.main.maps(fd, SIZE), s.main.maps(fd, SIZE)];
  same.fill(1);
  c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
  const access = withAccess(s, c);
  if (device) c.attachMock(1).returns(0);
  else access.pins(BASE, 3n * PAGE).returns(0);
  memory.hole(0n, SIZE);
  const other = s.main.memory(SIZE, { at: memory.at() });
  other.fill(2);
  return { c, access, same, other, buffer: s.main.memory(SIZE) };
};

clause('access/rw-by-address', () => {
  each(
    {
      'as the process: what is there now': [3n * PAGE, 0, 2],
      'one page: what is there now': [PAGE, SLOW, 2],
      'more: what is pinned': [3n * PAGE, SLOW, 1],
    } as const,
    (s, [length, flags, seen]) => {
      const { access, same, other, buffer } = replaced(s, false);
      access.reads(BASE, length, buffer.at(), flags).returns(0);
      buffer.read(0n, length).shows(0, new Uint8Array(Number(length)).fill(seen));
      buffer.fill(9);
      access.writes(BASE, length, buffer.at(), flags).returns(0);
      same.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(seen === 1 ? 9 : 1));
      other.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(seen === 2 ? 9 : 2));
    },
  );
  test('more, of which some is pinned', (s) => {
    const { access, buffer } = replaced(s, false);
    access.reads(BASE + 2n * PAGE, 2n * PAGE, buffer.at(), SLOW).returns(0);
    buffer
      .read(0n, 2n * PAGE)
      .shows(0, new Uint8Array(4096).fill(1))
      .shows(4096, new Uint8Array(4096).fill(2));
  });
  test('what a device has', (s) => {
    const { access, same, buffer } = replaced(s, true);
    access.reads(BASE, SIZE, buffer.at(), SLOW).returns(0);
    buffer.read().shows(0, new Uint8Array(Number(SIZE)).fill(1));
    buffer.fill(3);
    access.writes(BASE + 1n, SIZE - 2n, buffer.at(), SLOW).returns(0);
    same.read();
  });
  test('of a process that is gone', (s) => {
    const { c, access } = mapped(s);
    const child = s.main.forks();
    const theirs = child.memory(SIZE);
    const buffer = s.main.memory(SIZE);
    theirs.fill(6);
    c.of(child)
      .map({ iova: BASE + SIZE, length: SIZE, vaddr: theirs.at() })
      .returns(0);
    access.pins(BASE + SIZE + PAGE, 3n * PAGE).returns(0);
    child.exits();
    access.reads(BASE + SIZE + PAGE, 3n * PAGE, buffer.at()).returns(0);
    buffer.read(0n, 3n * PAGE).shows(0, new Uint8Array(3 * 4096).fill(6));
    access.writes(BASE + SIZE + PAGE, 5n, buffer.at(100n)).returns(0);
    access.reads(BASE + SIZE + PAGE, 1n, buffer.at()).returns(0);
    access.reads(BASE + SIZE, 1n, buffer.at()).refused('EFAULT');
    access.reads(BASE + SIZE, 3n * PAGE, buffer.at()).refused('EFAULT');
  });
});

clause('access/rw-no-access', () => {
  each(
    {
      'a number that is no descriptor': (s: Scenario, c: Context) => accessOf(0x7fff_ffff, c, s.main),
      'the context itself': (s: Scenario, c: Context) => accessOf(c.fd, c, s.main),
    },
    (s, make) => {
      const c = ready(s);
      make(s, c).reads(BASE, 1n, s.main.memory(PAGE).at()).refused('EBADFD');
    },
  );
});

clause('access/rw-too-long', () => {
  test('a byte more than 16 MiB', (s) => {
    const { memory, access } = mapped(s);
    access.reads(BASE, (16n << 20n) + 1n, memory.at()).refused('ENOMEM');
    access.reads(BASE, 16n << 20n, memory.at()).refused('ENOENT');
  });
});

clause('access/rw-flags', () => {
  each({ 'a thread of the kernel': 2, 'the fourth': 8, 'the highest': 0x8000_0000 }, (s, flags) => {
    const { memory, access } = mapped(s);
    access.reads(BASE, PAGE, memory.at(), flags).refused('EOPNOTSUPP');
  });
});

clause('access/rw-unreadable', () => {
  test('all of it', (s) => {
    const { memory, access } = mapped(s);
    memory.fill(1);
    access.writes(BASE, 8n, { literal: 0n }).refused('EFAULT');
    memory.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(1));
  });
  test('its end', (s) => {
    const { memory, access } = mapped(s);
    memory.fill(1);
    const buffer = s.main.memory(2n * PAGE);
    buffer.fill(2);
    buffer.hole(PAGE, PAGE);
    access.writes(BASE, 8n, buffer.at(PAGE - 4n)).refused('EFAULT');
    memory.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(1));
  });
});

clause('access/rw-empty', () => {
  each({ mapped: BASE, 'not mapped': BASE - PAGE }, (s, iova) => {
    const { memory, access } = mapped(s);
    access.reads(iova, 0n, memory.at()).refused('EINVAL');
    access.writes(iova, 0n, memory.at()).refused('EINVAL');
  });
});

clause('access/rw-overflow', () => {
  test('by a byte, and not up to the top', (s) => {
    const { memory, access } = mapped(s);
    access.reads((1n << 64n) - 1n, 2n, memory.at()).refused('EOVERFLOW');
    access.reads((1n << 64n) - 1n, 1n, memory.at()).refused('ENOENT');
  });
});

/** A page to be read and written, one to be read, one to be written, a hole, and a page. */
const different = (s: Scenario) => {
  const c = ready(s);
  const memory = s.main.memory(SIZE);
  memory.fill(1);
  c.map({ iova: BASE, length: PAGE, vaddr: memory.at() }).returns(0);
  c.map({ iova: BASE + PAGE, length: PAGE, vaddr: memory.at(PAGE), flags: FIXED_READ }).returns(0);
  c.map({ iova: BASE + 2n * PAGE, length: PAGE, vaddr: memory.at(2n * PAGE), flags: FIXED_WRITE }).returns(0);
  c.map({ iova: BASE + 4n * PAGE, length: PAGE, vaddr: memory.at(4n * PAGE) }).returns(0);
  const buffer = s.main.memory(SIZE);
  buffer.fill(2);
  return { memory, buffer, access: withAccess(s, c) };
};

for (const [way, flags] of [
  ['as the process', 0],
  ['not as the process', SLOW],
] as const) {
  clause('access/rw-unmapped', () => {
    each(
      {
        [`before it, ${way}`]: [-1n, 1n, 0n],
        [`from before it, ${way}`]: [-1n, 2n, 0n],
        [`in the hole, ${way}`]: [3n * PAGE, 1n, 0n],
        [`behind it, ${way}`]: [5n * PAGE, PAGE, 0n],
        [`to behind it, ${way}`]: [5n * PAGE - 8n, 9n, 8n],
      },
      (s, [offset = 0n, length = 0n, before = 0n]) => {
        const { memory, buffer, access } = different(s);
        access.reads(BASE + offset, length, buffer.at(), flags).refused('ENOENT');
        buffer.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(2));
        access.writes(BASE + offset, length, buffer.at(), flags).refused('ENOENT');
        const expected = new Uint8Array(4096).fill(1);
        if (before > 0n) expected.fill(2, 4096 - Number(before));
        memory.read(4n * PAGE, PAGE).shows(0, expected);
      },
    );
  });
  clause('access/rw-beyond-access', () => {
    test(`writing what is to be read, ${way}`, (s) => {
      const { memory, buffer, access } = different(s);
      access.writes(BASE + PAGE, 1n, buffer.at(), flags).refused('EPERM');
      access.writes(BASE + PAGE - 4n, 8n, buffer.at(), flags).refused('EPERM');
      memory.read(PAGE - 8n, 12n).shows(0, Uint8Array.of(1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1));
      access.reads(BASE + PAGE - 4n, 8n, buffer.at(), flags).returns(0);
    });
    test(`reading what is to be written, ${way}`, (s) => {
      const { memory, buffer, access } = different(s);
      access.reads(BASE + 2n * PAGE, 1n, buffer.at(), flags).refused('EPERM');
      access.reads(BASE + 2n * PAGE - 1n, 2n, buffer.at(), flags).refused('EPERM');
      buffer.read(0n, 8n).shows(0, new Uint8Array(8).fill(2));
      access.writes(BASE + 2n * PAGE, PAGE, buffer.at(), flags).returns(0);
      memory.read(2n * PAGE, PAGE).shows(0, new Uint8Array(4096).fill(2));
    });
  });
  clause('access/rw-no-memory', () => {
    test(`a page that is gone, ${way}`, (s) => {
      const { memory, access } = mapped(s);
      const buffer = s.main.memory(SIZE);
      memory.fill(1);
      buffer.fill(2);
      memory.hole(2n * PAGE, PAGE);
      for (const [first, length] of [
        [2n * PAGE, 8n],
        [0n, SIZE],
        [2n * PAGE - 1n, 2n],
      ] as const) {
        access.reads(BASE + first, length, buffer.at(), flags).refused('EFAULT');
        access.writes(BASE + first, length, buffer.at(), flags).refused('EFAULT');
      }
      buffer.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(2));
      memory.read(3n * PAGE, PAGE).shows(0, new Uint8Array(4096).fill(1));
      holds(s.main, 0);
    });
    test(`memory that the process may only read, ${way}`, (s) => {
      const { memory, access } = mapped(s);
      const buffer = s.main.memory(SIZE);
      memory.fill(1);
      memory.protect('r');
      access.reads(BASE, 8n, buffer.at(), flags).returns(0);
      access.writes(BASE, 8n, buffer.at(), flags).refused('EFAULT');
      access.writes(BASE, 2n * PAGE, buffer.at(), flags).refused('EFAULT');
      memory.read(0n, PAGE).shows(0, new Uint8Array(4096).fill(1));
    });
    test(`behind the end of a file, ${way}`, (s) => {
      const c = ready(s);
      const buffer = s.main.memory(SIZE);
      c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: 2n * SIZE }).returns(0);
      const access = withAccess(s, c);
      access.reads(BASE + SIZE, 1n, buffer.at(), flags).refused('EINVAL');
      access.writes(BASE + SIZE - 1n, 2n, buffer.at(), flags).refused('EINVAL');
      access.reads(BASE + SIZE - 1n, 1n, buffer.at(), flags).returns(0);
    });
  });
}

clause('access/rw-no-memory', () => {
  test('memory that is mapped to be written and may only be read, more than a page not as the process', (s) => {
    const { memory, access } = mapped(s);
    memory.protect('r');
    const buffer = s.main.memory(SIZE);
    access.reads(BASE, 2n * PAGE, buffer.at()).returns(0);
    access.reads(BASE, 2n * PAGE, buffer.at(), SLOW).refused('EFAULT');
  });
});

clause('access/rw-unwritable', () => {
  test('read-only memory', (s) => {
    const { access } = mapped(s);
    const buffer = s.main.memory(2n * PAGE);
    buffer.protect('r', PAGE, PAGE);
    access.reads(BASE, 8n, buffer.at(PAGE)).refused('EFAULT');
    access.reads(BASE, 8n, buffer.at(PAGE - 4n)).refused('EFAULT');
    access.reads(BASE, 8n, buffer.at(PAGE - 8n)).returns(0);
  });
});
