import { clause, each, pointerTo, test, u32 } from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import { attachMockAs, replaceMock } from '../harness/cases/page-tables.ts';
import { allocNested, allocVdevice, allocViommu, besideHardware, withViommu } from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/* Devices as a virtual machine knows them. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [IOAS, MOCK, DEVICE, AUTOMATIC, PARENT_ID, VIOMMU, NEXT] = [1, 2, 3, 4, 5, 6, 7];
const ID_AT = offsetOf(commands.iommuViommuAlloc, 'out_viommu_id');
const VDEVICE_AT = offsetOf(commands.iommuVdeviceAlloc, 'out_vdevice_id');
const TOP = (1n << 64n) - 1n;

clause('vdevice/alloc-other-iommu', () => {
  test('a device of the machine', (s) => {
    const c = besideHardware(s);
    allocVdevice(c, 1n, { viommu_id: 7, dev_id: 1 }).refused('EINVAL');
    c.alloc(8);
    allocVdevice(c, 1n, { viommu_id: 7, dev_id: 4 }).returns(0);
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
