import { clause, each, pointerTo, test, u32 } from '../harness/cases/index.ts';
import { allocTable, attachMockAs, checkCache, replaceMock } from '../harness/cases/page-tables.ts';
import {
  allocNested,
  allocVdevice,
  allocViommu,
  besideHardware,
  dataOf,
  withParent,
  withViommu,
} from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Virtual IOMMUs, and what is nested in them. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [IOAS, MOCK, DEVICE, AUTOMATIC, PARENT_ID, VIOMMU, NEXT] = [1, 2, 3, 4, 5, 6, 7];
const ID_AT = offsetOf(commands.iommuViommuAlloc, 'out_viommu_id');
const TABLE_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');

clause('viommu/alloc', () => {
  test('several of one parent', (s) => {
    const c = withViommu(s);
    allocViommu(c).returns(0).shows(ID_AT, u32(NEXT));
    c.destroy(VIOMMU).returns(0);
    c.destroy(PARENT_ID).refused('EBUSY');
    c.destroy(NEXT).returns(0);
    c.destroy(PARENT_ID).returns(0);
  });
  each({ 'a structure as it was at first': 24, 'a longer structure': 48 }, (s, size) => {
    allocViommu(withParent(s), { size }).returns(0).shows(ID_AT, u32(VIOMMU));
  });
  test('an address without data is not looked at', (s) => {
    allocViommu(withParent(s), { data_uptr: 0xdead_0000n }).returns(0);
  });
});

clause('viommu/alloc-id', () => {
  test('the lowest that is free', (s) => {
    const c = withParent(s);
    c.alloc(6);
    c.alloc(7);
    c.destroy(6).returns(0);
    allocViommu(c).returns(0).shows(ID_AT, u32(6));
  });
});

clause('viommu/alloc-flags', () => {
  each({ lowest: 1, highest: 0x8000_0000 }, (s, flags) => {
    const c = withParent(s);
    allocViommu(c, { flags }).refused('EOPNOTSUPP');
    c.alloc(VIOMMU);
  });
});

clause('viommu/alloc-reserved', () => {
  test('not 0', (s) => {
    allocViommu(withParent(s), { __reserved: 1 }).refused('EOPNOTSUPP');
  });
});

clause('viommu/alloc-default-type', () => {
  test('type 0', (s) => {
    const c = withParent(s);
    allocViommu(c, { type: 0 }).refused('EOPNOTSUPP');
    c.alloc(VIOMMU);
  });
});

clause('viommu/alloc-type', () => {
  each({ "ARM's": 1, "NVIDIA's": 2, 'defined nowhere': 0x7777, highest: 0xffff_ffff }, (s, type) => {
    const c = withParent(s);
    allocViommu(c, { type }).refused('EOPNOTSUPP');
    c.alloc(VIOMMU);
  });
  test('for a device whose IOMMU knows none', (s) => {
    const c = besideHardware(s);
    allocViommu(c, { dev_id: 1, hwpt_id: 6 }).refused('EOPNOTSUPP');
    c.alloc(8);
  });
});

clause('hwpt/alloc-other-iommu', () => {
  test('a device of the machine', (s) => {
    const c = besideHardware(s);
    allocNested(s, c, { dev_id: 1, pt_id: 7 }).refused('EINVAL');
    c.alloc(8);
    c.destroy(7).returns(0);
  });
});

clause('viommu/alloc-unknown-device', () => {
  each(
    { none: 0, 'an IO address space': IOAS, 'a mock device': MOCK, 'a page table': PARENT_ID, 'never given': 9 },
    (s, dev_id) => {
      const c = withParent(s);
      allocViommu(c, { dev_id }).refused('ENOENT');
      c.alloc(VIOMMU);
    },
  );
});

clause('viommu/alloc-unknown-parent', () => {
  each(
    { none: 0, 'an IO address space': IOAS, 'a device': DEVICE, 'a virtual IOMMU': VIOMMU, 'never given': 9 },
    (s, hwpt_id) => {
      const c = withViommu(s);
      allocViommu(c, { hwpt_id }).refused('ENOENT');
      c.alloc(NEXT);
    },
  );
  test('a nested page table', (s) => {
    const c = withViommu(s);
    allocNested(s, c).returns(0);
    allocViommu(c, { hwpt_id: NEXT }).refused('ENOENT');
  });
});

clause('viommu/alloc-no-parent', () => {
  test('made when the device was attached', (s) => {
    const c = withParent(s);
    allocViommu(c, { hwpt_id: AUTOMATIC }).refused('EINVAL');
    c.alloc(VIOMMU);
  });
  test('made without the flag', (s) => {
    const c = withParent(s);
    allocTable(c, { dev_id: DEVICE }).returns(0);
    allocViommu(c, { hwpt_id: 6 }).refused('EINVAL');
  });
});

clause('viommu/data', () => {
  each({ 'all of it': 24, 'without the length': 16, 'as little as can be': 8 }, (s, data_len) => {
    const c = withParent(s);
    const data = dataOf(s);
    allocViommu(c, { data_len }, data.at()).returns(0);
    const all = encode(mock.iommuViommuSelftest, {
      in_data: 0x1122_3344,
      out_data: 0x1122_3344,
      out_mmap_offset: PAGE,
      out_mmap_length: 2n * PAGE,
    });
    const told = new Uint8Array(32);
    told.set(all.subarray(0, data_len));
    data.read(0n, 32n).shows(0, told);
  });
});

clause('viommu/alloc-bad-data', () => {
  each({ 'a byte': 1, 'a byte too short': 7, 'a byte too long': 25, 'far too long': 4096 }, (s, data_len) => {
    const c = withParent(s);
    allocViommu(c, { data_len }, dataOf(s).at()).refused('EINVAL');
    c.alloc(VIOMMU);
    c.destroy(PARENT_ID).returns(0);
  });
  test('that cannot be read', (s) => {
    const c = withParent(s);
    allocViommu(c, { data_len: 24 }, dataOf(s).at(PAGE - 20n)).refused('EFAULT');
    c.alloc(VIOMMU);
  });
  test('that cannot be written', (s) => {
    const c = withParent(s);
    const data = dataOf(s);
    data.protect('r');
    allocViommu(c, { data_len: 24 }, data.at()).refused('EFAULT');
    c.alloc(VIOMMU);
    c.destroy(PARENT_ID).returns(0);
    s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
  });
});

clause('viommu/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const c = withParent(s);
    const type = commands.iommuViommuAlloc;
    const [memory, data] = [s.main.memory(PAGE), dataOf(s)];
    const fields = { dev_id: DEVICE, hwpt_id: PARENT_ID, type: mock.IOMMU_VIOMMU_TYPE_SELFTEST, data_len: 24 };
    memory.write(encode(type, { size: sizeOf(type), ...fields }));
    memory.link(BigInt(offsetOf(type, 'data_uptr')), data.at());
    memory.protect('r');
    c.command(commands.IOMMU_VIOMMU_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    c.alloc(VIOMMU);
    c.destroy(PARENT_ID).returns(0);
  });
});

clause('hwpt/alloc', () => {
  test('nested in a virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocNested(s, c).returns(0).shows(TABLE_AT, u32(NEXT));
    for (const entry of [0, 1, 2, 3]) checkCache(c, NEXT, entry, 0x1234).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
  test('nested in a virtual IOMMU, for PASIDs', (s) => {
    const c = withViommu(s);
    allocNested(s, c, { flags: commands.IOMMU_HWPT_ALLOC_PASID }).returns(0);
  });
});

clause('hwpt/alloc-flags', () => {
  each({ parent: 1, 'dirty tracking': 2, unknown: 16 }, (s, flags) => {
    const c = withViommu(s);
    allocNested(s, c, { flags }).refused('EOPNOTSUPP');
    c.destroy(VIOMMU).returns(0);
  });
});

clause('hwpt/alloc-without-data', () => {
  test('nested in a virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocTable(c, { dev_id: DEVICE, pt_id: VIOMMU }).refused('EOPNOTSUPP');
    c.alloc(NEXT);
  });
});

clause('hwpt/alloc-data-type', () => {
  test('nested in a virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocNested(s, c, { data_type: 1 }).refused('EOPNOTSUPP');
    c.alloc(NEXT);
    c.destroy(VIOMMU).returns(0);
  });
});

clause('hwpt/alloc-bad-data', () => {
  each({ 'a byte too short': 3, 'a byte too long': 9 }, (s, data_len) => {
    const c = withViommu(s);
    allocNested(s, c, { data_len }).refused('EINVAL');
    c.alloc(NEXT);
    c.destroy(VIOMMU).returns(0);
  });
});

clause('iommufd/destroy-busy', () => {
  test('the parent of a virtual IOMMU', (s) => {
    const c = withViommu(s);
    c.destroy(PARENT_ID).refused('EBUSY');
    c.destroy(VIOMMU).returns(0);
    c.destroy(PARENT_ID).returns(0);
  });
  test('a virtual IOMMU that knows a device', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
  test('a virtual IOMMU in whose page table a device is', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    c.destroy(NEXT).returns(0);
    c.destroy(8).refused('EBUSY');
    c.destroy(VIOMMU).refused('EBUSY');
    replaceMock(c, MOCK, IOAS).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(8).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
});

for (const name of ['mock/replace', 'mock/attach', 'mock/attach-with-flags'] as const) {
  clause(`${name}-no-virtual-device`, () => {
    each({ 'that there is none': false, 'that there is one of another virtual IOMMU': true }, (s, other) => {
      const c = withViommu(s);
      allocNested(s, c).returns(0);
      if (other) {
        allocViommu(c).returns(0);
        allocVdevice(c, 1n, { viommu_id: 8 }).returns(0);
      }
      if (name === 'mock/replace') replaceMock(c, MOCK, NEXT).refused('ENOENT');
      else (name === 'mock/attach' ? c.attachMock(NEXT) : attachMockAs(c, NEXT, 0)).refused('ENOENT');
      c.destroy(NEXT).returns(0);
      c.destroy(VIOMMU).returns(0);
    });
  });
}

clause('mock/replace', () => {
  test('to a page table nested in a virtual IOMMU, and to another', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    for (const table of [8, 9]) allocNested(s, c).returns(0).shows(TABLE_AT, u32(table));
    for (const table of [8, 9, 8]) replaceMock(c, MOCK, table).returns(0);
    c.destroy(9).returns(0);
    c.destroy(NEXT).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    replaceMock(c, MOCK, IOAS).returns(0);
    replaceMock(c, MOCK, 8).refused('ENOENT');
  });
});
