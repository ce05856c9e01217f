import { clause, each, type Memory, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, checkCache, invalidate, replaceMock } from '../harness/cases/page-tables.ts';
import {
  allocNested,
  allocVdevice,
  allocViommu,
  besideHardware,
  checkDeviceCache,
  withParent,
  withViommu,
} from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Virtual IOMMUs: what is nested in them, the devices that they know, their caches, and memory of theirs that is mapped. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [IOAS, MOCK, DEVICE, AUTOMATIC, PARENT_ID, VIOMMU, NEXT] = [1, 2, 3, 4, 5, 6, 7];
const ID_AT = offsetOf(commands.iommuViommuAlloc, 'out_viommu_id');
const TABLE_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');
const VDEVICE_AT = offsetOf(commands.iommuVdeviceAlloc, 'out_vdevice_id');
const COUNT_AT = offsetOf(commands.iommuHwptInvalidate, 'entry_num');
const TOP = (1n << 64n) - 1n;
const ALL = mock.IOMMU_TEST_INVALIDATE_FLAG_ALL;
const CACHED = mock.IOMMU_TEST_DEV_CACHE_DEFAULT;

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

clause('vdevice/alloc-other-iommu', () => {
  test('a device of the machine', (s) => {
    const c = besideHardware(s);
    allocVdevice(c, 1n, { viommu_id: 7, dev_id: 1 }).refused('EINVAL');
    c.alloc(8);
    allocVdevice(c, 1n, { viommu_id: 7, dev_id: 4 }).returns(0);
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

/** What a virtual IOMMU is given, so long. */
const dataOf = (s: Scenario, in_data = 0x1122_3344): Memory => {
  const memory = s.main.memory(PAGE);
  memory.write(encode(mock.iommuViommuSelftest, { in_data }));
  return memory;
};

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

clause('vdevice/alloc', () => {
  each({ 'id 0': 0n, 'id 1': 1n, 'beyond 32 bits': 1n << 32n, 'the highest id': TOP }, (s, virt_id) => {
    const c = withViommu(s);
    allocVdevice(c, virt_id).returns(0).shows(VDEVICE_AT, u32(NEXT));
    c.destroy(NEXT).returns(0);
    allocVdevice(c, virt_id).returns(0).shows(VDEVICE_AT, u32(NEXT));
  });
  test('two devices, each as the other in another virtual IOMMU', (s) => {
    const c = withViommu(s);
    attachMockAs(c, IOAS, 0)
      .returns(0)
      .shows(16, u32(7, AUTOMATIC, 8));
    allocViommu(c).returns(0).shows(ID_AT, u32(9));
    allocVdevice(c, 5n).returns(0).shows(VDEVICE_AT, u32(10));
    allocVdevice(c, 5n, { viommu_id: 9, dev_id: 8 }).returns(0).shows(VDEVICE_AT, u32(11));
  });
});

clause('vdevice/alloc-id', () => {
  test('the lowest that is free', (s) => {
    const c = withViommu(s);
    c.alloc(7);
    c.alloc(8);
    c.destroy(7).returns(0);
    allocVdevice(c, 1n).returns(0).shows(VDEVICE_AT, u32(7));
  });
});

clause('vdevice/alloc-unknown-viommu', () => {
  each(
    { none: 0, 'an IO address space': IOAS, 'a device': DEVICE, 'a page table': PARENT_ID, 'never given': 9 },
    (s, viommu_id) => {
      const c = withViommu(s);
      allocVdevice(c, 1n, { viommu_id }).refused('ENOENT');
      c.alloc(NEXT);
    },
  );
});

clause('vdevice/alloc-unknown-device', () => {
  each({ none: 0, 'a mock device': MOCK, 'a virtual IOMMU': VIOMMU, 'never given': 9 }, (s, dev_id) => {
    const c = withViommu(s);
    allocVdevice(c, 1n, { dev_id }).refused('ENOENT');
    c.alloc(NEXT);
    c.destroy(VIOMMU).returns(0);
  });
});

clause('vdevice/alloc-twice', () => {
  each({ 'the same id': 1n, 'another id': 2n }, (s, virt_id) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    allocVdevice(c, virt_id).refused('EEXIST');
    c.alloc(8);
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
  test('in another virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    allocViommu(c).returns(0).shows(ID_AT, u32(8));
    allocVdevice(c, 2n, { viommu_id: 8 }).refused('EEXIST');
    c.destroy(8).returns(0);
    c.destroy(NEXT).returns(0);
    allocVdevice(c, 2n).returns(0);
  });
});

clause('vdevice/alloc-taken', () => {
  each({ 'id 0': 0n, 'id 1': 1n, 'the highest id': TOP }, (s, virt_id) => {
    const c = withViommu(s);
    attachMockAs(c, IOAS, 0)
      .returns(0)
      .shows(16, u32(7, AUTOMATIC, 8));
    allocVdevice(c, virt_id).returns(0).shows(VDEVICE_AT, u32(9));
    allocVdevice(c, virt_id, { dev_id: 8 }).refused('EEXIST');
    allocVdevice(c, virt_id ^ 2n, { dev_id: 8 })
      .returns(0)
      .shows(VDEVICE_AT, u32(10));
    c.destroy(9).returns(0);
    allocVdevice(c, virt_id).returns(0).shows(VDEVICE_AT, u32(9));
    for (const id of [9, 10, VIOMMU, MOCK, 7]) c.destroy(id).returns(0);
  });
});

clause('vdevice/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const c = withViommu(s);
    const type = commands.iommuVdeviceAlloc;
    const memory = s.main.memory(PAGE);
    memory.write(encode(type, { size: sizeOf(type), viommu_id: VIOMMU, dev_id: DEVICE, virt_id: 1n }));
    memory.protect('r');
    c.command(commands.IOMMU_VDEVICE_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    allocVdevice(c, 1n).returns(0).shows(VDEVICE_AT, u32(NEXT));
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).returns(0);
    c.destroy(MOCK).returns(0);
  });
});

clause('vdevice/goes-with-device', () => {
  test('and its id stays', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0).shows(VDEVICE_AT, u32(NEXT));
    c.destroy(DEVICE).refused('EBUSY');
    c.destroy(MOCK).returns(0);
    c.destroy(NEXT).refused('ENOENT');
    for (const id of [MOCK, DEVICE, AUTOMATIC, 8]) c.alloc(id);
    c.destroy(VIOMMU).returns(0);
    c.destroy(PARENT_ID).returns(0);
    openIommufd(s).alloc(1);
  });
  test('while it is in a page table of the virtual IOMMU', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    c.destroy(MOCK).returns(0);
    c.destroy(NEXT).refused('ENOENT');
    c.destroy(8).returns(0);
    c.destroy(VIOMMU).returns(0);
    c.alloc(MOCK);
  });
  test('the virtual id is free then', (s) => {
    const c = withViommu(s);
    attachMockAs(c, IOAS, 0)
      .returns(0)
      .shows(16, u32(7, AUTOMATIC, 8));
    allocVdevice(c, 1n).returns(0).shows(VDEVICE_AT, u32(9));
    c.destroy(MOCK).returns(0);
    allocVdevice(c, 1n, { dev_id: 8 }).returns(0).shows(VDEVICE_AT, u32(MOCK));
  });
  test('closing everything', (s) => {
    const c = withViommu(s);
    allocVdevice(c, 1n).returns(0);
    allocNested(s, c).returns(0);
    replaceMock(c, MOCK, 8).returns(0);
    c.close().succeeds();
    openIommufd(s).alloc(1);
  });
});

/** Virtual IOMMU 6 that knows device 3 as 1 (virtual device 7), and device 9 as 2 (virtual device 10). */
const withDevices = (s: Scenario): Context => {
  const c = withViommu(s);
  allocVdevice(c, 1n).returns(0);
  attachMockAs(c, IOAS, 0)
    .returns(0)
    .shows(16, u32(8, AUTOMATIC, 9));
  allocVdevice(c, 2n, { dev_id: 9 }).returns(0);
  return c;
};

/** That of the caches of the devices these entries are gone, and the others are not. */
const holds = (c: Context, gone: Partial<Record<3 | 9, readonly number[]>>): void => {
  for (const device of [3, 9] as const)
    for (const entry of [0, 1, 2, 3])
      checkDeviceCache(c, device, entry, gone[device]?.includes(entry) === true ? 0 : CACHED).returns(0);
};

/** Entries: flags, virtual id, number in the cache. */
type Entry = readonly [flags: number, device: number, entry: number];

const invalidates = (s: Scenario, c: Context, entries: readonly Entry[], fields: { entry_len?: number } = {}) => {
  const memory = s.main.memory(PAGE);
  memory.write(u32(...entries.flat()));
  return invalidate(c, { hwpt_id: VIOMMU, entry_num: entries.length, entry_len: 12, ...fields }, memory.at());
};

clause('hwpt/invalidate', () => {
  each(
    {
      'by a virtual IOMMU, one entry': [[[0, 1, 2]], { 3: [2] }],
      'by a virtual IOMMU, another device': [[[0, 2, 3]], { 9: [3] }],
      'by a virtual IOMMU, all of a device': [[[ALL, 1, 0]], { 3: [0, 1, 2, 3] }],
      'by a virtual IOMMU, several': [
        [
          [0, 1, 0],
          [ALL, 2, 0],
          [0, 1, 3],
        ],
        { 3: [0, 3], 9: [0, 1, 2, 3] },
      ],
    } as const,
    (s, [entries, gone]) => {
      const c = withDevices(s);
      invalidates(s, c, entries).returns(0).shows(COUNT_AT, u32(entries.length));
      holds(c, gone);
    },
  );
  test('by a virtual IOMMU, only asked', (s) => {
    const c = withDevices(s);
    invalidate(c, { hwpt_id: VIOMMU, entry_num: 0, entry_len: 0 }).returns(0).shows(COUNT_AT, u32(0));
    holds(c, {});
  });
  test('by a virtual IOMMU, entries that are longer and 0 behind', (s) => {
    const c = withDevices(s);
    const memory = s.main.memory(PAGE);
    memory.write(u32(0, 1, 1, 0, 0, 2, 2, 0));
    const fields = { hwpt_id: VIOMMU, entry_num: 2, entry_len: 16 };
    invalidate(c, fields, memory.at()).returns(0).shows(COUNT_AT, u32(2));
    holds(c, { 3: [1], 9: [2] });
  });
  test('by a virtual IOMMU, entries that are shorter', (s) => {
    const c = withDevices(s);
    const memory = s.main.memory(PAGE);
    memory.write(u32(0, 1, 0, 2));
    invalidate(c, { hwpt_id: VIOMMU, entry_num: 2, entry_len: 8 }, memory.at()).returns(0);
    holds(c, { 3: [0], 9: [0] });
  });
  each({ 'by a virtual IOMMU, many': 10_000, 'by a virtual IOMMU, as many as can be': 1 << 19 }, (s, count) => {
    const c = withViommu(s);
    allocVdevice(c, 0n).returns(0);
    // Each of them is about entry 0 of the device that is known as 0.
    const memory = s.main.memory(BigInt(count * 12));
    memory.fill(0);
    const fields = { hwpt_id: VIOMMU, entry_num: count, entry_len: 12 };
    invalidate(c, fields, memory.at()).returns(0).shows(COUNT_AT, u32(count));
    for (const entry of [0, 1, 2, 3]) checkDeviceCache(c, DEVICE, entry, entry === 0 ? 0 : CACHED).returns(0);
  });
  test('the caches of page tables and of devices are two', (s) => {
    const c = withDevices(s);
    allocNested(s, c).returns(0).shows(TABLE_AT, u32(11));
    invalidates(s, c, [[ALL, 1, 0]]).returns(0);
    for (const entry of [0, 1, 2, 3]) checkCache(c, 11, entry, 0x1234).returns(0);
    const memory = s.main.memory(PAGE);
    memory.write(u32(ALL, 0));
    invalidate(c, { hwpt_id: 11, entry_num: 1 }, memory.at()).returns(0);
    for (const entry of [0, 1, 2, 3]) checkCache(c, 11, entry, 0).returns(0);
    holds(c, { 3: [0, 1, 2, 3] });
  });
});

clause('hwpt/invalidate-type', () => {
  each({ 'by a virtual IOMMU, with an entry': 1, 'by a virtual IOMMU, only asked': 0 }, (s, entry_num) => {
    const c = withDevices(s);
    const memory = s.main.memory(PAGE);
    memory.write(u32(0, 1, 0));
    const fields = { hwpt_id: VIOMMU, entry_num, entry_len: 12, data_type: 0xdadbeef };
    invalidate(c, fields, memory.at()).refused('EINVAL', 'EOPNOTSUPP');
    holds(c, {});
  });
});

clause('hwpt/invalidate-bad-entry', () => {
  each(
    {
      'by a virtual IOMMU, an unknown flag': [[2, 1, 0], 'EOPNOTSUPP'],
      'by a virtual IOMMU, no such entry': [[0, 1, 4], 'EINVAL'],
      'by a virtual IOMMU, all and no such entry': [[ALL, 1, 4], 'EINVAL'],
      'by a virtual IOMMU, no such device': [[0, 3, 0], 'EINVAL'],
      'by a virtual IOMMU, no device 0': [[ALL, 0, 0], 'EINVAL'],
    } as const,
    (s, [bad, errno]) => {
      const c = withDevices(s);
      invalidates(s, c, [[0, 1, 1], bad, [0, 1, 2]]).refused(errno);
      holds(c, { 3: [1] });
    },
  );
  test('by a virtual IOMMU, the id of a device that is gone', (s) => {
    const c = withDevices(s);
    c.destroy(10).returns(0);
    invalidates(s, c, [[ALL, 2, 0]]).refused('EINVAL');
    holds(c, {});
  });
  test('by a virtual IOMMU, something behind what is known', (s) => {
    const c = withDevices(s);
    const memory = s.main.memory(PAGE);
    memory.write(u32(0, 1, 1, 0, 0, 2, 2, 1));
    invalidate(c, { hwpt_id: VIOMMU, entry_num: 2, entry_len: 16 }, memory.at()).refused('E2BIG');
    holds(c, {});
  });
  each(
    { 'by a virtual IOMMU, the second cannot be read': 12, 'by a virtual IOMMU, nor can its tail': 16 },
    (s, entry_len) => {
      const c = withDevices(s);
      const memory = s.main.memory(PAGE);
      memory.write(u32(0, 1, 1), PAGE - 12n);
      invalidate(c, { hwpt_id: VIOMMU, entry_num: 2, entry_len }, memory.at(PAGE - 12n)).refused('EFAULT');
      holds(c, {});
    },
  );
});

clause('mock/check-device-cache', () => {
  test('at first', (s) => holds(withDevices(s), {}));
});

clause('mock/check-device-cache-unknown', () => {
  each({ none: 0, 'a mock device': MOCK, 'never given': 99 }, (s, id) => {
    checkDeviceCache(withDevices(s), id, 0, CACHED).refused('ENOENT');
  });
});

clause('mock/check-device-cache-other', () => {
  each({ 'another value': [0, 0], 'no such entry': [4, CACHED] } as const, (s, [entry, value]) => {
    checkDeviceCache(withDevices(s), DEVICE, entry, value).refused('EINVAL');
  });
});

/** A virtual IOMMU with memory that begins with a number. */
const withMemory = (s: Scenario, in_data = 0x1122_3344): Context => {
  const c = withParent(s);
  allocViommu(c, { data_len: 24 }, dataOf(s, in_data).at()).returns(0);
  return c;
};

clause('viommu/mmap', () => {
  test('what is written there is there for all', (s) => {
    const c = withMemory(s);
    const [one, other] = [s.main.maps(c.fd, 2n * PAGE, { start: PAGE }), s.main.maps(c.fd, 2n * PAGE, { start: PAGE })];
    one.read(0n, 8n).shows(0, u32(0x1122_3344, 0));
    other.write(u32(5, 6), PAGE);
    one.read(PAGE, 8n).shows(0, u32(5, 6));
    const child = s.main.forks();
    one.of(child).write(u32(7), 2n * PAGE - 4n);
    other.read(2n * PAGE - 4n, 4n).shows(0, u32(7));
  });
  test('to be read only', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE, prot: 'r' });
    memory.read(0n, 4n).shows(0, u32(0x1122_3344));
    memory.write(u32(1)).refused('EFAULT');
  });
  test('is in use as long as it is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(0n, 2n * PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as a part of it is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    memory.hole(PAGE, PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(0n, PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as one of its parts is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    memory.protect('r', PAGE, PAGE);
    memory.hole(0n, PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(PAGE, PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as a child has it mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    const child = s.main.forks();
    memory.hole(0n, 2n * PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    child.exits();
    c.destroy(VIOMMU).returns(0);
  });
  test('outlives the descriptor', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    c.close().succeeds();
    memory.read(0n, 4n).shows(0, u32(0x1122_3344));
    memory.write(u32(1));
    memory.read(0n, 4n).shows(0, u32(1));
  });
  test('is its own for each', (s) => {
    const c = withMemory(s, 1);
    allocViommu(c, { data_len: 24 }, dataOf(s, 2).at()).returns(0);
    const [one, other] = [
      s.main.maps(c.fd, 2n * PAGE, { start: PAGE }),
      s.main.maps(c.fd, 2n * PAGE, { start: 3n * PAGE }),
    ];
    one.read(0n, 4n).shows(0, u32(1));
    other.read(0n, 4n).shows(0, u32(2));
    c.destroy(NEXT).refused('EBUSY');
    other.hole(0n, 2n * PAGE);
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
  });
});

clause('viommu/mmap-offset', () => {
  test('the lowest with room', (s) => {
    const c = withMemory(s, 1);
    const offsetOfNext = (offset: bigint): void => {
      const data = dataOf(s);
      allocViommu(c, { data_len: 24 }, data.at()).returns(0);
      data.read(8n, 8n).shows(0, new Uint8Array(BigUint64Array.of(offset).buffer));
    };
    offsetOfNext(3n * PAGE);
    offsetOfNext(5n * PAGE);
    c.destroy(NEXT).returns(0);
    offsetOfNext(3n * PAGE);
  });
});

clause('viommu/mmap-private', () => {
  each({ 'to be written': 'rw', 'to be read': 'r' } as const, (s, prot) => {
    const c = withMemory(s);
    s.main
      .does({ op: 'map', name: 'own', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'private', prot })
      .refused('EINVAL');
    c.destroy(VIOMMU).returns(0);
  });
});

clause('viommu/mmap-nothing', () => {
  each(
    {
      'before it': [0n, 2n],
      'less of it': [1n, 1n],
      'more than it': [1n, 3n],
      'the second half': [2n, 1n],
      'from its second half on': [2n, 2n],
      'behind it': [3n, 2n],
      'far behind it': [1n << 40n, 2n],
    } as const,
    (s, [start, size]) => {
      const c = withMemory(s);
      s.main
        .does({ op: 'map', name: 'none', fd: c.fd, start: start * PAGE, size: size * PAGE, share: 'shared' })
        .refused('ENXIO');
      c.destroy(VIOMMU).returns(0);
    },
  );
  test('without memory', (s) => {
    const c = withViommu(s);
    s.main.does({ op: 'map', name: 'none', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
  test('after its end', (s) => {
    const c = withMemory(s);
    c.destroy(VIOMMU).returns(0);
    s.main.does({ op: 'map', name: 'none', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
  test('of another opening', (s) => {
    withMemory(s);
    const { fd } = openIommufd(s);
    s.main.does({ op: 'map', name: 'none', fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
});
