import { A, commands, holds, pinnedKb, v1, v2 } from '../harness/cases/compat.ts';
import { eduOf } from '../harness/cases/edu.ts';
import type { Ground } from '../harness/cases/five-modes.ts';
import {
  clause,
  doesNotReach,
  each,
  openGroup,
  READ,
  type Scenario,
  TWO_GROUPS,
  test,
  u64,
} from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import * as iommufd from '../harness/uapi/iommufd.ts';
import { encode } from '../harness/uapi/struct.ts';

/* /dev/iommu as a VFIO container: opening its devices, and what they reach. */

const PAGE = 0x1000n;
const OUTSIDE = 1n << 60n;
const { IOMMU_VFIO_IOAS_SET: SET, IOMMU_VFIO_IOAS_CLEAR: CLEAR } = iommufd;

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
