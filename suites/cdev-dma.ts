import { boundCdev, openCdev } from '../harness/cases/cdev.ts';
import { drive } from '../harness/cases/edu.ts';
import { clause, each, type Memory, type Scenario, test, u32, u64 } from '../harness/cases/index.ts';
import { FIXED, READ, WRITE } from '../harness/cases/iommufd.ts';

/* What a device of the machine reaches that is bound by its own file. */

const PAGE = 0x1000n;
/** Where the page is mapped that a case is about; what the device read from it is shown at SEEN. */
const A = 0x10000n;
const SEEN = 0x80000n;

const ONES = u64(0x1111111111111111n);
const TWOS = u64(0x2222222222222222n);
const NOTHING = u64(0n);

/** Device 1, bound and a bus master; IO address spaces 2 and 3, which both have a page at SEEN, and 2 a page full of 0x11 at A. */
const ready = (s: Scenario) => {
  const { c, cdev } = boundCdev(s);
  c.alloc(3);
  const page = s.main.memory(PAGE);
  const seen = s.main.memory(PAGE);
  page.fill(0x11);
  c.map({ ioas: 2, iova: A, length: PAGE, vaddr: page.at() }).returns(0);
  for (const ioas of [2, 3]) c.map({ ioas, iova: SEEN, length: PAGE, vaddr: seen.at() }).returns(0);
  const edu = drive(s, cdev);
  const shows = (memory: Memory, bytes: Uint8Array): void => void memory.read(0n, 16n).shows(0, bytes).shows(8, bytes);
  return {
    c,
    cdev,
    page,
    seen,
    edu,
    shows,
    /** That the device read this at A, before or now. */
    holds: (bytes: Uint8Array): void => {
      edu.writes(SEEN);
      shows(seen, bytes);
    },
  };
};

clause('cdev/reaches-mappings', () => {
  test('reading and writing, and nothing beside', (s) => {
    const { c, cdev, edu, page, shows, holds } = ready(s);
    const neighbour = s.main.memory(PAGE);
    c.map({ ioas: 2, iova: A + PAGE, length: PAGE, vaddr: neighbour.at() }).returns(0);
    cdev.attach(2, 4);
    edu.reads(A);
    holds(ONES);
    page.fill(0x22);
    edu.reads(A + PAGE);
    edu.writes(A);
    shows(page, NOTHING);
    shows(neighbour, NOTHING);
    edu.reads(A + 2n * PAGE);
    holds(NOTHING);
  });
  test('not before it is attached', (s) => {
    const { cdev, edu, page, holds, shows } = ready(s);
    cdev.attach(2, 4);
    edu.reads(A);
    cdev.detach().returns(0);
    page.fill(0x22);
    edu.writes(A);
    shows(page, TWOS);
    edu.reads(A);
    cdev.attach(2, 4);
    holds(NOTHING);
  });
  test('not after the mapping is gone', (s) => {
    const { c, cdev, edu, page, holds, shows } = ready(s);
    cdev.attach(2, 4);
    edu.reads(A);
    c.unmap(A, PAGE, 2).returns(0);
    page.fill(0x22);
    edu.writes(A);
    shows(page, TWOS);
    edu.reads(A);
    holds(NOTHING);
  });
  test('after it was attached to another IO address space: what is mapped there', (s) => {
    const { c, cdev, edu, page, holds, shows } = ready(s);
    const other = s.main.memory(PAGE);
    other.fill(0x22);
    cdev.attach(2, 4);
    c.map({ ioas: 3, iova: A + PAGE, length: PAGE, vaddr: other.at() }).returns(0);
    edu.reads(A);
    cdev.attach(3, 5);
    holds(ONES);
    edu.writes(A + PAGE);
    shows(other, ONES);
    page.fill(0x22);
    edu.writes(A);
    shows(page, TWOS);
    edu.reads(A);
    holds(NOTHING);
  });
  test('a copy, after what it was copied from is gone', (s) => {
    const { c, cdev, edu, holds } = ready(s);
    cdev.attach(3, 4);
    c.copy({ from: 2, to: 3, source: A, target: A + PAGE, length: PAGE }).returns(0);
    c.unmap(A, PAGE, 2).returns(0);
    edu.reads(A + PAGE);
    holds(ONES);
  });
  test('what another device of the IO address space wrote', (s) => {
    const { c, cdev, edu, holds } = ready(s);
    const second = openCdev(s, s.main, 'device1');
    second.bind(c, 4);
    cdev.attach(2, 5);
    second.attach(2, 5);
    const other = drive(s, second);
    other.reads(A);
    other.writes(SEEN + 0x800n);
    edu.reads(SEEN + 0x800n);
    holds(ONES);
  });
  test('not after a refused attaching that left it attached to nothing', (s) => {
    const { cdev, edu, page, shows } = ready(s);
    cdev.attach(2, 4);
    edu.reads(SEEN);
    const argument = s.main.memory(PAGE);
    argument.write(u32(12, 0, 2));
    argument.protect('r');
    cdev.ioctl(0x3b77n, { kind: 'place', place: argument.at() }).refused('EFAULT');
    edu.writes(A);
    shows(page, ONES);
  });
});

clause('cdev/dma-needs-access', () => {
  test('a mapping that is READABLE only is not written', (s) => {
    const { c, cdev, edu, holds, shows } = ready(s);
    const memory = s.main.memory(PAGE);
    memory.fill(0x22);
    c.map({ ioas: 2, iova: A + PAGE, length: PAGE, vaddr: memory.at(), flags: FIXED | READ }).returns(0);
    cdev.attach(2, 4);
    edu.reads(A);
    edu.writes(A + PAGE);
    shows(memory, TWOS);
    edu.reads(A + PAGE);
    holds(TWOS);
  });
  test('nor is a copy', (s) => {
    const { c, cdev, edu, page, shows } = ready(s);
    cdev.attach(2, 4);
    c.copy({ from: 2, to: 2, source: A, target: A + PAGE, length: PAGE, flags: FIXED | READ }).returns(0);
    edu.reads(SEEN);
    edu.writes(A + PAGE);
    shows(page, ONES);
    edu.writes(A);
    shows(page, NOTHING);
  });
  test('a mapping that is WRITEABLE only is not read', (s) => {
    const { c, cdev, edu, holds, shows } = ready(s);
    const memory = s.main.memory(PAGE);
    memory.fill(0x22);
    c.map({ ioas: 2, iova: A + PAGE, length: PAGE, vaddr: memory.at(), flags: FIXED | WRITE }).returns(0);
    cdev.attach(2, 4);
    edu.reads(A);
    edu.writes(A + PAGE);
    shows(memory, ONES);
    edu.reads(A + PAGE);
    holds(NOTHING);
  });
});

clause('cdev/keeps-pages', () => {
  each({ 'mapped before it was attached': false, 'mapped since': true }, (s, since) => {
    const { c, cdev, edu, holds } = ready(s);
    const memory = s.main.memory(2n * PAGE);
    memory.fill(0x22);
    const map = (): void => void c.map({ ioas: 2, iova: A + PAGE, length: 2n * PAGE, vaddr: memory.at() }).returns(0);
    if (!since) map();
    cdev.attach(2, 4);
    if (since) map();
    memory.hole(PAGE, PAGE).succeeds();
    edu.reads(A + 2n * PAGE);
    holds(TWOS);
  });
  test('a page that is unmapped and mapped again is another', (s) => {
    const { cdev, edu, page, holds } = ready(s);
    cdev.attach(2, 4);
    page.hole(0n, PAGE).succeeds();
    s.main.does({ op: 'mem', name: 'fresh', size: PAGE, at: page.at() }).succeeds();
    s.main.does({ op: 'fill', name: 'fresh', offset: 0n, size: PAGE, byte: 0x22n });
    edu.reads(A);
    holds(ONES);
    cdev.detach().returns(0);
    cdev.attach(2, 4);
    edu.reads(A);
    holds(TWOS);
  });
  test('of a process that is gone', (s) => {
    const { c, cdev, edu, holds } = ready(s);
    const child = s.main.forks();
    const memory = child.memory(PAGE);
    memory.fill(0x22);
    cdev.attach(2, 4);
    c.of(child)
      .map({ ioas: 2, iova: A + PAGE, length: PAGE, vaddr: memory.at() })
      .returns(0);
    child.exits();
    edu.reads(A + PAGE);
    holds(TWOS);
  });
  test('of a memfd that nobody has open any more', (s) => {
    const { c, cdev, edu, holds } = ready(s);
    const fd = s.main.memfd(2n * PAGE);
    s.main.does({ op: 'pwrite', fd, offset: PAGE, data: new Uint8Array(16).fill(0x22) }).succeeds();
    c.mapFile({ ioas: 2, fd, start: PAGE, iova: A + PAGE, length: PAGE }).returns(0);
    cdev.attach(2, 4);
    s.main.does({ op: 'close', fd }).succeeds();
    edu.reads(A + PAGE);
    holds(TWOS);
  });
  test('what is written later is seen, through the address and the memfd', (s) => {
    const { c, cdev, edu, page, holds } = ready(s);
    const fd = s.main.memfd(PAGE);
    c.mapFile({ ioas: 2, fd, iova: A + PAGE, length: PAGE }).returns(0);
    cdev.attach(2, 4);
    page.fill(0x22);
    edu.reads(A);
    holds(TWOS);
    s.main.does({ op: 'pwrite', fd, offset: 0n, data: new Uint8Array(16).fill(0x11) }).succeeds();
    edu.reads(A + PAGE);
    holds(ONES);
  });
});
