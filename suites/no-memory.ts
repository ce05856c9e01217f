import { failingAllocations } from '../harness/cases/failing.ts';
import { clause, each, openContainer, openGroup, readyContainer, type Scenario, test } from '../harness/cases/index.ts';
import { type Context, openIommufd, openWithMock } from '../harness/cases/iommufd.ts';
import { deviceName, inline, TWO_GROUPS } from '../harness/cases/vfio.ts';
import * as iommufd from '../harness/uapi/iommufd.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/*
 * Allocations of the kernel that fail, one after the other: the request is refused with ENOMEM, or does without; nothing is
 * half done. The model follows what was answered, so that what comes behind it is held against the model either way.
 */

const PAGE = 0x1000n;
const LARGE = 0x200000n;
const MAPPED = { iova: 0x10000n, size: 0x4000n };
const BITMAP = { data: 0n, size: 8n };

clause('container/set-iommu', () => {
  // So many allocations there are, and some to spare.
  each({ 'while one of the first allocations fails': 1, 'while a later one fails': 21 }, (s, from) => {
    const c = openContainer(s.main);
    const group = openGroup(s.main);
    const failing = failingAllocations(s);
    for (let nth = from; nth < from + 20; nth++) {
      group.setContainer(c).succeeds();
      failing.each(nth, nth, () => void c.setIommu(uapi.VFIO_TYPE1v2_IOMMU));
      group.unsetContainer().succeeds();
    }
    group.setContainer(c).succeeds();
    c.setIommu(uapi.VFIO_TYPE1v2_IOMMU).succeeds();
    s.main.lockedKb().returns(0);
  });
});

clause('group/set-container', () => {
  test('a second group, while an allocation fails', (s) => {
    s.needs(TWO_GROUPS);
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(MAPPED).succeeds();
    // Pages that lie one behind the other are handed over together.
    const large = s.main.memory(LARGE, { huge: LARGE });
    large.fill(1);
    c.map({ iova: LARGE, size: LARGE, vaddr: large.at() });
    const other = openGroup(s.main, 'group1');
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 30; nth++) {
      failing.each(nth, nth, () => void other.setContainer(c));
      other.unsetContainer();
    }
    other.setContainer(c).succeeds();
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
});

/** With memory that is there before anything fails. */
const filled = (s: Scenario, options: Parameters<typeof readyContainer>[1] = {}) => {
  const c = readyContainer(s, options);
  c.memory.fill(1);
  return c;
};

clause('map/maps', () => {
  each(
    { 'while an allocation fails': false, 'while an allocation fails, with dirty tracking': true },
    (s, tracking) => {
      const c = filled(s);
      if (tracking) c.startDirty().succeeds();
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 12; nth++) {
        failing.each(nth, nth, () => void c.map(MAPPED));
        c.unmap(MAPPED);
        s.main.lockedKb().returns(0);
      }
      c.map(MAPPED).succeeds();
      c.unmap(MAPPED).succeeds();
    },
  );
});

clause('unmap/unmaps', () => {
  each(
    {
      'while an allocation fails': uapi.VFIO_TYPE1v2_IOMMU,
      'of type 1, while an allocation fails': uapi.VFIO_TYPE1_IOMMU,
    },
    (s, type) => {
      const c = filled(s, { type });
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 8; nth++) {
        c.map(MAPPED);
        failing.each(nth, nth, () => void c.unmap(MAPPED));
        c.unmap(MAPPED);
        s.main.lockedKb().returns(0);
      }
    },
  );
  test('with a bitmap, while an allocation fails', (s) => {
    const c = filled(s);
    c.startDirty().succeeds();
    const bits = s.main.memory(8);
    bits.fill(0);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 8; nth++) {
      c.map(MAPPED);
      failing.each(nth, nth, () => void c.unmap({ ...MAPPED, bitmap: { ...BITMAP, data: bits.at() } }));
      c.unmap(MAPPED);
      s.main.lockedKb().returns(0);
    }
  });
});

clause('dirty/start', () => {
  test('while an allocation fails', (s) => {
    const c = filled(s);
    c.map(MAPPED).succeeds();
    c.map({ iova: 0x40000n, size: PAGE }).succeeds();
    const bits = s.main.memory(8);
    bits.fill(0);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 6; nth++) {
      failing.each(nth, nth, () => void c.startDirty());
      failing.each(nth, nth, () => void c.getDirty({ ...MAPPED, bitmap: { ...BITMAP, data: bits.at() } }));
      c.stopDirty();
    }
    c.startDirty().succeeds();
  });
});

clause('info/get-info', () => {
  test('while an allocation fails', (s) => {
    const c = filled(s);
    failingAllocations(s).each(1, 10, () => void c.info(256));
    c.info(256).succeeds();
  });
});

clause('group/get-device', () => {
  test('while an allocation fails', (s) => {
    const c = filled(s);
    const [group] = c.groups;
    const failing = failingAllocations(s);
    failing.each(1, 30, () => void group?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('device0')));
  });
});

const AREA = { iova: 1n << 24n, length: 0x4000n };
const TOP = (1n << 64n) - 1n;

/** IO address spaces 1 and, empty, another; the first has a device or none. */
const spaces = (s: Scenario, attached: boolean): { readonly c: Context; readonly other: number } => {
  const c = attached ? openWithMock(s) : openIommufd(s);
  c.alloc(1);
  if (attached) c.attachMock(1).returns(0);
  const other = attached ? 5 : 2;
  c.alloc(other);
  return { c, other };
};
const ATTACHED = { 'while an allocation fails': false, 'to a device, while an allocation fails': true };

clause('ioas/alloc', () => {
  test('while an allocation fails', (s) => {
    const c = openIommufd(s);
    const failing = failingAllocations(s);
    const bytes = encode(iommufd.iommuIoasAlloc, { size: 12 });
    for (let nth = 1; nth <= 8; nth++) {
      failing.each(nth, nth, () => void c.command(iommufd.IOMMU_IOAS_ALLOC, inline(bytes)));
      c.destroy(1);
    }
    c.alloc(1);
  });
});

clause('ioas/map', () => {
  each(ATTACHED, (s, attached) => {
    const { c } = spaces(s, attached);
    const memory = s.main.memory(0x10000n);
    memory.fill(1);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 16; nth++) {
      failing.each(nth, nth, () => void c.map({ ...AREA, vaddr: memory.at() }));
      c.unmap(0n, TOP).returns(0);
    }
    c.map({ ...AREA, vaddr: memory.at() }).returns(0);
  });
  test('anywhere, while an allocation fails', (s) => {
    const { c } = spaces(s, false);
    // Where the IOVA is chosen depends on how the memory is aligned.
    const memory = s.main.memory(0x10000n, { align: 0x200000n });
    memory.fill(1);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 10; nth++) {
      failing.each(nth, nth, () => void c.map({ length: AREA.length, vaddr: memory.at() }));
      c.unmap(0n, TOP).returns(0);
    }
  });
});

clause('ioas/map-file', () => {
  each(ATTACHED, (s, attached) => {
    const { c } = spaces(s, attached);
    const fd = s.main.memfd(0x10000n);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 16; nth++) {
      failing.each(nth, nth, () => void c.mapFile({ ...AREA, fd }));
      c.unmap(0n, TOP).returns(0);
    }
    c.mapFile({ ...AREA, fd }).returns(0);
  });
});

clause('ioas/copy', () => {
  each(ATTACHED, (s, attached) => {
    const { c, other } = spaces(s, attached);
    const memory = s.main.memory(0x10000n);
    memory.fill(1);
    c.map({ ...AREA, ioas: other, vaddr: memory.at() }).returns(0);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 16; nth++) {
      failing.each(
        nth,
        nth,
        () => void c.copy({ from: other, to: 1, source: AREA.iova, target: AREA.iova, length: AREA.length }),
      );
      c.unmap(0n, TOP).returns(0);
    }
  });
});

clause('ioas/unmap', () => {
  each(ATTACHED, (s, attached) => {
    const { c, other } = spaces(s, attached);
    const memory = s.main.memory(0x10000n);
    memory.fill(1);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 8; nth++) {
      c.map({ ...AREA, vaddr: memory.at() });
      c.copy({ from: 1, to: other, source: AREA.iova, target: AREA.iova, length: AREA.length });
      failing.each(nth, nth, () => void c.unmap(AREA.iova, AREA.length));
      failing.each(nth, nth, () => void c.unmap(0n, TOP, other));
      c.unmap(0n, TOP).returns(0);
      c.unmap(0n, TOP, other).returns(0);
    }
  });
});

clause('ioas/allow', () => {
  test('while an allocation fails', (s) => {
    const { c } = spaces(s, false);
    const ranges = s.main.memory(PAGE);
    ranges.write(encode(iommufd.iommuIovaRange, { start: AREA.iova, last: AREA.iova + AREA.length - 1n }));
    const failing = failingAllocations(s);
    failing.each(1, 8, () => void c.allow({ num_iovas: 1 }, ranges.at()));
    c.allow({ num_iovas: 1 }, ranges.at()).returns(0);
  });
});

clause('ioas/change-process', () => {
  test('while an allocation fails', (s) => {
    const { c, other } = spaces(s, false);
    const fd = s.main.memfd(0x10000n);
    c.mapFile({ ...AREA, fd }).returns(0);
    c.copy({ from: 1, to: other, source: AREA.iova, target: AREA.iova, length: AREA.length }).returns(0);
    failingAllocations(s).each(1, 8, () => void c.changeProcess());
    c.changeProcess().returns(0);
  });
});
