import { clause, each, pointerTo, test, u64 } from '../harness/cases/index.ts';
import { setTracking, writeThrough } from '../harness/cases/page-tables.ts';
import { BASE, bitsOf, ready, SIZE, shows, TABLE, tracking, writes } from '../harness/cases/tracked.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Pages that the mock device writes, which its page table then knows as dirty. */

const PAGE = 0x1000n;
const COUNT_AT = offsetOf(mock.iommuTestDirty, 'out_nr_dirty');
/** The page table that attaching the device made. */
const PLAIN = 4;
const NO_TABLES = { none: 0, 'an IO address space': 1, 'a mock device': 2, 'a device': 3, 'never given': 9 };

clause('mock/write', () => {
  test('where nothing is mapped', (s) => {
    const c = tracking(s);
    writes(s, c, [0, 70], BASE);
    shows(s, c, [0]);
  });
});

clause('mock/write-count', () => {
  test('bits, not pages', (s) => {
    const c = tracking(s);
    const bits = s.main.memory(8);
    bits.write(bitsOf([0, 1, 2], 8));
    writeThrough(c, { id: TABLE, iova: BASE, length: 8n * 2048n, page_size: 2048n }, bits.at())
      .returns(0)
      .shows(COUNT_AT, u64(3n));
    shows(s, c, [0, 1]);
  });
});

clause('mock/write-arguments', () => {
  each(
    {
      'no page size': { iova: BASE, length: PAGE },
      'no pages': { iova: BASE, page_size: PAGE },
      'an odd iova': { iova: BASE + 1n, length: PAGE, page_size: PAGE },
      'an odd length': { iova: BASE, length: PAGE + 1n, page_size: PAGE },
    },
    (s, fields) => {
      const c = tracking(s);
      writeThrough(c, { id: TABLE, ...fields }, s.main.memory(8).at()).refused('EINVAL');
    },
  );
});

clause('mock/write-too-many', () => {
  test('one more than can be', (s) => {
    const c = tracking(s);
    const fields = { id: TABLE, iova: 0n, length: (1n << 27n) + 1n, page_size: 1n };
    writeThrough(c, fields, s.main.memory(8).at()).refused('EOVERFLOW');
  });
});

clause('mock/write-unknown', () => {
  each(NO_TABLES, (s, id) => {
    const c = tracking(s);
    writeThrough(c, { id, iova: BASE, length: PAGE, page_size: PAGE }, s.main.memory(8).at()).refused('ENOENT');
  });
});

clause('mock/write-not-tracked', () => {
  test('never made for it', (s) => {
    const fields = { id: PLAIN, iova: BASE, length: PAGE, page_size: PAGE };
    writeThrough(tracking(s), fields, s.main.memory(8).at()).refused('EINVAL');
  });
  test('not started, and stopped', (s) => {
    const c = ready(s);
    const fields = { id: TABLE, iova: BASE, length: PAGE, page_size: PAGE };
    const bits = s.main.memory(8);
    writeThrough(c, fields, bits.at()).refused('EINVAL');
    setTracking(c, TABLE).returns(0);
    writeThrough(c, fields, bits.at()).returns(0);
    setTracking(c, TABLE, { flags: 0 }).returns(0);
    writeThrough(c, fields, bits.at()).refused('EINVAL');
  });
});

clause('mock/write-unreadable', () => {
  test('bits that are not there', (s) => {
    const c = tracking(s);
    const bits = s.main.memory(PAGE);
    bits.hole(0n, PAGE);
    writeThrough(c, { id: TABLE, iova: BASE, length: PAGE, page_size: PAGE }, bits.at()).refused('EFAULT');
    shows(s, c, []);
  });
});

clause('mock/write-unwritable', () => {
  test('read-only memory', (s) => {
    const c = tracking(s);
    const [memory, bits] = [s.main.memory(PAGE), s.main.memory(8)];
    bits.write(Uint8Array.of(2));
    const type = mock.iommuTestDirty;
    const fields = { size: sizeOf(type), op: mock.IOMMU_TEST_OP_DIRTY, id: TABLE };
    memory.write(encode(type, { ...fields, iova: BASE, length: SIZE, page_size: PAGE }));
    memory.link(BigInt(offsetOf(type, 'uptr')), bits.at());
    memory.protect('r');
    c.command(mock.IOMMU_TEST_CMD, pointerTo(memory.at())).refused('EFAULT');
    shows(s, c, [1]);
  });
});
