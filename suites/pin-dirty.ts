import { emulated, PIN_READ } from '../harness/cases/emulated.ts';
import {
  type Container,
  clause,
  EMULATED_GROUP,
  each,
  type Memory,
  READ,
  type Ready,
  readyContainer,
  type Scenario,
  test,
  u64,
} from '../harness/cases/index.ts';

/* Which pages are dirty where devices tell what they use: those that they pinned, and those that were written for them. */

const PAGE = 0x1000n;
/** Mapped in most cases: 16 pages. The bitmap begins there too. */
const A = { iova: 0x100000n, size: 0x10000n };
const at = (page: number): bigint => A.iova + BigInt(page) * PAGE;

const bitmapMemory = (s: Scenario, words = 1): Memory => s.main.memory(words * 8, { offset: 512, guard: true });

/** Reads the dirty pages of a range into zeroed memory; they must be these, a word for every 64 pages. */
const dirtyAre = (s: Scenario, c: Container, range: { iova: bigint; size: bigint }, ...words: readonly bigint[]) => {
  const bitmap = bitmapMemory(s, words.length);
  c.getDirty({ ...range, bitmap: { data: bitmap.at(), size: bitmap.size } }).succeeds();
  const read = bitmap.read();
  for (const [index, word] of words.entries()) read.shows(index * 8, u64(word));
  bitmap.guards().returns(0);
};

/** A container without an IOMMU, with one mapping. */
const mapped = (s: Scenario) => {
  const { c, d } = emulated(s);
  c.map(A).succeeds();
  return { c, d };
};

const logging = (s: Scenario) => {
  const both = mapped(s);
  both.c.startDirty().succeeds();
  return both;
};

clause('pin/dirty-scope', () => {
  test('nothing is dirty that no device used', (s) => {
    const { c } = logging(s);
    c.memory.fill(1);
    dirtyAre(s, c, A, 0n);
  });
  test('nor what is mapped later', (s) => {
    const { c } = logging(s);
    c.map({ iova: 0x200000n, size: A.size, vaddr: c.memory.at() }).succeeds();
    dirtyAre(s, c, { iova: 0x200000n, size: A.size }, 0n);
  });
  test('with a group that has an IOMMU everything is', (s) => {
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0xffffn);
    dirtyAre(s, c, A, 0xffffn);
  });
  test('a device that pins does not speak for a group with an IOMMU', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    c.startDirty().succeeds();
    d.pins(at(3)).succeeds();
    dirtyAre(s, c, A, 0xffffn);
    d.unpinsAll().succeeds();
    dirtyAre(s, c, A, 0xffffn);
  });
  test('with UNMAP_DMA too', (s) => {
    const { c, d } = logging(s);
    d.pins(at(5)).succeeds();
    const bitmap = bitmapMemory(s);
    c.unmap({ ...A, bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read().shows(0, u64(1n << 5n));
  });
});

clause('pin/dirty-at-start', () => {
  test('what is pinned', (s) => {
    const { c, d } = mapped(s);
    d.pins(at(1), 2).succeeds();
    d.pins(at(15)).succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0x8006n);
  });
  test('not what was pinned', (s) => {
    const { c, d } = mapped(s);
    d.pins(at(1), 2).succeeds();
    d.unpins(at(1)).succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 4n);
  });
  test('not what was written', (s) => {
    const { c, d } = mapped(s);
    d.writes(at(2), 8).succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0n);
  });
  test('not what was dirty before STOP', (s) => {
    const { c, d } = logging(s);
    d.pins(at(2)).succeeds();
    d.unpinsAll().succeeds();
    d.writes(at(3), 1).succeeds();
    c.stopDirty().succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0n);
  });
  test('START again forgets nothing', (s) => {
    const { c, d } = logging(s);
    d.writes(at(3), 1).succeeds();
    d.pins(at(7)).succeeds();
    d.unpinsAll().succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0x88n);
  });
  test('several mappings', (s) => {
    const { c, d } = mapped(s);
    c.map({ iova: at(16), size: 4n * PAGE, vaddr: c.memory.at() }).succeeds();
    d.pins(at(15), 2).succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, { ...A, size: 0x14000n }, 0x18000n);
  });
});

clause('pin/dirty-when-pinned', () => {
  each({ 'to write': undefined, 'to read': PIN_READ }, (s, access) => {
    const { c, d } = logging(s);
    d.pins(at(4), 3, access).succeeds();
    dirtyAre(s, c, A, 0x70n);
  });
  test('what may only be read', (s) => {
    const { c, d } = emulated(s);
    c.memory.fill(1);
    c.map({ ...A, flags: READ }).succeeds();
    c.startDirty().succeeds();
    d.pins(at(4), 1, PIN_READ).succeeds();
    dirtyAre(s, c, A, 0x10n);
  });
  test('and unpinned before it is read', (s) => {
    const { c, d } = logging(s);
    d.pins(at(0)).succeeds();
    d.unpins(at(0)).succeeds();
    dirtyAre(s, c, A, 1n);
    dirtyAre(s, c, A, 0n);
  });
  test('a page that was pinned before START, pinned again', (s) => {
    const { c, d } = mapped(s);
    d.pins(at(9)).succeeds();
    c.startDirty().succeeds();
    d.pins(at(9)).succeeds();
    d.unpins(at(9)).succeeds();
    d.unpins(at(9)).succeeds();
    dirtyAre(s, c, A, 0x200n);
  });
  test('a device that closes', (s) => {
    const { c, d } = logging(s);
    d.pins(at(6)).succeeds();
    d.close().succeeds();
    dirtyAre(s, c, A, 0x40n);
  });
  test('in a mapping that begins within a word', (s) => {
    const { c, d } = emulated(s);
    c.map({ iova: at(3), size: 4n * PAGE }).succeeds();
    c.startDirty().succeeds();
    d.pins(at(5)).succeeds();
    dirtyAre(s, c, { ...A, size: 64n * PAGE }, 0x20n);
  });
  each(
    { 'first and last of a word': [0, 63], 'first and last of the next': [64, 127] } as const,
    (s, [first, last]) => {
      const { c, d } = emulated(s, { memory: 0x80000n });
      c.map({ iova: A.iova, size: 0x80000n }).succeeds();
      c.startDirty().succeeds();
      d.pins(at(first)).succeeds();
      d.pins(at(last)).succeeds();
      const word = (1n << 63n) | 1n;
      dirtyAre(s, c, { iova: A.iova, size: 0x80000n }, ...(first === 0 ? [word, 0n] : [0n, word]));
    },
  );
});

clause('pin/dirty-when-pinned-in-vain', () => {
  test('pages before one that is not mapped', (s) => {
    const { c, d } = logging(s);
    const last = Number(A.size / PAGE) - 1;
    d.pins(at(last - 1), 3).refused('EINVAL');
    dirtyAre(s, c, A, 3n << BigInt(last - 1));
    dirtyAre(s, c, A, 0n);
  });
  test('not those behind it', (s) => {
    const { c, d } = emulated(s);
    c.memory.hole(5n * PAGE, PAGE).succeeds();
    c.map(A).succeeds();
    c.startDirty().succeeds();
    d.pins(at(3), 5).refused('EFAULT');
    dirtyAre(s, c, A, 0x18n);
  });
  test('pages that are pinned already: not anew', (s) => {
    const { c, d } = mapped(s);
    c.memory.hole(5n * PAGE, PAGE).succeeds();
    c.startDirty().succeeds();
    d.pins(at(3)).succeeds();
    dirtyAre(s, c, A, 8n);
    d.unpins(at(3)).succeeds();
    dirtyAre(s, c, A, 8n);
    d.pins(at(5)).refused('EFAULT');
    dirtyAre(s, c, A, 0n);
  });
});

clause('pin/dirty-while-pinned', () => {
  test('at every reading', (s) => {
    const { c, d } = logging(s);
    d.pins(at(2), 2).succeeds();
    dirtyAre(s, c, A, 0xcn);
    dirtyAre(s, c, A, 0xcn);
    d.unpins(at(2)).succeeds();
    dirtyAre(s, c, A, 0xcn);
    dirtyAre(s, c, A, 8n);
  });
  test('what was written is reported once', (s) => {
    const { c, d } = logging(s);
    d.writes(at(2), 1).succeeds();
    dirtyAre(s, c, A, 4n);
    dirtyAre(s, c, A, 0n);
  });
  test('unpinned after it was reported is dirty once more', (s) => {
    const { c, d } = logging(s);
    d.pins(at(2)).succeeds();
    dirtyAre(s, c, A, 4n);
    d.unpinsAll().succeeds();
    dirtyAre(s, c, A, 4n);
    dirtyAre(s, c, A, 0n);
  });
  test('reading one range leaves another as it was', (s) => {
    const { c, d } = logging(s);
    c.map({ iova: at(64), size: 4n * PAGE, vaddr: c.memory.at() }).succeeds();
    d.writes(at(1), 1).succeeds();
    d.writes(at(65), 1).succeeds();
    dirtyAre(s, c, { iova: at(64), size: 4n * PAGE }, 2n);
    dirtyAre(s, c, A, 2n);
  });
  test('until the mapping ends', (s) => {
    const { c, d } = logging(s);
    d.pins(at(2)).succeeds();
    c.unmap(A).succeeds();
    c.map(A).succeeds();
    dirtyAre(s, c, A, 0n);
  });
});

clause('pin/dirty-when-written', () => {
  each(
    {
      'one byte': [at(3), 1, 8n],
      'the last byte of a page': [at(4) - 1n, 1, 8n],
      'two bytes over a border': [at(4) - 1n, 2, 0x18n],
      'a page': [at(4), 0x1000, 0x10n],
      'a page, not aligned': [at(4) + 1n, 0x1000, 0x30n],
      'the last page': [at(15), 4, 0x8000n],
    } as const,
    (s, [iova, size, word]) => {
      const { c, d } = logging(s);
      d.writes(iova, size).succeeds();
      dirtyAre(s, c, A, word);
      dirtyAre(s, c, A, 0n);
    },
  );
  test('by a thread of the kernel', (s) => {
    const { c, d } = logging(s);
    d.writesByThread(at(6), 1).succeeds();
    dirtyAre(s, c, A, 0x40n);
  });
  test('not by reading', (s) => {
    const { c, d } = logging(s);
    d.reads(at(6), 1).succeeds();
    dirtyAre(s, c, A, 0n);
  });
  test('over two mappings', (s) => {
    const { c, d } = logging(s);
    c.map({ iova: at(16), size: 2n * PAGE, vaddr: c.memory.at() }).succeeds();
    d.writes(at(16) - 1n, 2).succeeds();
    dirtyAre(s, c, { ...A, size: 0x12000n }, 0x18000n);
  });
  test('not what could not be written', (s) => {
    const { c, d } = logging(s);
    c.memory.hole(0n, PAGE);
    d.writes(at(0), 1).refused('EFAULT');
    dirtyAre(s, c, A, 0n);
  });
});

clause('pin/dirty-when-partly-written', () => {
  test('up to a hole', (s) => {
    const { c, d } = logging(s);
    c.memory.hole(PAGE, PAGE);
    d.fills(0x5a);
    d.writes(at(1) - 64n, 128).refused('EFAULT');
    dirtyAre(s, c, A, 1n);
  });
  test('up to the end of what is mapped', (s) => {
    const { c, d } = logging(s);
    d.writes(at(16) - 4n, 8).refused('EINVAL');
    dirtyAre(s, c, A, 0x8000n);
  });
});

clause('pin/dirty-after-failed-reading', () => {
  const fails = (c: Ready, s: Scenario, range: { iova: bigint; size: bigint }) => {
    const bitmap = s.main.memory(0x1000, { prot: 'r' });
    c.getDirty({ ...range, bitmap: { data: bitmap.at(), size: 8n } }).refused('EFAULT');
  };
  test('what was written', (s) => {
    const { c, d } = logging(s);
    d.writes(at(2), 1).succeeds();
    fails(c, s, A);
    dirtyAre(s, c, A, 4n);
  });
  test('in a mapping that begins within a word', (s) => {
    const { c, d } = emulated(s);
    c.map({ iova: at(3), size: 8n * PAGE }).succeeds();
    c.startDirty().succeeds();
    d.writes(at(4), 1).succeeds();
    const range = { iova: A.iova, size: 64n * PAGE };
    fails(c, s, range);
    dirtyAre(s, c, range, 0x10n);
  });
  test('an UNMAP_DMA that could not report', (s) => {
    const { c, d } = logging(s);
    d.writes(at(2), 1).succeeds();
    d.pins(at(3)).succeeds();
    const bitmap = s.main.memory(0x1000, { prot: 'r' });
    c.unmap({ ...A, bitmap: { data: bitmap.at(), size: 8n } }).refused('EFAULT');
    d.tells({ pins: 0n, unmaps: 1n });
    dirtyAre(s, c, A, 0xcn);
  });
});

clause('pin/dirty-after-iommu', () => {
  test('all is dirty once', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    c.startDirty().succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    d.pins(at(1)).succeeds();
    dirtyAre(s, c, A, 0xffffn);
    dirtyAre(s, c, A, 2n);
  });
  test('not when dirty pages are not logged', (s) => {
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    c.startDirty().succeeds();
    dirtyAre(s, c, A, 0n);
  });
  test('not when a group without an IOMMU leaves', (s) => {
    s.needs({
      reason: 'the host has only one emulated device',
      met: ({ groups }) => groups.filter((one) => one.emulated).length > 1,
    });
    const c = readyContainer(s, { groups: ['emulated0', 'emulated1'] });
    c.map(A).succeeds();
    c.startDirty().succeeds();
    c.groups[1]?.unsetContainer().succeeds();
    dirtyAre(s, c, A, 0n);
  });
});
