import { clause, each, type Memory, pointerTo, type Scenario, test, u32, u64 } from '../harness/cases/index.ts';
import { type Context, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, DIRTY, PARENT, replaceMock } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf } from '../harness/uapi/struct.ts';

/* Page tables that user space makes, and how devices come to them. */

const PAGE = 0x1000n;
const BASE = mock.MOCK_APERTURE.start;
const TOP = (1n << 64n) - 1n;
const SIZE = 0x10000n;
const ID_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');
const TABLE_AT = offsetOf(mock.iommuTestReplace, 'pt_id');
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const SELFTEST = mock.IOMMU_HWPT_DATA_SELFTEST;

/** IO address space 1; mock device 2, bound as device 3, attached to page table 4. */
const ready = (s: Scenario, flags = 0): Context => {
  const c = openWithMock(s);
  c.alloc(1);
  attachMockAs(c, 1, flags)
    .returns(0)
    .shows(16, u32(2, 4, 3));
  return c;
};

/** The same with page table 5, of IO address space 1. */
const withTable = (s: Scenario, flags = 0): Context => {
  const c = ready(s);
  allocTable(c, { dev_id: 3, flags }).returns(0).shows(ID_AT, u32(5));
  return c;
};

/** Data of the mock device, with so much of it said to be there. */
const dataOf = (s: Scenario, iotlb = 7): Memory => {
  const memory = s.main.memory(PAGE);
  memory.write(encode(mock.iommuHwptSelftest, { iotlb }));
  return memory;
};
const NESTED = { dev_id: 3, pt_id: 5, data_type: SELFTEST, data_len: 8 };

const pinned = (s: Scenario, pages: number): void => {
  s.main.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);
};

clause('hwpt/alloc', () => {
  each({ plain: 0, 'as a parent': PARENT, 'for dirty tracking': DIRTY, 'for both': PARENT | DIRTY }, (s, flags) => {
    const c = withTable(s, flags);
    c.destroy(1).refused('EBUSY');
    c.destroy(5).returns(0);
    c.destroy(5).refused('ENOENT');
  });
  test('with an empty piece of data', (s) => {
    const c = ready(s);
    allocTable(c, { dev_id: 3, data_type: SELFTEST, data_len: 8 }, dataOf(s).at()).returns(0);
    c.destroy(5).returns(0);
  });
  test('of an IO address space in which no device is', (s) => {
    const c = ready(s);
    c.alloc(5);
    s.main.limits('memlock', 0x100000n);
    c.map({ ioas: 5, iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    pinned(s, 0);
    allocTable(c, { dev_id: 3, pt_id: 5 }).returns(0).shows(ID_AT, u32(6));
    pinned(s, 16);
    c.destroy(5).refused('EBUSY');
    c.destroy(6).returns(0);
    pinned(s, 0);
    c.destroy(5).returns(0);
  });
  test('two of one IO address space pin its memory once', (s) => {
    const c = withTable(s);
    allocTable(c, { dev_id: 3 }).returns(0).shows(ID_AT, u32(6));
    c.map({ iova: BASE, length: SIZE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    pinned(s, 16);
    c.destroy(2).returns(0);
    c.destroy(5).returns(0);
    pinned(s, 16);
    c.destroy(6).returns(0);
    pinned(s, 0);
    c.unmap(0n, TOP).returns(0).shows(LENGTH_AT, u64(SIZE));
  });
  test('nested in another', (s) => {
    const c = withTable(s, PARENT);
    allocTable(c, NESTED, dataOf(s).at()).returns(0).shows(ID_AT, u32(6));
    c.destroy(5).refused('EBUSY');
    c.destroy(6).returns(0);
    c.destroy(5).returns(0);
  });
  test('it stays without devices', (s) => {
    const c = withTable(s);
    replaceMock(c, 2, 5).returns(0).shows(TABLE_AT, u32(5));
    c.destroy(5).refused('EBUSY');
    c.destroy(2).returns(0);
    c.destroy(1).refused('EBUSY');
    c.destroy(5).returns(0);
    c.destroy(1).returns(0);
  });
  test('attaching to the IO address space does not choose it', (s) => {
    const c = withTable(s);
    c.destroy(2).returns(0);
    c.attachMock(1)
      .returns(0)
      .shows(16, u32(2, 4, 3));
    c.destroy(5).returns(0);
  });
});

clause('hwpt/alloc-id', () => {
  each({ 'the whole structure': 48, 'as it was at first': 24 }, (s, size) => {
    const c = ready(s);
    allocTable(c, { dev_id: 3, ...{ size } })
      .returns(0)
      .shows(ID_AT, u32(5));
    c.destroy(5).returns(0);
  });
});

clause('hwpt/alloc-reserved', () => {
  each({ __reserved: { __reserved: 1 }, __reserved2: { __reserved2: 1 } }, (s, fields) => {
    const c = ready(s);
    allocTable(c, { dev_id: 3, ...fields }).refused('EOPNOTSUPP');
    c.alloc(5);
  });
});

clause('hwpt/alloc-data-without-type', () => {
  each(
    { 'a length without a type': { data_len: 8 }, 'a type without a length': { data_type: SELFTEST } },
    (s, fields) => {
      const c = withTable(s, PARENT);
      for (const pt_id of [1, 5]) allocTable(c, { dev_id: 3, pt_id, ...fields }, dataOf(s).at()).refused('EINVAL');
      c.alloc(6);
    },
  );
});

clause('hwpt/alloc-unknown-device', () => {
  each(
    { none: 0, 'never given': 9, 'an IO address space': 1, 'the mock device': 2, 'a page table': 4 },
    (s, dev_id) => {
      const c = ready(s);
      allocTable(c, { dev_id }).refused('ENOENT');
      c.alloc(5);
    },
  );
});

clause('hwpt/alloc-unknown-parent', () => {
  each({ none: 0, 'never given': 9 }, (s, pt_id) => {
    const c = ready(s);
    allocTable(c, { dev_id: 3, pt_id }).refused('ENOENT');
    c.alloc(5);
  });
});

clause('hwpt/alloc-not-connectable', () => {
  each({ 'the device': 3, 'the mock device': 2, 'a nested page table': 6 }, (s, pt_id) => {
    const c = withTable(s, PARENT);
    allocTable(c, NESTED, dataOf(s).at()).returns(0);
    allocTable(c, { ...NESTED, pt_id }, dataOf(s).at()).refused('EINVAL');
    c.alloc(7);
  });
});

clause('hwpt/alloc-flags', () => {
  each(
    {
      'the lowest unknown': [1, 16],
      'the highest': [1, 0x8000_0000],
      'a fault queue for a parent': [1, commands.IOMMU_HWPT_FAULT_ID_VALID | PARENT],
      'a parent, nested': [5, PARENT],
      'for dirty tracking, nested': [5, DIRTY],
    } as const,
    (s, [pt_id, flags]) => {
      const c = withTable(s, PARENT);
      allocTable(c, pt_id === 1 ? { dev_id: 3, flags } : { ...NESTED, flags }, dataOf(s).at()).refused('EOPNOTSUPP');
      c.alloc(6);
    },
  );
});

clause('hwpt/alloc-no-dirty-tracking', () => {
  test('an IOMMU that has none', (s) => {
    const c = ready(s, mock.MOCK_FLAGS_DEVICE_NO_DIRTY);
    allocTable(c, { dev_id: 3, flags: DIRTY }).refused('EOPNOTSUPP');
    allocTable(c, { dev_id: 3 }).returns(0).shows(ID_AT, u32(5));
  });
});

clause('hwpt/alloc-without-data', () => {
  each({ 'a parent': PARENT, 'no parent': 0 }, (s, flags) => {
    const c = withTable(s, flags);
    const said = allocTable(c, { dev_id: 3, pt_id: 5 });
    if (flags === PARENT) said.refused('EOPNOTSUPP');
    else said.refused('EOPNOTSUPP', 'EINVAL');
    c.alloc(6);
  });
});

clause('hwpt/alloc-no-parent', () => {
  each({ 'one that attaching made': 4, 'one that was made as none': 5 }, (s, pt_id) => {
    const c = withTable(s);
    allocTable(c, { ...NESTED, pt_id }, dataOf(s).at()).refused('EINVAL');
    c.alloc(6);
  });
});

clause('hwpt/alloc-data-type', () => {
  each({ 'of an IO address space': 1, nested: 5 }, (s, pt_id) => {
    const c = withTable(s, PARENT);
    allocTable(c, { ...NESTED, pt_id, data_type: 0xdeae }, dataOf(s).at()).refused('EOPNOTSUPP');
    c.alloc(6);
  });
});

clause('hwpt/alloc-bad-data', () => {
  each(
    {
      'too short': [3, 'EINVAL'],
      'too long': [9, 'EINVAL'],
      'as long as can be said': [0xffff_ffff, 'EINVAL'],
    } as const,
    (s, [data_len, errno]) => {
      const c = withTable(s, PARENT);
      for (const pt_id of [1, 5]) allocTable(c, { ...NESTED, pt_id, data_len }, dataOf(s).at()).refused(errno);
      c.alloc(6);
    },
  );
  test('half of the structure is enough', (s) => {
    const c = withTable(s, PARENT);
    allocTable(c, { ...NESTED, data_len: 4 }, dataOf(s).at())
      .returns(0)
      .shows(ID_AT, u32(6));
  });
  test('data that cannot be read', (s) => {
    const c = withTable(s, PARENT);
    for (const pt_id of [1, 5]) allocTable(c, { ...NESTED, pt_id }, dataOf(s).at(PAGE - 4n)).refused('EFAULT');
    c.alloc(6);
  });
});

clause('hwpt/alloc-unknown-fault-queue', () => {
  each({ 'of an IO address space': 1, nested: 5 }, (s, pt_id) => {
    const c = withTable(s, PARENT);
    const flags = commands.IOMMU_HWPT_FAULT_ID_VALID;
    allocTable(c, { ...NESTED, pt_id, flags, fault_id: 9 }, dataOf(s).at()).refused('ENOENT');
    c.destroy(5).returns(0);
    c.alloc(5);
  });
});

clause('hwpt/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const c = ready(s);
    const memory = s.main.memory(PAGE);
    memory.write(encode(commands.iommuHwptAlloc, { size: 48, dev_id: 3, pt_id: 1 }));
    memory.protect('r');
    c.command(commands.IOMMU_HWPT_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    c.alloc(5);
  });
});
