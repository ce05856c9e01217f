import { clause, each, NULL, pointerTo, type Scenario, test } from '../harness/cases/index.ts';
import {
  A,
  afterExec,
  B,
  change,
  type Fields,
  locked,
  mapped,
  type Pair,
  withDevice,
} from '../harness/cases/owners.ts';
import { VFIO_CHANGE_DMA_OWNER, vfioChangeDmaOwner } from '../harness/uapi/change-dma-owner.ts';
import { encode } from '../harness/uapi/struct.ts';

/* Changing the owner of mappings: addresses that are given in the call. */

const PAGE = 0x1000n;

clause('change-dma-owner/pairs', () => {
  test('another address, after exec', (s) => {
    const { c, keeper, place } = afterExec(s);
    change(c, [
      [A.iova, place.at()],
      [B.iova, place.at(0x4000n)],
    ]).returns(0);
    locked({ main: 32 }, s.main, keeper);
    change(c).returns(0);
  });
  test('in another order', (s) => {
    const { c, keeper, place } = afterExec(s);
    change(c, [
      [B.iova, place.at(0x4000n)],
      [A.iova, place.at()],
    ]).returns(0);
    locked({ main: 32 }, s.main, keeper);
  });
  test('what is of another object is refused', (s) => {
    const { c, keeper, place } = afterExec(s);
    change(c, [
      [A.iova, place.at(0x4000n)],
      [B.iova, place.at()],
    ]).refused('ENXIO');
    locked({ keeper: 32 }, s.main, keeper);
  });
  test('what devices then pin is looked up at the new address', (s) => {
    const { c, d, fd, memory } = withDevice(s);
    const child = s.main.forks();
    const place = child.maps(fd, 0x8000);
    memory.of(child).hole(0n, 0x8000n).succeeds();
    change(c.of(child), [
      [B.iova, place.at(0x4000n)],
      [A.iova, place.at()],
    ]).returns(0);
    memory.hole(0n, 0x8000n).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.readsByThread(B.iova, 1).succeeds();
    d.holds(1);
    locked({ [child.name]: 8 }, s.main, child);
  });
  test('a call that failed leaves nothing to cancel', (s) => {
    const { c, keeper, place } = afterExec(s);
    change(c, [[A.iova, place.at()]]).refused('EINVAL');
    change(c.of(keeper)).returns(0);
    change(c, [
      [A.iova, place.at()],
      [B.iova, place.at(0x4000n)],
    ]).returns(0);
    locked({ main: 32 }, s.main, keeper);
  });
});

clause('change-dma-owner/pair-for-each', () => {
  each({ 'too few': 1, 'too many': 3 }, (s, count) => {
    const { c, memory } = mapped(s);
    const pairs: readonly Pair[] = [
      [A.iova, memory.at()],
      [B.iova, memory.at(0x4000n)],
      [0x30000n, memory.at()],
    ];
    change(c, pairs.slice(0, count)).refused('EINVAL');
    change(c).returns(0);
  });
});

clause('change-dma-owner/pair-iova', () => {
  each({ 'of no mapping': 0x30000n, 'within a mapping': B.iova + PAGE, 'of the other one': A.iova }, (s, iova) => {
    const { c, memory } = mapped(s);
    change(c, [
      [A.iova, memory.at()],
      [iova, memory.at(0x4000n)],
    ]).refused('EINVAL');
  });
});

clause('change-dma-owner/pair-vaddr', () => {
  each({ 'off a page': 0x123n, 'near the top': 0xffff_ffff_ffff_d000n }, (s, vaddr) => {
    const { c, memory } = mapped(s);
    change(c, [
      [A.iova, memory.at()],
      [B.iova, vaddr],
    ]).refused('EINVAL');
  });
});

/** Calls whose first 16 bytes are right but for one field. */
const wrong = (s: Scenario, fields: Fields): void => {
  const { c } = mapped(s);
  change(c, [], fields).refused('EINVAL');
  change(c).returns(0);
};

clause('change-dma-owner/argsz', () => {
  each({ 'argsz 0': { argsz: 0 }, 'argsz 15': { argsz: 15 }, 'no room for the pairs': { nr: 2 } }, wrong);
  test('a larger one is taken', (s) => void change(mapped(s).c, [], { argsz: 4096 }).returns(0));
  test('as many pairs as a number can tell', (s) => wrong(s, { argsz: 0xffff_ffff, nr: 0xffff_ffff }));
});

clause('change-dma-owner/flags', () => {
  each(
    { 'a flag': { flags: 1 }, 'the last flag': { flags: 0x8000_0000 }, 'the reserved field': { __reserved: 1 } },
    wrong,
  );
});

clause('change-dma-owner/unreadable-argument', () => {
  test('NULL', (s) => void mapped(s).c.ioctl(VFIO_CHANGE_DMA_OWNER, NULL).refused('EFAULT'));
});

clause('change-dma-owner/unreadable-pairs', () => {
  test('the array ends with its memory', (s) => {
    const { c, memory } = mapped(s);
    const argument = s.main.memory(0x1000);
    const bytes = encode(vfioChangeDmaOwner, { argsz: 48, nr: 2, pairs: [{ iova: A.iova }] });
    const at = 0x1000n - BigInt(bytes.length);
    argument.write(bytes, at).succeeds();
    argument.link(at + 24n, memory.at()).succeeds();
    c.ioctl(VFIO_CHANGE_DMA_OWNER, pointerTo(argument.at(at))).refused('EFAULT');
    s.main.lockedKb().returns(32);
  });
});
