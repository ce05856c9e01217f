import { eduOf } from '../harness/cases/edu.ts';
import { emulated, PIN_READ, PIN_WRITE } from '../harness/cases/emulated.ts';
import { clause, each, READ, readyContainer, type Scenario, test, WRITE } from '../harness/cases/index.ts';
import { mapsItsOwn } from '../harness/cases/owners.ts';
import { VFIO_TYPE1_IOMMU } from '../harness/uapi/vfio.ts';

/* Pages that a device without an IOMMU cannot pin. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const B = { iova: 0x14000n, size: 0x2000n };
const FAR = { iova: 0x40000n, size: 0x2000n };
const KB = 4;

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
    mapsItsOwn(c, child, A, 7).succeeds();
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
