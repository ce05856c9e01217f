import { emulated } from '../harness/cases/emulated.ts';
import { clause, each, READ, type Scenario, test, WRITE } from '../harness/cases/index.ts';
import { VFIO_TYPE1_IOMMU } from '../harness/uapi/vfio.ts';

/* Memory that is read and written for devices without an IOMMU, which pin nothing for it. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const B = { iova: 0x14000n, size: 0x2000n };

clause('pin/reads-and-writes', () => {
  test('what the process wrote is read', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.write(Uint8Array.of(1, 2, 3, 4), 0xffen);
    d.reads(A.iova + 0xffen, 4).succeeds();
    d.holds(1, 2, 3, 4);
    s.main.lockedKb().returns(0);
  });
  test('what is written the process sees', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    d.fills(0x22);
    d.writes(A.iova + 3n, 5).succeeds();
    c.memory
      .read(0n, 12n)
      .shows(0, Uint8Array.from([...Array(3).fill(0x11), ...Array(5).fill(0x22), ...Array(4).fill(0x11)]));
    s.main.lockedKb().returns(0);
  });
  each({ 'one byte': 1, 'a page': 0x1000 }, (s, size) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.fills(0x33);
    d.writes(A.iova + 1n, size).succeeds();
    c.memory
      .read(0n, 0x1002n)
      .shows(1, new Uint8Array(size).fill(0x33))
      .shows(size + 1, Uint8Array.of(0));
  });
  test('memory that nobody had touched', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.fills(0xff);
    d.reads(A.iova, 16).succeeds();
    d.holds(...new Uint8Array(16).fill(0));
  });
  test('over two mappings', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...B, vaddr: c.memory.at(0x8000) }).succeeds();
    d.fills(0x44);
    d.writes(B.iova - 2n, 4).succeeds();
    c.memory.read(0x3ffcn, 6n).shows(0, Uint8Array.of(0, 0, 0x44, 0x44, 0, 0));
    c.memory.read(0x8000n, 4n).shows(0, Uint8Array.of(0x44, 0x44, 0, 0));
  });
  test('the memory that is there now, not what was mapped', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.hole(0n, PAGE);
    s.main.memory(PAGE, { at: c.memory.at() }).fill(0x55);
    d.reads(A.iova, 2).succeeds();
    d.holds(0x55, 0x55);
  });
  test('on v1 too', (s) => {
    const { c, d } = emulated(s, { type: VFIO_TYPE1_IOMMU });
    c.memory.fill(7);
    c.map(A).succeeds();
    d.reads(A.iova, 1).succeeds();
    d.holds(7);
  });
  test('with an IOMMU in the container', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.memory.fill(8);
    c.map(A).succeeds();
    d.reads(A.iova, 1).succeeds();
    d.holds(8);
  });
});

clause('pin/rw-nothing', () => {
  test('reading', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.reads(A.iova, 0).refused('EINVAL');
  });
  test('writing', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.writes(A.iova, 0).refused('EINVAL');
  });
});

clause('pin/rw-unmapped', () => {
  each({ 'where nothing is': 0x90000n, 'just below': A.iova - 1n, 'just behind': A.iova + A.size }, (s, iova) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.reads(iova, 1).refused('EINVAL');
    d.writes(iova, 1).refused('EINVAL');
  });
  test('from within a mapping into nothing', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.fills(0x66);
    d.writes(A.iova + A.size - 2n, 4).refused('EINVAL');
    c.memory.read(0x3ff8n, 16n).shows(0, Uint8Array.of(0, 0, 0, 0, 0, 0, 0x66, 0x66, 0));
  });
  test('by a thread of the kernel', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    d.readsByThread(A.iova - 1n, 1).refused('EINVAL');
  });
});

clause('pin/rw-beyond-access', () => {
  test('writing what is read only', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map({ ...A, flags: READ }).succeeds();
    d.fills(2);
    d.writes(A.iova, 8).refused('EPERM');
    d.writesByThread(A.iova, 8).refused('EPERM');
    c.memory.read(0n, 8n).shows(0, new Uint8Array(8).fill(1));
    d.reads(A.iova, 2).succeeds();
    d.holds(1, 1, 2);
  });
  test('reading what is write only', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map({ ...A, flags: WRITE }).succeeds();
    d.reads(A.iova, 8).refused('EPERM');
    d.holds(0, 0);
  });
  test('writing what is write only', (s) => {
    const { c, d } = emulated(s);
    c.map({ ...A, flags: WRITE }).succeeds();
    d.fills(3);
    d.writes(A.iova, 8).succeeds();
    c.memory.read(0n, 8n).shows(0, new Uint8Array(8).fill(3));
  });
  test('one mapping of two', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.map({ ...B, vaddr: c.memory.at(0x8000), flags: READ }).succeeds();
    d.fills(4);
    d.writes(B.iova - 1n, 2).refused('EPERM');
    c.memory.read(0x3ffen, 2n).shows(0, Uint8Array.of(0, 4));
    c.memory.read(0x8000n, 1n).shows(0, Uint8Array.of(0));
  });
});

/** A mapping that a child made, and its memory. */
const ofChild = (s: Scenario) => {
  const { c, d } = emulated(s);
  const child = s.main.forks();
  const memory = child.memory(0x4000);
  memory.fill(9);
  c.of(child)
    .map({ ...A, vaddr: memory.at() })
    .succeeds();
  return { c, d, child, memory };
};

clause('pin/rw-owner-gone', () => {
  test('dead', (s) => {
    const { d, child } = ofChild(s);
    child.exits();
    d.reads(A.iova, 1).refused('EPERM');
    d.readsByThread(A.iova, 1).refused('EPERM');
    d.writesByThread(A.iova, 1).refused('EPERM');
  });
  test('with another program', (s) => {
    const { d, child } = ofChild(s);
    child.execs();
    d.of(child).reads(A.iova, 1).refused('EPERM');
    d.readsByThread(A.iova, 1).refused('EPERM');
  });
});

clause('pin/rw-other-process', () => {
  test('the parent of the owner', (s) => {
    const { d } = ofChild(s);
    d.reads(A.iova, 1).refused('EFAULT');
    d.writes(A.iova, 1).refused('EFAULT');
  });
  test('the child of the owner', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    const child = s.main.forks();
    d.of(child).reads(A.iova, 1).refused('EFAULT');
    d.of(child).fills(2);
    d.of(child).writes(A.iova, 1).refused('EFAULT');
    c.memory.read(0n, 1n).shows(0, Uint8Array.of(1));
    c.memory.of(child).read(0n, 1n).shows(0, Uint8Array.of(1));
  });
  test('the owner, whoever opened the device', (s) => {
    const { d, child } = ofChild(s);
    d.of(child).reads(A.iova, 2).succeeds();
    d.holds(9, 9);
  });
  test('a thread of the kernel reaches every mapping', (s) => {
    const { c, d, child, memory } = ofChild(s);
    c.memory.fill(1);
    c.map({ ...B }).succeeds();
    d.readsByThread(B.iova - 2n, 4).succeeds();
    d.holds(9, 9, 1, 1);
    d.fills(5);
    d.writesByThread(A.iova, 2).succeeds();
    memory
      .of(child)
      .read(0n, 3n)
      .shows(0, Uint8Array.of(5, 5, 9));
  });
});

clause('pin/rw-unreachable-memory', () => {
  test('memory that is gone', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.hole(PAGE, PAGE);
    d.reads(A.iova + PAGE, 1).refused('EFAULT');
    d.writes(A.iova + PAGE, 1).refused('EFAULT');
    d.reads(A.iova, 1).succeeds();
  });
  test('memory that became read only', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.memory.protect('r');
    d.fills(2);
    d.writes(A.iova, 1).refused('EFAULT');
    d.writesByThread(A.iova, 1).refused('EFAULT');
    d.reads(A.iova, 1).succeeds();
    d.holds(1);
  });
  test('from memory that is there into a hole', (s) => {
    const { c, d } = emulated(s);
    c.map(A).succeeds();
    c.memory.hole(PAGE, PAGE);
    d.reads(A.iova + PAGE - 4n, 8).refused('EFAULT');
    d.writes(A.iova + PAGE - 4n, 8).refused('EFAULT');
    c.memory.read(0x2000n, 8n).shows(0, new Uint8Array(8));
  });
});
