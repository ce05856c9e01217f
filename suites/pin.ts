import { eduOf } from '../harness/cases/edu.ts';
import { emulated, emulatedOf, PIN_READ, PIN_WRITE } from '../harness/cases/emulated.ts';
import {
  clause,
  doesNotReach,
  EMULATED_GROUP,
  each,
  MSI_RANGE,
  openGroup,
  READ,
  readyContainer,
  reserves,
  type Scenario,
  test,
  u64,
  WRITE,
} from '../harness/cases/index.ts';
import { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU } from '../harness/uapi/vfio.ts';

/* Devices without an IOMMU behind them: what they pin, who is charged, and what becomes of it. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const B = { iova: 0x14000n, size: 0x2000n };
const FAR = { iova: 0x40000n, size: 0x2000n };
const KB = 4;

clause('pin/maps-without-pinning', () => {
  test('nobody is charged', (s) => {
    const { c } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    s.main.lockedKb().returns(0);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('memory that is not there', (s) => {
    const { c, d } = emulated(s);
    c.memory.hole(PAGE, PAGE);
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    d.pins(A.iova + PAGE).refused('EFAULT');
  });
  test('memory that may not be written', (s) => {
    const { c } = emulated(s);
    c.memory.protect('r');
    c.map(A).succeeds();
  });
  test('more than may be locked', (s) => {
    const { c } = emulated(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 0n).succeeds();
    c.map(A).succeeds();
  });
  each(
    { 'at the top': (1n << 64n) - PAGE, 'where interrupts go': 0xfee00000n, 'beyond 39 bits': 1n << 39n },
    (s, iova) => {
      const { c, d } = emulated(s);
      c.map({ iova, size: PAGE }).succeeds();
      d.pins(iova).succeeds();
      s.main.lockedKb().returns(KB);
      c.unmapAll().succeeds();
      s.main.lockedKb().returns(0);
    },
  );
  test('with a group that has an IOMMU everything is pinned', (s) => {
    const { c } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    s.main.lockedKb().returns(4 * KB);
  });
});

clause('pin/pins', () => {
  test('one page, and what it holds', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(0x5a);
    c.map(A).succeeds();
    d.pins(A.iova + PAGE).succeeds();
    d.loads(A.iova + PAGE, 16).succeeds();
    d.holds(...Array<number>(16).fill(0x5a));
    d.tells({ pins: 1n, pages: 1n, unmaps: 0n });
  });
  test('what the device stores the process reads', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 4).succeeds();
    d.fills(0xc3);
    d.stores(A.iova + PAGE - 8n, 16).succeeds();
    c.memory.read(PAGE - 16n, 32n).shows(8, new Uint8Array(16).fill(0xc3));
  });
  test('pages of two mappings that lie side by side', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...B, vaddr: c.memory.at(0x8000) }).succeeds();
    c.memory.fill(1, 0n, 0x4000n);
    c.memory.fill(2, 0x8000n, 0x2000n);
    d.pins(A.iova, 6).succeeds();
    d.loads(B.iova - 2n, 4).succeeds();
    d.holds(1, 1, 2, 2);
    s.main.lockedKb().returns(6 * KB);
  });
  test('the page that stood there stays the device’s', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    c.memory.hole(0n, PAGE);
    d.loads(A.iova, 1).succeeds();
    d.holds(1);
    d.pins(A.iova).succeeds();
    d.pins(A.iova + PAGE).succeeds();
    d.unpinsAll().succeeds();
    d.pins(A.iova).refused('EFAULT');
  });
  test('in the memory of whoever made the mapping', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    const child = s.main.forks();
    c.memory.of(child).fill(2);
    d.of(child).pins(A.iova).succeeds();
    d.loads(A.iova, 1).succeeds();
    d.holds(1);
    s.main.lockedKb().returns(KB);
    child.lockedKb().returns(0);
  });
  test('two devices, each as often as it likes', (s) => {
    s.needs({
      reason: 'the host has only one emulated device',
      met: ({ groups }) => groups.filter((one) => one.emulated).length > 1,
    });
    const groups = ['emulated0', 'emulated1'];
    const { c, d } = emulated(s, { groups });
    const other = emulatedOf(c, groups, s.main, 'emulated1');
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    d.pins(A.iova).succeeds();
    other.pins(A.iova, 2).succeeds();
    s.main.lockedKb().returns(2 * KB);
    d.unpinsAll().succeeds();
    s.main.lockedKb().returns(2 * KB);
    other.fills(9);
    other.stores(A.iova, 1).succeeds();
    c.memory.read(0n, 1n).shows(0, Uint8Array.of(9));
    other.unpins(A.iova).succeeds();
    s.main.lockedKb().returns(KB);
  });
  each({ one: 1, 'a page of pointers': 512 }, (s, pages) => {
    const { c, d } = emulated(s, { memory: 0x200000n });
    c.map({ iova: 0n, size: 0x200000n }).succeeds();
    d.pins(0n, pages).succeeds();
    s.main.lockedKb().returns(pages * KB);
    d.tells({ pins: BigInt(pages), pages: BigInt(pages) });
    d.unpins(0n, pages).succeeds();
    s.main.lockedKb().returns(0);
  });
});

clause('pin/charges', () => {
  test('once, however often', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    for (const _ of ['once', 'twice', 'thrice']) d.pins(A.iova, 2).succeeds();
    s.main.lockedKb().returns(2 * KB);
    d.pins(A.iova + PAGE, 2).succeeds();
    s.main.lockedKb().returns(3 * KB);
  });
  test('once for each mapping of the same memory', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...B, vaddr: c.memory.at() }).succeeds();
    d.pins(A.iova).succeeds();
    d.pins(B.iova).succeeds();
    s.main.lockedKb().returns(2 * KB);
  });
  test('not what an IOMMU holds already', (s) => {
    const groups = ['group0', 'emulated0'];
    const { c, d } = emulated(s, { groups });
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova, 4).succeeds();
    s.main.lockedKb().returns(4 * KB);
    d.unpins(A.iova, 2).succeeds();
    s.main.lockedKb().returns(4 * KB);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('not the page of zeros', (s) => {
    const { c, d } = emulated(s);
    c.map({ ...A, flags: READ }).succeeds();
    d.pins(A.iova, 1, PIN_READ).succeeds();
    c.memory.read(0n, 1n).shows(0, Uint8Array.of(0));
    s.main.lockedKb();
  });
});

clause('pin/refunds', () => {
  test('as often as it was pinned, not before', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    d.pins(A.iova).succeeds();
    d.unpins(A.iova).succeeds();
    s.main.lockedKb().returns(KB);
    d.unpins(A.iova).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('some of many', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 4).succeeds();
    d.unpins(A.iova + PAGE, 2).succeeds();
    s.main.lockedKb().returns(2 * KB);
    d.tells({ pins: 2n, pages: 2n });
  });
  test('when the device is closed', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 4).succeeds();
    d.close().succeeds();
    s.main.lockedKb().returns(0);
    c.map({ ...FAR }).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('to the owner, whoever lets go', (s) => {
    const { c, d } = emulated(s);
    const child = s.main.forks();
    const memory = child.memory(0x4000);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    d.pins(A.iova, 3).succeeds();
    child.lockedKb().returns(3 * KB);
    s.main.lockedKb().returns(0);
    d.unpinsAll().succeeds();
    child.lockedKb().returns(0);
  });
  test('an owner that is gone gets nothing, and nobody else does', (s) => {
    const { c, d } = emulated(s);
    const child = s.main.forks();
    const memory = child.memory(0x4000);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    d.pins(A.iova).succeeds();
    c.map({ ...B }).succeeds();
    d.pins(B.iova).succeeds();
    child.exits();
    s.main.lockedKb().returns(KB);
    d.unpins(A.iova).succeeds();
    s.main.lockedKb().returns(KB);
  });
});

clause('pin/all-or-nothing', () => {
  each({ 'the first': 0n, 'one in the middle': 2n, 'the last': 3n }, (s, hole) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.hole(hole * PAGE, PAGE);
    d.pins(A.iova, 4).refused('EFAULT');
    d.tells({ pins: 0n, pages: 0n });
    s.main.lockedKb().returns(0);
    c.unmap(A).succeeds();
    d.tells({ unmaps: 0n });
  });
  test('what was pinned before stays', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.pins(A.iova, 5).refused('EINVAL');
    s.main.lockedKb().returns(2 * KB);
    d.unpins(A.iova, 2).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('with an IOMMU in the container', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova, 5).refused('EINVAL');
    s.main.lockedKb().returns(4 * KB);
  });
});

clause('pin/no-pages', () => {
  test('none', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 0).refused('EINVAL');
  });
});

clause('pin/too-many-pages', () => {
  each({ 'one more than a page of pointers': 513, 'very many': 0x7fff_ffff }, (s, pages) => {
    const { c, d } = emulated(s, { memory: 0x400000n });
    c.map({ iova: 0n, size: 0x400000n }).succeeds();
    d.pins(0n, pages).refused('E2BIG');
    s.main.lockedKb().returns(0);
  });
});

clause('pin/needs-v2', () => {
  test('v1', (s) => {
    const { c, d } = emulated(s, { type: VFIO_TYPE1_IOMMU });
    c.map(A).succeeds();
    d.pins(A.iova).refused('EACCES');
    s.main.lockedKb().returns(0);
  });
});

clause('pin/unmapped', () => {
  each({ 'where nothing is': 0x90000n, 'just below': A.iova - PAGE, 'just behind': A.iova + A.size }, (s, iova) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(iova).refused('EINVAL');
  });
  each(
    {
      'a hole in the middle': [A.iova, 7],
      'the last of many': [A.iova, 5],
      'the first of many': [A.iova - PAGE, 2],
    } as const,
    (s, [iova, pages]) => {
      const { c, d } = emulated(s);
      c.map(A).succeeds();
      c.map({ ...B, iova: B.iova + PAGE }).succeeds();
      d.pins(iova, pages).refused('EINVAL');
      s.main.lockedKb().returns(0);
    },
  );
  test('after it was unmapped', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    c.unmap(A).succeeds();
    d.pins(A.iova).refused('EINVAL');
  });
});

clause('pin/beyond-access', () => {
  each(
    {
      'to write what is read only': [READ, PIN_WRITE],
      'to read and write what is read only': [READ, PIN_READ | PIN_WRITE],
      'to read what is write only': [WRITE, PIN_READ],
    } as const,
    (s, [flags, access]) => {
      const { c, d } = emulated(s);
      c.memory.fill(1);
      c.map({ ...A, flags }).succeeds();
      d.pins(A.iova, 1, access).refused('EPERM');
      s.main.lockedKb().returns(0);
    },
  );
  each(
    { 'to read': [READ, PIN_READ], 'to write': [WRITE, PIN_WRITE], 'for nothing': [READ, 0] } as const,
    (s, [flags, access]) => {
      const { c, d } = emulated(s);
      c.memory.fill(1);
      c.map({ ...A, flags }).succeeds();
      d.pins(A.iova, 1, access).succeeds();
      s.main.lockedKb().returns(KB);
    },
  );
  test('one mapping of two', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.map({ ...B, flags: READ }).succeeds();
    d.pins(A.iova, 5).refused('EPERM');
    d.pins(A.iova, 5, PIN_READ).succeeds();
  });
});

clause('pin/owner-gone', () => {
  const withChild = (s: Scenario) => {
    const { c, d } = emulated(s);
    const child = s.main.forks();
    const memory = child.memory(0x4000);
    memory.fill(7);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    return { c, d, child };
  };
  test('dead', (s) => {
    const { d, child } = withChild(s);
    child.exits();
    d.pins(A.iova).refused('ENODEV');
  });
  test('killed', (s) => {
    const { d, child } = withChild(s);
    s.main.kills(child);
    d.pins(A.iova).refused('ENODEV');
  });
  test('with another program', (s) => {
    const { d, child } = withChild(s);
    child.execs();
    d.pins(A.iova).refused('ENODEV');
  });
  test('what is pinned already stays, and can be pinned again', (s) => {
    const { d, child } = withChild(s);
    d.pins(A.iova).succeeds();
    child.exits();
    d.loads(A.iova, 2).succeeds();
    d.holds(7, 7);
    d.pins(A.iova).succeeds();
    d.pins(A.iova, 2).refused('ENODEV');
  });
});

clause('pin/unreachable-memory', () => {
  test('memory that became read only since', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.protect('r', PAGE, PAGE);
    d.pins(A.iova).succeeds();
    d.pins(A.iova + PAGE).refused('EFAULT');
    s.main.lockedKb().returns(KB);
  });
  test('memory that came back', (s) => {
    const { c, d } = emulated(s);
    c.memory.protect('none');
    c.map(A).succeeds();
    d.pins(A.iova).refused('EFAULT');
    c.memory.protect('rw');
    d.pins(A.iova).succeeds();
  });
  test('memory that goes while mappings stay', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.hole(0n, A.size);
    d.pins(A.iova, 4).refused('EFAULT');
    s.main.lockedKb().returns(0);
  });
});

clause('pin/registers', () => {
  test('of a device in another container', (s) => {
    const hardware = readyContainer(s);
    const { registers } = eduOf(s, hardware);
    const { c, d } = emulated(s);
    c.map({ iova: 0n, size: 0x2000n, vaddr: registers.at() }).succeeds();
    d.pins(0n).refused('EINVAL');
    s.main.lockedKb().returns(0);
  });
});

clause('pin/locked-memory', () => {
  each({ 'none may be locked': 0, 'room for three': 3, 'room for all': 4 }, (s, pages) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', BigInt(pages) * PAGE).succeeds();
    c.map(A).succeeds();
    if (pages >= 4) d.pins(A.iova, 4).succeeds();
    else d.pins(A.iova, 4).refused('ENOMEM');
    s.main.lockedKb().returns(pages >= 4 ? 4 * KB : 0);
    if (pages === 3) d.pins(A.iova, 3).succeeds();
  });
  test('a page that is pinned already costs nothing', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 2n * PAGE).succeeds();
    c.map(A).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.pins(A.iova, 3).refused('ENOMEM');
    d.unpins(A.iova).succeeds();
    d.unpins(A.iova).succeeds();
    d.pins(A.iova + 2n * PAGE).succeeds();
  });
  test('with the capability, also after it was dropped', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    s.main.limits('memlock', 0n).succeeds();
    c.map(A).succeeds();
    s.main.drops('ipc_lock').succeeds();
    d.pins(A.iova, 2).succeeds();
    c.map(FAR).succeeds();
    d.pins(FAR.iova).refused('ENOMEM');
    s.main.lockedKb().returns(2 * KB);
  });
  test('the limit of the owner, not of who asks', (s) => {
    const { c, d } = emulated(s);
    const child = s.main.forks();
    const memory = child.memory(0x4000);
    memory.fill(1);
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', PAGE).succeeds();
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    d.pins(A.iova, 2).refused('ENOMEM');
    d.pins(A.iova).succeeds();
    child.lockedKb().returns(KB);
  });
  test('what the owner locked otherwise counts', (s) => {
    const hardware = readyContainer(s);
    hardware.map({ iova: 0n, size: 0x3000n }).succeeds();
    const { c, d } = emulated(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 4n * PAGE).succeeds();
    c.map(A).succeeds();
    d.pins(A.iova, 2).refused('ENOMEM');
    d.pins(A.iova).succeeds();
  });
});

clause('pin/unmap-tells-devices', () => {
  test('of a mapping with pinned pages', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova, 3).succeeds();
    d.pins(A.iova).succeeds();
    c.unmap(A).succeeds();
    d.tells({ pins: 0n, pages: 0n, unmaps: 1n, unmap_iova: A.iova, unmap_size: A.size, unmap_pins: 4n });
    s.main.lockedKb().returns(0);
  });
  test('not of one without', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map(FAR).succeeds();
    d.pins(A.iova).succeeds();
    c.unmap(FAR).succeeds();
    d.tells({ pins: 1n, unmaps: 0n });
  });
  test('of each mapping by itself', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...B, vaddr: c.memory.at(0x4000) }).succeeds();
    c.map({ ...FAR, vaddr: c.memory.at(0x8000) }).succeeds();
    d.pins(A.iova, 6).succeeds();
    d.pins(FAR.iova + PAGE).succeeds();
    c.unmap({ iova: 0n, size: 0x20000n })
      .returns(0)
      .shows(16, u64(A.size + B.size));
    d.tells({ pins: 1n, unmaps: 2n, unmap_iova: B.iova, unmap_size: B.size, unmap_pins: 6n });
    s.main.lockedKb().returns(KB);
  });
  test('with ALL', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...FAR, vaddr: c.memory.at(0x8000) }).succeeds();
    d.pins(A.iova).succeeds();
    d.pins(FAR.iova).succeeds();
    c.unmapAll().succeeds();
    d.tells({ pins: 0n, unmaps: 2n, unmap_iova: FAR.iova, unmap_size: FAR.size });
    s.main.lockedKb().returns(0);
  });
  test('not when the unmapping is refused', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.pins(A.iova).succeeds();
    c.unmap({ ...A, size: PAGE }).refused('EINVAL');
    c.unmap({ ...A, iova: A.iova + PAGE }).refused('EINVAL');
    d.tells({ pins: 1n, unmaps: 0n });
    s.main.lockedKb().returns(KB);
  });
  test('with an IOMMU in the container', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    d.pins(A.iova, 2).succeeds();
    c.unmap(A).succeeds();
    d.tells({ pins: 0n, unmaps: 1n, unmap_pins: 2n });
    s.main.lockedKb().returns(0);
  });
});

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
