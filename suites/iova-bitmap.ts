import { clause, each, IOVA_BITMAP_TEST, inline, type Memory, type Scenario, test } from '../harness/cases/index.ts';
import {
  EACH_WINDOW,
  IOVA_BITMAP_TEST_WALK,
  RANGE_CLIPPED,
  rangeArg,
  walkArg,
  windowArg,
} from '../harness/uapi/iova-bitmap-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

const K4 = 0x1000n;
const M = 0x100000n;
const G = 0x40000000n;
const BASE = G;

interface Mark {
  readonly iova: bigint;
  readonly length: bigint;
  /** Handed on as it is, also where it leaves the window. */
  readonly whole?: true;
  readonly window?: number;
}

interface Walk {
  readonly iova?: bigint;
  readonly length: bigint;
  readonly pageSize?: bigint;
  /** Where the bitmap begins in its first page; bytes. */
  readonly offset?: number;
  readonly marks: readonly Mark[];
  readonly fails?: { readonly window: number; readonly errno: number };
  /** Pages of the bitmap's memory; 2 unless given. */
  readonly pages?: number;
  /** Done to the memory before the walk. */
  readonly prepare?: (memory: Memory) => void;
  /** A byte that the bitmap is full of before. */
  readonly before?: number;
}

/** What an argument says beside the range and what is set. */
type Asked = { readonly [Key in 'iova' | 'pageSize' | 'offset' | 'fails']?: Walk[Key] | undefined };

const ROOM = 4;

/** The argument of a walk over a bitmap in a memory. */
const argument = (
  { iova = BASE, length, pageSize = K4, offset = 0, marks, fails }: Pick<Walk, 'length' | 'marks'> & Asked,
  memory: Memory,
) => {
  const ranges = marks.map((mark) =>
    encode(rangeArg, {
      iova: mark.iova,
      length: mark.length,
      window: mark.window ?? EACH_WINDOW,
      flags: mark.whole === true ? 0 : RANGE_CLIPPED,
    }),
  );
  const argsz = sizeOf(walkArg) + ranges.length * sizeOf(rangeArg) + ROOM * sizeOf(windowArg);
  const header = encode(walkArg, {
    ...{ argsz, iova, length, page_size: pageSize, bitmap: 0n, nr_ranges: marks.length, nr_windows: ROOM },
    ...(fails === undefined ? {} : { fail_window: fails.window, fail_errno: fails.errno }),
  });
  const bytes = new Uint8Array(argsz);
  bytes.set(Buffer.concat([header, ...ranges]));
  const place = { kind: 'pointer', at: offsetOf(walkArg, 'bitmap'), place: memory.at(offset) } as const;
  return { bytes, place };
};

/** Walks a bitmap; afterwards all of its memory is read, whatever page it is in. */
const walk = (
  s: Scenario,
  { iova = BASE, length, pageSize = K4, offset = 0, marks, fails, pages = 2, ...more }: Walk,
) => {
  s.needs(IOVA_BITMAP_TEST);
  const memory = s.main.memory(BigInt(pages) * K4);
  memory.fill(more.before ?? 0).succeeds();
  more.prepare?.(memory);
  const file = s.main.opens('/dev/iova-bitmap-test', 'walk');
  const { bytes, place } = argument({ iova, length, pageSize, offset, marks, fails }, memory);
  const said = s.main.does({ op: 'ioctl', fd: file, request: IOVA_BITMAP_TEST_WALK, arg: inline(bytes, place) });
  for (let page = 0n; page < BigInt(Math.min(pages, 4)); page++) memory.read(page * K4, K4);
  if (pages > 4) {
    memory.read(BigInt(pages - 1) * K4, K4);
    s.main.does({ op: 'hash', name: memory.name, offset: 0n, size: memory.size });
  }
  return { memory, said };
};

/** A walk with the bitmap at each byte of a page in turn; what is in its memory after each is told by a hash. */
const sweep = (s: Scenario, { length, marks }: Pick<Walk, 'length' | 'marks'>) => {
  s.needs(IOVA_BITMAP_TEST);
  const memory = s.main.memory(2n * K4);
  const file = s.main.opens('/dev/iova-bitmap-test', 'walk');
  const { bytes, place } = argument({ length, marks }, memory);
  s.repeat(Number(K4), () => {
    memory.fill(0);
    const stride = { kind: 'stride', at: offsetOf(walkArg, 'bitmap'), stride: 1n } as const;
    s.main.does({ op: 'ioctl', fd: file, request: IOVA_BITMAP_TEST_WALK, arg: inline(bytes, place, stride) });
    s.main.does({ op: 'hash', name: memory.name, offset: 0n, size: 2n * K4 });
  });
};

const all = (length: bigint, iova = BASE): readonly Mark[] => [{ iova, length }];
const at = (page: bigint, pages: bigint): Mark => ({ iova: BASE + page * K4, length: pages * K4 });

clause('iova-bitmap/set-range', () => {
  each(
    {
      'one page': { length: M, marks: [at(3n, 1n)] },
      'across a byte': { length: M, marks: [at(7n, 2n)] },
      'across a word': { length: M, marks: [at(63n, 2n)] },
      'across a page of the bitmap, 128 MiB': { length: 256n * M, marks: [at(32767n, 2n)] },
      'all of two pages of the bitmap': { length: 256n * M, marks: all(256n * M) },
      overlapping: { length: M, marks: [at(0n, 8n), at(4n, 8n)] },
      'the last page': { length: M, marks: [at(255n, 1n)] },
      'a range that touches two pages': { length: M, marks: [{ iova: BASE + 0x800n, length: K4 }] },
      'one byte': { length: M, marks: [{ iova: BASE + 0x1fffn, length: 1n }] },
      'up to the middle of a page': { length: M, marks: [{ iova: BASE, length: 3n * K4 + 1n }] },
    },
    (s, row) => void walk(s, row).said.succeeds(),
  );
  test('across the end of a window, 64 GiB', (s) => {
    const marks = [at(512n * 32768n - 3n, 6n)];
    walk(s, { length: 64n * G + 128n * M, pages: 513, marks }).said.succeeds();
  });
  test('bitmap at each byte of a page', (s) => sweep(s, { length: M, marks: [at(0n, 1n), at(62n, 4n), at(250n, 6n)] }));
  each(
    Object.fromEntries([1, 7, 8, 13, 2048, 4088, 4089, 4095].map((offset) => [`bitmap at byte ${offset}`, offset])),
    (s, offset) => {
      walk(s, { length: M, offset, marks: [at(0n, 1n), at(62n, 4n), at(250n, 6n)] }).said.succeeds();
    },
  );
});

clause('iova-bitmap/only-set-bits-change', () => {
  test('when a page is missing after bits were set', (s) => {
    const marks = [at(1n, 2n), at(2n * 32768n, 1n)];
    const prepare = (memory: Memory): void => void memory.hole(2n * K4, K4).succeeds();
    walk(s, { length: 384n * M, pages: 4, before: 0xa0, marks, prepare }).said.refused('EFAULT');
  });
  test('in a bitmap full of other bits', (s) => {
    walk(s, { length: M, before: 0xa4, marks: [at(3n, 5n)] }).said.succeeds();
  });
  test('nothing is set', (s) => void walk(s, { length: M, before: 0x5a, marks: [] }).said.succeeds());
});

clause('iova-bitmap/bitmap-extent', () => {
  test('to the byte', (s) => {
    const length = 9n * K4;
    walk(s, { length, pages: 1, offset: 4094, marks: all(length) }).said.succeeds();
  });
  test('a page more needs a byte that is not there', (s) => {
    const length = 17n * K4;
    walk(s, { length, pages: 1, offset: 4094, marks: all(length) });
  });
});

clause('iova-bitmap/starts-pinned', () => {
  test('no page of the bitmap is there', (s) => {
    walk(s, { length: M, marks: all(M), prepare: (memory) => memory.hole(0n, 2n * K4) }).said.refused('EFAULT');
  });
});

clause('iova-bitmap/offered', () => {
  const second = 64n * G;
  test('a range of two windows is set twice', (s) => {
    const marks = [at(0n, 1n), at(second / K4, 1n)];
    walk(s, { length: second + 128n * M, pages: 513, marks }).said.succeeds();
  });
  test('back and forth between what two windows would hold', (s) => {
    const marks = [at(second / K4, 2n), at(1n, 1n), at(second / K4 + 9n, 1n), at(second / K4 - 1n, 2n)];
    walk(s, { length: second + 128n * M, pages: 513, marks }).said.succeeds();
  });
  test('one range across both, from the middle of a page to the next', (s) => {
    const marks = [{ iova: BASE + 0x800n, length: second + K4 }];
    walk(s, { length: second + 128n * M, pages: 513, marks }).said.succeeds();
  });
  test('a page that is missing where nothing is set', (s) => {
    const prepare = (memory: Memory): void => void memory.hole(K4, K4).succeeds();
    walk(s, { length: 384n * M, pages: 3, marks: [at(1n, 1n), at(2n * 32768n, 1n)], prepare }).said.refused('EFAULT');
  });
});

clause('iova-bitmap/unreachable-page', () => {
  each(
    {
      'missing in the middle': (memory: Memory): void => {
        memory.hole(K4, K4).succeeds();
      },
      'read-only in the middle': (memory: Memory): void => {
        memory.protect('r', K4, K4).succeeds();
      },
    },
    (s, prepare) => void walk(s, { length: 384n * M, pages: 3, marks: all(384n * M), prepare }).said.refused('EFAULT'),
  );
  test('missing where the second window begins', (s) => {
    const prepare = (memory: Memory): void => void memory.hole(512n * K4, K4).succeeds();
    walk(s, { length: 64n * G + 128n * M, pages: 513, marks: [at(0n, 1n)], prepare }).said.refused('EFAULT');
  });
});

clause('iova-bitmap/window-pages', () => {
  test('a bitmap that begins inside a page and ends in the next', (s) => {
    walk(s, { length: 128n * M, offset: 8, marks: all(128n * M) }).said.succeeds();
  });
});

clause('iova-bitmap/window-is-pinned', () => {
  test('two windows, since the bitmap is not aligned', (s) => {
    walk(s, { length: 64n * G, offset: 8, pages: 513, marks: all(64n * G) }).said.succeeds();
  });
});

clause('iova-bitmap/next-window', () => {
  test('64 GiB and a page', (s) => {
    const length = 64n * G + K4;
    walk(s, { length, pages: 513, marks: all(length) }).said.succeeds();
  });
});

clause('iova-bitmap/window-base', () => {
  test('a base that is not aligned', (s) => {
    walk(s, { iova: BASE + 0x800n, length: M, marks: [{ iova: BASE + 0x800n, length: K4 }] }).said.succeeds();
  });
});

clause('iova-bitmap/window-end', () => {
  each({ 'one page': K4, 'one byte': 1n, 'a page and a byte': K4 + 1n, '65 pages': 65n * K4 }, (s, length) => {
    walk(s, { length, marks: all(length) }).said.succeeds();
  });
  test('near the top of all IOVAs', (s) => {
    const iova = 0xffff_ffff_ffff_e000n;
    walk(s, { iova, length: K4, marks: [{ iova, length: K4 }] }).said.succeeds();
  });
});

clause('iova-bitmap/set-within-range', () => {
  each(
    {
      'begins before the range': { iova: BASE - 4n * K4, length: 6n * K4 },
      'ends behind the range': { iova: BASE + M - 2n * K4, length: 6n * K4 },
      'before the range': { iova: BASE - 4n * K4, length: 4n * K4 },
      'behind the range': { iova: BASE + M, length: K4 },
    },
    (s, mark) => void walk(s, { length: M, marks: [mark] }).said.succeeds(),
  );
  // What comes of it is promised by nobody; that the kernel stays whole is.
  test('handed on as it is, behind the range', (s) => {
    walk(s, { length: M, marks: [{ iova: BASE + 256n * M, length: K4, whole: true }] });
  });
});

clause('iova-bitmap/callback-error', () => {
  test('in the second window', (s) => {
    const length = 64n * G + 128n * M;
    walk(s, { length, pages: 513, marks: [at(1n, 1n)], fails: { window: 1, errno: 11 } }).said.refused('EAGAIN');
  });
  test('in a window that there is not', (s) => {
    walk(s, { length: M, marks: [at(1n, 1n)], fails: { window: 1, errno: 11 } }).said.succeeds();
  });
  test('in the first window', (s) => {
    walk(s, { length: M, marks: [at(1n, 1n)], fails: { window: 0, errno: 11 } }).said.refused('EAGAIN');
  });
});

clause('iova-bitmap/page-size', () => {
  const sizes = [12, 13, 16, 21, 25, 30];
  each(Object.fromEntries(sizes.map((shift) => [`2^${shift} bytes`, 1n << BigInt(shift)])), (s, pageSize) => {
    const length = 100n * pageSize;
    walk(s, { length, pageSize, marks: [{ iova: BASE + 20n * pageSize + 1n, length: pageSize }] }).said.succeeds();
  });
  // Neither is promised anything here.
  each({ '2048 bytes': 0x800n, '12 KiB, no power of two': 0x3000n, '1 TiB': 1n << 40n }, (s, pageSize) => {
    walk(s, { length: M, pageSize, marks: all(M) });
  });
});

/* Nothing is promised of what follows; the kernel has to survive it. */

clause('iova-bitmap/page-size-lowest-bit', () => {
  test('12 KiB', (s) => void walk(s, { length: M, pageSize: 0x3000n, marks: all(M) }));
});

clause('iova-bitmap/length-not-zero', () => {
  test('an empty range', (s) => void walk(s, { length: 0n, marks: [] }));
  test('an empty range is set', (s) => void walk(s, { length: M, marks: [at(1n, 0n)] }));
});

clause('iova-bitmap/no-wrap', () => {
  test('beyond the last IOVA', (s) => void walk(s, { iova: 0xffff_ffff_ffff_f000n, length: 2n * K4, marks: [] }));
});
