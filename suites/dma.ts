import { edu, eduOf } from '../harness/cases/edu.ts';
import {
  clause,
  each,
  LAST_PAGES,
  lastIova,
  openGroup,
  READ,
  type Ready,
  type Scenario,
  test,
  translates,
  u64,
  WRITE,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* What a device reaches, in both directions, through every change of a mapping. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: PAGE };
/** Where a case looks at what the device holds. */
const SEEN = { iova: 0x80000n, size: PAGE };
const SEEN_AT = 0x8000n;

const ONES = u64(0x1111111111111111n);
const TWOS = u64(0x2222222222222222n);
const NOTHING = u64(0n);

/** A device whose first page of memory is mapped at A, and another page where what the device holds is shown. */
const ready = (s: Scenario) => {
  const e = edu(s);
  e.c.memory.fill(0x11, 0n, PAGE);
  e.c.map(A).succeeds();
  e.c.map({ ...SEEN, vaddr: e.c.memory.at(SEEN_AT) }).succeeds();
  /** What the device read at an IOVA. */
  const holds = (bytes: Uint8Array): void => {
    e.writes(SEEN.iova);
    e.c.memory.read(SEEN_AT, 16n).shows(0, bytes).shows(8, bytes);
  };
  return { ...e, holds };
};

/** What takes a mapping away, or leaves it. */
const changes: Readonly<
  Record<string, { readonly reaches: boolean; readonly change: (c: Ready, s: Scenario) => void }>
> = {
  'after unmap': { reaches: false, change: (c) => void c.unmap(A).succeeds() },
  'after unmap of all': {
    reaches: false,
    change: (c) => {
      c.unmapAll().succeeds();
      c.map({ ...SEEN, vaddr: c.memory.at(SEEN_AT) }).succeeds();
    },
  },
  'after an unmap that was refused': {
    reaches: true,
    change: (c) => void c.unmap({ ...A, size: PAGE + 1n }).refused('EINVAL'),
  },
  'after a second mapping was refused': {
    reaches: true,
    change: (c) => void c.map({ ...A, vaddr: c.memory.at(PAGE) }).refused('EEXIST'),
  },
  'after vaddr was invalidated': { reaches: true, change: (c) => void c.invalidateVaddr(A).succeeds() },
  'after vaddr was changed': {
    reaches: true,
    change: (c, s) => {
      c.invalidateVaddr(A).succeeds();
      c.updateVaddr({ ...A, vaddr: s.main.memory(PAGE).at() }).succeeds();
    },
  },
  'after an invalidated mapping was unmapped': {
    reaches: false,
    change: (c) => {
      c.invalidateVaddr(A).succeeds();
      c.unmap(A).succeeds();
    },
  },
  'while dirty pages are logged': {
    reaches: true,
    change: (c) => void c.startDirty().succeeds(),
  },
  'after an unmap with its dirty pages': {
    reaches: false,
    change: (c, s) => {
      c.startDirty().succeeds();
      c.unmap({ ...A, bitmap: { data: s.main.memory(8).at(), size: 8n } }).succeeds();
    },
  },
  'after the container was closed': { reaches: true, change: (c) => void c.close().succeeds() },
};

clause('device/reaches-mappings', () => {
  for (const [title, { reaches, change }] of Object.entries(changes)) {
    test(`reads ${title}`, (s) => {
      const { c, reads, holds } = ready(s);
      change(c, s);
      reads(A.iova);
      holds(reaches ? ONES : NOTHING);
    });
    test(`writes ${title}`, (s) => {
      const { c, reads, writes } = ready(s);
      reads(A.iova);
      c.memory.fill(0x22, 0n, PAGE);
      change(c, s);
      writes(A.iova);
      c.memory.read(0n, 16n).shows(0, reaches ? ONES : TWOS);
    });
  }
  each({ 'one page below': -PAGE, 'one page above': PAGE, 'far above': 0x800_0000n }, (s, distance) => {
    const { reads, holds } = ready(s);
    reads(A.iova + distance);
    holds(NOTHING);
  });
  test('the same IOVA, mapped to other memory', (s) => {
    const { c, reads, holds } = ready(s);
    reads(A.iova);
    c.unmap(A).succeeds();
    c.memory.fill(0x22, PAGE, PAGE);
    c.map({ ...A, vaddr: c.memory.at(PAGE) }).succeeds();
    reads(A.iova);
    holds(TWOS);
  });
  test('the same memory at two IOVAs', (s) => {
    const { c, reads, writes, holds } = ready(s);
    const other = { iova: 0x20000n, size: PAGE };
    c.map(other).succeeds();
    reads(other.iova);
    holds(ONES);
    c.unmap(A).succeeds();
    writes(other.iova + 0x800n);
    c.memory.read(0x800n, 16n).shows(0, ONES);
  });
  test('over the border of two mappings', (s) => {
    const { c, reads, writes, holds } = ready(s);
    c.memory.fill(0x22, 0x4000n, PAGE);
    c.map({ iova: A.iova + PAGE, size: PAGE, vaddr: c.memory.at(0x4000n) }).succeeds();
    reads(A.iova + PAGE - 8n);
    writes(SEEN.iova);
    c.memory.read(SEEN_AT, 16n).shows(0, ONES).shows(8, TWOS);
    reads(A.iova);
    writes(A.iova + PAGE - 8n);
    c.memory.read(0xff8n, 8n).shows(0, ONES);
    c.memory.read(0x4000n, 16n).shows(0, ONES).shows(8, TWOS);
    holds(ONES);
  });
  each(LAST_PAGES, (s, width) => {
    s.needs(translates(width));
    s.needs({
      reason: 'the device drives 28 address bits (QEMU: edu,dma_mask=0xffffffffffffffff)',
      met: ({ groups }) => (groups[0]?.devices[0]?.dmaMask ?? 0n) >= lastIova(width),
    });
    const { c, reads, writes, holds } = ready(s);
    const [first, last] = [
      { iova: 0n, size: PAGE },
      { iova: lastIova(width) + 1n - PAGE, size: PAGE },
    ];
    c.map({ ...first, vaddr: c.memory.at(PAGE) }).succeeds();
    c.map({ ...last, vaddr: c.memory.at(2n * PAGE) }).succeeds();
    reads(A.iova);
    writes(first.iova);
    writes(last.iova + PAGE - 16n);
    c.memory.read(PAGE, 16n).shows(0, ONES);
    c.memory.read(3n * PAGE - 16n, 16n).shows(8, ONES);
    holds(ONES);
  });
  test('the devices of two groups', (s) => {
    const e = edu(s, { groups: ['group0', 'group1'] });
    const second = eduOf(s, e.c, { index: 1 });
    e.c.memory.fill(0x11, 0n, PAGE);
    e.c.map(A).succeeds();
    e.c.map({ ...SEEN, vaddr: e.c.memory.at(SEEN_AT) }).succeeds();
    second.reads(A.iova);
    second.writes(SEEN.iova);
    e.c.memory.read(SEEN_AT, 8n).shows(0, ONES);
    e.c.unmap(A).succeeds();
    for (const one of [e, second]) {
      one.reads(A.iova);
      one.writes(SEEN.iova);
      e.c.memory.read(SEEN_AT, 8n).shows(0, NOTHING);
    }
  });
  test('the device of a group that comes later', (s) => {
    const e = edu(s);
    e.c.memory.fill(0x11, 0n, PAGE);
    e.c.map(A).succeeds();
    e.c.map({ ...SEEN, vaddr: e.c.memory.at(SEEN_AT) }).succeeds();
    const group = openGroup(s.main, 'group1');
    group.setContainer(e.c).succeeds();
    const second = eduOf(s, { ...e.c, groups: [...e.c.groups, group] }, { index: 1 });
    second.reads(A.iova);
    second.writes(SEEN.iova);
    e.c.memory.read(SEEN_AT, 8n).shows(0, ONES);
  });
  each({ v1: uapi.VFIO_TYPE1_IOMMU, v2: uapi.VFIO_TYPE1v2_IOMMU }, (s, type) => {
    const { c, reads, writes } = edu(s, { type });
    c.memory.fill(0x11, 0n, PAGE);
    c.map({ ...A, size: 3n * PAGE }).succeeds();
    reads(A.iova);
    writes(A.iova + 2n * PAGE);
    c.memory.read(2n * PAGE, 8n).shows(0, ONES);
    // With v1 the first page takes all three with it.
    c.unmap({ ...A, size: type === uapi.VFIO_TYPE1_IOMMU ? PAGE : 3n * PAGE }).succeeds();
    writes(A.iova + PAGE);
    c.memory.read(PAGE, 8n).shows(0, NOTHING);
  });
});

clause('device/keeps-pages', () => {
  test('the process that mapped them is gone', (s) => {
    const { c, reads, writes } = edu(s);
    const child = s.main.forks();
    const memory = child.memory(PAGE);
    memory.fill(0x11);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    s.main.kills(child).succeeds();
    c.map({ ...SEEN, vaddr: c.memory.at(SEEN_AT) }).succeeds();
    reads(A.iova);
    writes(SEEN.iova);
    c.memory.read(SEEN_AT, 8n).shows(0, ONES);
  });
  test('the file behind them was cut to nothing', (s) => {
    const { c, reads, writes } = edu(s);
    const fd = s.main.memfd(PAGE);
    const memory = s.main.maps(fd, PAGE);
    memory.fill(0x11);
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    s.main.does({ op: 'truncate', fd, size: 0n }).succeeds();
    c.map({ ...SEEN, vaddr: c.memory.at(SEEN_AT) }).succeeds();
    reads(A.iova);
    writes(SEEN.iova);
    c.memory.read(SEEN_AT, 8n).shows(0, ONES);
  });
  test('shared memory shows what the device wrote to everybody', (s) => {
    const { c, reads, writes } = edu(s);
    const memory = s.main.memory(2n * PAGE, { share: 'shared' });
    memory.fill(0x11, 0n, PAGE);
    const child = s.main.forks();
    c.map({ iova: A.iova, size: 2n * PAGE, vaddr: memory.at() }).succeeds();
    reads(A.iova);
    writes(A.iova + PAGE);
    memory.of(child).read(PAGE, 16n).shows(0, ONES);
  });
  test('a child reads its own copies', (s) => {
    const { c, reads, writes } = edu(s);
    const memory = s.main.memory(2n * PAGE);
    memory.fill(0x11, 0n, PAGE);
    memory.fill(0x22, PAGE, PAGE);
    c.map({ iova: A.iova, size: 2n * PAGE, vaddr: memory.at() }).succeeds();
    const child = s.main.forks();
    reads(A.iova);
    writes(A.iova + PAGE);
    memory.read(PAGE, 16n).shows(0, ONES);
    memory.of(child).read(PAGE, 16n).shows(0, TWOS);
  });
});

clause('device/write-needs-write', () => {
  each({ READ: READ, 'READ and WRITE': READ | WRITE, WRITE: WRITE }, (s, flags) => {
    const { c, reads, writes } = ready(s);
    const other = { iova: 0x20000n, size: PAGE };
    c.memory.fill(0x22, PAGE, PAGE);
    c.map({ ...other, vaddr: c.memory.at(PAGE), flags }).succeeds();
    reads(A.iova);
    writes(other.iova);
    c.memory.read(PAGE, 16n).shows(0, (flags & WRITE) !== 0 ? ONES : TWOS);
  });
  test('over the border of a mapping to be written and one to be read', (s) => {
    const { c, reads, writes } = ready(s);
    c.memory.fill(0x22, PAGE, PAGE);
    c.map({ iova: A.iova + PAGE, size: PAGE, vaddr: c.memory.at(PAGE), flags: READ }).succeeds();
    reads(A.iova);
    c.memory.fill(0x22, 0n, PAGE);
    writes(A.iova + PAGE - 8n);
    c.memory
      .read(PAGE - 8n, 16n)
      .shows(0, ONES)
      .shows(8, TWOS);
  });
});
