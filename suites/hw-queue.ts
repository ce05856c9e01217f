import { clause, each, type Memory, pointerTo, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, FIXED, openIommufd, READ, WRITE } from '../harness/cases/iommufd.ts';
import { allocHwQueue, allocViommu, withViommu } from '../harness/cases/viommus.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Queues in memory that hardware works on by itself. */

const PAGE = 0x1000n;
const BASE = mock.MOCK_APERTURE.start;
const TOP = (1n << 64n) - 1n;
/** What `withViommu` makes; a queue and its hold on the memory take the next two ids. */
const [IOAS, DEVICE, PARENT_ID, VIOMMU, QUEUE, SECOND] = [1, 3, 5, 6, 7, 9];
const ID_AT = offsetOf(commands.iommuHwQueueAlloc, 'out_hw_queue_id');

/** A virtual IOMMU, and four pages of memory that are mapped one by one from `BASE` on. */
const ready = (s: Scenario): { readonly c: Context; readonly memory: Memory } => {
  const c = withViommu(s);
  const memory = s.main.memory(4n * PAGE);
  for (let page = 0n; page < 4n; page++)
    c.map({ iova: BASE + page * PAGE, length: PAGE, vaddr: memory.at(page * PAGE) }).returns(0);
  return { c, memory };
};

const FIRST = { nesting_parent_iova: BASE, length: PAGE } as const;
const OTHER = { nesting_parent_iova: BASE + PAGE, length: PAGE, index: 1 } as const;

/** That a refused call left neither an object nor anything that holds memory. */
const leftNothing = (c: Context): void => {
  c.alloc(QUEUE);
  c.destroy(VIOMMU).returns(0);
  c.unmap(0n, TOP).returns(0);
};

clause('hw-queue/alloc', () => {
  each(
    {
      'a page': [BASE, PAGE],
      'a byte': [BASE, 1n],
      'the last byte of a page': [BASE + PAGE - 1n, 1n],
      'the middle of a page': [BASE + 0x123n, 0x456n],
    } as const,
    (s, [nesting_parent_iova, length]) => {
      const { c } = ready(s);
      allocHwQueue(c, { nesting_parent_iova, length }).returns(0).shows(ID_AT, u32(QUEUE));
      c.destroy(QUEUE).returns(0);
      leftNothing(c);
    },
  );
  test('two, of one page', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(QUEUE));
    allocHwQueue(c, { ...FIRST, index: 1 })
      .returns(0)
      .shows(ID_AT, u32(SECOND));
    c.destroy(SECOND).returns(0);
    c.unmap(BASE, PAGE).refused('EBUSY');
    c.destroy(QUEUE).returns(0);
    c.unmap(BASE, PAGE).returns(0);
  });
  test('of two virtual IOMMUs, with one index', (s) => {
    const { c } = ready(s);
    allocViommu(c).returns(0);
    allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(8));
    allocHwQueue(c, { ...FIRST, viommu_id: 7 })
      .returns(0)
      .shows(ID_AT, u32(10));
    c.destroy(8).returns(0);
    c.destroy(VIOMMU).returns(0);
    c.destroy(7).refused('EBUSY');
  });
  test('of memory that is mapped to be read only', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: BASE + 8n * PAGE, length: PAGE, vaddr: memory.at(), flags: READ | FIXED }).returns(0);
    allocHwQueue(c, { nesting_parent_iova: BASE + 8n * PAGE, length: PAGE }).returns(0);
  });
  test('closing everything', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0);
    allocHwQueue(c, OTHER).returns(0);
    c.close().succeeds();
    openIommufd(s).alloc(1);
  });
});

clause('hw-queue/alloc-id', () => {
  test('the lowest that is free', (s) => {
    const { c } = ready(s);
    c.alloc(7);
    c.alloc(8);
    c.destroy(7).returns(0);
    allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(7));
  });
});

clause('hw-queue/alloc-flags', () => {
  each({ lowest: 1, highest: 0x8000_0000 }, (s, flags) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...FIRST, flags }).refused('EOPNOTSUPP');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-default-type', () => {
  test('type 0', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...FIRST, type: 0 }).refused('EOPNOTSUPP');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-type', () => {
  each({ "NVIDIA's": 1, 'defined nowhere': 0x7777, highest: 0xffff_ffff }, (s, type) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...FIRST, type }).refused('EOPNOTSUPP');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-empty', () => {
  test('no length', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...FIRST, length: 0n }).refused('EINVAL');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-overflow', () => {
  each({ 'by a byte': TOP - BASE + 2n, 'as long as can be': TOP }, (s, length) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...FIRST, length }).refused('EOVERFLOW');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-much', () => {
  each(
    {
      'up to the end': [BASE, TOP - BASE + 1n],
      'up to the end, off a page': [BASE + 1n, TOP - BASE],
      'a quarter of all': [BASE, 1n << 62n],
    } as const,
    (s, [nesting_parent_iova, length]) => {
      const { c } = ready(s);
      allocHwQueue(c, { nesting_parent_iova, length }).refused('ENOENT', 'ENOMEM', 'ERANGE');
      leftNothing(c);
    },
  );
});

clause('hw-queue/alloc-unknown-viommu', () => {
  each(
    { none: 0, 'an IO address space': IOAS, 'a device': DEVICE, 'a page table': PARENT_ID, 'never given': 99 },
    (s, viommu_id) => {
      const { c } = ready(s);
      allocHwQueue(c, { ...FIRST, viommu_id }).refused('ENOENT');
      leftNothing(c);
    },
  );
});

clause('hw-queue/alloc-memory', () => {
  each(
    { 'before what is mapped': BASE - PAGE, 'behind it': BASE + 4n * PAGE, nowhere: 0n },
    (s, nesting_parent_iova) => {
      const { c } = ready(s);
      allocHwQueue(c, { nesting_parent_iova, length: PAGE }).refused('ENOENT');
      leftNothing(c);
    },
  );
  test('not to be read', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: BASE + 8n * PAGE, length: PAGE, vaddr: memory.at(), flags: WRITE | FIXED }).returns(0);
    allocHwQueue(c, { nesting_parent_iova: BASE + 8n * PAGE, length: PAGE }).refused('EPERM');
    leftNothing(c);
  });
  test('the second of two pages is not mapped', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, { nesting_parent_iova: BASE + 3n * PAGE, length: PAGE + 1n }).refused('ENOENT');
    leftNothing(c);
  });
});

clause('hw-queue/alloc-misaligned', () => {
  each(
    {
      'half a page': [8n * PAGE, 0n, 2048n],
      'from the middle of a page on': [8n * PAGE + 2048n, 2048n, 2048n],
      'from two pages': [8n * PAGE, 2048n, PAGE],
    } as const,
    (s, [iova, offset, length]) => {
      const { c, memory } = ready(s);
      c.map({ iova: BASE + iova, length, vaddr: memory.at(offset) }).returns(0);
      allocHwQueue(c, FIRST).refused('EADDRINUSE');
      c.unmap(BASE + iova, length).returns(0);
      allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(QUEUE));
    },
  );
});

clause('ioas/map-unaligned', () => {
  test('half a page, while there is a queue of hardware', (s) => {
    const { c, memory } = ready(s);
    const half = () => c.map({ iova: BASE + 8n * PAGE, length: 2048n, vaddr: memory.at() });
    allocHwQueue(c, FIRST).returns(0);
    half().refused('EINVAL');
    c.destroy(QUEUE).returns(0);
    half().returns(0);
  });
});

clause('hw-queue/alloc-scattered', () => {
  test('one page twice', (s) => {
    const { c, memory } = ready(s);
    for (const page of [8n, 9n]) c.map({ iova: BASE + page * PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
    allocHwQueue(c, { nesting_parent_iova: BASE + 8n * PAGE, length: 2n * PAGE }).refused('EFAULT');
    leftNothing(c);
  });
  test('pages as they come', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, { nesting_parent_iova: BASE, length: 4n * PAGE });
  });
});

clause('hw-queue/alloc-taken', () => {
  test('until the other is gone', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0);
    allocHwQueue(c, { ...OTHER, index: 0 }).refused('EEXIST');
    c.unmap(BASE + PAGE, PAGE).returns(0);
    c.destroy(QUEUE).returns(0);
    allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(QUEUE));
  });
});

clause('hw-queue/alloc-index', () => {
  each(
    { 'the second alone': [1, 'EIO'], 'a third': [2, 'EINVAL'], highest: [0xffff_ffff, 'EINVAL'] } as const,
    (s, [index, errno]) => {
      const { c } = ready(s);
      allocHwQueue(c, { ...FIRST, index }).refused(errno);
      leftNothing(c);
    },
  );
});

clause('hw-queue/alloc-unwritable', () => {
  test('read-only memory', (s) => {
    const { c } = ready(s);
    const type = commands.iommuHwQueueAlloc;
    const memory = s.main.memory(PAGE);
    const fields = { viommu_id: VIOMMU, type: mock.IOMMU_HW_QUEUE_TYPE_SELFTEST, ...FIRST };
    memory.write(encode(type, { size: sizeOf(type), ...fields }));
    memory.protect('r');
    c.command(commands.IOMMU_HW_QUEUE_ALLOC, pointerTo(memory.at())).refused('EFAULT');
    allocHwQueue(c, FIRST).returns(0).shows(ID_AT, u32(QUEUE));
    c.destroy(QUEUE).returns(0);
    leftNothing(c);
  });
});

clause('iommufd/destroy-busy', () => {
  test('a queue of hardware that another needs', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0);
    allocHwQueue(c, OTHER).returns(0).shows(ID_AT, u32(SECOND));
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(QUEUE).refused('EBUSY');
    c.destroy(SECOND).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
    c.destroy(QUEUE).returns(0);
    c.destroy(VIOMMU).returns(0);
  });
  test("a queue's hold on its memory", (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0);
    c.destroy(QUEUE + 1).refused('EBUSY');
    c.destroy(QUEUE).returns(0);
    c.destroy(QUEUE + 1).refused('ENOENT');
  });
  test('the IO address space of a queue', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, FIRST).returns(0);
    c.destroy(IOAS).refused('EBUSY');
  });
});

clause('ioas/unmap-locked', () => {
  each(
    { 'the mapping': [BASE, PAGE], 'all around it': [BASE, 4n * PAGE], everything: [0n, TOP] } as const,
    (s, [iova, length]) => {
      const { c } = ready(s);
      allocHwQueue(c, FIRST).returns(0);
      c.unmap(iova, length).refused('EBUSY');
      c.destroy(QUEUE).returns(0);
      c.unmap(BASE, 4n * PAGE).returns(0);
    },
  );
  test('not its neighbours', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, OTHER).refused('EIO');
    allocHwQueue(c, { ...OTHER, index: 0 }).returns(0);
    c.unmap(BASE, PAGE).returns(0);
    c.unmap(BASE + 2n * PAGE, 2n * PAGE).returns(0);
    c.unmap(BASE + PAGE, PAGE).refused('EBUSY');
  });
  test('mappings before it', (s) => {
    const { c } = ready(s);
    allocHwQueue(c, { ...OTHER, index: 0 }).returns(0);
    c.unmap(BASE, 4n * PAGE).refused('EBUSY');
    c.destroy(QUEUE).returns(0);
    c.unmap(BASE, 4n * PAGE)
      .returns(0)
      .shows(offsetOf(uapi.iommuIoasUnmap, 'length'), new Uint8Array(BigUint64Array.of(3n * PAGE).buffer));
  });
  test('a larger mapping of which a page is held', (s) => {
    const { c, memory } = ready(s);
    c.map({ iova: BASE + 8n * PAGE, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    allocHwQueue(c, { nesting_parent_iova: BASE + 10n * PAGE, length: 8n }).returns(0);
    c.unmap(BASE + 8n * PAGE, 4n * PAGE).refused('EBUSY');
    c.destroy(QUEUE).returns(0);
    c.unmap(BASE + 8n * PAGE, 4n * PAGE).returns(0);
  });
});
