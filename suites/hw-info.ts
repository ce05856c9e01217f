import { boundCdev } from '../harness/cases/cdev.ts';
import { clause, each, type Said, type Scenario, test, u32, u64 } from '../harness/cases/index.ts';
import { openWithMock } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd-commands.ts';
import { offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* What IOMMU_GET_HW_INFO tells of the IOMMU behind a device. */

const PAGE = 0x1000n;
const TYPE = uapi.iommuHwInfo;
const VTD = sizeOf(uapi.iommuHwInfoVtd);
const INPUT = uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE;
const LENGTH_AT = offsetOf(TYPE, 'data_len');
const TYPE_AT = offsetOf(TYPE, 'out_data_type');
const PASID_AT = offsetOf(TYPE, 'out_max_pasid_log2');
const CAPABILITIES_AT = offsetOf(TYPE, 'out_capabilities');
/** The structure as it was at first. */
const SHORT = CAPABILITIES_AT;

/** Device 1, bound; and memory for data, filled with 0xee. */
const ready = (s: Scenario) => {
  const { c, cdev } = boundCdev(s);
  const memory = s.main.memory(PAGE);
  memory.fill(0xee);
  return { c, cdev, memory };
};

const isIntel = (said: Said): Said => said.returns(0).shows(TYPE_AT, u32(uapi.IOMMU_HW_INFO_TYPE_INTEL_VTD));

clause('hw-info/get', () => {
  test('of a device that is attached, and one that is not', (s) => {
    const { c, cdev } = ready(s);
    isIntel(c.hwInfo({}));
    cdev.attach(2, 3);
    isIntel(c.hwInfo({}));
    cdev.close().succeeds();
    c.hwInfo({}).refused('ENOENT');
  });
  test('by a process that inherited the context', (s) => {
    const { c } = ready(s);
    const child = s.main.forks();
    isIntel(c.of(child).hwInfo({}));
  });
  test('a structure that is larger than the kernel knows', (s) => {
    isIntel(ready(s).c.hwInfo({ size: 64 }));
  });
  test('of a mock device', (s) => {
    const c = openWithMock(s);
    const memory = s.main.memory(PAGE);
    c.alloc(1);
    c.attachMock(1).returns(0);
    c.hwInfo({ dev_id: 3, data_len: 12 }, memory.at())
      .returns(0)
      .shows(LENGTH_AT, u32(8))
      .shows(TYPE_AT, u32(0xfeedbeef));
    memory.read(0n, 12n).shows(0, Uint8Array.of(0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0));
  });
});

clause('hw-info/data', () => {
  // The registers themselves are held against those that sysfs shows.
  test('as long as it is', (s) => {
    const { c, memory } = ready(s);
    isIntel(c.hwInfo({ data_len: VTD }, memory.at(8n)));
    memory.read(0n, 40n).shows(12, u32(0)).shows(0, u64(0xeeee_eeee_eeee_eeeen)).shows(32, u64(0xeeee_eeee_eeee_eeeen));
  });
  each({ nothing: 0, 'a byte': 1, 'up to within a register': 13, 'all but a byte': 23 }, (s, length) => {
    const { c, memory } = ready(s);
    isIntel(c.hwInfo({ data_len: length }, memory.at()));
    memory.read(0n, 32n).shows(length, new Uint8Array(32 - length).fill(0xee));
  });
  each({ 'a byte more': 25, 'a page': 4096 }, (s, length) => {
    const { c, memory } = ready(s);
    isIntel(c.hwInfo({ data_len: length }, memory.at()));
    const end = Math.min(length, 256);
    memory.read(0n, 264n).shows(VTD, new Uint8Array(end - VTD));
    if (length < 256) memory.read(0n, 264n).shows(length, new Uint8Array(264 - length).fill(0xee));
  });
});

clause('hw-info/data-length', () => {
  each({ 'no room': 0, 'too little': 8, enough: 24, 'too much': 100 }, (s, length) => {
    const { c, memory } = ready(s);
    c.hwInfo({ data_len: length }, memory.at()).returns(0).shows(LENGTH_AT, u32(VTD));
  });
});

clause('hw-info/type', () => {
  test('whatever stands there', (s) => {
    isIntel(ready(s).c.hwInfo({ out_data_type: 77 }));
  });
});

clause('hw-info/pasid-bits', () => {
  test('of edu', (s) => {
    ready(s).c.hwInfo({ out_max_pasid_log2: 0xee }).returns(0).shows(PASID_AT, Uint8Array.of(0));
  });
});

clause('hw-info/capabilities', () => {
  test('of edu behind an IOMMU without dirty tracking', (s) => {
    ready(s).c.hwInfo({}).returns(0).shows(CAPABILITIES_AT, u64(uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED));
  });
  test('not where the structure does not have it', (s) => {
    isIntel(ready(s).c.hwInfo({ size: SHORT }));
  });
  test('a part of it', (s) => {
    isIntel(ready(s).c.hwInfo({ size: SHORT + 4 }));
  });
  test('of a mock device', (s) => {
    const c = openWithMock(s);
    c.alloc(1);
    c.attachMock(1).returns(0);
    c.hwInfo({ dev_id: 3 })
      .returns(0)
      .shows(CAPABILITIES_AT, u64(uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED | uapi.IOMMU_HW_CAP_DIRTY_TRACKING));
  });
});

clause('hw-info/flags', () => {
  each({ 'the second bit': 2, 'the highest bit': 0x8000_0000, 'with that for a type': 3 }, (s, flags) => {
    ready(s).c.hwInfo({ flags }).refused('EOPNOTSUPP');
  });
});

clause('hw-info/reserved', () => {
  each({ first: 0, second: 1, third: 2 }, (s, index) => {
    const __reserved = new Uint8Array(3);
    __reserved[index] = 1;
    ready(s).c.hwInfo({ __reserved }).refused('EOPNOTSUPP');
  });
});

clause('hw-info/unknown-device', () => {
  each({ none: 0, 'never given': 9, 'an IO address space': 2, 'a page table': 3 }, (s, dev_id) => {
    const { c, cdev } = ready(s);
    cdev.attach(2, 3);
    c.hwInfo({ dev_id }).refused('ENOENT');
  });
});

clause('hw-info/other-type', () => {
  each({ 'that of the SMMUv3': uapi.IOMMU_HW_INFO_TYPE_ARM_SMMUV3, 'one that nobody has': 0xffff_ffff }, (s, asked) => {
    const { c } = ready(s);
    c.hwInfo({ flags: INPUT, out_data_type: asked }).refused('EOPNOTSUPP');
    isIntel(c.hwInfo({ out_data_type: asked }));
  });
  each({ 'the default is taken': 0, 'its own is taken': 1 }, (s, asked) => {
    isIntel(ready(s).c.hwInfo({ flags: INPUT, out_data_type: asked }));
  });
});

clause('hw-info/unwritable-data', () => {
  test('NULL, with room for data and without', (s) => {
    const { c } = ready(s);
    c.hwInfo({ data_len: 1 }).refused('EFAULT');
    isIntel(c.hwInfo({ data_len: 0 }));
  });
  each({ 'the data': 23n, 'the zeros behind': 24n, 'the last of them': 31n }, (s, left) => {
    const { c, memory } = ready(s);
    c.hwInfo({ data_len: 32 }, memory.at(PAGE - left)).refused('EFAULT');
  });
  test('memory that can only be read', (s) => {
    const { c, memory } = ready(s);
    memory.protect('r');
    c.hwInfo({ data_len: 24 }, memory.at()).refused('EFAULT');
    memory.read(0n, 32n).shows(0, new Uint8Array(32).fill(0xee));
  });
});

clause('hw-info/unwritable', () => {
  test('memory that can only be read', (s) => {
    const { c, memory } = ready(s);
    memory.fill(0, 0n, 40n);
    memory.write(Uint8Array.of(40, 0, 0, 0, 0, 0, 0, 0, 1));
    memory.protect('r');
    c.command(uapi.IOMMU_GET_HW_INFO, { kind: 'place', place: memory.at() }).refused('EFAULT');
  });
});
