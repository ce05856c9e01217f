import {
  clause,
  each,
  lastIova,
  type Memory,
  pointerTo,
  READ,
  readyContainer,
  type Scenario,
  test,
  translates,
  u64,
  unmapArgument,
  type Width,
  WRITE,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* Dirty bitmaps in odd places: at any byte, over page borders, partly out of reach, large, and with UNMAP_DMA. */

const PAGE = 0x1000n;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** Where UNMAP_DMA returns the size. */
const SIZE_AT = 16;

/** Pages of IOVA space, counted from 0: `[first, count]`. */
type Pages = readonly [first: number, count: number];

const range = ([first, count]: Pages) => ({ iova: BigInt(first) * PAGE, size: BigInt(count) * PAGE });

const logging = (s: Scenario, mapped: readonly Pages[]) => {
  const c = readyContainer(s, { memory: 0x200000n });
  for (const pages of mapped) c.map(range(pages)).succeeds();
  c.startDirty().succeeds();
  return c;
};

const bitmapMemory = (s: Scenario, words: number): Memory => s.main.memory(words * 8, { offset: 512, guard: true });

/** Mappings, the range that is unmapped, and the words of its bitmap. */
const UNMAPPED: Readonly<Record<string, readonly [mapped: readonly Pages[], asked: Pages, words: readonly bigint[]]>> =
  {
    'one page': [[[0, 1]], [0, 1], [1n]],
    'a whole word': [[[0, 64]], [0, 64], [ALL_ONES]],
    'one page more than a word': [[[0, 65]], [0, 65], [ALL_ONES, 1n]],
    'a range that begins below': [[[7, 2]], [5, 60], [0xcn]],
    'two mappings in one word': [
      [
        [0, 3],
        [3, 5],
      ],
      [0, 64],
      [0xffn],
    ],
    'two mappings and a hole': [
      [
        [2, 3],
        [9, 4],
      ],
      [0, 64],
      [0x1e1cn],
    ],
    'over the border of two words': [[[60, 8]], [0, 128], [0xfn << 60n, 0xfn]],
  };

clause('unmap/returned-size', () => {
  for (const [title, [mapped, asked, words]] of Object.entries(UNMAPPED)) {
    test(`with dirty pages: ${title}`, (s) => {
      const c = logging(s, mapped);
      const bitmap = bitmapMemory(s, words.length);
      const pages = mapped.reduce((sum, [, count]) => sum + count, 0);
      c.unmap({ ...range(asked), bitmap: { data: bitmap.at(), size: bitmap.size } }).shows(
        SIZE_AT,
        u64(BigInt(pages) * PAGE),
      );
      words.forEach((word, index) => void bitmap.read(BigInt(index) * 8n, 8n).shows(0, u64(word)));
      bitmap.guards().returns(0);
      s.main.lockedKb().returns(0);
    });
  }
  test('with dirty pages: nothing mapped, nothing written', (s) => {
    const c = logging(s, []);
    const bitmap = bitmapMemory(s, 1);
    bitmap.fill(0x5a).succeeds();
    c.unmap({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).shows(SIZE_AT, u64(0n));
    bitmap.read().shows(0, u64(0x5a5a_5a5a_5a5a_5a5an));
  });
  test('with dirty pages of what was mapped after START', (s) => {
    const c = logging(s, []);
    c.map(range([1, 2])).succeeds();
    const bitmap = bitmapMemory(s, 1);
    c.unmap({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).shows(SIZE_AT, u64(2n * PAGE));
    bitmap.read().shows(0, u64(6n));
  });
});

clause('unmap/v2-bisects', () => {
  each({ 'its first half': [0, 4], 'its second half': [4, 4], 'beyond it': [4, 64] } as const, (s, pages) => {
    const c = logging(s, [[0, 8]]);
    const bitmap = bitmapMemory(s, 2);
    bitmap.fill(0x5a).succeeds();
    c.unmap({ ...range(pages), bitmap: { data: bitmap.at(), size: 16n } }).refused('EINVAL');
    bitmap.read(0n, 8n).shows(0, u64(0x5a5a_5a5a_5a5a_5a5an));
    s.main.lockedKb().returns(32);
  });
});

clause('unmap/bitmap-while-not-tracking', () => {
  test('on v1, which never logs', (s) => {
    const c = readyContainer(s, { type: uapi.VFIO_TYPE1_IOMMU });
    c.map(range([0, 4])).succeeds();
    c.unmap({ ...range([0, 4]), bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).refused('EINVAL');
  });
});

clause('unmap/unwritable-bitmap', () => {
  test('the second mapping cannot be reported: the first is gone', (s) => {
    const c = logging(s, [
      [0, 1],
      [4096 * 8, 1],
    ]);
    // The first mapping's bit lies in the first page of the bitmap, the second's in the next.
    const bitmap = s.main.memory(2n * PAGE);
    bitmap.hole(PAGE, PAGE).succeeds();
    c.unmap({ iova: 0n, size: 8192n * 8n * PAGE, bitmap: { data: bitmap.at(), size: 2n * PAGE } }).refused('EFAULT');
    c.unmap(range([0, 1])).shows(SIZE_AT, u64(0n));
    c.unmap(range([4096 * 8, 1])).shows(SIZE_AT, u64(PAGE));
  });
});

clause('dirty/unwritable-bitmap', () => {
  test('its second page only', (s) => {
    const c = logging(s, [
      [0, 1],
      [4096 * 8, 1],
    ]);
    const bitmap = s.main.memory(2n * PAGE);
    bitmap.hole(PAGE, PAGE).succeeds();
    c.getDirty({ iova: 0n, size: 8192n * 8n * PAGE, bitmap: { data: bitmap.at(), size: 2n * PAGE } }).refused('EFAULT');
  });
  test('a part of it that no mapping needs', (s) => {
    const c = logging(s, [[0, 1]]);
    const bitmap = s.main.memory(2n * PAGE);
    bitmap.hole(PAGE, PAGE).succeeds();
    c.getDirty({ iova: 0n, size: 8192n * 8n * PAGE, bitmap: { data: bitmap.at(), size: 2n * PAGE } }).succeeds();
    bitmap.read(0n, 8n).shows(0, u64(1n));
  });
});

clause('dirty/bit-positions', () => {
  const places = Array.from({ length: 8 }, (_, index) => index);
  each(Object.fromEntries(places.map((place) => [`a bitmap ${place} bytes from a word`, place])), (s, place) => {
    const c = logging(s, [
      [3, 62],
      [100, 28],
    ]);
    const bitmap = s.main.memory(16, { offset: 512 + place, guard: true });
    c.getDirty({ ...range([0, 128]), bitmap: { data: bitmap.at(), size: 16n } }).succeeds();
    bitmap.read().shows(0, u64(0xffff_ffff_ffff_fff8n)).shows(8, u64(0xffff_fff0_0000_0001n));
    bitmap.guards().returns(0);
  });
  test('a bitmap over the border of two pages', (s) => {
    const c = logging(s, [[0, 128]]);
    const bitmap = s.main.memory(2n * PAGE);
    c.getDirty({ ...range([0, 128]), bitmap: { data: bitmap.at(PAGE - 8n), size: 16n } }).succeeds();
    bitmap
      .read(PAGE - 16n, 32n)
      .shows(0, u64(0n))
      .shows(8, u64(ALL_ONES))
      .shows(16, u64(ALL_ONES))
      .shows(24, u64(0n));
  });
  each({ 'to be read': READ, 'to be written': WRITE, 'for both': READ | WRITE }, (s, flags) => {
    const c = readyContainer(s);
    c.startDirty().succeeds();
    c.map({ ...range([1, 2]), flags }).succeeds();
    const bitmap = bitmapMemory(s, 1);
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read().shows(0, u64(6n));
  });
  each<Width>({ 'the last pages of 39 bits': 39, 'the last pages of 48 bits': 48 }, (s, width) => {
    s.needs(translates(width));
    const end = lastIova(width) + 1n;
    const c = readyContainer(s);
    c.startDirty().succeeds();
    c.map({ iova: end - 2n * PAGE, size: 2n * PAGE }).succeeds();
    const bitmap = bitmapMemory(s, 1);
    c.getDirty({ iova: end - 64n * PAGE, size: 64n * PAGE, bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read().shows(0, u64(3n << 62n));
  });
});

clause('dirty/every-page', () => {
  test('of 512 MiB: a bitmap of 16 KiB, full', (s) => {
    const c = readyContainer(s);
    const large = { iova: 0n, size: 0x2000_0000n };
    c.map({ ...large, vaddr: s.main.memory(large.size).at(), flags: READ }).succeeds();
    c.startDirty().succeeds();
    const bitmap = s.main.memory(0x4000, { offset: 8, guard: true });
    c.getDirty({ ...large, bitmap: { data: bitmap.at(), size: 0x4000n } }).succeeds();
    bitmap.read().shows(0, new Uint8Array(0x4000).fill(0xff));
    bitmap.guards().returns(0);
  });
  test('a bitmap of 32 MiB for 1 TiB with two mappings', (s) => {
    const c = readyContainer(s);
    c.map({ iova: 0n, size: PAGE }).succeeds();
    c.map({ iova: 0x7f_ffff_f000n, size: PAGE }).succeeds();
    c.startDirty().succeeds();
    const bitmap = s.main.memory(0x200_0000, { guard: true });
    c.getDirty({ iova: 0n, size: 1n << 40n, bitmap: { data: bitmap.at(), size: 0x200_0000n } }).succeeds();
    bitmap.read(0n, 16n).shows(0, u64(1n)).shows(8, u64(0n));
    bitmap
      .read(0x100_0000n - 8n, 16n)
      .shows(0, u64(1n << 63n))
      .shows(8, u64(0n));
    bitmap.hash();
    bitmap.guards().returns(0);
  });
  test('also those of another process', (s) => {
    const c = readyContainer(s);
    const child = s.main.forks();
    c.of(child)
      .map({ ...range([0, 4]), vaddr: child.memory(4n * PAGE).at() })
      .succeeds();
    s.main.kills(child).succeeds();
    c.startDirty().succeeds();
    const bitmap = bitmapMemory(s, 1);
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read().shows(0, u64(0xfn));
  });
});

clause('dirty/start', () => {
  test('is over when the last group leaves', (s) => {
    const c = logging(s, [[0, 1]]);
    const [group] = c.groups;
    group?.unsetContainer().succeeds();
    group?.setContainer(c).succeeds();
    c.setIommu(uapi.VFIO_TYPE1v2_IOMMU).succeeds();
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).refused('EINVAL');
    c.startDirty().succeeds();
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).succeeds();
  });
  test('goes on with a group that comes later', (s) => {
    const c = readyContainer(s, { groups: ['group0', 'group1'] });
    c.map(range([0, 2])).succeeds();
    c.startDirty().succeeds();
    c.groups[1]?.unsetContainer().succeeds();
    const bitmap = bitmapMemory(s, 1);
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read().shows(0, u64(3n));
    c.groups[1]?.setContainer(c).succeeds();
    c.getDirty({ ...range([0, 64]), bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
  });
});

clause('unmap/unwritable-argument', () => {
  test('with dirty pages', (s) => {
    const c = logging(s, [[0, 1]]);
    const arg = unmapArgument({ ...range([0, 1]), bitmap: { data: 0n, size: 8n } });
    const place = s.main.memory(PAGE);
    if (arg.kind === 'inline') for (const part of arg.segments) if ('bytes' in part) place.write(part.bytes);
    const bitmap = bitmapMemory(s, 1);
    place.link(40n, bitmap.at()).succeeds();
    place.protect('r').succeeds();
    c.ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, pointerTo(place.at())).refused('EFAULT');
    bitmap.read().shows(0, u64(1n));
    c.unmap(range([0, 1])).shows(SIZE_AT, u64(0n));
  });
});
