import {
  type Container,
  clause,
  each,
  inline,
  type Memory,
  NULL,
  pointerTo,
  readyContainer,
  type Scenario,
  test,
  u32,
  u64,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const PAGE = 0x1000n;
const { VFIO_IOMMU_DIRTY_PAGES_FLAG_START: START, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: STOP } = uapi;
const GET = uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;

/** Pages of IOVA space, counted from 0: `[first, count]`. */
type Pages = readonly [first: number, count: number];

const range = ([first, count]: Pages) => ({ iova: BigInt(first) * PAGE, size: BigInt(count) * PAGE });

/** The bitmap that pages set, in words of 64 bits, for a range that begins at page `from`. */
const bitmapOf = (words: number, from: number, mapped: readonly Pages[]): Uint8Array => {
  const bits = new Uint8Array(words * 8);
  for (const [first, count] of mapped) {
    for (let bit = first - from; bit < first - from + count; bit++) {
      const byte = bits[bit >> 3];
      if (byte !== undefined) bits[bit >> 3] = byte | (1 << (bit & 7));
    }
  }
  return bits;
};

/** A container that logs dirty pages, with these mappings. */
const logging = (s: Scenario, mapped: readonly Pages[]) => {
  const c = readyContainer(s, { memory: 0x100000n });
  for (const pages of mapped) c.map(range(pages)).succeeds();
  c.startDirty().succeeds();
  return c;
};

/** Room for `words` words of bitmap, zeroed, with bytes that must stay on both sides. */
const bitmapMemory = (s: Scenario, words: number): Memory => s.main.memory(words * 8, { offset: 512, guard: true });

const get = (c: Container, pages: Pages, bitmap: Memory, size = bitmap.size) =>
  c.getDirty({ ...range(pages), bitmap: { data: bitmap.at(), size } });

clause('dirty/start', () => {
  test('once', (s) => void readyContainer(s).startDirty().returns(0));
  test('again changes nothing', (s) => {
    const c = logging(s, [[0, 4]]);
    c.startDirty().returns(0);
    get(c, [0, 64], bitmapMemory(s, 1)).succeeds();
  });
  test('with mappings made before and after', (s) => {
    const c = logging(s, [[0, 4]]);
    c.map(range([4, 4])).succeeds();
    const bitmap = bitmapMemory(s, 1);
    get(c, [0, 64], bitmap).succeeds();
    bitmap.read().shows(0, bitmapOf(1, 0, [[0, 8]]));
  });
});

clause('dirty/stop', () => {
  test('never started', (s) => void readyContainer(s).stopDirty().returns(0));
  test('twice', (s) => {
    const c = logging(s, [[0, 1]]);
    c.stopDirty().returns(0);
    c.stopDirty().returns(0);
    c.startDirty().returns(0);
    get(c, [0, 64], bitmapMemory(s, 1)).succeeds();
  });
});

clause('dirty/not-tracking', () => {
  test('before START', (s) => void get(readyContainer(s), [0, 64], bitmapMemory(s, 1)).refused('EINVAL'));
  test('after STOP', (s) => {
    const c = logging(s, [[0, 1]]);
    c.stopDirty().succeeds();
    get(c, [0, 64], bitmapMemory(s, 1)).refused('EINVAL');
  });
});

clause('dirty/needs-v2', () => {
  each({ START, STOP, GET_BITMAP: GET, nothing: 0 }, (s, flags) => {
    const c = readyContainer(s, { type: uapi.VFIO_TYPE1_IOMMU });
    c.getDirty({ ...range([0, 64]), flags, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).refused('EACCES');
  });
});

clause('dirty/unreadable-argument', () => {
  test('null', (s) => void readyContainer(s).ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, NULL).refused('EFAULT'));
});

clause('dirty/argsz', () => {
  each({ '0': 0, '4': 4, '7': 7 }, (s, argsz) => {
    readyContainer(s)
      .ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, inline(Buffer.concat([u32(argsz), u32(START)])))
      .refused('EINVAL');
  });
  each({ '8': 8, '9': 9, '48': 48 }, (s, argsz) => {
    readyContainer(s)
      .ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, inline(Buffer.concat([u32(argsz), u32(START)])))
      .succeeds();
  });
});

clause('dirty/unknown-flags', () => {
  const bits = Array.from({ length: 29 }, (_, index) => index + 3);
  each(Object.fromEntries(bits.map((bit) => [`bit ${bit}`, bit])), (s, bit) => {
    const flags = u32((1 << bit) >>> 0);
    readyContainer(s)
      .ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, inline(Buffer.concat([u32(8), flags])))
      .refused('EINVAL');
  });
});

clause('dirty/one-flag', () => {
  each(
    {
      none: 0,
      'START and STOP': START | STOP,
      'START and GET': START | GET,
      'STOP and GET': STOP | GET,
      all: START | STOP | GET,
    },
    (s, flags) => {
      const c = logging(s, [[0, 1]]);
      c.getDirty({ ...range([0, 64]), flags, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).refused('EINVAL');
    },
  );
});

clause('dirty/range-argsz', () => {
  each({ '8': 8, '32': 32, '47': 47 }, (s, argsz) => {
    logging(s, [[0, 1]])
      .getDirty({ ...range([0, 64]), argsz, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } })
      .refused('EINVAL');
  });
  each({ '48': 48, '49': 49, '4096': 4096 }, (s, argsz) => {
    logging(s, [[0, 1]])
      .getDirty({ ...range([0, 64]), argsz, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } })
      .succeeds();
  });
});

clause('dirty/zero-size', () => {
  test('size 0', (s) => void get(logging(s, [[0, 1]]), [0, 0], bitmapMemory(s, 1)).refused('EINVAL'));
});

clause('dirty/unaligned', () => {
  each(
    {
      'iova by one byte': { iova: 1n, size: PAGE },
      'size by one byte': { iova: 0n, size: PAGE + 1n },
      'iova by half a page': { iova: 0x800n, size: PAGE },
    },
    (s, asked) => {
      logging(s, [[0, 1]])
        .getDirty({ ...asked, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } })
        .refused('EINVAL');
    },
  );
});

clause('dirty/wraps', () => {
  test('by one page', (s) => {
    const asked = { iova: 0xfffffffffffff000n, size: 2n * PAGE };
    logging(s, [[0, 1]])
      .getDirty({ ...asked, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } })
      .refused('EINVAL', 'EOVERFLOW');
  });
});

clause('dirty/page-size', () => {
  each(
    { '0': 0n, '1': 1n, '2048': 2048n, '8192': 8192n, '2 MiB': 0x200000n, 'no power of two': 4097n },
    (s, pgsize) => {
      const c = logging(s, [[0, 1]]);
      c.getDirty({ ...range([0, 64]), bitmap: { data: bitmapMemory(s, 64).at(), size: 512n, pgsize } }).refused(
        'EINVAL',
      );
    },
  );
});

clause('dirty/bitmap-too-small', () => {
  each(
    {
      'no bytes': [64, 0n],
      'one byte short of a word': [64, 7n],
      'one word for 65 pages': [65, 8n],
      'two words for 129 pages': [129, 16n],
      'a byte for a page': [1, 1n],
    } as const,
    (s, [pages, size]) => void get(logging(s, [[0, 1]]), [0, pages], bitmapMemory(s, 3), size).refused('EINVAL'),
  );
  each(
    {
      'one word for 64 pages is enough': [64, 8n],
      'two words for 65': [65, 16n],
      'three words for 64': [64, 24n],
    } as const,
    (s, [pages, size]) => void get(logging(s, [[0, 1]]), [0, pages], bitmapMemory(s, 3), size).succeeds(),
  );
});

clause('dirty/bitmap-too-large', () => {
  test('256 MiB and a word', (s) =>
    void get(logging(s, [[0, 1]]), [0, 64], bitmapMemory(s, 1), (1n << 28n) + 8n).refused('EINVAL'));
  test('256 MiB', (s) => void get(logging(s, [[0, 1]]), [0, 64], bitmapMemory(s, 1), 1n << 28n).succeeds());
});

clause('dirty/bisects', () => {
  each(
    {
      'its first half': [8, 4],
      'its second half': [12, 4],
      'its middle': [10, 2],
      'from below into it': [0, 10],
      'from it to beyond': [10, 64],
    } as const,
    (s, pages) => void get(logging(s, [[8, 8]]), pages, bitmapMemory(s, 2)).refused('EINVAL'),
  );
});

clause('dirty/unwritable-bitmap', () => {
  test('null', (s) =>
    void logging(s, [[0, 1]])
      .getDirty({ ...range([0, 64]), bitmap: { data: 0n, size: 8n } })
      .refused('EFAULT'));
  test('read-only', (s) => {
    const bitmap = s.main.memory(PAGE, { prot: 'r' });
    get(logging(s, [[0, 1]]), [0, 64], bitmap, 8n).refused('EFAULT');
  });
  test('null, and nothing mapped', (s) =>
    void logging(s, [])
      .getDirty({ ...range([0, 64]), bitmap: { data: 0n, size: 8n } })
      .succeeds());
});

/** Mappings, the range that is asked for, and how many words the answer has. */
const SHAPES: Readonly<Record<string, readonly [mapped: readonly Pages[], asked: Pages, words: number]>> = {
  'one page': [[[0, 1]], [0, 64], 1],
  'a whole word': [[[0, 64]], [0, 64], 1],
  'one page more than a word': [[[0, 65]], [0, 65], 2],
  'one page less than a word': [[[0, 63]], [0, 63], 1],
  'the last page of a word': [[[63, 1]], [0, 64], 1],
  'over the border of two words': [[[60, 8]], [0, 128], 2],
  'two mappings in one word': [
    [
      [0, 3],
      [3, 5],
    ],
    [0, 64],
    1,
  ],
  'two mappings with a hole in one word': [
    [
      [2, 3],
      [9, 4],
    ],
    [0, 64],
    1,
  ],
  'three mappings that meet within words': [
    [
      [1, 40],
      [41, 40],
      [81, 40],
    ],
    [0, 128],
    2,
  ],
  'a range that begins at a mapping': [[[7, 9]], [7, 64], 1],
  'a range that begins below a mapping': [[[7, 9]], [5, 64], 1],
};

clause('dirty/bit-positions', () => {
  each(SHAPES, (s, [mapped, asked, words]) => {
    const c = logging(s, mapped);
    const bitmap = bitmapMemory(s, words);
    get(c, asked, bitmap).succeeds();
    bitmap.read().shows(0, bitmapOf(words, asked[0], mapped));
    bitmap.guards().returns(0);
  });
});

clause('dirty/every-page', () => {
  test('read again', (s) => {
    const c = logging(s, [[0, 64]]);
    const bitmap = bitmapMemory(s, 1);
    for (const _ of ['first', 'second', 'third']) {
      bitmap.fill(0).succeeds();
      get(c, [0, 64], bitmap).succeeds();
      bitmap.read().shows(0, u64(0xffffffffffffffffn));
    }
  });
});

clause('dirty/written-words', () => {
  test('words before and after a mapping stay', (s) => {
    const c = logging(s, [[64, 64]]);
    const bitmap = bitmapMemory(s, 3);
    bitmap.fill(0x5a).succeeds();
    get(c, [0, 192], bitmap).succeeds();
    bitmap.read(0n, 8n).shows(0, u64(0x5a5a5a5a5a5a5a5an));
    bitmap.read(8n, 8n).shows(0, u64(0xffffffffffffffffn));
    bitmap.read(16n, 8n).shows(0, u64(0x5a5a5a5a5a5a5a5an));
  });
  test('a larger bitmap than the range needs', (s) => {
    const c = logging(s, [[0, 64]]);
    const bitmap = bitmapMemory(s, 3);
    bitmap.fill(0x5a).succeeds();
    get(c, [0, 64], bitmap).succeeds();
    bitmap.read(8n, 16n).succeeds();
  });
});

clause('dirty/holes', () => {
  test('aligned, read twice', (s) => {
    const c = logging(s, [[0, 2]]);
    const bitmap = bitmapMemory(s, 1);
    for (const _ of ['first', 'second']) {
      get(c, [0, 64], bitmap).succeeds();
      bitmap.read().shows(0, u64(3n));
    }
  });
  test('shifted, read again', (s) => {
    const c = logging(s, [[3, 2]]);
    const bitmap = bitmapMemory(s, 1);
    for (const _ of ['first', 'second']) {
      bitmap.fill(0).succeeds();
      get(c, [0, 8], bitmap).succeeds();
      bitmap.read().shows(0, u64(0x18n));
    }
  });
});

clause('dirty/get-bitmap', () => {
  test('of nothing', (s) => void get(logging(s, []), [0, 64], bitmapMemory(s, 1)).returns(0));
});

const unmapWith = (c: Container, pages: Pages, bitmap: Memory, size = bitmap.size, pgsize = PAGE) =>
  c.unmap({ ...range(pages), bitmap: { data: bitmap.at(), size, pgsize } });

clause('unmap/bitmap-while-not-tracking', () => {
  test('never started', (s) => {
    const c = readyContainer(s);
    c.map(range([0, 4])).succeeds();
    unmapWith(c, [0, 4], bitmapMemory(s, 1)).refused('EINVAL');
    c.unmap(range([0, 4])).shows(16, u64(4n * PAGE));
  });
});

clause('unmap/bitmap-page-size', () => {
  each(
    { '8192': 8192n, '2 MiB': 0x200000n },
    (s, pgsize) => void unmapWith(logging(s, [[0, 4]]), [0, 4], bitmapMemory(s, 1), 8n, pgsize).refused('EINVAL'),
  );
});

clause('unmap/bitmap-too-small', () => {
  each(
    { 'no bytes': 0n, 'one byte short': 7n },
    (s, size) => void unmapWith(logging(s, [[0, 4]]), [0, 4], bitmapMemory(s, 1), size).refused('EINVAL'),
  );
});

clause('unmap/bitmap-too-large', () => {
  test('256 MiB and a word', (s) =>
    void unmapWith(logging(s, [[0, 4]]), [0, 4], bitmapMemory(s, 1), (1n << 28n) + 8n).refused('EINVAL'));
});

clause('unmap/bitmap-argsz', () => {
  each({ '24': 24, '47': 47 }, (s, argsz) => {
    const c = logging(s, [[0, 4]]);
    c.unmap({ ...range([0, 4]), argsz, bitmap: { data: bitmapMemory(s, 1).at(), size: 8n } }).refused('EINVAL');
  });
});

clause('unmap/unwritable-bitmap', () => {
  test('null: the mapping stays', (s) => {
    const c = logging(s, [[0, 4]]);
    c.unmap({ ...range([0, 4]), bitmap: { data: 0n, size: 8n } }).refused('EFAULT');
    c.unmap(range([0, 4])).shows(16, u64(4n * PAGE));
  });
});

clause('unmap/returned-size', () => {
  test('with the dirty pages of what is unmapped', (s) => {
    const c = logging(s, [
      [2, 3],
      [9, 4],
    ]);
    const bitmap = bitmapMemory(s, 1);
    unmapWith(c, [0, 64], bitmap).shows(16, u64(7n * PAGE));
    bitmap.read().shows(
      0,
      bitmapOf(1, 0, [
        [2, 3],
        [9, 4],
      ]),
    );
    bitmap.guards().returns(0);
  });
});

clause('dirty/unreadable-range', () => {
  test('only argsz and flags can be read', (s) => {
    const c = logging(s, [[0, 1]]);
    const memory = s.main.memory(PAGE);
    memory.write(Buffer.concat([u32(48), u32(GET)]), PAGE - 8n).succeeds();
    c.ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, pointerTo(memory.at(PAGE - 8n))).refused('EFAULT');
  });
});

clause('dirty/bitmap-address', () => {
  each({ 'beyond user memory': 0xffff_8000_0000_0000n, 'at the top': 0xffff_ffff_ffff_f000n }, (s, data) => {
    logging(s, [[0, 64]])
      .getDirty({ ...range([0, 64]), bitmap: { data, size: 8n } })
      .refused('EINVAL', 'EFAULT');
  });
});
