import { emulated, emulatedOf, PIN_READ } from '../harness/cases/emulated.ts';
import { clause, each, READ, test, u64 } from '../harness/cases/index.ts';

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
    d.holds(...new Uint8Array(16).fill(0x5a));
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
