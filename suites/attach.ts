import { type Actor, clause, each, type Said, type Scenario, test, u32, u64 } from '../harness/cases/index.ts';
import { type Context, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, DIRTY, replaceMock } from '../harness/cases/page-tables.ts';
import { attachPasid, detachPasid, replacePasid } from '../harness/cases/pasids.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Page tables that come to an IO address space in which something is mapped, by whatever call; and devices that change theirs. */

const PAGE = 0x1000n;
const BASE = mock.MOCK_APERTURE.start;
const END = mock.MOCK_APERTURE.end + 1n;
const TOP = (1n << 64n) - 1n;
const SIZE = 0x10000n;
const TABLE_AT = offsetOf(mock.iommuTestReplace, 'pt_id');
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

/** IO address space 1 with mock device 2, bound as device 3, attached to page table 4; IO address space 5. */
const ready = (s: Scenario): Context => {
  const c = openWithMock(s);
  c.option({ option_id: 0, op: uapi.IOMMU_OPTION_OP_SET, val64: 1n }).returns(0);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', 0x20000n);
  c.alloc(1);
  c.attachMock(1)
    .returns(0)
    .shows(16, u32(2, 4, 3));
  c.alloc(5);
  return c;
};

/** What an actor has pinned and locked, in pages. */
const holds = (actor: Actor, pages: number): void => {
  actor.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);
  actor.lockedKb().returns(pages * 4);
};

/** The calls that bring a page table into IO address space 5, and the first id that is free when they did not. */
const CALLS = {
  'mock/attach': (c: Context): Said => c.attachMock(5),
  'mock/attach-with-flags': (c: Context): Said => attachMockAs(c, 5, mock.MOCK_FLAGS_DEVICE_NO_DIRTY),
  'mock/replace': (c: Context): Said => replaceMock(c, 2, 5),
  'pasid/replace': (c: Context): Said => replacePasid(c, 0, 5),
  'pasid/attach': (c: Context): Said => {
    // PASID 0 is the device itself.
    detachPasid(c, 0).returns(0);
    c.alloc(4);
    return attachPasid(c, 0, 5);
  },
  'hwpt/alloc': (c: Context): Said => allocTable(c, { dev_id: 3, pt_id: 5 }),
} as const;

/** That a refused call left nothing: no object, nothing pinned, and the IO address space as it was. */
const leftNothing = (s: Scenario, c: Context, bytes: bigint): void => {
  holds(s.main, 0);
  c.unmap(0n, TOP, 5).returns(0).shows(LENGTH_AT, u64(bytes));
  c.alloc(6);
  c.destroy(5).returns(0);
};

for (const [name, call] of Object.entries(CALLS) as [keyof typeof CALLS, (c: Context) => Said][]) {
  clause(name, () => {
    test('what is mapped is pinned', (s) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      c.map({ ioas: 5, iova: BASE, length: PAGE, vaddr: memory.at() }).returns(0);
      c.map({ ioas: 5, iova: END - 2n * PAGE, length: 2n * PAGE, vaddr: memory.at(PAGE) }).returns(0);
      holds(s.main, 0);
      call(c).returns(0);
      holds(s.main, 3);
      c.unmap(BASE, PAGE, 5).returns(0);
      holds(s.main, 2);
    });
  });

  clause(`${name}-misaligned`, () => {
    each(
      {
        'an odd iova': [BASE + 1024n, 0n, 2048n],
        'an odd length': [BASE, 0n, 1024n],
        'an odd beginning in the memory': [BASE, 1024n, 2048n],
      } as const,
      (s, [iova, offset, length]) => {
        const c = ready(s);
        c.map({ ioas: 5, iova, length, vaddr: s.main.memory(SIZE).at(offset) }).returns(0);
        call(c).refused('EADDRINUSE');
        leftNothing(s, c, length);
      },
    );
    test('half a page is not odd', (s) => {
      const c = ready(s);
      c.map({ ioas: 5, iova: BASE + 2048n, length: 2048n, vaddr: s.main.memory(SIZE).at(2048n) }).returns(0);
      call(c).returns(0);
      holds(s.main, 1);
    });
  });

  clause(`${name}-beyond-aperture`, () => {
    each(
      { 'before it': BASE - PAGE, 'partly before it': BASE - 2048n, 'partly behind it': END - 2048n, 'behind it': END },
      (s, iova) => {
        const c = ready(s);
        c.map({ ioas: 5, iova, length: PAGE, vaddr: s.main.memory(SIZE).at() }).returns(0);
        call(c).refused('EADDRINUSE');
        leftNothing(s, c, PAGE);
      },
    );
    each(
      {
        'allowed before it': [BASE - PAGE, BASE + PAGE],
        'allowed behind it': [END - PAGE, END],
        'allowed within it': [BASE, END - 1n],
      } as const,
      (s, [start, last]) => {
        const c = ready(s);
        const ranges = s.main.memory(PAGE);
        ranges.write(encode(uapi.iommuIovaRange, { start, last }));
        c.allow({ ioas_id: 5, num_iovas: 1 }, ranges.at()).returns(0);
        if (start === BASE) call(c).returns(0);
        else {
          call(c).refused('EADDRINUSE');
          leftNothing(s, c, 0n);
        }
      },
    );
  });

  clause(`${name}-no-memory`, () => {
    test('memory that is gone', (s) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      c.map({ ioas: 5, iova: BASE, length: PAGE, vaddr: memory.at() }).returns(0);
      c.map({ ioas: 5, iova: BASE + SIZE, length: SIZE, vaddr: memory.at() }).returns(0);
      memory.hole(0x4000n, PAGE);
      call(c).refused('EFAULT');
      leftNothing(s, c, SIZE + PAGE);
    });
    test('beyond the end of a file', (s) => {
      const c = ready(s);
      c.mapFile({ ioas: 5, fd: s.main.memfd(SIZE), iova: BASE, length: SIZE + PAGE }).returns(0);
      call(c).refused('EINVAL');
      leftNothing(s, c, SIZE + PAGE);
    });
  });

  clause(`${name}-over-limit`, () => {
    each({ 'a page too many': 0x7000n, 'exactly enough': 0x8000n }, (s, limit) => {
      const c = ready(s);
      const memory = s.main.memory(SIZE);
      for (const iova of [BASE, BASE + SIZE]) c.map({ ioas: 5, iova, length: 0x4000n, vaddr: memory.at() }).returns(0);
      s.main.limits('memlock', limit);
      if (limit < 0x8000n) {
        call(c).refused('ENOMEM');
        leftNothing(s, c, 0x8000n);
      } else {
        call(c).returns(0);
        holds(s.main, 8);
      }
    });
  });
}

for (const name of ['mock/attach', 'mock/attach-with-flags', 'mock/replace'] as const) {
  const to = (c: Context, target: number): Said => {
    if (name === 'mock/replace') return replaceMock(c, 2, target);
    return name === 'mock/attach' ? c.attachMock(target) : attachMockAs(c, target, 0);
  };
  if (name !== 'mock/attach')
    clause(`${name}-unknown`, () => {
      each({ none: 0, 'never given': 9 }, (s, target) => {
        const c = ready(s);
        to(c, target).refused('ENOENT');
        c.alloc(6);
      });
    });
  if (name !== 'mock/attach')
    clause(`${name}-to-device`, () => {
      each({ 'a mock device': 2, 'a device': 3 }, (s, target) => {
        const c = ready(s);
        to(c, target).refused('EINVAL');
        c.alloc(6);
      });
    });
  clause(name, () => {
    test('to a page table', (s) => {
      const c = ready(s);
      allocTable(c, { dev_id: 3, pt_id: 5 }).returns(0);
      to(c, 6).returns(0);
      c.destroy(6).refused('EBUSY');
      c.destroy(2).returns(0);
    });
  });
}

for (const name of ['mock/attach-with-flags', 'mock/replace'] as const) {
  clause(`${name}-unfit`, () => {
    test('a page table for dirty tracking', (s) => {
      const c = openWithMock(s);
      c.alloc(1);
      attachMockAs(c, 1, mock.MOCK_FLAGS_DEVICE_NO_DIRTY).returns(0);
      c.attachMock(1)
        .returns(0)
        .shows(16, u32(5, 4, 6));
      allocTable(c, { dev_id: 6, flags: DIRTY }).returns(0);
      if (name === 'mock/replace') replaceMock(c, 2, 7).refused('EINVAL');
      else attachMockAs(c, 7, mock.MOCK_FLAGS_DEVICE_NO_DIRTY).refused('EINVAL');
      c.destroy(7).returns(0);
      c.alloc(7);
    });
  });
}

clause('mock/attach-with-flags-unknown-flag', () => {
  each({ 'the second': 2, 'the highest': 0x8000_0000 }, (s, flags) => {
    const c = ready(s);
    attachMockAs(c, 5, flags).refused('EINVAL');
    c.alloc(6);
  });
});

clause('mock/attach-with-flags-ids', () => {
  test('three objects', (s) => {
    const c = ready(s);
    attachMockAs(c, 5, mock.MOCK_FLAGS_DEVICE_PASID)
      .returns(0)
      .shows(16, u32(6, 8, 7));
  });
});

for (const [name, op] of [
  ['mock/attach', mock.IOMMU_TEST_OP_MOCK_DOMAIN],
  ['mock/attach-with-flags', mock.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS],
] as const)
  clause(`${name}-unwritable`, () => {
    test('read-only memory', (s) => {
      const c = ready(s);
      const memory = s.main.memory(PAGE);
      memory.write(encode(mock.iommuTestCmd, { size: sizeOf(mock.iommuTestCmd), op, id: 5 }));
      memory.protect('r');
      c.command(mock.IOMMU_TEST_CMD, { kind: 'place', place: memory.at() }).refused('EFAULT');
      c.alloc(6);
      c.destroy(5).returns(0);
    });
  });

clause('mock/replace', () => {
  test('the page table that attaching made goes with its last device', (s) => {
    const c = ready(s);
    c.attachMock(1)
      .returns(0)
      .shows(16, u32(6, 4, 7));
    replaceMock(c, 2, 5).returns(0).shows(TABLE_AT, u32(8));
    c.destroy(4).refused('EBUSY');
    c.destroy(6).returns(0);
    c.destroy(4).refused('ENOENT');
    c.destroy(1).returns(0);
    c.destroy(5).refused('EBUSY');
  });
  test('the same again', (s) => {
    const c = ready(s);
    replaceMock(c, 2, 1).returns(0).shows(TABLE_AT, u32(4));
    replaceMock(c, 2, 4).returns(0).shows(TABLE_AT, u32(4));
    c.destroy(4).refused('EBUSY');
    c.destroy(2).returns(0);
    c.destroy(1).returns(0);
  });
  test('there and back', (s) => {
    const c = ready(s);
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    holds(s.main, 16);
    replaceMock(c, 2, 5).returns(0).shows(TABLE_AT, u32(6));
    holds(s.main, 0);
    replaceMock(c, 2, 1).returns(0).shows(TABLE_AT, u32(4));
    holds(s.main, 16);
  });
});

clause('mock/replace-id', () => {
  test('of the page table', (s) => {
    const c = ready(s);
    replaceMock(c, 2, 5).returns(0).shows(TABLE_AT, u32(6));
  });
});

clause('mock/replace-no-device', () => {
  each({ none: 0, 'never given': 9, 'the device': 3, 'an IO address space': 1 }, (s, device) => {
    const c = ready(s);
    replaceMock(c, device, 5).refused('ENOENT');
    c.alloc(6);
  });
});

clause('mock/replace-unwritable', () => {
  test('read-only memory', (s) => {
    const c = ready(s);
    const memory = s.main.memory(PAGE);
    const type = mock.iommuTestReplace;
    memory.write(encode(type, { size: sizeOf(type), op: mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, id: 2, pt_id: 5 }));
    memory.protect('r');
    c.command(mock.IOMMU_TEST_CMD, { kind: 'place', place: memory.at() }).refused('EFAULT');
    c.destroy(1).returns(0);
    c.destroy(5).refused('EBUSY');
  });
});

clause('ioas/allow-beyond-ranges', () => {
  each(
    {
      'before it': [BASE - PAGE, BASE + PAGE],
      'behind it': [END - PAGE, END],
      'all of it': [BASE, END - 1n],
    } as const,
    (s, [start, last]) => {
      const c = ready(s);
      const ranges = s.main.memory(PAGE);
      ranges.write(encode(uapi.iommuIovaRange, { start, last }));
      const said = c.allow({ num_iovas: 1 }, ranges.at());
      if (start === BASE) said.returns(0);
      else said.refused('EADDRINUSE');
    },
  );
});
