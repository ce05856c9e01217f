import { deviceOf, type EmulatedDevice } from '../harness/cases/emulated.ts';
import {
  clause,
  containerOf,
  EMULATED_GROUP,
  each,
  openGroup,
  type Scenario,
  test,
  u64,
} from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import { deviceName } from '../harness/cases/vfio.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/* Groups without an IOMMU that are given /dev/iommu in place of a container, and their devices, which pin, read and write there. */

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x8000n };
const SIZE_AT = 16;

/** /dev/iommu with the group of a device without an IOMMU, and memory of 16 pages; IO address space 1. */
const ready = (s: Scenario, type = uapi.VFIO_TYPE1v2_IOMMU) => {
  s.needs(EMULATED_GROUP);
  const c = openIommufd(s);
  const container = containerOf(c.fd, s.main);
  const group = openGroup(s.main, 'emulated0');
  group.setContainer(container).succeeds();
  container.setIommu(type).succeeds();
  return { c, container, group, memory: s.main.memory(0x10000n, { share: 'shared' }) };
};

/** The same with A mapped, and the device open: object 2. */
const opened = (s: Scenario, type?: bigint) => {
  const all = ready(s, type);
  all.container.map({ ...A, vaddr: all.memory.at() }).succeeds();
  const device = all.group.device('emulated0-device');
  device.opened.succeeds();
  return { ...all, d: deviceOf(device, s.main) };
};

/** How much the process has pinned, in pages. */
const pins = (s: Scenario, pages: number): void =>
  void s.main.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);

const holdsOnly = (d: EmulatedDevice, pages: bigint): void => void d.tells({ pins: pages, pages });

clause('group/set-container', () => {
  test('a group without an iommu is given /dev/iommu', (s) => {
    const { c, group } = ready(s);
    c.vfioIoas(0)
      .returns(0)
      .shows(4, Uint8Array.of(1, 0, 0, 0));
    group.unsetContainer().succeeds();
  });
});

clause('group/get-device', () => {
  test('a device without an iommu has nothing pinned, and the io address space in use', (s) => {
    const { c, d } = opened(s);
    pins(s, 0);
    c.destroy(1).refused('EBUSY');
    c.destroy(2).refused('EBUSY');
    c.alloc(3);
    d.close().returns(0);
    c.alloc(2);
  });
  test('opened twice it is one', (s) => {
    const { c, d, group } = opened(s);
    group.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('emulated0-device'), 'again').succeeds();
    d.pins(A.iova).succeeds();
    d.close().returns(0);
    pins(s, 1);
    c.alloc(3);
    s.main.does({ op: 'close', fd: 'again' }).returns(0);
    pins(s, 0);
    c.alloc(2);
  });
});

clause('compat/open-unaligned', () => {
  each({ 'half a page': 2048n, 'a page': PAGE }, (s, length) => {
    const { c, group, memory } = ready(s);
    c.map({ iova: A.iova, length, vaddr: memory.at() }).returns(0);
    const { opened: said } = group.device('emulated0-device');
    if (length === PAGE) said.succeeds();
    else said.refused('EADDRINUSE');
  });
});

clause('compat/open-without-ioas', () => {
  test('a device without an iommu', (s) => {
    const { c, group } = ready(s);
    c.destroy(1).returns(0);
    group.device('emulated0-device').opened.refused('ENODEV');
  });
});

clause('access/pin', () => {
  test('a device of a group that was given /dev/iommu', (s) => {
    const { d, memory } = opened(s);
    memory.fill(1);
    d.pins(A.iova, 8).succeeds();
    d.pins(A.iova + PAGE, 2).succeeds();
    pins(s, 8);
    d.tells({ pins: 10n, pages: 8n });
    d.fills(5);
    d.stores(A.iova + PAGE - 1n, 2).succeeds();
    memory.read(PAGE - 2n, 4n).shows(0, Uint8Array.of(1, 5, 5, 1));
    d.unpins(A.iova, 8).succeeds();
    pins(s, 2);
    d.pins(A.iova - PAGE).refused('ENOENT');
    d.unpinsAll().succeeds();
    pins(s, 0);
  });
  test('of a container of type 1, too', (s) => {
    const { d } = opened(s, uapi.VFIO_TYPE1_IOMMU);
    d.pins(A.iova, 8).succeeds();
    pins(s, 8);
  });
});

clause('access/rw', () => {
  test('a device of a group that was given /dev/iommu', (s) => {
    const { d, memory } = opened(s);
    memory.fill(2);
    d.reads(A.iova + PAGE - 1n, 2).succeeds();
    d.holds(2, 2, 0);
    d.fills(3);
    d.writesByThread(A.iova + PAGE - 1n, 2).succeeds();
    memory.read(PAGE - 2n, 4n).shows(0, Uint8Array.of(2, 3, 3, 2));
    d.reads(A.iova + A.size, 1).refused('ENOENT');
  });
});

clause('access/unmap-lets-go', () => {
  each({ 'by UNMAP_DMA': false, 'by UNMAP_DMA of all': true }, (s, all) => {
    const { d, container } = opened(s);
    d.pins(A.iova, 3).succeeds();
    (all ? container.unmapAll() : container.unmap(A)).returns(0).shows(SIZE_AT, u64(A.size));
    d.tells({ pins: 0n, unmaps: 1n, unmap_iova: A.iova, unmap_size: A.size, unmap_pins: 3n });
    pins(s, 0);
    d.pins(A.iova).refused('ENOENT');
  });
});

clause('compat/unmap-cuts-pinned', () => {
  each(
    {
      'the end of it': [4n, 8n],
      'the beginning of it': [0n, 4n],
      'the middle of it': [2n, 4n],
      'from before it to within it': [-1n, 5n],
    } as const,
    (s, [first, pages]) => {
      const { d, container } = opened(s, uapi.VFIO_TYPE1_IOMMU);
      d.pins(A.iova + 7n * PAGE).succeeds();
      container
        .unmap({ iova: A.iova + first * PAGE, size: (pages - (first < 0n ? 0n : first)) * PAGE })
        .refused('EINVAL');
      holdsOnly(d, 1n);
      d.reads(A.iova, 1).succeeds();
      d.unpinsAll().succeeds();
      container.unmap({ iova: A.iova, size: PAGE }).returns(0).shows(SIZE_AT, u64(PAGE));
      d.pins(A.iova).refused('ENOENT');
      d.pins(A.iova + PAGE, 7).succeeds();
    },
  );
  test('where it is not cut it goes', (s) => {
    const { d, container } = opened(s, uapi.VFIO_TYPE1_IOMMU);
    d.pins(A.iova + 7n * PAGE).succeeds();
    container
      .unmap({ iova: A.iova - PAGE, size: A.size + 2n * PAGE })
      .returns(0)
      .shows(SIZE_AT, u64(A.size));
    d.tells({ pins: 0n, unmaps: 1n, unmap_iova: A.iova, unmap_size: A.size, unmap_pins: 1n });
  });
  test('another one that is cut at the end of the range is, all the same', (s) => {
    const { c, d, container, memory } = opened(s, uapi.VFIO_TYPE1_IOMMU);
    container.map({ iova: A.iova + A.size, size: 4n * PAGE, vaddr: memory.at(A.size) }).succeeds();
    d.pins(A.iova).succeeds();
    container.unmap({ iova: A.iova + PAGE, size: A.size }).refused('EINVAL');
    holdsOnly(d, 1n);
    // The command of IOMMUFD divides nothing: it takes what is a mapping by itself.
    c.unmap(A.iova + A.size, PAGE).returns(0);
    c.unmap(A.iova, PAGE).refused('ENOENT');
  });
});
