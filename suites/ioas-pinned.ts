import { type Actor, clause, each, type Memory, type Said, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { type Context, openWithMock, READ } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, offsetOf } from '../harness/uapi/struct.ts';

/* What is pinned and charged while a (mock) device is attached, and who takes it over. */

const PAGE = 0x1000n;
const BASE = 1n << 24n;
const END = 1n << 31n;
const TOP = (1n << 64n) - 1n;
const SIZE = 0x10000n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const IOVA_AT = offsetOf(uapi.iommuIoasMap, 'iova');

/** What VmPin and VmLck of an actor show, in pages. */
const shows = (actor: Actor, pinned: number, locked: number): void => {
  actor.does({ op: 'status', field: 'VmPin' }).returns(pinned * 4);
  actor.lockedKb().returns(locked * 4);
};

type Mode = 'exempt' | 'user' | 'process';
const MODES = {
  'for a process with CAP_IPC_LOCK': 'exempt',
  'for the user': 'user',
  'for the process': 'process',
} as const;
const BOUND = { 'for the user': 'user', 'for the process': 'process' } as const;

/** How many locked pages there are when so many are charged. */
const locked = (mode: Mode, pages: number): number => (mode === 'process' ? pages : 0);

/** A context in which locked memory is counted in a way, with IO address spaces 1, 2, ...; a device is attached to the first. */
const ready = (s: Scenario, mode: Mode, ioases = 1): Context => {
  const c = openWithMock(s);
  if (mode === 'process') c.option({ option_id: 0, op: uapi.IOMMU_OPTION_OP_SET, val64: 1n }).returns(0);
  if (mode !== 'exempt') s.main.drops('ipc_lock').succeeds();
  for (let id = 1; id <= ioases; id++) c.alloc(id);
  c.attachMock(1).returns(0);
  s.main.limits('memlock', 0x100000n);
  return c;
};

const holds = (c: Context, bytes: bigint, ioas = 1): Said =>
  c.unmap(0n, TOP, ioas).returns(0).shows(LENGTH_AT, u64(bytes));

clause('mock/attach', () => {
  test('twice to one IO address space, whose table they share', (s) => {
    const c = ready(s, 'exempt');
    c.attachMock(1).returns(0);
    c.alloc(7);
    c.destroy(5).returns(0);
    c.destroy(1).refused('EBUSY');
    c.destroy(2).returns(0);
    c.destroy(1).returns(0);
  });
});

clause('mock/attach-ids', () => {
  test('three objects', (s) => {
    const c = openWithMock(s);
    c.alloc(1);
    c.attachMock(1)
      .returns(0)
      .shows(16, Uint8Array.of(2, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0));
    c.alloc(5);
  });
});

clause('mock/attach-unknown', () => {
  each({ none: 0, 'never given': 9 }, (s, id) => {
    const c = ready(s, 'exempt');
    c.attachMock(id).refused('ENOENT');
    c.alloc(5);
  });
});

clause('mock/attach-to-device', () => {
  each({ 'the mock device': 2, 'the device': 3 }, (s, id) => {
    const c = ready(s, 'exempt');
    c.attachMock(id).refused('EINVAL');
    c.alloc(5);
  });
  test('the id that the device itself gets', (s) => {
    const c = openWithMock(s);
    c.alloc(1);
    c.attachMock(2).refused('ENOENT');
    c.attachMock(3).refused('EINVAL');
    c.attachMock(4).refused('ENOENT');
    c.alloc(2);
  });
});

clause('iommufd/destroy-busy', () => {
  each({ 'the IO address space': 1, 'the device': 3, 'the page table': 4 }, (s, id) => {
    const c = ready(s, 'exempt');
    const memory = s.main.memory(SIZE);
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
    c.destroy(id).refused('EBUSY');
    shows(s.main, 16, 0);
    c.destroy(2).returns(0);
    shows(s.main, 0, 0);
    c.destroy(3).refused('ENOENT');
    c.destroy(4).refused('ENOENT');
    c.destroy(1).returns(0);
  });
});

clause('ioas/ranges-without-device', () => {
  test('what the device can translate, while it is attached', (s) => {
    const c = ready(s, 'exempt');
    const ranges = s.main.memory(PAGE);
    const asks = (start: bigint, last: bigint, alignment: bigint): void => {
      c.ranges({ num_iovas: 4 }, ranges.at())
        .returns(0)
        .shows(8, Uint8Array.of(1, 0, 0, 0))
        .shows(offsetOf(uapi.iommuIoasIovaRanges, 'out_iova_alignment'), u64(alignment));
      ranges.read(0n, 16n).shows(0, encode(uapi.iommuIovaRange, { start, last }));
    };
    asks(BASE, END - 1n, 2048n);
    c.destroy(2).returns(0);
    asks(0n, TOP, 1n);
  });
});

clause('ioas/chosen-iova', () => {
  test('within what the device can translate', (s) => {
    const c = ready(s, 'exempt');
    const memory = s.main.memory(SIZE);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(BASE));
    c.map({ length: PAGE, vaddr: memory.at() })
      .returns(0)
      .shows(IOVA_AT, u64(BASE + PAGE));
  });
});

clause('ioas/map-beyond-aperture', () => {
  each(
    { 'before it': BASE - PAGE, 'partly before it': BASE - 2048n, 'behind it': END, 'partly behind it': END - 2048n },
    (s, iova) => {
      const c = ready(s, 'process');
      const memory = s.main.memory(SIZE);
      c.map({ iova, length: PAGE, vaddr: memory.at() }).refused('EINVAL');
      shows(s.main, 0, 0);
      holds(c, 0n);
    },
  );
  each({ first: BASE, last: END - PAGE }, (s, iova) => {
    const c = ready(s, 'process');
    c.map({ iova, length: PAGE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    shows(s.main, 1, 1);
    holds(c, PAGE);
  });
});

clause('ioas/map-file-beyond-aperture', () => {
  each({ 'before it': BASE - PAGE, 'behind it': END }, (s, iova) => {
    const c = ready(s, 'process');
    c.mapFile({ fd: s.main.memfd(SIZE), iova, length: PAGE }).refused('EINVAL');
    shows(s.main, 0, 0);
  });
});

clause('ioas/map-unaligned', () => {
  each({ 'an odd iova': [BASE + 1024n, PAGE], 'an odd length': [BASE, PAGE + 1n] } as const, (s, [iova, length]) => {
    const c = ready(s, 'process');
    c.map({ iova, length, vaddr: s.main.memory(SIZE).at() }).refused('EINVAL');
    shows(s.main, 0, 0);
    holds(c, 0n);
  });
});

clause('ioas/charges-pinned', () => {
  each(MODES, (s, mode) => {
    const c = ready(s, mode);
    const memory = s.main.memory(SIZE);
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
    shows(s.main, 16, locked(mode, 16));
    c.map({ iova: BASE + SIZE, length: PAGE, vaddr: memory.at() }).returns(0);
    shows(s.main, 17, locked(mode, 17));
    c.unmap(BASE, SIZE).returns(0);
    shows(s.main, 1, locked(mode, 1));
    holds(c, PAGE);
    shows(s.main, 0, 0);
  });
  each(
    { 'half a page': [0n, 2048n, 1], 'two halves': [2048n, 4096n, 2], 'a page and a half': [0n, 6144n, 2] } as const,
    (s, [offset, length, pages]) => {
      const c = ready(s, 'process');
      c.map({ iova: BASE, length, vaddr: s.main.memory(SIZE).at(offset) }).returns(0);
      shows(s.main, pages, pages);
      holds(c, length);
      shows(s.main, 0, 0);
    },
  );
  test('to be read only, what nobody wrote', (s) => {
    const c = ready(s, 'process');
    c.map({
      iova: BASE,
      length: SIZE,
      vaddr: s.main.memory(SIZE).at(),
      flags: READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA,
    }).returns(0);
    shows(s.main, 16, 16);
  });
  test('copies, once', (s) => {
    const c = ready(s, 'process', 2);
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    c.copy({ source: BASE, length: SIZE, target: BASE + SIZE, to: 1 }).returns(0);
    c.copy({ source: BASE, length: SIZE, target: 0n }).returns(0);
    shows(s.main, 16, 16);
    c.unmap(BASE, SIZE).returns(0);
    shows(s.main, 16, 16);
    c.unmap(BASE + SIZE, SIZE).returns(0);
    shows(s.main, 0, 0);
    holds(c, SIZE, 2);
  });
  test('a part of what was copied, until it is gone', (s) => {
    const c = ready(s, 'process', 2);
    c.map({ ioas: 2, iova: 0n, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    shows(s.main, 0, 0);
    c.copy({ from: 2, to: 1, source: PAGE, length: 4n * PAGE, target: BASE }).returns(0);
    shows(s.main, 4, 4);
    c.copy({ from: 2, to: 1, source: 4n * PAGE, length: 4n * PAGE, target: BASE + SIZE }).returns(0);
    shows(s.main, 7, 7);
    c.unmap(BASE, 4n * PAGE).returns(0);
    shows(s.main, 4, 4);
    holds(c, 4n * PAGE);
    shows(s.main, 0, 0);
  });
  test('the same memory mapped twice, twice', (s) => {
    const c = ready(s, 'process');
    const memory = s.main.memory(SIZE);
    for (const iova of [BASE, BASE + SIZE]) c.map({ iova, length: SIZE, vaddr: memory.at() }).returns(0);
    shows(s.main, 32, 32);
  });
  test('who maps, not who opened', (s) => {
    const c = ready(s, 'process');
    const child = s.main.forks();
    c.of(child)
      .map({ iova: BASE, length: SIZE, vaddr: child.memory(SIZE).at() })
      .returns(0);
    shows(child, 16, 16);
    shows(s.main, 0, 0);
    c.unmap(BASE, SIZE).returns(0);
    shows(child, 0, 0);
  });
  test('until the device goes', (s) => {
    const c = ready(s, 'process');
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    c.destroy(2).returns(0);
    shows(s.main, 0, 0);
    holds(c, SIZE);
  });
  test('until it is closed', (s) => {
    const c = ready(s, 'process');
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    c.close().succeeds();
    shows(s.main, 0, 0);
  });
});

clause('ioas/charges-locked', () => {
  each(MODES, (s, mode) => {
    const c = ready(s, mode);
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: 3n * PAGE }).returns(0);
    shows(s.main, 3, locked(mode, 3));
    holds(c, 3n * PAGE);
    shows(s.main, 0, 0);
  });
});

clause('ioas/map-no-memory', () => {
  const spoils: Readonly<Record<string, (memory: Memory) => void>> = {
    'its first page': (memory) => void memory.hole(0n, PAGE),
    'its last page': (memory) => void memory.hole(SIZE - PAGE, PAGE),
    'a page to be written that cannot be': (memory) => void memory.protect('r', 0x4000n, PAGE),
  };
  each(spoils, (s, spoil) => {
    const c = ready(s, 'process');
    const memory = s.main.memory(SIZE);
    spoil(memory);
    c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).refused('EFAULT');
    shows(s.main, 0, 0);
    holds(c, 0n);
    c.map({ iova: BASE, length: PAGE, vaddr: memory.at(PAGE) }).returns(0);
  });
});

clause('ioas/map-file-no-memory', () => {
  each({ 'a page too long': [0n, SIZE + PAGE], 'behind its end': [SIZE, PAGE] } as const, (s, [start, length]) => {
    const c = ready(s, 'process');
    c.mapFile({ fd: s.main.memfd(SIZE), start, iova: BASE, length }).refused('EINVAL');
    shows(s.main, 0, 0);
    holds(c, 0n);
  });
});

for (const name of ['ioas/map-over-limit', 'ioas/map-file-over-limit'] as const) {
  clause(name, () => {
    each(BOUND, (s, mode) => {
      const c = ready(s, mode);
      const memory = s.main.memory(SIZE);
      const fd = s.main.memfd(SIZE);
      const maps = (iova: bigint, length: bigint): Said =>
        name === 'ioas/map-over-limit' ? c.map({ iova, length, vaddr: memory.at() }) : c.mapFile({ fd, iova, length });
      s.main.limits('memlock', 0x8000n).succeeds();
      maps(BASE, 0x9000n).refused('ENOMEM');
      shows(s.main, 0, 0);
      holds(c, 0n);
      maps(BASE, 0x8000n).returns(0);
      shows(s.main, 8, locked(mode, 8));
      maps(BASE + SIZE, PAGE).refused('ENOMEM');
      shows(s.main, 8, locked(mode, 8));
      holds(c, 0x8000n);
      maps(BASE, 0x7000n).returns(0);
      maps(BASE + SIZE, PAGE).returns(0);
      shows(s.main, 8, locked(mode, 8));
    });
  });
}

clause('ioas/copy-beyond-aperture', () => {
  each({ 'before it': BASE - PAGE, 'behind it': END }, (s, target) => {
    const c = ready(s, 'process', 2);
    c.map({ ioas: 2, iova: 0n, length: PAGE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    c.copy({ from: 2, to: 1, source: 0n, length: PAGE, target }).refused('EINVAL');
    shows(s.main, 0, 0);
    holds(c, 0n);
  });
});

clause('ioas/copy-no-memory', () => {
  test('memory that is gone', (s) => {
    const c = ready(s, 'process', 2);
    const memory = s.main.memory(SIZE);
    c.map({ ioas: 2, iova: 0n, length: SIZE, vaddr: memory.at() }).returns(0);
    memory.hole(0x4000n, PAGE);
    c.copy({ from: 2, to: 1, source: 0n, length: SIZE, target: BASE }).refused('EFAULT');
    shows(s.main, 0, 0);
    c.copy({ from: 2, to: 1, source: 0n, length: 0x4000n, target: BASE }).returns(0);
    shows(s.main, 4, 4);
  });
  test('a process that is gone', (s) => {
    const c = ready(s, 'process', 2);
    const child = s.main.forks();
    c.of(child)
      .map({ ioas: 2, iova: 0n, length: SIZE, vaddr: child.memory(SIZE).at() })
      .returns(0);
    s.main.kills(child).succeeds();
    c.copy({ from: 2, to: 1, source: 0n, length: SIZE, target: BASE }).refused('EFAULT');
    holds(c, 0n);
    holds(c, SIZE, 2);
  });
});

clause('ioas/copy-over-limit', () => {
  each(BOUND, (s, mode) => {
    const c = ready(s, mode, 2);
    c.map({ ioas: 2, iova: 0n, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    s.main.limits('memlock', 0x8000n).succeeds();
    c.copy({ from: 2, to: 1, source: 0n, length: 0x9000n, target: BASE }).refused('ENOMEM');
    shows(s.main, 0, 0);
    c.copy({ from: 2, to: 1, source: 0n, length: 0x8000n, target: BASE }).returns(0);
    c.copy({ from: 2, to: 1, source: 0n, length: 0x8000n, target: BASE + SIZE }).returns(0);
    shows(s.main, 8, locked(mode, 8));
  });
});

clause('ioas/change-process-moves-charges', () => {
  each(MODES, (s, mode) => {
    const c = ready(s, mode, 2);
    const fd = s.main.memfd(SIZE);
    c.mapFile({ fd, iova: BASE, length: SIZE }).returns(0);
    c.copy({ source: BASE, length: 0x8000n, target: BASE + SIZE, to: 1 }).returns(0);
    c.copy({ source: BASE, length: SIZE, target: 0n }).returns(0);
    const child = s.main.forks();
    shows(child, 0, 0);
    c.of(child).changeProcess().returns(0);
    shows(child, 16, locked(mode, 16));
    shows(s.main, 0, 0);
    c.changeProcess().returns(0);
    c.of(child).changeProcess().returns(0);
    shows(s.main, 0, 0);
    c.unmap(BASE, SIZE).returns(0);
    shows(child, 8, locked(mode, 8));
    holds(c, 0x8000n);
    shows(child, 0, 0);
    shows(s.main, 0, 0);
  });
  for (const [name, mode] of Object.entries(BOUND)) {
    test(`${name}, to itself`, (s) => {
      const c = ready(s, mode);
      c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE }).returns(0);
      for (const _ of [1, 2]) c.changeProcess().returns(0);
      shows(s.main, 16, locked(mode, 16));
      holds(c, SIZE);
      shows(s.main, 0, 0);
    });
    test(`${name}, of two IO address spaces with devices`, (s) => {
      const c = ready(s, mode, 2);
      c.attachMock(2).returns(0);
      c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE }).returns(0);
      c.mapFile({ ioas: 2, fd: s.main.memfd(SIZE), iova: BASE, length: 3n * PAGE }).returns(0);
      c.copy({ source: BASE + PAGE, length: 4n * PAGE, target: BASE + SIZE }).returns(0);
      shows(s.main, 19, locked(mode, 19));
      const child = s.main.forks();
      c.of(child).changeProcess().returns(0);
      shows(s.main, 0, 0);
      shows(child, 19, locked(mode, 19));
      c.unmap(BASE, SIZE).returns(0);
      shows(child, 7, locked(mode, 7));
      holds(c, 7n * PAGE, 2);
      shows(child, 0, 0);
    });
    test(`${name}, after exec`, (s) => {
      const c = ready(s, mode);
      c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE }).returns(0);
      s.main.execs().succeeds();
      shows(s.main, 0, 0);
      c.changeProcess().returns(0);
      shows(s.main, 16, locked(mode, 16));
      holds(c, SIZE);
      shows(s.main, 0, 0);
    });
    test(`${name}, of one that is gone`, (s) => {
      const c = ready(s, mode);
      const child = s.main.forks();
      c.of(child)
        .mapFile({ fd: child.memfd(SIZE), iova: BASE, length: SIZE })
        .returns(0);
      s.main.kills(child).succeeds();
      shows(s.main, 0, 0);
      c.changeProcess().returns(0);
      shows(s.main, 16, locked(mode, 16));
      holds(c, SIZE);
      shows(s.main, 0, 0);
    });
  }
});

clause('ioas/change-process-over-limit', () => {
  test('a page too many, and exactly enough', (s) => {
    const c = ready(s, 'process', 2);
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE }).returns(0);
    c.copy({ source: BASE, length: SIZE, target: 0n }).returns(0);
    const child = s.main.forks();
    child.limits('memlock', SIZE - PAGE).succeeds();
    c.of(child).changeProcess().refused('ENOMEM');
    shows(s.main, 16, 16);
    shows(child, 0, 0);
    c.unmap(BASE, SIZE).returns(0);
    shows(s.main, 0, 0);
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE - PAGE }).returns(0);
    c.of(child).changeProcess().returns(0);
    shows(s.main, 0, 0);
    shows(child, 15, 15);
  });
  test('for another user', (s) => {
    const c = ready(s, 'user');
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: SIZE }).returns(0);
    const poor = s.main.forks();
    const child = s.main.forks();
    for (const [actor, limit] of [
      [poor, SIZE - PAGE],
      [child, SIZE],
    ] as const) {
      actor.becomes(1000).succeeds();
      actor.limits('memlock', limit).succeeds();
    }
    c.of(poor).changeProcess().refused('ENOMEM');
    shows(s.main, 16, 0);
    shows(poor, 0, 0);
    c.of(child).changeProcess().returns(0);
    shows(s.main, 0, 0);
    shows(child, 16, 0);
    c.unmap(BASE, SIZE).returns(0);
    shows(child, 0, 0);
  });
  test('for the same user, whose pages count twice meanwhile', (s) => {
    const c = ready(s, 'user');
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE, length: 0x8000n }).returns(0);
    const poor = s.main.forks();
    const child = s.main.forks();
    poor.limits('memlock', 0xf000n).succeeds();
    child.limits('memlock', 0x10000n).succeeds();
    c.of(poor).changeProcess().refused('ENOMEM');
    shows(s.main, 8, 0);
    c.of(child).changeProcess().returns(0);
    shows(s.main, 0, 0);
    shows(child, 8, 0);
    c.mapFile({ fd: s.main.memfd(SIZE), iova: BASE + SIZE, length: 0x8000n }).returns(0);
    c.unmap(0n, TOP).returns(0);
    shows(child, 0, 0);
    shows(s.main, 0, 0);
  });
});
