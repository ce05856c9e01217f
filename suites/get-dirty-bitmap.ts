import { emulated, PIN_READ } from '../harness/cases/emulated.ts';
import {
  type Container,
  clause,
  each,
  inline,
  NULL,
  pointerTo,
  readyContainer,
  type Said,
  type Scenario,
  test,
  u64,
} from '../harness/cases/index.ts';
import {
  getDirtyBitmapPosted,
  getDirtyBitmapReviewed,
  VFIO_IOMMU_GET_DIRTY_BITMAP,
} from '../harness/uapi/get-dirty-bitmap.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';
import { VFIO_TYPE1_IOMMU } from '../harness/uapi/vfio.ts';

/* The dirty bitmap that was posted in 2018: what the posted form tells, and what the reviewed one does. */

const PAGE = 0x1000n;
const A = { iova: 0x100000n, size: 0x10000n };
const page = (index: number): bigint => A.iova + BigInt(index) * PAGE;
/** What the memory for a bitmap holds before. */
const BEFORE = 0xee;
const before = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(BEFORE);

/** A container without an IOMMU, with one mapping of 16 pages. */
const mapped = (s: Scenario) => {
  const both = emulated(s);
  both.c.map(A).succeeds();
  return both;
};

const HEAD = sizeOf(getDirtyBitmapPosted);

/** The posted form, with room for so many bytes of bitmap. */
const posted = (c: Container, start: bigint, pages: number, room = 64): Said =>
  c.ioctl(
    VFIO_IOMMU_GET_DIRTY_BITMAP,
    inline(encode(getDirtyBitmapPosted, { start_addr: start, page_nr: BigInt(pages), dirty_bitmap: before(room) })),
  );

clause('get-dirty-bitmap/gets-pinned', () => {
  test('its argument stays as it was', (s) => {
    const { c } = mapped(s);
    posted(c, A.iova, 16).returns(0);
  });
  test('on v1', (s) => {
    const c = readyContainer(s, { type: VFIO_TYPE1_IOMMU });
    c.map(A).succeeds();
    posted(c, A.iova, 16).returns(0).shows(HEAD, u64(0n));
  });
  test('of pages that are not mapped', (s) => void posted(readyContainer(s), 0n, 64).returns(0).shows(HEAD, u64(0n)));
});

clause('get-dirty-bitmap/pinned-pages', () => {
  const shown = (c: Container, start: bigint, pages: number, ...words: readonly bigint[]): void => {
    const said = posted(c, start, pages).returns(0);
    for (const [index, word] of words.entries()) said.shows(HEAD + index * 8, u64(word));
  };
  test('nothing is pinned', (s) => {
    const { c } = mapped(s);
    shown(c, A.iova, 16, 0n);
  });
  test('what is mapped for an IOMMU is not pinned by a device', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    shown(c, A.iova, 16, 0n);
  });
  test('to read and to write', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(1), 2).succeeds();
    d.pins(page(7), 1, PIN_READ).succeeds();
    shown(c, A.iova, 16, 0x86n);
    shown(c, A.iova, 16, 0x86n);
  });
  test('what was unpinned is not told, though it may have been written', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(1), 2).succeeds();
    d.writes(page(3), 8).succeeds();
    d.unpins(page(2)).succeeds();
    shown(c, A.iova, 16, 2n);
    d.unpinsAll().succeeds();
    shown(c, A.iova, 16, 0n);
  });
  test('some pages of a mapping', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(4), 8).succeeds();
    shown(c, page(6), 3, 7n);
    shown(c, page(11), 1, 1n);
    shown(c, page(12), 1, 0n);
  });
  test('in two mappings', (s) => {
    const { c, d } = mapped(s);
    c.map({ iova: page(20), size: 4n * PAGE, vaddr: c.memory.at() }).succeeds();
    d.pins(page(15)).succeeds();
    d.pins(page(20)).succeeds();
    shown(c, page(-2), 64, (1n << 17n) | (1n << 22n));
  });
  test('over words', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(0), 2).succeeds();
    shown(c, page(-63), 65, 1n << 63n, 1n);
  });
  test('from within a page', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(0), 4).succeeds();
    shown(c, page(0) + 1n, 4, 0n);
    shown(c, page(0) + 0x800n, 4, 0n);
  });
  test('from the last page on to the first', (s) => {
    const { c, d } = emulated(s);
    c.map({ iova: 0n, size: PAGE }).succeeds();
    d.pins(0n).succeeds();
    shown(c, (1n << 64n) - PAGE, 2, 2n);
  });
});

clause('get-dirty-bitmap/one-word-more', () => {
  each(
    {
      'no pages': [0, 8],
      'one page': [1, 16],
      'a word': [64, 16],
      'a word and one page': [65, 24],
      'a page of words': [32768, 4104],
    } as const,
    (s, [pages, written]) => {
      const { c } = mapped(s);
      posted(c, A.iova, pages, written + 8)
        .returns(0)
        .shows(HEAD, new Uint8Array(written));
    },
  );
});

clause('get-dirty-bitmap/unreadable-argument', () => {
  test('null', (s) => void readyContainer(s).ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, NULL).refused('EFAULT'));
  test('half of it', (s) => {
    const c = readyContainer(s);
    const memory = s.main.memory(PAGE);
    memory.fill(0);
    c.ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, pointerTo(memory.at(PAGE - 8n))).refused('EFAULT');
  });
});

clause('get-dirty-bitmap/unwritable-words', () => {
  /** The argument at the end of a page: with room for so many bytes of bitmap. */
  const atTheEnd = (s: Scenario, c: Container, pages: number, room: number): Said => {
    const memory = s.main.memory(PAGE);
    const offset = PAGE - BigInt(HEAD + room);
    memory.write(
      encode(getDirtyBitmapPosted, { start_addr: A.iova, page_nr: BigInt(pages), dirty_bitmap: new Uint8Array(0) }),
      offset,
    );
    return c.ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, pointerTo(memory.at(offset)));
  };
  test('no room for the word that no page needs', (s) => {
    const { c } = mapped(s);
    atTheEnd(s, c, 64, 8).refused('EFAULT');
    atTheEnd(s, c, 64, 16).returns(0);
    atTheEnd(s, c, 0, 0).refused('EFAULT');
  });
  test('memory that can only be read', (s) => {
    const { c } = mapped(s);
    const memory = s.main.memory(PAGE);
    memory.write(encode(getDirtyBitmapPosted, { start_addr: A.iova, page_nr: 1n, dirty_bitmap: new Uint8Array(0) }));
    memory.protect('r');
    c.ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, pointerTo(memory.at())).refused('EFAULT');
  });
});

const SIZE = sizeOf(getDirtyBitmapReviewed);
const bytesFor = (pages: bigint): number => Number((pages + 63n) / 64n) * 8;

interface Asked {
  readonly start?: bigint;
  readonly pages?: bigint;
  readonly argsz?: number;
  readonly flags?: number;
  /** Bytes behind the structure; as many as the pages need unless a case says otherwise. */
  readonly room?: number;
}

/** The reviewed form: the 16 pages that are mapped, unless a case asks for others. */
const reviewed = (c: Container, { start = A.iova, pages = 16n, flags = 0, ...given }: Asked = {}): Said => {
  const room = given.room ?? bytesFor(pages);
  const argsz = given.argsz ?? SIZE + room;
  const bytes = encode(getDirtyBitmapReviewed, {
    argsz,
    flags,
    start_addr: start,
    page_nr: pages,
    dirty_bitmap: before(room),
  });
  return c.ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, inline(bytes));
};

/** The reviewed form at the end of a page, with room for so many bytes of bitmap before the memory ends. */
const reviewedAtTheEnd = (
  s: Scenario,
  c: Container,
  { start = A.iova, pages = 16n, room = 0, argsz = SIZE + bytesFor(pages) }: Asked = {},
) => {
  const memory = s.main.memory(PAGE);
  const offset = PAGE - BigInt(SIZE + room);
  memory.write(
    encode(getDirtyBitmapReviewed, { argsz, start_addr: start, page_nr: pages, dirty_bitmap: new Uint8Array(0) }),
    offset,
  );
  return { memory, offset, said: c.ioctl(VFIO_IOMMU_GET_DIRTY_BITMAP, pointerTo(memory.at(offset))) };
};

/** The dirty pages of the mapping, or of others, as words. */
const dirtyAre = (c: Container, words: bigint | readonly bigint[], asked: Asked = {}): void => {
  const said = reviewed(c, asked).returns(0);
  for (const [index, word] of [words].flat().entries()) said.shows(SIZE + index * 8, u64(word));
};

clause('get-dirty-bitmap/gets', () => {
  test('nothing is dirty', (s) => dirtyAre(mapped(s).c, 0n));
  test('nothing is mapped', (s) => dirtyAre(readyContainer(s), [0n, 0n], { start: 0n, pages: 100n }));
  test('on v1', (s) => {
    const c = readyContainer(s, { type: VFIO_TYPE1_IOMMU });
    c.map(A).succeeds();
    dirtyAre(c, 0n);
  });
});

clause('get-dirty-bitmap/argsz', () => {
  each(
    {
      'no size': 0,
      'a byte less than the structure': SIZE - 1,
      'no bitmap': SIZE,
      'a byte less than the bitmap': SIZE + 15,
    },
    (s, argsz) => {
      const { c, d } = mapped(s);
      d.writes(page(0), 1).succeeds();
      reviewed(c, { pages: 65n, argsz }).refused('EINVAL');
      dirtyAre(c, 1n);
    },
  );
  test('more than is needed', (s) => dirtyAre(mapped(s).c, 0n, { argsz: SIZE + 4096, room: 64 }));
});

clause('get-dirty-bitmap/flags', () => {
  each({ 'the lowest': 1, 'the highest': 0x8000_0000, 'all of them': 0xffff_ffff }, (s, flags) => {
    const { c, d } = mapped(s);
    d.writes(page(0), 1).succeeds();
    reviewed(c, { flags }).refused('EINVAL');
    dirtyAre(c, 1n);
  });
});

clause('get-dirty-bitmap/unaligned', () => {
  each({ 'by one byte': 1n, 'by half a page': 0x800n, 'by a byte less than a page': 0xfffn }, (s, by) => {
    reviewed(mapped(s).c, { start: A.iova + by }).refused('EINVAL');
  });
});

clause('get-dirty-bitmap/no-pages', () => {
  test('none', (s) => void reviewed(mapped(s).c, { pages: 0n, room: 64 }).refused('EINVAL'));
});

clause('get-dirty-bitmap/page-limit', () => {
  each(
    { 'one too many': 1n << 31n, 'as many as there are': 1n << 52n, 'more than there are': (1n << 64n) - 1n },
    (s, pages) => {
      reviewed(mapped(s).c, { start: 0n, pages, room: 64, argsz: 0xffff_ffff }).refused('EINVAL');
    },
  );
  test('exactly as many', (s) => {
    // They are accepted: it is their bitmap that cannot be written.
    const { c } = mapped(s);
    reviewedAtTheEnd(s, c, { start: 0n, pages: (1n << 31n) - 1n }).said.refused('EFAULT');
  });
});

clause('get-dirty-bitmap/wraps', () => {
  test('by one page', (s) => void reviewed(mapped(s).c, { start: (1n << 64n) - PAGE, pages: 2n }).refused('EINVAL'));
  test('as many as can be asked for', (s) => {
    const pages = (1n << 31n) - 1n;
    const { c } = mapped(s);
    const last = (1n << 64n) - pages * PAGE;
    reviewedAtTheEnd(s, c, { start: last, pages }).said.refused('EFAULT');
    reviewedAtTheEnd(s, c, { start: last + PAGE, pages }).said.refused('EINVAL');
  });
  test('exactly up to the top', (s) => dirtyAre(mapped(s).c, 0n, { start: (1n << 64n) - PAGE, pages: 1n }));
});

clause('get-dirty-bitmap/exact-size', () => {
  each(
    { 'one page': [1n, 8], 'a word': [64n, 8], 'a word and one page': [65n, 16] } as const,
    (s, [pages, written]) => {
      const { c } = mapped(s);
      reviewed(c, { pages, argsz: SIZE + written, room: written + 24 })
        .returns(0)
        .shows(SIZE, new Uint8Array(written));
    },
  );
});

clause('get-dirty-bitmap/dirty-when-written', () => {
  test('pinned to be written', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(2), 2).succeeds();
    dirtyAre(c, 0xcn);
  });
  test('not what is pinned to be read', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(2), 2, PIN_READ).succeeds();
    dirtyAre(c, 0n);
  });
  test('pinned, written, and unpinned', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(5)).succeeds();
    d.fills(1);
    d.stores(page(5), 8).succeeds();
    d.unpins(page(5)).succeeds();
    dirtyAre(c, 0x20n);
    dirtyAre(c, 0n);
  });
  test('of a device that was closed', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(5)).succeeds();
    d.close().succeeds();
    dirtyAre(c, 0x20n);
  });
  each(
    {
      'a byte': [page(3), 1, 8n],
      'two pages': [page(4) - 1n, 2, 0x18n],
      'a page, not aligned': [page(0) + 1n, 0x1000, 3n],
    } as const,
    (s, [iova, size, word]) => {
      const { c, d } = mapped(s);
      d.writes(iova, size).succeeds();
      dirtyAre(c, word);
      dirtyAre(c, 0n);
    },
  );
  test('not by reading', (s) => {
    const { c, d } = mapped(s);
    d.reads(page(3), 8).succeeds();
    dirtyAre(c, 0n);
  });
  test('not when pinning was refused', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(14), 3).refused('EINVAL');
    dirtyAre(c, 0n);
  });
  test('in two mappings and over words', (s) => {
    const { c, d } = mapped(s);
    c.map({ iova: page(60), size: 8n * PAGE, vaddr: c.memory.at() }).succeeds();
    for (const one of [0, 15, 63, 64]) d.writes(page(one), 1).succeeds();
    dirtyAre(c, [(1n << 63n) | 0x8001n, 1n], { pages: 80n });
    dirtyAre(c, [0n, 0n], { pages: 80n });
  });
  test('some of them at a time', (s) => {
    const { c, d } = mapped(s);
    for (const one of [1, 2, 3]) d.writes(page(one), 1).succeeds();
    dirtyAre(c, 1n, { start: page(2), pages: 1n });
    dirtyAre(c, 0xan);
  });
  test('no more when the mapping ended', (s) => {
    const { c, d } = mapped(s);
    d.writes(page(1), 1).succeeds();
    c.unmap(A).succeeds();
    dirtyAre(c, 0n);
    c.map(A).succeeds();
    dirtyAre(c, 0n);
  });
  test('without anything to start it', (s) => {
    const { c, d } = emulated(s, { groups: ['group0', 'emulated0'] });
    c.map(A).succeeds();
    d.writes(page(1), 1).succeeds();
    dirtyAre(c, 2n);
  });
});

clause('get-dirty-bitmap/dirty-while-pinned', () => {
  test('at every call until it is unpinned', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(2)).succeeds();
    dirtyAre(c, 4n);
    dirtyAre(c, 4n);
    d.unpins(page(2)).succeeds();
    dirtyAre(c, 4n);
    dirtyAre(c, 0n);
  });
  test('pinned to be read, and then to be written', (s) => {
    const { c, d } = mapped(s);
    d.pins(page(2), 1, PIN_READ).succeeds();
    dirtyAre(c, 0n);
    d.pins(page(2)).succeeds();
    d.unpins(page(2)).succeeds();
    dirtyAre(c, 4n);
    dirtyAre(c, 4n);
    d.unpins(page(2)).succeeds();
    dirtyAre(c, 4n);
    dirtyAre(c, 0n);
  });
});

clause('get-dirty-bitmap/unwritable-bitmap', () => {
  test('the call fails and forgets nothing', (s) => {
    const { c, d } = mapped(s);
    d.writes(page(1), 1).succeeds();
    d.pins(page(2)).succeeds();
    d.unpinsAll().succeeds();
    reviewedAtTheEnd(s, c).said.refused('EFAULT');
    dirtyAre(c, 6n);
  });
  test('memory that ends exactly behind the bitmap', (s) => {
    const { c, d } = mapped(s);
    d.writes(page(1), 1).succeeds();
    const { memory, offset, said } = reviewedAtTheEnd(s, c, { room: 8 });
    said.returns(0);
    memory.read(offset, BigInt(SIZE + 8)).shows(SIZE, u64(2n));
  });
});
