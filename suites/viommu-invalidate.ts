import { clause, each, type Scenario, test, u32 } from '../harness/cases/index.ts';
import type { Context } from '../harness/cases/iommufd.ts';
import { attachMockAs, checkCache, invalidate } from '../harness/cases/page-tables.ts';
import { allocNested, allocVdevice, checkDeviceCache, withViommu } from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { offsetOf } from '../harness/uapi/struct.ts';

/* Caches of devices that belong to a virtual IOMMU. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [IOAS, MOCK, DEVICE, AUTOMATIC, VIOMMU] = [1, 2, 3, 4, 6];
const TABLE_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');
const COUNT_AT = offsetOf(commands.iommuHwptInvalidate, 'entry_num');
const ALL = mock.IOMMU_TEST_INVALIDATE_FLAG_ALL;
const CACHED = mock.IOMMU_TEST_DEV_CACHE_DEFAULT;

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
