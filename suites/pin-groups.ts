import { eduOf } from '../harness/cases/edu.ts';
import { emulated } from '../harness/cases/emulated.ts';
import {
  clause,
  doesNotReach,
  EMULATED_GROUP,
  each,
  MSI_RANGE,
  openGroup,
  readyContainer,
  reserves,
  test,
  u64,
} from '../harness/cases/index.ts';
import { VFIO_TYPE1v2_IOMMU } from '../harness/uapi/vfio.ts';

/* Devices without an IOMMU in a container with others that come and leave: what is pinned then. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const FAR = { iova: 0x40000n, size: 0x2000n };
const KB = 4;

clause('pin/iommu-comes', () => {
  test('everything is pinned and charged then, and reached', (s) => {
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['emulated0'] });
    c.memory.fill(0x77);
    c.map(A).succeeds();
    const group = openGroup(s.main, 'group0');
    s.main.lockedKb().returns(0);
    group.setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
    const e = eduOf(s, { ...c, groups: [group] });
    e.reads(A.iova);
    c.memory.fill(0);
    e.writes(A.iova + 0x1000n);
    c.memory.read(0x1000n, 16n).shows(0, new Uint8Array(16).fill(0x77));
  });
  test('what is pinned already is not charged again', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova + PAGE, 2).succeeds();
    s.main.lockedKb().returns(2 * KB);
    openGroup(s.main, 'group0').setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
    d.unpinsAll().succeeds();
    s.main.lockedKb().returns(4 * KB);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('nor what is pinned page by page, in any order', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    for (const page of [2n, 0n, 3n, 1n]) d.pins(A.iova + page * PAGE).succeeds();
    s.main.lockedKb().returns(4 * KB);
    openGroup(s.main, 'group0').setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
    for (const page of [1n, 2n, 0n, 3n]) d.unpins(A.iova + page * PAGE).succeeds();
    s.main.lockedKb().returns(4 * KB);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('another group with an IOMMU costs nothing more', (s) => {
    s.needs(EMULATED_GROUP);
    s.needs({
      reason: 'the host has only one usable IOMMU group',
      met: ({ groups }) => groups.filter((one) => !one.emulated).length > 1,
    });
    const c = readyContainer(s, { groups: ['emulated0', 'group0'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    openGroup(s.main, 'group1').setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
  });
});

clause('pin/iommu-comes-to-unreachable-memory', () => {
  test('refused, and nothing is charged', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.map({ ...FAR, vaddr: c.memory.at(0x8000) }).succeeds();
    c.memory.hole(0x9000n, PAGE);
    const group = openGroup(s.main, 'group0');
    group.setContainer(c).refused('EFAULT');
    s.main.lockedKb().returns(0);
    group.status().shows(4, Uint8Array.of(1, 0, 0, 0));
    d.pins(A.iova).succeeds();
    c.unmap(FAR).succeeds();
    group.setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
  });
});

clause('pin/iommu-comes-beyond-limit', () => {
  each({ 'a page too many': 3, 'exactly enough': 4 }, (s, pages) => {
    const { c } = emulated(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', BigInt(pages) * PAGE).succeeds();
    c.map(A).succeeds();
    const joined = openGroup(s.main, 'group0').setContainer(c);
    if (pages < 4) joined.refused('ENOMEM');
    else joined.succeeds();
    s.main.lockedKb().returns(pages < 4 ? 0 : 4 * KB);
  });
  test('a page that is pinned costs nothing more', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 4n * PAGE).succeeds();
    c.map(A).succeeds();
    d.pins(A.iova, 2).succeeds();
    openGroup(s.main, 'group0').setContainer(c).succeeds();
    s.main.lockedKb().returns(4 * KB);
  });
});

clause('pin/iommu-leaves', () => {
  test('only what devices pinned stays charged', (s) => {
    const groups = ['group0', 'emulated0'];
    const { c, d } = emulated(s, { groups });
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova, 1).succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    s.main.lockedKb().returns(KB);
    d.loads(A.iova, 1).succeeds();
    d.holds(1);
    d.pins(A.iova, 2).succeeds();
    s.main.lockedKb().returns(2 * KB);
    d.unpinsAll().succeeds();
    s.main.lockedKb().returns(0);
    c.unmap(A).returns(0).shows(16, u64(A.size));
  });
  test('and everything again when it comes back', (s) => {
    const { c } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    for (const _ of ['once', 'twice']) {
      c.groups[0]?.unsetContainer().succeeds();
      s.main.lockedKb().returns(0);
      c.groups[0]?.setContainer(c).succeeds();
      s.main.lockedKb().returns(4 * KB);
    }
  });
});

clause('group/mapped-outside-aperture', () => {
  const iovas = { 'beyond 39 bits': 1n << 39n, 'beyond 48 bits': 1n << 48n, 'at the top': (1n << 64n) - PAGE };
  each(iovas, (s, iova) => {
    s.needs(doesNotReach(iova + PAGE - 1n));
    const { c, d } = emulated(s);
    c.map({ iova, size: PAGE }).succeeds();
    const group = openGroup(s.main, 'group0');
    group.setContainer(c).refused('EINVAL', 'EFAULT');
    d.pins(iova).succeeds();
    c.unmapAll().succeeds();
    group.setContainer(c).succeeds();
  });
});

clause('group/reserved-region-mapped', () => {
  test('where interrupts go, without an IOMMU', (s) => {
    s.needs(reserves(MSI_RANGE));
    const { c } = emulated(s);
    c.map({ iova: 0xfee00000n, size: PAGE }).succeeds();
    openGroup(s.main, 'group0').setContainer(c).refused('EINVAL');
  });
});

clause('vaddr/needs-iommu-groups', () => {
  each({ 'no IOMMU': ['emulated0'], 'with one beside it': ['group0', 'emulated0'] }, (s, groups) => {
    const { c, d } = emulated(s, { groups });
    c.memory.fill(1);
    c.map(A).succeeds();
    c.invalidateVaddr(A).refused('EBUSY');
    c.updateVaddr(A).refused('EINVAL');
    d.pins(A.iova).succeeds();
  });
  test('with ALL', (s) => {
    const { c } = emulated(s);
    c.map(A).succeeds();
    c.unmapAll({ flags: 6 }).refused('EBUSY');
    c.unmap(A).returns(0).shows(16, u64(A.size));
  });
  test('until it leaves', (s) => {
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    c.invalidateVaddr(A).refused('EBUSY');
    c.groups[1]?.unsetContainer().succeeds();
    c.invalidateVaddr(A).succeeds();
    c.groups[1]?.setContainer(c).refused('EBUSY');
    c.updateVaddr(A).succeeds();
    c.groups[1]?.setContainer(c).succeeds();
  });
});

clause('container/extension-update-vaddr', () => {
  test('by the groups that are in it', (s) => {
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['group0'] });
    c.extension(10n).returns(1);
    const group = openGroup(s.main, 'emulated0');
    group.setContainer(c).succeeds();
    c.extension(10n).returns(0);
    group.unsetContainer().succeeds();
    c.extension(10n).returns(1);
  });
});

clause('container/last-group-leaves', () => {
  test('of a container without an IOMMU', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.close().succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    s.main.lockedKb().returns(0);
    c.groups[0]?.setContainer(c).succeeds();
    c.setIommu(VFIO_TYPE1v2_IOMMU).succeeds();
    c.map(A).succeeds();
  });
});

clause('group/device-holds-driver', () => {
  test('until it is closed', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    s.main.does({ op: 'unload', module: 'vfio_emulated' }).refused('EAGAIN');
    d.pins(A.iova).succeeds();
    s.main.does({ op: 'unload', module: 'vfio_emulated' }).refused('EAGAIN');
  });
});
