import { A, B, bare, both, commands, holds, readOnly, v1, v2 } from '../harness/cases/compat.ts';
import type { Mode } from '../harness/cases/five-modes.ts';
import {
  clause,
  each,
  inline,
  MSI_RANGE,
  mapArgument,
  mapsPagesOf,
  NULL,
  openGroup,
  PAGE_SIZES,
  reservesOnly,
  test,
  u32,
  u64,
} from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import * as iommufd from '../harness/uapi/iommufd.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* /dev/iommu as a VFIO container: what it says of itself, and its IO address space. */

const PAGE = 0x1000n;
const SIZE_AT = 16;
const { IOMMU_VFIO_IOAS_GET: GET, IOMMU_VFIO_IOAS_SET: SET, IOMMU_VFIO_IOAS_CLEAR: CLEAR } = iommufd;
const TYPES = { v1: 'compat-v1', v2: 'compat-v2' } as const satisfies Record<string, Mode>;

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
