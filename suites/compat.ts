import { eduOf } from '../harness/cases/edu.ts';
import { type Ground, groundIn, type Mode, type Prepared } from '../harness/cases/five-modes.ts';
import {
  type Actor,
  clause,
  doesNotReach,
  each,
  inline,
  MSI_RANGE,
  mapArgument,
  mapsPagesOf,
  NULL,
  openGroup,
  PAGE_SIZES,
  pointerTo,
  READ,
  reservesOnly,
  type Said,
  type Scenario,
  TWO_GROUPS,
  test,
  u32,
  u64,
  unmapArgument,
  WRITE,
} from '../harness/cases/index.ts';
import { contextOf, openIommufd } from '../harness/cases/iommufd.ts';
import * as iommufd from '../harness/uapi/iommufd.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* /dev/iommu in place of a VFIO container. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const B = { iova: 0x16000n, size: 0x4000n };
const SIZE_AT = 16;
const TOP_PAGE = 0xfffffffffffff000n;
const OUTSIDE = 1n << 60n;
const { IOMMU_VFIO_IOAS_GET: GET, IOMMU_VFIO_IOAS_SET: SET, IOMMU_VFIO_IOAS_CLEAR: CLEAR } = iommufd;

const bare = (s: Scenario): Ground => groundIn(s, 'compat-v2', 'bare');
const v2 = (s: Scenario, prepared?: Prepared): Ground => groundIn(s, 'compat-v2', prepared);
const v1 = (s: Scenario, prepared?: Prepared): Ground => groundIn(s, 'compat-v1', prepared);
const TYPES = { v1: 'compat-v1', v2: 'compat-v2' } as const satisfies Record<string, Mode>;

/** A and B mapped, with a hole of two pages between them. */
const both = (g: Ground): Ground => {
  g.map(A).returns(0);
  g.map({ ...B, vaddr: g.memory.at(0x8000n) }).returns(0);
  return g;
};
/** What IOMMUFD charges, in kB. */
const pinnedKb = (actor: Actor): Said => actor.does({ op: 'status', field: 'VmPin' });
/** Says how much is mapped, and unmaps it. */
const holds = (g: Ground, bytes: bigint): Said => g.unmapAll().returns(0).shows(SIZE_AT, u64(bytes));

/** The commands of IOMMUFD on the same descriptor. */
const commands = (g: Ground) => contextOf(g.container.fd, g.main);

type Arg = ReturnType<typeof inline>;
/** An argument that can be read but not written. */
const readOnly = (s: Scenario, arg: Arg): Arg => {
  const place = s.main.memory(PAGE);
  if (arg.kind === 'inline') for (const part of arg.segments) if ('bytes' in part) place.write(part.bytes);
  place.protect('r').succeeds();
  return pointerTo(place.at());
};
const cutOff = (s: Scenario, bytes: bigint): Arg => pointerTo(s.main.memory(PAGE).at(PAGE - bytes));

clause('compat/api-version', () => {
  test('without a group', (s) => void bare(s).container.apiVersion().returns(0));
  test('with a group', (s) => void v2(s, 'group').container.apiVersion().returns(0));
});

clause('compat/check-extension', () => {
  const supported = { type1: [1n, 1], 'type1 v2': [3n, 1], 'unmap all': [9n, 1] } as const;
  const not = {
    spapr: [2n, 0],
    eeh: [5n, 0],
    nesting: [6n, 0],
    'no iommu': [8n, 0],
    'update vaddr': [10n, 0],
    11: [11n, 0],
  };
  for (const [when, prepared] of [
    ['without a group', 'bare'],
    ['with a device', 'device'],
  ] as const) {
    for (const [name, [id, answer]] of Object.entries({ ...supported, ...not }))
      test(`${name}, ${when}`, (s) => void v2(s, prepared).container.extension(BigInt(id)).returns(Number(answer)));
  }
});

clause('compat/extension-dma-coherence', () => {
  test('without a group', (s) => void bare(s).container.extension(uapi.VFIO_DMA_CC_IOMMU).returns(0));
  test('while no device is open', (s) => void v2(s, 'iommu').container.extension(uapi.VFIO_DMA_CC_IOMMU).returns(1));
  test('with a device', (s) => void v2(s).container.extension(uapi.VFIO_DMA_CC_IOMMU));
});

clause('compat/set-iommu', () => {
  test('once and again, in both ways', (s) => {
    const { container } = v2(s, 'group');
    for (const type of [3n, 1n, 3n, 1n]) container.setIommu(type).returns(0);
  });
  test('type1 v2 takes nothing back', (s) => {
    const g = v1(s);
    g.container.setIommu(uapi.VFIO_TYPE1v2_IOMMU).returns(0);
    g.map(A).returns(0);
    g.unmap(A.iova, PAGE).returns(0).shows(SIZE_AT, u64(PAGE));
  });
  test('type1 while something is mapped, before a device is opened', (s) => {
    const g = v2(s, 'iommu');
    g.map(A).returns(0);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).returns(0);
    g.unmap(A.iova, PAGE).returns(0).shows(SIZE_AT, u64(PAGE));
  });
});

clause('compat/set-iommu-unsupported', () => {
  const types = {
    0: 0n,
    spapr: 2n,
    nesting: 6n,
    'no iommu': 8n,
    'an extension that is no type': 9n,
    '2^32 + 3': (1n << 32n) + 3n,
  };
  each(types, (s, type) => void v2(s, 'group').container.setIommu(type).refused('EINVAL'));
  test('without a group', (s) => void bare(s).container.setIommu(2n).refused('EINVAL'));
});

clause('compat/set-iommu-without-group', () => {
  each(
    TYPES,
    (s, mode) =>
      void bare(s)
        .container.setIommu(mode === 'compat-v1' ? 1n : 3n)
        .refused('ENODEV'),
  );
  test('once the IO address space is gone', (s) => {
    const g = v2(s, 'group');
    commands(g).destroy(1).returns(0);
    g.container.setIommu(3n).refused('ENODEV');
  });
});

clause('compat/set-iommu-late', () => {
  test('with a device and a mapping', (s) => {
    const g = v2(s);
    g.map(A).returns(0);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).refused('EINVAL');
    g.container.setIommu(uapi.VFIO_TYPE1v2_IOMMU).returns(0);
    g.unmap(A.iova, PAGE).refused('ENOENT');
    holds(g, A.size);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).returns(0);
  });
  test('not when it was set before', (s) => {
    const g = v1(s);
    g.map(A).returns(0);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).returns(0);
  });
});

clause('compat/set-iommu-unaligned', () => {
  test('memory within a page', (s) => {
    const g = v2(s, 'iommu');
    g.map({ ...A, vaddr: g.memory.at(0x80n) }).returns(0);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).refused('EADDRINUSE');
    g.unmap(A.iova, A.size).returns(0);
    g.container.setIommu(uapi.VFIO_TYPE1_IOMMU).returns(0);
  });
});

clause('compat/unknown-request', () => {
  each(
    {
      DIRTY_PAGES: uapi.VFIO_IOMMU_DIRTY_PAGES,
      'GET_STATUS of groups': uapi.VFIO_GROUP_GET_STATUS,
      0: 0n,
      'no direction': 0x3b7fn,
    },
    (s, request) => void v2(s).container.ioctl(request, NULL).refused('ENOTTY'),
  );
  test('MAP_DMA with a size and a direction', (s) =>
    void v2(s).container.ioctl(0xc0203b71n, mapArgument(A)).refused('ENOTTY'));
});

clause('compat/ioas', () => {
  test('set, with a group after it', (s) => {
    const c = openIommufd(s);
    c.alloc(1);
    c.alloc(2);
    c.vfioIoas(SET, 2).returns(0);
    openGroup(s.main).setContainer(c).returns(0);
    c.vfioIoas(GET).returns(0).shows(4, u32(2));
  });
  test('set to another: MAP_DMA goes there', (s) => {
    const g = v2(s, 'iommu');
    const c = commands(g);
    c.alloc(2);
    c.vfioIoas(SET, 2).returns(0);
    g.map(A).returns(0);
    c.unmap(A.iova, A.size, 1).refused('ENOENT');
    c.unmap(A.iova, A.size, 2).returns(0);
  });
  test('cleared: the mappings stay', (s) => {
    const g = v2(s, 'iommu');
    const c = commands(g);
    g.map(A).returns(0);
    c.vfioIoas(CLEAR).returns(0);
    g.map(B).refused('ENODEV');
    c.vfioIoas(SET, 1).returns(0);
    holds(g, A.size);
  });
  test('cleared when there is none', (s) => void openIommufd(s).vfioIoas(CLEAR).returns(0));
});

clause('compat/ioas-id', () => {
  test('of the one that came with a group', (s) =>
    void commands(v2(s, 'group')).vfioIoas(GET, 77).returns(0).shows(4, u32(1)));
  test('beside others', (s) => {
    const c = openIommufd(s);
    c.alloc(1);
    openGroup(s.main).setContainer(c).returns(0);
    c.vfioIoas(GET).returns(0).shows(4, u32(2));
  });
});

clause('compat/ioas-unsupported', () => {
  test('operation 3', (s) => void openIommufd(s).vfioIoas(3).refused('EOPNOTSUPP'));
  each({ GET, SET, CLEAR }, (s, op) => void openIommufd(s).vfioIoas(op, 0, 1).refused('EOPNOTSUPP'));
});

clause('compat/ioas-unknown', () => {
  each({ 0: 0, 'one that nothing has': 9 }, (s, id) => {
    const c = commands(v2(s, 'group'));
    c.vfioIoas(SET, id).refused('ENOENT');
    c.vfioIoas(GET).shows(4, u32(1));
  });
  test('that of a device', (s) => {
    const c = commands(v2(s));
    c.vfioIoas(SET, 2).refused('ENOENT');
    c.vfioIoas(GET).shows(4, u32(1));
  });
});

clause('compat/ioas-none', () => {
  test('before a group', (s) => void openIommufd(s).vfioIoas(GET).refused('ENODEV'));
  test('after CLEAR', (s) => {
    const c = commands(v2(s, 'group'));
    c.vfioIoas(CLEAR).returns(0);
    c.vfioIoas(GET).refused('ENODEV');
  });
  test('after it was destroyed', (s) => {
    const c = commands(v2(s, 'group'));
    c.destroy(1).returns(0);
    c.vfioIoas(GET).refused('ENODEV');
    c.alloc(1);
    c.vfioIoas(GET).refused('ENODEV');
  });
});

clause('compat/ioas-unwritable', () => {
  test('read-only', (s) => {
    const c = commands(v2(s, 'group'));
    const bytes = encode(iommufd.iommuVfioIoas, { size: 12, op: GET });
    c.command(iommufd.IOMMU_VFIO_IOAS, readOnly(s, inline(bytes))).refused('EFAULT');
  });
});

clause('compat/map', () => {
  for (const [name, mode] of Object.entries(TYPES)) {
    test(`as ${name}`, (s) => {
      const g = groundIn(s, mode);
      g.map(A).returns(0);
      pinnedKb(s.main).returns(16);
      holds(g, A.size);
      pinnedKb(s.main).returns(0);
    });
  }
  test('before SET_IOMMU', (s) => {
    const g = v2(s, 'group');
    g.map(A).returns(0);
    holds(g, A.size);
  });
  test('by another process', (s) => {
    const g = v2(s);
    const child = s.main.forks();
    g.of(child)
      .map({ ...A, vaddr: child.memory(A.size).at() })
      .returns(0);
    pinnedKb(child).returns(16);
    pinnedKb(s.main).returns(0);
    holds(g, A.size);
  });
});

clause('compat/map-unreadable', () => {
  test('null', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_MAP_DMA, NULL).refused('EFAULT'));
  test('cut off', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_MAP_DMA, cutOff(s, 31n)).refused('EFAULT'));
});
clause('compat/map-argsz', () => {
  each(
    { 0: 0, 31: 31 },
    (s, argsz) =>
      void v2(s)
        .map({ ...A, argsz })
        .refused('EINVAL'),
  );
  test('more than there is', (s) =>
    void v2(s)
      .map({ ...A, argsz: 0x1000 })
      .returns(0));
});
clause('compat/map-flags', () => {
  const bits = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`bit ${index + 2}`, index + 2]));
  each(
    bits,
    (s, bit) =>
      void v2(s)
        .map({ ...A, flags: (READ | WRITE | (1 << bit)) >>> 0 })
        .refused('EINVAL'),
  );
});
clause('compat/map-without-group', () => {
  test('before one came', (s) => void bare(s).map(A).refused('ENODEV'));
  test('an IO address space that was not set is none', (s) => {
    const g = bare(s);
    commands(g).alloc(1);
    g.map(A).refused('ENODEV');
  });
});
clause('compat/map-memory-overflow', () => {
  each(
    { 'to 2^64': PAGE, beyond: 2n * PAGE },
    (s, size) =>
      void v2(s)
        .map({ ...A, size, vaddr: TOP_PAGE })
        .refused('EOVERFLOW'),
  );
});
clause('compat/map-needs-access', () => {
  test('before a device is opened', (s) =>
    void v2(s, 'iommu')
      .map({ ...A, flags: 0 })
      .refused('EINVAL'));
  test('with a device', (s) =>
    void v2(s)
      .map({ ...A, flags: 0 })
      .refused('EINVAL'));
});
clause('compat/map-empty', () => {
  test('0 bytes', (s) =>
    void v2(s)
      .map({ ...A, size: 0n })
      .refused('EINVAL'));
  test('all but a page of 2^64, from 0', (s) =>
    void v2(s).map({ iova: 0n, size: TOP_PAGE, vaddr: 0n }).refused('EINVAL'));
});
clause('compat/map-range-overflow', () => {
  test('by a page', (s) =>
    void v2(s)
      .map({ iova: TOP_PAGE, size: 2n * PAGE })
      .refused('EOVERFLOW'));
});
clause('compat/map-unaligned', () => {
  each(
    { iova: { iova: 0x10080n }, size: { size: 0x3f80n }, 'size of a byte': { size: 1n } },
    (s, row) =>
      void v2(s)
        .map({ ...A, ...row })
        .refused('EINVAL'),
  );
  test('as type1 before a device is opened', (s) =>
    void v1(s, 'iommu')
      .map({ ...A, size: 0x3f80n })
      .refused('EINVAL'));
  test('as type1 v2 not before a device is opened', (s) => void v2(s, 'iommu').map({ iova: 1n, size: 1n }).returns(0));
});
clause('compat/map-occupied', () => {
  each({ same: A, within: { iova: 0x11000n, size: PAGE }, around: { iova: 0n, size: 0x30000n } }, (s, row) => {
    const g = v2(s);
    g.map(A).returns(0);
    g.map(row).refused('EEXIST');
    holds(g, A.size);
  });
});
clause('compat/map-beyond-aperture', () => {
  each({ 'behind it': OUTSIDE, reserved: 0xfee00000n, 'into a reserved region': 0xfedff000n }, (s, iova) => {
    if (iova === OUTSIDE) s.needs(doesNotReach(OUTSIDE));
    v2(s)
      .map({ iova, size: 2n * PAGE })
      .refused('EINVAL');
  });
  test('not before a device is opened, and again once it is closed', (s) => {
    s.needs(doesNotReach(OUTSIDE));
    const g = v2(s, 'iommu');
    const device = g.open();
    device.opened.succeeds();
    g.map({ iova: OUTSIDE, size: PAGE }).refused('EINVAL');
    device.close().succeeds();
    g.map({ iova: OUTSIDE, size: PAGE }).returns(0);
  });
});
clause('compat/map-no-memory', () => {
  test('a hole', (s) => {
    const g = v2(s);
    g.memory.hole(0x3000n, PAGE).succeeds();
    g.map(A).refused('EFAULT');
    pinnedKb(s.main).returns(0);
    holds(g, 0n);
  });
  test('to be written, what may be read only', (s) => {
    const g = v2(s);
    g.memory.protect('r').succeeds();
    g.map(A).refused('EFAULT');
    g.map({ ...A, flags: READ }).returns(0);
  });
});
clause('compat/map-over-limit', () => {
  test('a page too many, and exactly enough', (s) => {
    const g = v2(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', A.size).succeeds();
    g.map({ ...A, size: A.size + PAGE }).refused('ENOMEM');
    g.map(A).returns(0);
    s.main.lockedKb().returns(0);
  });
});

clause('compat/unmap', () => {
  for (const [name, mode] of Object.entries(TYPES)) {
    test(`two mappings and a hole, as ${name}`, (s) => {
      const g = both(groundIn(s, mode));
      g.unmap(0n, 0x100000n).returns(0).shows(SIZE_AT, u64(0x8000n));
      holds(g, 0n);
    });
    test(`nothing, as ${name}`, (s) => {
      const g = both(groundIn(s, mode));
      g.unmap(0x14000n, 0x2000n).returns(0).shows(SIZE_AT, u64(0n));
      holds(g, 0x8000n);
    });
  }
  test('what a command mapped', (s) => {
    const g = v2(s);
    commands(g).map({ iova: A.iova, length: A.size, vaddr: g.memory.at() }).returns(0);
    holds(g, A.size);
  });
});
clause('compat/unmap-cuts', () => {
  each(
    {
      'the first page': [0x10000n, PAGE, PAGE],
      'the last page': [0x13000n, PAGE, PAGE],
      'a page within': [0x11000n, PAGE, PAGE],
      'the end of one and the beginning of the next': [0x12000n, 0x6000n, 0x4000n],
      'one and a part of the next': [0x10000n, 0x7000n, 0x5000n],
    } as const,
    (s, [iova, size, unmapped]) => {
      const g = both(v1(s));
      g.unmap(iova, size).returns(0).shows(SIZE_AT, u64(unmapped));
      pinnedKb(s.main).returns(Number((0x8000n - unmapped) / 1024n));
      g.map({ iova, size: PAGE }).returns(0);
      g.unmap(iova, PAGE).returns(0).shows(SIZE_AT, u64(PAGE));
      holds(g, 0x8000n - unmapped);
    },
  );
  test('page by page', (s) => {
    const g = v1(s);
    g.map(A).returns(0);
    for (const page of [1n, 3n, 0n, 2n]) g.unmap(A.iova + page * PAGE, PAGE).shows(SIZE_AT, u64(PAGE));
    holds(g, 0n);
  });
});
clause('compat/unmap-returns-size', () => {
  each(
    {
      one: [A.iova, A.size, A.size],
      'all but the hole': [0x8000n, 0x20000n, 0x8000n],
      none: [0x40000n, PAGE, 0n],
    } as const,
    (s, [iova, size, unmapped]) => void both(v2(s)).unmap(iova, size).returns(0).shows(SIZE_AT, u64(unmapped)),
  );
});
clause('compat/unmap-size-when-refused', () => {
  test('a mapping, and then one that is cut', (s) =>
    void both(v2(s)).unmap(A.iova, 0x8000n).refused('ENOENT').shows(SIZE_AT, u64(A.size)));
  test('beyond 2^64', (s) =>
    void both(v2(s))
      .unmap(TOP_PAGE, 2n * PAGE)
      .refused('EOVERFLOW')
      .shows(SIZE_AT, u64(0n)));
});
clause('compat/unmap-unreadable', () => {
  test('null', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, NULL).refused('EFAULT'));
  test('cut off', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, cutOff(s, 23n)).refused('EFAULT'));
});
clause('compat/unmap-argsz', () => {
  each(
    { 0: 0, 23: 23 },
    (s, argsz) =>
      void v2(s)
        .container.unmap({ ...A, argsz })
        .refused('EINVAL'),
  );
});
clause('compat/unmap-flags', () => {
  const bits = [0, ...Array.from({ length: 30 }, (_, index) => index + 2)];
  each(Object.fromEntries(bits.map((bit) => [`bit ${bit}`, bit])), (s, bit) => {
    const g = both(v2(s));
    g.container.unmap({ ...A, flags: (1 << bit) >>> 0 }).refused('EINVAL');
    holds(g, 0x8000n);
  });
});
clause('compat/unmap-without-group', () => {
  test('before one came', (s) => void bare(s).unmap(A.iova, A.size).refused('ENODEV'));
  test('all', (s) => void bare(s).unmapAll().refused('ENODEV'));
});
clause('compat/unmap-all-with-range', () => {
  each({ iova: { iova: PAGE }, size: { size: PAGE }, both: A }, (s, row) => {
    const g = both(v2(s));
    g.container.unmapAll(row).refused('EINVAL');
    holds(g, 0x8000n);
  });
});
clause('compat/unmap-cuts-within-page', () => {
  each({ 'at its end': [A.iova, 0x1080n], 'at its beginning': [0x10080n, 0x3f80n] } as const, (s, [iova, size]) => {
    const g = both(v1(s));
    g.unmap(iova, size).refused('EINVAL');
    holds(g, 0x8000n);
  });
});
clause('compat/unmap-empty', () => {
  each(TYPES, (s, mode) => {
    const g = both(groundIn(s, mode));
    g.unmap(0x12000n, 0n).refused('EINVAL');
    holds(g, 0x8000n);
  });
});
clause('compat/unmap-overflow', () => {
  each(TYPES, (s, mode) => {
    const g = both(groundIn(s, mode));
    g.unmap(A.iova, TOP_PAGE).refused('EOVERFLOW');
    holds(g, 0x8000n);
  });
});
clause('compat/unmap-v2-cuts', () => {
  each(
    {
      'the first page': [0x10000n, PAGE, 0x8000n],
      'the last page': [0x13000n, PAGE, 0x8000n],
      'a page within': [0x11000n, PAGE, 0x8000n],
      'one and a part of the next': [0x10000n, 0x7000n, 0x4000n],
    } as const,
    (s, [iova, size, left]) => {
      const g = both(v2(s));
      g.unmap(iova, size).refused('ENOENT');
      pinnedKb(s.main).returns(Number(left / 1024n));
      holds(g, left);
    },
  );
});
clause('compat/unmap-unwritable', () => {
  test('read-only', (s) => {
    const g = both(v2(s));
    g.container.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, readOnly(s, unmapArgument(A))).refused('EFAULT');
    holds(g, B.size);
  });
});

const CHAIN = { available: 24, ranges: 40 } as const;
/** With two ranges, below and above the reserved region. */
const WHOLE = 40 + 16 + 2 * 16;
const ROOM = 160;

clause('compat/info', () => {
  test('while no device is open', (s) =>
    void v2(s, 'iommu')
      .container.info(ROOM)
      .returns(0)
      .shows(0, u32(72))
      .shows(4, u32(3))
      .shows(8, u64(0xfffffffffffff000n)));
  test('with a device', (s) => {
    s.needs(reservesOnly(MSI_RANGE));
    v2(s).container.info(ROOM).returns(0).shows(0, u32(WHOLE)).shows(16, u32(24));
  });
  each(PAGE_SIZES, (s, sizes) => {
    s.needs(mapsPagesOf(sizes));
    v2(s).container.info(ROOM).returns(0).shows(8, u64(sizes));
  });
  test('exact', (s) => {
    s.needs(reservesOnly(MSI_RANGE));
    v2(s).container.info(WHOLE).returns(0).shows(16, u32(24));
  });
});
clause('compat/info-dma-available', () => {
  test('with mappings', (s) =>
    void both(v2(s))
      .container.info(ROOM)
      .shows(CHAIN.available, Uint8Array.of(3, 0, 1, 0, 40, 0, 0, 0, 255, 255, 255, 255)));
});
clause('compat/info-iova-ranges', () => {
  test('while no device is open', (s) =>
    void v2(s, 'iommu')
      .container.info(ROOM)
      .shows(CHAIN.ranges + 8, u32(1))
      .shows(CHAIN.ranges + 16, u64(0n))
      .shows(CHAIN.ranges + 24, u64((1n << 64n) - 1n)));
  test('with a device', (s) => {
    s.needs(reservesOnly(MSI_RANGE));
    v2(s)
      .container.info(ROOM)
      .shows(CHAIN.ranges + 8, u32(2))
      .shows(CHAIN.ranges + 24, u64(0xfedfffffn));
  });
});
clause('compat/info-too-small', () => {
  const sizes = Array.from({ length: WHOLE - 16 }, (_, index) => 16 + index);
  each(Object.fromEntries(sizes.map((size) => [`${size}`, size])), (s, size) => {
    s.needs(reservesOnly(MSI_RANGE));
    v2(s).container.info(size).returns(0).shows(0, u32(WHOLE));
  });
});
clause('compat/info-unreadable', () => {
  test('null', (s) => void v2(s).container.ioctl(uapi.VFIO_IOMMU_GET_INFO, NULL).refused('EFAULT'));
});
clause('compat/info-argsz', () => {
  each({ 0: 0, 15: 15 }, (s, argsz) => void v2(s).container.info(ROOM, argsz).refused('EINVAL'));
});
clause('compat/info-without-group', () => {
  test('before one came', (s) => void bare(s).container.info(ROOM).refused('ENODEV'));
});
clause('compat/info-unwritable', () => {
  test('read-only', (s) => {
    const bytes = new Uint8Array(ROOM);
    bytes.set(u32(ROOM));
    v2(s)
      .container.ioctl(uapi.VFIO_IOMMU_GET_INFO, readOnly(s, inline(bytes)))
      .refused('EFAULT');
  });
});

clause('compat/group-ioas', () => {
  test('each opening one of its own', (s) => {
    s.needs(TWO_GROUPS);
    const g = v2(s);
    g.map(A).returns(0);
    const other = openIommufd(s);
    openGroup(s.main, 'group1').setContainer(other).returns(0);
    other.map({ iova: A.iova, length: A.size, vaddr: g.memory.at() }).returns(0);
  });
  test('two groups share it', (s) => {
    s.needs(TWO_GROUPS);
    const g = v2(s);
    const group = openGroup(s.main, 'group1');
    group.setContainer(g.container).returns(0);
    const c = commands(g);
    c.alloc(4);
    group.device('device1').opened.succeeds();
    c.alloc(6);
    c.destroy(1).refused('EBUSY');
    g.map(A).returns(0);
    pinnedKb(s.main).returns(16);
  });
  test('it outlives the group', (s) => {
    const g = v2(s, 'iommu');
    g.map(A).returns(0);
    g.group.unsetContainer().returns(0);
    g.group.setContainer(g.container).returns(0);
    g.open().opened.succeeds();
    pinnedKb(s.main).returns(16);
    holds(g, A.size);
  });
  test('the group keeps it open', (s) => {
    const g = v2(s);
    g.map(A).returns(0);
    g.container.close().succeeds();
    pinnedKb(s.main).returns(16);
  });
  test('until the group goes, too', (s) => {
    const g = v2(s, 'iommu');
    const device = g.open();
    device.opened.succeeds();
    g.map(A).returns(0);
    g.container.close().succeeds();
    g.group.close().succeeds();
    pinnedKb(s.main).returns(16);
    device.close().succeeds();
    pinnedKb(s.main).returns(0);
  });
  test('a device comes to it after CLEAR', (s) => {
    const g = v2(s, 'iommu');
    commands(g).vfioIoas(CLEAR).returns(0);
    g.open().opened.succeeds();
  });
  test('a device comes to it after another was set', (s) => {
    const g = v2(s, 'iommu');
    const c = commands(g);
    c.alloc(2);
    c.vfioIoas(SET, 2).returns(0);
    g.open().opened.succeeds();
    c.destroy(1).refused('EBUSY');
  });
});

clause('compat/open-without-ioas', () => {
  test('destroyed', (s) => {
    const g = v2(s, 'iommu');
    commands(g).destroy(1).returns(0);
    g.open().opened.refused('ENODEV');
  });
});
clause('compat/open-unsafe-interrupts', () => {
  test('no remapping', (s) => {
    s.needs({ reason: 'interrupts are remapped here', met: ({ iommu }) => !iommu.isolatesMsi });
    v2(s, 'iommu').open().opened.refused('EPERM');
  });
});
clause('compat/open-mapped-outside', () => {
  each({ 'behind what is translated': OUTSIDE, 'a reserved region': 0xfee00000n }, (s, iova) => {
    if (iova === OUTSIDE) s.needs(doesNotReach(OUTSIDE));
    const g = v2(s, 'iommu');
    g.map({ iova, size: PAGE }).returns(0);
    g.open().opened.refused('EADDRINUSE');
    pinnedKb(s.main).returns(0);
    holds(g, PAGE);
    g.open().opened.succeeds();
  });
});
clause('compat/open-mapped-outside', () => {
  test('allowed by IOAS_ALLOW_IOVAS', (s) => {
    s.needs(doesNotReach(OUTSIDE));
    const g = v2(s, 'iommu');
    const ranges = s.main.memory(PAGE);
    ranges.write(encode(iommufd.iommuIovaRange, { start: OUTSIDE, last: OUTSIDE + PAGE - 1n }));
    commands(g).allow({ num_iovas: 1 }, ranges.at()).returns(0);
    g.open().opened.refused('EADDRINUSE');
    commands(g).allow({ num_iovas: 0 }).returns(0);
    g.open().opened.succeeds();
  });
});
clause('compat/open-unaligned', () => {
  test('memory within a page', (s) => {
    const g = v2(s, 'iommu');
    g.map({ ...A, vaddr: g.memory.at(0x80n) }).returns(0);
    g.open().opened.refused('EADDRINUSE');
    holds(g, A.size);
  });
});
clause('compat/open-no-memory', () => {
  test('a hole', (s) => {
    const g = v2(s, 'iommu');
    g.memory.hole(0x3000n, PAGE).succeeds();
    g.map(A).returns(0);
    g.open().opened.refused('EFAULT');
    pinnedKb(s.main).returns(0);
    holds(g, A.size);
  });
});
clause('compat/open-over-limit', () => {
  test('a page too many', (s) => {
    const g = v2(s, 'iommu');
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', A.size - PAGE).succeeds();
    g.map(A).returns(0);
    g.open().opened.refused('ENOMEM');
    pinnedKb(s.main).returns(0);
  });
});

/** An edu device on a ground, with memory that is filled. */
const withEdu = (s: Scenario, g: Ground) => {
  g.memory.fill(0x11);
  return eduOf(s, { ...g.container, groups: [g.group], memory: g.memory });
};

clause('compat/device-reaches', () => {
  test('what was mapped before it was opened', (s) => {
    const g = v2(s, 'iommu');
    g.map(A).returns(0);
    const device = withEdu(s, g);
    device.reads(A.iova);
    g.memory.fill(0x22);
    device.writes(A.iova + PAGE);
    g.memory.read(PAGE, 16n).shows(0, u64(0x1111111111111111n));
  });
  test('what a command mapped', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    commands(g).map({ iova: A.iova, length: A.size, vaddr: g.memory.at() }).returns(0);
    device.reads(A.iova);
    g.memory.fill(0x22);
    device.writes(A.iova);
    g.memory.read(0n, 16n).shows(0, u64(0x1111111111111111n));
  });
  test('a file, from its second page on', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    const fd = s.main.memfd(0x4000n);
    const file = s.main.maps(fd, 0x4000n);
    file.fill(0x33);
    commands(g).mapFile({ fd, start: PAGE, iova: A.iova, length: 0x2000n }).returns(0);
    device.reads(A.iova);
    file.fill(0x44);
    device.writes(A.iova + PAGE);
    file.read(2n * PAGE, 8n).shows(0, u64(0x3333333333333333n));
    file.read(PAGE, 8n).shows(0, u64(0x4444444444444444n));
  });
  test('nothing after it was unmapped', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    g.map(A).returns(0);
    device.reads(A.iova);
    g.memory.fill(0x22);
    g.unmap(A.iova, A.size).returns(0);
    device.writes(A.iova);
    g.memory.read(0n, 16n).shows(0, u64(0x2222222222222222n));
  });
  test('nothing of what was cut away, and the rest', (s) => {
    const g = v1(s, 'iommu');
    const device = withEdu(s, g);
    g.map(A).returns(0);
    device.reads(A.iova);
    g.memory.fill(0x22);
    g.unmap(A.iova + PAGE, PAGE).returns(0);
    for (const page of [0n, 1n, 2n]) device.writes(A.iova + page * PAGE);
    g.memory.read(0n, 8n).shows(0, u64(0x1111111111111111n));
    g.memory.read(PAGE, 8n).shows(0, u64(0x2222222222222222n));
    g.memory.read(2n * PAGE, 8n).shows(0, u64(0x1111111111111111n));
  });
  test('the pages that stood there, whatever becomes of the addresses', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    g.map(A).returns(0);
    g.memory.hole(0n, PAGE).succeeds();
    device.reads(A.iova);
    device.writes(A.iova + PAGE);
    g.memory.read(PAGE, 8n).shows(0, u64(0x1111111111111111n));
  });
});
clause('compat/device-writes', () => {
  test('not by a copy that may only be read', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    g.map(A).returns(0);
    const flags = iommufd.IOMMU_IOAS_MAP_READABLE | iommufd.IOMMU_IOAS_MAP_FIXED_IOVA;
    commands(g).copy({ to: 1, source: A.iova, target: 0x20000n, length: A.size, flags }).returns(0);
    device.reads(0x20000n);
    g.memory.fill(0x22);
    device.writes(0x20000n);
    g.memory.read(0n, 8n).shows(0, u64(0x2222222222222222n));
    device.writes(A.iova);
    g.memory.read(0n, 8n).shows(0, u64(0x1111111111111111n));
  });
  test('not where it may only read', (s) => {
    const g = v2(s, 'iommu');
    const device = withEdu(s, g);
    g.map({ ...A, flags: READ }).returns(0);
    device.reads(A.iova);
    g.memory.fill(0x22);
    device.writes(A.iova);
    g.memory.read(0n, 8n).shows(0, u64(0x2222222222222222n));
  });
});
