import { clause, each, test, u64 } from '../harness/cases/index.ts';
import { allows, holds, maps, ready } from '../harness/cases/ioases.ts';
import { openWithMock, withIoas } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Which IOVAs of an IO address space can be mapped, and which are to stay so. */

const PAGE = 0x1000n;
const IOVA_AT = offsetOf(uapi.iommuIoasMap, 'iova');
const RANGE = sizeOf(uapi.iommuIovaRange);
const COUNT_AT = offsetOf(uapi.iommuIoasIovaRanges, 'num_iovas');
const ALIGNMENT_AT = offsetOf(uapi.iommuIoasIovaRanges, 'out_iova_alignment');

clause('ioas/ranges', () => {
  test('room for more than there are', (s) => {
    const c = withIoas(s);
    const room = s.main.memory(64, { guard: true });
    room.fill(0xee);
    c.ranges({ num_iovas: 4 }, room.at())
      .returns(0)
      .shows(COUNT_AT, Uint8Array.of(1, 0, 0, 0));
    room.read().shows(0, Uint8Array.from([...Array(8).fill(0), ...Array(8).fill(0xff), ...Array(48).fill(0xee)]));
    room.guards().returns(0);
  });
});

clause('ioas/ranges-without-device', () => {
  test('everything, whatever is mapped', (s) => {
    const { c, memory } = ready(s);
    maps(c, memory, 0n, PAGE);
    const room = s.main.memory(RANGE);
    c.ranges({ num_iovas: 1 }, room.at()).returns(0);
    room.read().shows(0, Uint8Array.from([...Array(8).fill(0), ...Array(8).fill(0xff)]));
  });
});

clause('ioas/ranges-count', () => {
  test('one', (s) => {
    const c = withIoas(s);
    c.ranges({ num_iovas: 1 }, s.main.memory(RANGE).at())
      .returns(0)
      .shows(COUNT_AT, Uint8Array.of(1, 0, 0, 0));
  });
});

clause('ioas/ranges-alignment', () => {
  test('a byte, and a page while pages are not combined', (s) => {
    const c = withIoas(s);
    const room = s.main.memory(RANGE);
    for (const [value, alignment] of [
      [0n, PAGE],
      [1n, 1n],
    ] as const) {
      c.option({ option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: 1, val64: value }).returns(0);
      c.ranges({ num_iovas: 1 }, room.at()).returns(0).shows(ALIGNMENT_AT, u64(alignment));
    }
  });
});

clause('ioas/ranges-reserved', () => {
  test('not 0', (s) =>
    void withIoas(s).ranges({ num_iovas: 1, __reserved: 1 }, s.main.memory(RANGE).at()).refused('EOPNOTSUPP'));
});

clause('ioas/ranges-unknown-ioas', () => {
  each(
    { none: 0, 'never given': 5 },
    (s, ioas_id) => void withIoas(s).ranges({ ioas_id, num_iovas: 1 }, s.main.memory(RANGE).at()).refused('ENOENT'),
  );
});

clause('ioas/ranges-unwritable', () => {
  test('null', (s) => void withIoas(s).ranges({ num_iovas: 1 }).refused('EFAULT'));
  test('half of a range', (s) => {
    const c = withIoas(s);
    c.ranges({ num_iovas: 1 }, s.main.memory(PAGE).at(PAGE - 8n)).refused('EFAULT');
  });
});

clause('ioas/ranges-too-few', () => {
  test('no room', (s) => {
    withIoas(s).ranges({ num_iovas: 0 }).refused('EMSGSIZE');
  });
});

clause('ioas/allow', () => {
  test('one range', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x40000n, 0x7ffffn]]).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x40000n));
  });
  test('several, in any order', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [
      [0x80000n, 0x8ffffn],
      [0x20000n, 0x20fffn],
    ]).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x20000n));
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x80000n));
  });
  test('in place of those before', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x40000n, 0x7ffffn]]).returns(0);
    allows(s, c, [[0x90000n, 0xa0000n]]).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x90000n));
    allows(s, c, []).returns(0);
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(PAGE));
  });
  test('what is given is not concerned', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x40000n, 0x7ffffn]]).returns(0);
    maps(c, memory, 0n, PAGE);
    holds(c, PAGE);
  });
});

clause('ioas/allow-reserved', () => {
  test('not 0', (s) => void withIoas(s).allow({ __reserved: 1 }).refused('EOPNOTSUPP'));
});

clause('ioas/allow-unknown-ioas', () => {
  each({ none: 0, 'never given': 5 }, (s, ioas_id) => void withIoas(s).allow({ ioas_id }).refused('ENOENT'));
});

clause('ioas/allow-unreadable', () => {
  test('and those before stay', (s) => {
    const { c, memory } = ready(s);
    allows(s, c, [[0x40000n, 0x7ffffn]]).returns(0);
    c.allow({ num_iovas: 1 }).refused('EFAULT');
    c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x40000n));
  });
  each({ 'the second of two': 0x40000n, 'behind a bad one': 0n } as const, (s, last) => {
    const { c } = ready(s);
    const ranges = s.main.memory(2n * PAGE);
    ranges.hole(PAGE, PAGE).succeeds();
    ranges.write(new Uint8Array(BigUint64Array.of(0n, last).buffer), PAGE - 16n);
    c.allow({ num_iovas: 2 }, ranges.at(PAGE - 16n)).refused(last === 0n ? 'EINVAL' : 'EFAULT');
  });
});

clause('ioas/allow-bad-range', () => {
  each(
    {
      'the wrong way round': [[2n, 1n]],
      'a single iova': [[0x1000n, 0x1000n]],
      'twice the same': [
        [0n, 0xfffn],
        [0n, 0xfffn],
      ],
      'one iova in common': [
        [0n, 0x1000n],
        [0x1000n, 0x1fffn],
      ],
    } as const,
    (s, ranges) => {
      const { c, memory } = ready(s);
      allows(s, c, [[0x40000n, 0x7ffffn]]).returns(0);
      allows(s, c, ranges).refused('EINVAL');
      c.map({ length: PAGE, vaddr: memory.at() }).returns(0).shows(IOVA_AT, u64(0x40000n));
    },
  );
});

clause('ioas/allow-beyond-ranges', () => {
  each(
    {
      'before the first': [[0n, (1n << 24n) - 1n]],
      'into the first': [[(1n << 24n) - PAGE, (1n << 24n) + PAGE - 1n]],
      'one of two': [
        [1n << 25n, (1n << 26n) - 1n],
        [1n << 31n, (1n << 31n) + PAGE],
      ],
    } as const,
    (s, ranges) => {
      const c = openWithMock(s);
      c.alloc(1);
      c.attachMock(1).returns(0);
      allows(s, c, [[1n << 26n, 1n << 27n]]).returns(0);
      allows(s, c, ranges).refused('EADDRINUSE');
      const memory = s.main.memory(PAGE);
      c.map({ length: PAGE, vaddr: memory.at() })
        .returns(0)
        .shows(IOVA_AT, u64(1n << 26n));
    },
  );
});
