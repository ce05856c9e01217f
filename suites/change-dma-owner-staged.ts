import { type Container, clause, type Memory, type Said, test } from '../harness/cases/index.ts';
import { A, afterExec, B, change, locked, mapped, mappedFile, withDevice } from '../harness/cases/owners.ts';

/* Changing the owner of mappings: addresses that were given beforehand, by UPDATE_VADDR. */

const BOTH = { iova: 0n, size: 0x100000n };

const stage = (c: Container, range: typeof A, vaddr: ReturnType<Memory['at']>): Said =>
  c.updateVaddr({ ...range, vaddr });

clause('change-dma-owner/stages', () => {
  test('the same address', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at()).returns(0);
    stage(c, B, memory.at(0x4000n)).returns(0);
    change(c).returns(0);
    s.main.lockedKb().returns(32);
  });
  test('another address, after exec', (s) => {
    const { c, keeper, place } = afterExec(s);
    stage(c, A, place.at()).returns(0);
    stage(c, B, place.at(0x4000n)).returns(0);
    locked({ keeper: 32 }, s.main, keeper);
    change(c).returns(0);
    locked({ main: 32 }, s.main, keeper);
    change(c).returns(0);
  });
  test('another address in the same process', (s) => {
    const { c, fd, memory } = mappedFile(s);
    const place = s.main.maps(fd, 0x8000);
    stage(c, A, place.at()).returns(0);
    stage(c, B, place.at(0x4000n)).returns(0);
    change(c).returns(0);
    memory.hole(0n, 0x8000n).succeeds();
    change(c).returns(0);
    s.main.lockedKb().returns(32);
  });
  test('in place of what was staged before', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at(0x4000n)).returns(0);
    stage(c, A, memory.at()).returns(0);
    stage(c, B, memory.at(0x4000n)).returns(0);
    change(c).returns(0);
  });
  test('for one change only', (s) => {
    const { c, fd, memory } = mappedFile(s);
    const child = s.main.forks();
    const place = child.maps(fd, 0x8000);
    stage(c.of(child), A, place.at()).returns(0);
    stage(c.of(child), B, place.at(0x4000n)).returns(0);
    change(c.of(child)).returns(0);
    memory.of(child).hole(0n, 0x8000n).succeeds();
    change(c.of(child)).returns(0);
    locked({ [child.name]: 32 }, s.main, child);
  });
  test('what devices then pin is looked up at the new address', (s) => {
    const { c, d, fd, memory } = withDevice(s);
    const child = s.main.forks();
    const place = child.maps(fd, 0x8000);
    stage(c.of(child), A, place.at()).returns(0);
    stage(c.of(child), B, place.at(0x4000n)).returns(0);
    memory.of(child).hole(0n, 0x8000n).succeeds();
    d.readsByThread(A.iova, 1).succeeds();
    change(c.of(child)).returns(0);
    memory.hole(0n, 0x8000n).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.readsByThread(B.iova, 1).succeeds();
    d.holds(1);
    locked({ [child.name]: 8 }, s.main, child);
  });
  test('what is of another object is refused', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at(0x4000n)).returns(0);
    stage(c, B, memory.at()).returns(0);
    change(c).refused('ENXIO');
  });
});

clause('change-dma-owner/partly-staged', () => {
  test('one of two', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at()).returns(0);
    change(c).refused('EINVAL');
    s.main.lockedKb().returns(32);
  });
});

clause('change-dma-owner/stays-staged', () => {
  test('neither the caller nor the owner before can go on', (s) => {
    const { c, fd, memory } = mappedFile(s);
    const child = s.main.forks();
    const place = child.maps(fd, 0x8000);
    stage(c.of(child), A, place.at()).returns(0);
    change(c.of(child)).refused('EINVAL');
    change(c.of(child)).refused('EINVAL');
    change(c).refused('EINVAL', 'ENXIO');
    stage(c, A, memory.at()).returns(0);
    change(c).refused('EINVAL');
    locked({ main: 32 }, s.main, child);
  });
  test('until the others are staged too', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at()).returns(0);
    change(c).refused('EINVAL');
    stage(c, B, memory.at(0x4000n)).returns(0);
    change(c).returns(0);
  });
  test('until what was staged is unmapped', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at()).returns(0);
    change(c).refused('EINVAL');
    c.unmap(A).succeeds();
    change(c).returns(0);
    s.main.lockedKb().returns(16);
  });
});

clause('change-dma-owner/nothing-staged', () => {
  test('a vaddr that was not taken away', (s) => {
    const { c, memory } = mapped(s);
    stage(c, A, memory.at()).refused('EINVAL');
    change(c).returns(0);
  });
  test('a vaddr that was given back', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(BOTH).succeeds();
    stage(c, A, memory.at()).succeeds();
    stage(c, A, memory.at()).refused('EINVAL');
  });
});
