import { clause, each, inline, NULL, pointerTo, type Scenario, test } from '../harness/cases/index.ts';
import { openIommufd, openWithMock, withIoas } from '../harness/cases/iommufd.ts';
import { allocTable } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { IOMMUFD_COMMANDS } from '../harness/uapi/iommufd-commands.ts';
import { MOCK_APERTURE } from '../harness/uapi/iommufd-test.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';

/* /dev/iommu: how commands are framed, objects and their ids, options. */

const PAGE = 0x1000n;
const COMMANDS = Object.fromEntries(IOMMUFD_COMMANDS.map((command) => [command.name, command]));

/** An argument whose size field says this, in a buffer of `room` bytes that are otherwise 0. */
const sized = (size: number, room: number, ...more: readonly (readonly [at: number, byte: number])[]) => {
  const bytes = new Uint8Array(room);
  new DataView(bytes.buffer).setUint32(0, size, true);
  for (const [at, byte] of more) bytes[at] = byte;
  return inline(bytes);
};

clause('iommufd/open', () => {
  test('twice, each with objects of its own', (s) => {
    const [one, other] = [openIommufd(s), openIommufd(s)];
    one.alloc(1);
    one.alloc(2);
    other.alloc(1);
    other.destroy(2).refused('ENOENT');
    one.destroy(2).returns(0);
  });
  test('by a child, which has the same context', (s) => {
    const context = withIoas(s);
    const child = s.main.forks();
    context.of(child).alloc(2);
    context.destroy(2).returns(0);
    context.of(child).destroy(1).returns(0);
  });
  test('closing it ends everything', (s) => {
    const context = withIoas(s);
    const memory = s.main.memory(0x4000);
    context.map({ iova: 0n, length: 0x4000n, vaddr: memory.at() }).returns(0);
    context.close().succeeds();
    openIommufd(s).alloc(1);
  });
});

clause('iommufd/unknown-command', () => {
  each(
    {
      'behind the last': 0x3bffn,
      'with a direction': 0x4004_3b81n,
      'with a size': 0x0004_3b81n,
      'of another kind': 0x3c81n,
    },
    (s, request) => {
      const context = withIoas(s);
      context.command(request, sized(64, 64)).refused('ENOTTY');
    },
  );
});

clause('iommufd/unreadable-size', () => {
  each(COMMANDS, (s, { request }) => {
    const context = withIoas(s);
    context.command(request, NULL).refused('EFAULT');
    const memory = s.main.memory(PAGE);
    context.command(request, pointerTo(memory.at(PAGE - 2n))).refused('EFAULT');
  });
});

clause('iommufd/short-struct', () => {
  each(COMMANDS, (s, { request, least }) => {
    const context = withIoas(s);
    for (const size of [0, 4, least - 4, least - 1]) context.command(request, sized(size, 64)).refused('EINVAL');
  });
});

clause('iommufd/unknown-tail', () => {
  each(COMMANDS, (s, { request, type }) => {
    const context = withIoas(s);
    const size = sizeOf(type);
    for (const [length, at] of [
      [size + 1, size],
      [size + 8, size + 7],
      [size + 200, size + 100],
    ] as const) {
      context.command(request, sized(length, length, [at, 1])).refused('E2BIG');
    }
  });
  each({ 'by a byte': 1, 'by a word': 8, 'by a page': 4096 }, (s, more) => {
    const context = withIoas(s);
    const size = sizeOf(uapi.iommuIoasAlloc);
    context
      .command(uapi.IOMMU_IOAS_ALLOC, sized(size + more, size + more))
      .returns(0)
      .shows(8, Uint8Array.of(2, 0, 0, 0));
    context.destroy(2).returns(0);
  });
});

clause('iommufd/unreadable-struct', () => {
  each(COMMANDS, (s, { request, type }) => {
    const context = withIoas(s);
    const memory = s.main.memory(PAGE);
    const offset = PAGE - BigInt(sizeOf(type) - 4);
    memory.write(Uint8Array.of(sizeOf(type), 0, 0, 0), offset);
    context.command(request, pointerTo(memory.at(offset))).refused('EFAULT');
  });
  test('a tail that is not there', (s) => {
    const context = withIoas(s);
    const memory = s.main.memory(PAGE);
    memory.write(Uint8Array.of(24, 0, 0, 0), PAGE - 16n);
    context.command(uapi.IOMMU_IOAS_ALLOC, pointerTo(memory.at(PAGE - 16n))).refused('EFAULT');
    context.alloc(2);
  });
});

clause('iommufd/ids', () => {
  test('one after the other', (s) => {
    const context = openIommufd(s);
    for (const id of [1, 2, 3, 4]) context.alloc(id);
  });
  test('the lowest that is free', (s) => {
    const context = openIommufd(s);
    for (const id of [1, 2, 3]) context.alloc(id);
    context.destroy(2).returns(0);
    context.alloc(2);
    context.destroy(1).returns(0);
    context.destroy(3).returns(0);
    context.alloc(1);
    context.alloc(3);
  });
});

clause('iommufd/destroy', () => {
  test('twice', (s) => {
    const context = withIoas(s);
    context.destroy(1).returns(0);
    context.destroy(1).refused('ENOENT');
  });
  test('with mappings, which go with it', (s) => {
    const context = withIoas(s);
    const memory = s.main.memory(0x4000);
    context.map({ iova: 0n, length: 0x4000n, vaddr: memory.at() }).returns(0);
    context.destroy(1).returns(0);
    context.unmap(0n, 0x4000n).refused('ENOENT');
    context.alloc(1);
    context.unmap(0n, 0x4000n).refused('ENOENT');
    context.map({ iova: 0n, length: 0x4000n, vaddr: memory.at() }).returns(0);
  });
  test('one of two, whose copies stay', (s) => {
    const context = withIoas(s);
    context.alloc(2);
    const memory = s.main.memory(0x4000);
    context.map({ iova: 0n, length: 0x4000n, vaddr: memory.at() }).returns(0);
    context.copy({ source: 0n, target: 0x8000n, length: 0x4000n }).returns(0);
    context.destroy(1).returns(0);
    context.copy({ from: 2, to: 2, source: 0x8000n, target: 0n, length: 0x4000n }).returns(0);
    context.unmap(0x8000n, 0x4000n, 2).returns(0);
  });
});

clause('iommufd/destroy-unknown', () => {
  each(
    { none: 0, 'never given': 7, 'the highest': 0xffff_ffff },
    (s, id) => void withIoas(s).destroy(id).refused('ENOENT'),
  );
});

const RLIMIT = { option_id: uapi.IOMMU_OPTION_RLIMIT_MODE } as const;
const HUGE = { option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: 1 } as const;
const GET = { op: uapi.IOMMU_OPTION_OP_GET } as const;
const SET = { op: uapi.IOMMU_OPTION_OP_SET } as const;
const VALUE_AT = 16;
const shows = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0);

clause('iommufd/option', () => {
  test('setting and asking', (s) => {
    const context = openIommufd(s);
    context.option({ ...RLIMIT, ...SET, val64: 1n }).returns(0);
    context
      .option({ ...RLIMIT, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(1));
  });
});

clause('iommufd/option-rlimit-mode', () => {
  test('0 at first, then as it is set', (s) => {
    const context = openIommufd(s);
    for (const value of [0, 1, 0]) {
      context.option({ ...RLIMIT, ...SET, val64: BigInt(value) }).returns(0);
      context
        .option({ ...RLIMIT, ...GET, val64: 7n })
        .returns(0)
        .shows(VALUE_AT, shows(value));
    }
  });
  test('of one context', (s) => {
    const [one, other] = [openIommufd(s), openIommufd(s)];
    one.option({ ...RLIMIT, ...SET, val64: 1n }).returns(0);
    other
      .option({ ...RLIMIT, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(0));
  });
});

clause('iommufd/option-huge-pages', () => {
  test('1 at first, then as it is set', (s) => {
    const context = withIoas(s);
    context
      .option({ ...HUGE, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(1));
    for (const value of [0, 0, 1, 1, 0]) {
      context.option({ ...HUGE, ...SET, val64: BigInt(value) }).returns(0);
      context
        .option({ ...HUGE, ...GET, val64: 7n })
        .returns(0)
        .shows(VALUE_AT, shows(value));
    }
  });
  test('of one IO address space', (s) => {
    const context = withIoas(s);
    context.alloc(2);
    context.option({ ...HUGE, ...SET, val64: 0n }).returns(0);
    context
      .option({ ...HUGE, ...GET, object_id: 2 })
      .returns(0)
      .shows(VALUE_AT, shows(1));
  });
});

clause('iommufd/option-value', () => {
  test('set and left as it was given', (s) => {
    const context = withIoas(s);
    context
      .option({ ...HUGE, ...SET, val64: 1n })
      .returns(0)
      .shows(VALUE_AT, shows(1));
  });
});

clause('iommufd/option-unsupported', () => {
  each(
    {
      'an option': { option_id: 2, object_id: 1, ...GET },
      'an operation': { ...HUGE, op: 2 },
      'an operation on the mode': { ...RLIMIT, op: 0xffff },
      'a reserved field': { ...HUGE, ...GET, __reserved: 1 },
      'a reserved field, with the mode': { ...RLIMIT, ...GET, __reserved: 0x8000 },
    },
    (s, fields) => void withIoas(s).option(fields).refused('EOPNOTSUPP'),
  );
});

clause('iommufd/option-rlimit-object', () => {
  each(
    { asking: GET, setting: SET },
    (s, op) =>
      void withIoas(s)
        .option({ ...RLIMIT, ...op, object_id: 1 })
        .refused('EOPNOTSUPP'),
  );
});

clause('iommufd/option-unknown-ioas', () => {
  each({ none: 0, 'never given': 9 }, (s, id) => {
    const context = withIoas(s);
    context.option({ ...HUGE, ...GET, object_id: id }).refused('ENOENT');
    context.option({ ...HUGE, ...SET, object_id: id, val64: 0n }).refused('ENOENT');
  });
});

clause('iommufd/option-rlimit-privilege', () => {
  test('without the capability', (s) => {
    const context = openIommufd(s);
    s.main.drops('sys_resource').succeeds();
    context.option({ ...RLIMIT, ...SET, val64: 1n }).refused('EPERM');
    context
      .option({ ...RLIMIT, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(0));
  });
  test('another user', (s) => {
    const context = openIommufd(s);
    const child = s.main.forks();
    child.becomes(1000).succeeds();
    context
      .of(child)
      .option({ ...RLIMIT, ...SET, val64: 1n })
      .refused('EPERM');
    context.option({ ...RLIMIT, ...SET, val64: 1n }).returns(0);
  });
});

clause('iommufd/option-rlimit-late', () => {
  test('while there is an object', (s) => {
    const context = withIoas(s);
    context.option({ ...RLIMIT, ...SET, val64: 1n }).refused('EBUSY');
    context
      .option({ ...RLIMIT, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(0));
    context.destroy(1).returns(0);
    context.option({ ...RLIMIT, ...SET, val64: 1n }).returns(0);
  });
});

clause('iommufd/option-bad-value', () => {
  each({ two: 2n, 'the highest': (1n << 64n) - 1n, 'a high bit': 1n << 32n }, (s, val64) => {
    const context = openIommufd(s);
    context.option({ ...RLIMIT, ...SET, val64 }).refused('EINVAL');
    context
      .option({ ...RLIMIT, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(0));
    context.alloc(1);
    context.option({ ...HUGE, ...SET, val64 }).refused('EINVAL');
    context
      .option({ ...HUGE, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(1));
  });
});

clause('iommufd/option-huge-pages-in-use', () => {
  const attached = (s: Scenario) => {
    const context = openWithMock(s);
    context.alloc(1);
    context.attachMock(1).returns(0);
    const memory = s.main.memory(PAGE);
    const maps = () => context.map({ iova: MOCK_APERTURE.start, length: PAGE, vaddr: memory.at() }).returns(0);
    const sets = (val64: bigint) => context.option({ ...HUGE, ...SET, val64 });
    return { context, maps, sets };
  };
  test('while a device is attached', (s) => {
    const { context, maps, sets } = attached(s);
    maps();
    sets(0n).refused('EINVAL');
    context
      .option({ ...HUGE, ...GET })
      .returns(0)
      .shows(VALUE_AT, shows(1));
    sets(1n).returns(0);
    context.unmap(MOCK_APERTURE.start, PAGE).returns(0);
    sets(0n).returns(0);
  });
  test('not when they are not combined already', (s) => {
    const { maps, sets } = attached(s);
    sets(0n).returns(0);
    maps();
    sets(0n).returns(0);
    sets(1n).returns(0);
    sets(0n).refused('EINVAL');
  });
  test('no more when the device is gone', (s) => {
    const { context, maps, sets } = attached(s);
    maps();
    context.destroy(2).returns(0);
    sets(0n).returns(0);
  });
  test('while nobody but a page table is there', (s) => {
    const { context, maps, sets } = attached(s);
    allocTable(context, { dev_id: 3 }).returns(0);
    context.destroy(2).returns(0);
    maps();
    sets(0n).refused('EINVAL');
  });
});

clause('iommufd/option-huge-pages-unaligned', () => {
  each(
    {
      'an odd iova': { iova: 1n, length: PAGE, offset: 0 },
      'an odd length': { iova: 0n, length: PAGE - 1n, offset: 0 },
      'odd memory': { iova: 0n, length: PAGE, offset: 8 },
    },
    (s, { iova, length, offset }) => {
      const context = withIoas(s);
      const memory = s.main.memory(0x4000);
      context.map({ iova, length, vaddr: memory.at(offset) }).returns(0);
      context.option({ ...HUGE, ...SET, val64: 0n }).refused('EADDRINUSE');
      context
        .option({ ...HUGE, ...GET })
        .returns(0)
        .shows(VALUE_AT, shows(1));
      context.unmap(iova, length).returns(0);
      context.option({ ...HUGE, ...SET, val64: 0n }).returns(0);
    },
  );
  test('not with whole pages', (s) => {
    const context = withIoas(s);
    const memory = s.main.memory(0x4000);
    context.map({ iova: 0x3000n, length: 0x4000n, vaddr: memory.at() }).returns(0);
    context.option({ ...HUGE, ...SET, val64: 0n }).returns(0);
  });
});

clause('ioas/alloc', () => {
  test('many', (s) => {
    const context = openIommufd(s);
    for (let id = 1; id <= 20; id++) context.alloc(id);
  });
});

clause('ioas/alloc-id', () => {
  test('in an argument that held something else', (s) => {
    const context = openIommufd(s);
    const bytes = encode(uapi.iommuIoasAlloc, { size: 12, out_ioas_id: 0xdead_beef });
    context
      .command(uapi.IOMMU_IOAS_ALLOC, inline(bytes))
      .returns(0)
      .shows(8, Uint8Array.of(1, 0, 0, 0));
  });
});

clause('ioas/alloc-flags', () => {
  each({ 'the lowest': 1, 'the highest': 0x8000_0000 }, (s, flags) => {
    const context = openIommufd(s);
    context
      .command(uapi.IOMMU_IOAS_ALLOC, inline(encode(uapi.iommuIoasAlloc, { size: 12, flags })))
      .refused('EOPNOTSUPP');
    context.alloc(1);
  });
});

clause('ioas/alloc-unwritable', () => {
  test('no object is left', (s) => {
    const context = openIommufd(s);
    const memory = s.main.memory(PAGE);
    memory.write(encode(uapi.iommuIoasAlloc, { size: 12 }));
    memory.protect('r');
    context.command(uapi.IOMMU_IOAS_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    context.destroy(1).refused('ENOENT');
    context.alloc(1);
  });
});
