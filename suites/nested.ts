import { clause, each, type Memory, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, checkCache, invalidate, PARENT, replaceMock } from '../harness/cases/page-tables.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Page tables of user space, nested in one of the kernel's, and what caches hold of them. */

const PAGE = 0x1000n;
const IOTLB = 0x1234;
/** Page table 5, a parent; nested page table 6. */
const [PARENT_ID, NESTED] = [5, 6];
const COUNT_AT = offsetOf(commands.iommuHwptInvalidate, 'entry_num');
const ALL = mock.IOMMU_TEST_INVALIDATE_FLAG_ALL;

/** IO address space 1 with mock device 2, bound as device 3, attached to page table 4; a parent; a page table nested in it. */
const ready = (s: Scenario, data_len = 8): Context => {
  const c = openWithMock(s);
  c.alloc(1);
  c.attachMock(1).returns(0);
  allocTable(c, { dev_id: 3, flags: PARENT }).returns(0);
  const data = s.main.memory(PAGE);
  data.write(encode(mock.iommuHwptSelftest, { iotlb: IOTLB }));
  const type = mock.IOMMU_HWPT_DATA_SELFTEST;
  allocTable(c, { dev_id: 3, pt_id: PARENT_ID, data_type: type, data_len }, data.at()).returns(0);
  return c;
};

/** Entries of an array: flags and the number in the cache. */
type Entry = readonly [flags: number, entry: number];

const arrayOf = (s: Scenario, entries: readonly Entry[]): Memory => {
  const memory = s.main.memory(PAGE);
  memory.write(u32(...entries.flat()));
  return memory;
};

/** What the cache holds: the values of its four entries. */
const holds = (c: Context, gone: readonly number[]): void => {
  for (const entry of [0, 1, 2, 3]) checkCache(c, NESTED, entry, gone.includes(entry) ? 0 : IOTLB).returns(0);
};

clause('hwpt/invalidate', () => {
  each({ 'with all of its data': 8, 'with as little as can be': 4 }, (s, length) => holds(ready(s, length), []));
  each(
    {
      'one entry': [[[0, 2]], [2]],
      'several entries': [
        [
          [0, 0],
          [0, 3],
          [0, 0],
        ],
        [0, 3],
      ],
      all: [[[ALL, 0]], [0, 1, 2, 3]],
    } as const,
    (s, [entries, gone]) => {
      const c = ready(s);
      invalidate(c, { hwpt_id: NESTED, entry_num: entries.length }, arrayOf(s, entries).at())
        .returns(0)
        .shows(COUNT_AT, u32(entries.length));
      holds(c, gone);
    },
  );
  each({ 'with a length': 8, 'with none': 0, 'with one that is too long': 5000 }, (s, entry_len) => {
    const c = ready(s);
    invalidate(c, { hwpt_id: NESTED, entry_num: 0, entry_len }).returns(0).shows(COUNT_AT, u32(0));
    holds(c, []);
  });
  test('while a device is attached', (s) => {
    const c = ready(s);
    replaceMock(c, 2, NESTED).returns(0);
    c.destroy(NESTED).refused('EBUSY');
    invalidate(c, { hwpt_id: NESTED, entry_num: 1 }, arrayOf(s, [[0, 1]]).at()).returns(0);
    holds(c, [1]);
    replaceMock(c, 2, 1).returns(0);
    c.destroy(PARENT_ID).refused('EBUSY');
    c.destroy(NESTED).returns(0);
  });
  test('two page tables nested in one parent', (s) => {
    const c = ready(s);
    const data = s.main.memory(PAGE);
    data.write(encode(mock.iommuHwptSelftest, { iotlb: 7 }));
    const fields = { dev_id: 3, pt_id: PARENT_ID, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 8 };
    allocTable(c, fields, data.at()).returns(0);
    invalidate(c, { hwpt_id: NESTED, entry_num: 1 }, arrayOf(s, [[ALL, 0]]).at()).returns(0);
    holds(c, [0, 1, 2, 3]);
    checkCache(c, 7, 0, 7).returns(0);
    attachMockAs(c, 7, 0).returns(0);
    c.destroy(NESTED).returns(0);
    c.destroy(PARENT_ID).refused('EBUSY');
  });
});

clause('hwpt/invalidate-count', () => {
  each({ first: 0, second: 1, third: 2 }, (s, at) => {
    const c = ready(s);
    const entries = [0, 1, 2].map((entry): Entry => [0, entry === at ? 4 : entry]);
    invalidate(c, { hwpt_id: NESTED, entry_num: 3 }, arrayOf(s, entries).at()).refused('EINVAL');
    holds(c, [0, 1, 2].slice(0, at));
  });
});

clause('hwpt/invalidate-reserved', () => {
  test('not 0', (s) => {
    const c = ready(s);
    invalidate(c, { hwpt_id: NESTED, entry_num: 1, __reserved: 1 }, arrayOf(s, [[0, 0]]).at()).refused('EOPNOTSUPP');
    holds(c, []);
  });
});

clause('hwpt/invalidate-bounds', () => {
  each(
    {
      'no address': { data_uptr: 0n },
      'no length': { entry_len: 0 },
      'longer than a page': { entry_len: 4097 },
      'too many': { entry_num: (1 << 19) + 1 },
      'as many as can be said': { entry_num: 0xffff_ffff },
    },
    (s, fields) => {
      const c = ready(s);
      const entries = 'data_uptr' in fields ? undefined : arrayOf(s, [[0, 0]]).at();
      invalidate(c, { hwpt_id: NESTED, entry_num: 1, ...fields }, entries).refused('EINVAL');
      holds(c, []);
    },
  );
});

clause('hwpt/invalidate-unknown', () => {
  each({ none: 0, 'never given': 9 }, (s, hwpt_id) => {
    invalidate(ready(s), { hwpt_id, entry_num: 1 }, arrayOf(s, [[0, 0]]).at()).refused('ENOENT');
  });
});

clause('hwpt/invalidate-not-nested', () => {
  each(
    { 'an IO address space': 1, 'a mock device': 2, 'a device': 3, 'a page table': 4, 'its parent': 5 },
    (s, hwpt_id) => {
      invalidate(ready(s), { hwpt_id, entry_num: 1 }, arrayOf(s, [[0, 0]]).at()).refused('EINVAL');
    },
  );
});

clause('hwpt/invalidate-type', () => {
  each({ 'with an entry': 1, 'only asked': 0 }, (s, entry_num) => {
    const c = ready(s);
    const fields = { hwpt_id: NESTED, entry_num, data_type: 0xdadbeef };
    invalidate(c, fields, arrayOf(s, [[0, 0]]).at()).refused('EINVAL', 'EOPNOTSUPP');
    holds(c, []);
  });
});

clause('hwpt/invalidate-bad-entry', () => {
  each(
    {
      'an unknown flag': [[2, 0], 8, 'EOPNOTSUPP'],
      'one that there is not': [[0, 4], 8, 'EINVAL'],
      'all, and one that there is not': [[ALL, 4], 8, 'EINVAL'],
      'too short': [[0, 0], 7, 'EINVAL'],
      'too long': [[0, 0], 9, 'EINVAL'],
      'as long as can be': [[0, 0], 4096, 'EINVAL'],
    } as const,
    (s, [entry, entry_len, errno]) => {
      const c = ready(s);
      invalidate(c, { hwpt_id: NESTED, entry_num: 1, entry_len }, arrayOf(s, [entry]).at()).refused(errno);
      holds(c, []);
    },
  );
  test('the second cannot be read', (s) => {
    const c = ready(s);
    const memory = s.main.memory(PAGE);
    memory.write(u32(0, 1), PAGE - 8n);
    invalidate(c, { hwpt_id: NESTED, entry_num: 2 }, memory.at(PAGE - 8n)).refused('EFAULT');
    holds(c, [1]);
  });
});

clause('hwpt/invalidate-unwritable', () => {
  test('read-only memory', (s) => {
    const c = ready(s);
    const type = commands.iommuHwptInvalidate;
    const [memory, entries] = [s.main.memory(PAGE), arrayOf(s, [[0, 2]])];
    const data_type = mock.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST;
    memory.write(encode(type, { size: sizeOf(type), hwpt_id: NESTED, data_type, entry_len: 8, entry_num: 1 }));
    memory.link(BigInt(offsetOf(type, 'data_uptr')), entries.at());
    memory.protect('r');
    c.command(commands.IOMMU_HWPT_INVALIDATE, pointerTo(memory.at())).refused('EFAULT');
    holds(c, [2]);
  });
});

clause('mock/check-cache', () => {
  test('each entry', (s) => holds(ready(s), []));
});

clause('mock/check-cache-unknown', () => {
  each({ none: 0, 'a page table': 4, 'its parent': 5, 'never given': 9 }, (s, id) => {
    checkCache(ready(s), id, 0, IOTLB).refused('ENOENT');
  });
});

clause('mock/check-cache-other', () => {
  each({ 'another value': [0, 1], 'no such entry': [4, IOTLB] } as const, (s, [entry, value]) => {
    checkCache(ready(s), NESTED, entry, value).refused('EINVAL');
  });
});
