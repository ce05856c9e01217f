import { attachArgument, bindArgument, boundCdev, detachArgument, openCdev } from '../harness/cases/cdev.ts';
import {
  type Actor,
  clause,
  each,
  NULL,
  openGroup,
  pointerTo,
  readyContainer,
  type Scenario,
  test,
  u32,
  u64,
} from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import { IOMMUFD_MOCK } from '../harness/cases/needs.ts';
import { allocTable } from '../harness/cases/page-tables.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { offsetOf } from '../harness/uapi/struct.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT as ATTACH,
  VFIO_DEVICE_BIND_IOMMUFD as BIND,
  VFIO_DEVICE_DETACH_IOMMUFD_PT as DETACH,
} from '../harness/uapi/vfio-cdev.ts';

/* Attaching a device of the machine, by its own file, to IO address spaces and page tables; detaching it. */

const PAGE = 0x1000n;
const SIZE = 0x10000n;
const TOP = (1n << 64n) - 1n;
const MSI = 0xfee0_0000n;
const MSI_END = 0xfef0_0000n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

/** How many pages an actor has pinned. */
const pins = (actor: Actor, pages: number): void =>
  void actor.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);

/** Device 1, bound; IO address spaces 2 and 3 with 16 and 4 pages mapped at 0. */
const withTwo = (s: Scenario) => {
  const { c, cdev } = boundCdev(s);
  c.alloc(3);
  const memory = s.main.memory(SIZE);
  c.map({ ioas: 2, iova: 0n, length: SIZE, vaddr: memory.at() }).returns(0);
  c.map({ ioas: 3, iova: 0n, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
  return { c, cdev, memory };
};

clause('cdev/attach', () => {
  test('pins what is mapped, and what is mapped from then on', (s) => {
    const { c, cdev } = boundCdev(s);
    const memory = s.main.memory(SIZE);
    c.map({ ioas: 2, iova: 0n, length: PAGE, vaddr: memory.at() }).returns(0);
    pins(s.main, 0);
    cdev.attach(2, 3);
    pins(s.main, 1);
    c.map({ ioas: 2, iova: SIZE, length: 3n * PAGE, vaddr: memory.at(PAGE) }).returns(0);
    pins(s.main, 4);
    c.unmap(0n, PAGE, 2).returns(0);
    pins(s.main, 3);
  });
  test('again to the same IO address space changes nothing', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    cdev.attach(2, 4);
    pins(s.main, 16);
    c.alloc(5);
    cdev.detach().returns(0);
    pins(s.main, 0);
    c.destroy(4).refused('ENOENT');
    c.destroy(2).returns(0);
  });
  test('to another IO address space, in place of the first', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    c.destroy(2).refused('EBUSY');
    cdev.attach(3, 5);
    pins(s.main, 4);
    c.destroy(4).refused('ENOENT');
    c.destroy(2).returns(0);
    c.destroy(3).refused('EBUSY');
    c.alloc(2);
    cdev.attach(2, 4);
    pins(s.main, 0);
    c.destroy(3).returns(0);
  });
  test('by a process that inherited its file', (s) => {
    const { c, cdev } = withTwo(s);
    const child = s.main.forks();
    cdev.of(child).attach(2, 4);
    pins(s.main, 16);
    pins(child, 0);
    c.of(child).destroy(2).refused('EBUSY');
  });
  test('two devices share a page table, which is gone with the last', (s) => {
    const { c, cdev } = withTwo(s);
    const other = openCdev(s, s.main, 'device1');
    other.bind(c, 4);
    cdev.attach(2, 5);
    other.attach(2, 5);
    pins(s.main, 16);
    cdev.detach().returns(0);
    c.destroy(2).refused('EBUSY');
    pins(s.main, 16);
    other.attach(3, 6);
    pins(s.main, 4);
    c.destroy(5).refused('ENOENT');
    c.destroy(2).returns(0);
    other.close().succeeds();
    c.destroy(3).returns(0);
  });
  test('beside a mock device, which needs a page table of its own', (s) => {
    s.needs(IOMMUFD_MOCK);
    const { c, cdev } = boundCdev(s);
    // The mock device 3, bound as device 4, gets page table 5.
    c.attachMock(2).returns(0);
    cdev.attach(2, 6);
    const ranges = s.main.memory(PAGE);
    c.ranges({ ioas_id: 2, num_iovas: 4 }, ranges.at())
      .returns(0)
      .shows(8, Uint8Array.of(1, 0, 0, 0));
    ranges
      .read(0n, 16n)
      .shows(0, u64(1n << 24n))
      .shows(8, u64((1n << 31n) - 1n));
    const memory = s.main.memory(PAGE);
    c.map({ ioas: 2, iova: 1n << 24n, length: PAGE, vaddr: memory.at() }).returns(0);
    pins(s.main, 1);
    c.destroy(3).returns(0);
    pins(s.main, 1);
    c.map({ ioas: 2, iova: 0n, length: PAGE, vaddr: memory.at() }).returns(0);
    cdev.detach().returns(0);
    pins(s.main, 0);
    c.destroy(2).returns(0);
  });
  test('to the page table of another device', (s) => {
    const { c, cdev } = withTwo(s);
    const other = openCdev(s, s.main, 'device1');
    other.bind(c, 4);
    cdev.attach(2, 5);
    other.attach(3, 6);
    other.attach(5, 5);
    c.destroy(6).refused('ENOENT');
    cdev.detach().returns(0);
    c.destroy(5).refused('EBUSY');
    other.detach().returns(0);
    c.destroy(5).refused('ENOENT');
  });
});

clause('cdev/attach-id', () => {
  test('is one of the context', (s) => {
    const { c, cdev } = boundCdev(s);
    cdev.attach(2, 3);
    c.alloc(4);
    c.map({ ioas: 3, iova: 0n, length: PAGE, vaddr: s.main.memory(PAGE).at() }).refused('ENOENT');
    cdev.attach(3, 3);
  });
});

clause('iommufd/destroy-busy', () => {
  each({ 'the device': 1, 'its IO address space': 2, 'its page table': 3 }, (s, id) => {
    const { c, cdev } = boundCdev(s);
    cdev.attach(2, 3);
    c.destroy(id).refused('EBUSY');
    cdev.close().succeeds();
    c.destroy(1).refused('ENOENT');
    c.destroy(3).refused('ENOENT');
    c.destroy(2).returns(0);
  });
});

clause('cdev/attach-unreadable', () => {
  test('NULL, and what ends too soon', (s) => {
    const { cdev } = boundCdev(s);
    const memory = s.main.memory(PAGE);
    cdev.ioctl(ATTACH, NULL).refused('EFAULT');
    cdev.ioctl(ATTACH, pointerTo(memory.at(PAGE - 11n))).refused('EFAULT');
    cdev.attach(2, 3);
  });
});

clause('cdev/attach-argsz', () => {
  each({ none: 0, 'a byte too few': 11 }, (s, argsz) => {
    boundCdev(s).cdev.asksToAttach({ target: 2, argsz }).refused('EINVAL');
  });
  each({ 'without the PASID': 12, 'a byte too few for the PASID': 15 }, (s, argsz) => {
    boundCdev(s).cdev.asksToAttach({ target: 2, argsz, pasid: 1 }).refused('EINVAL');
  });
  each({ 'with a PASID that is not meant': 16, 'more than there is': 4096 }, (s, argsz) => {
    boundCdev(s).cdev.asksToAttach({ target: 2, argsz, flags: 0, pasid: 77 }).returns(0);
  });
});

clause('cdev/attach-flags', () => {
  each({ 'the second bit': 2, 'the highest bit': 0x8000_0000, 'with that for a PASID': 3 }, (s, flags) => {
    const { c, cdev } = boundCdev(s);
    cdev.asksToAttach({ target: 2, flags, pasid: 1 }).refused('EINVAL');
    c.destroy(2).returns(0);
  });
});

clause('cdev/attach-unreadable-pasid', () => {
  test('at the end of memory', (s) => {
    const { cdev } = boundCdev(s);
    const memory = s.main.memory(PAGE);
    const argument = u32(16, 1, 2);
    memory.write(argument, PAGE - 12n);
    cdev.ioctl(ATTACH, pointerTo(memory.at(PAGE - 12n))).refused('EFAULT');
  });
});

clause('cdev/attach-unknown', () => {
  each({ none: 0, 'never given': 9, 'the highest number': 0xffff_ffff }, (s, target) => {
    const { c, cdev } = withTwo(s);
    cdev.asksToAttach({ target }).refused('ENOENT');
    c.alloc(4);
    cdev.attach(2, 5);
    cdev.asksToAttach({ target }).refused('ENOENT');
    pins(s.main, 16);
    cdev.attach(2, 5);
  });
  test('that of another context', (s) => {
    const { cdev } = boundCdev(s);
    const other = openIommufd(s);
    for (const id of [1, 2, 3]) other.alloc(id);
    cdev.asksToAttach({ target: 3 }).refused('ENOENT');
  });
});

clause('cdev/attach-to-device', () => {
  test('itself, attached or not', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.asksToAttach({ target: 1 }).refused('EINVAL');
    c.alloc(4);
    cdev.attach(2, 5);
    cdev.asksToAttach({ target: 1 }).refused('EINVAL');
    pins(s.main, 16);
    cdev.attach(5, 5);
  });
});

clause('cdev/attach-unfit', () => {
  test("the page table of a mock device's IOMMU", (s) => {
    s.needs(IOMMUFD_MOCK);
    const { c, cdev } = withTwo(s);
    c.alloc(4);
    // The mock device 5, bound as device 6, gets page table 7.
    c.attachMock(4).returns(0);
    cdev.asksToAttach({ target: 7 }).refused('EINVAL');
    pins(s.main, 0);
    cdev.attach(2, 8);
    c.destroy(7).refused('EBUSY');
  });
});

clause('cdev/attach-without-pasids', () => {
  each({ 'the first': 1, 'the highest of 20 bits': 0xf_ffff, 'one of 31 bits': 0x7fff_ffff }, (s, pasid) => {
    const { c, cdev } = withTwo(s);
    cdev.asksToAttach({ target: 2, pasid }).refused('EINVAL');
    pins(s.main, 0);
    cdev.attach(3, 4);
    cdev.asksToAttach({ target: 2, pasid }).refused('EINVAL');
    cdev.asksToAttach({ target: 4, pasid }).refused('EINVAL');
    cdev.asksToAttach({ target: 9, pasid }).refused('ENOENT');
    pins(s.main, 4);
    c.destroy(2).returns(0);
  });
  test('0', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.asksToAttach({ target: 2, pasid: 0 }).refused('EINVAL');
    pins(s.main, 0);
    c.destroy(2).returns(0);
  });
  test('one of 32 bits', (s) => {
    const { cdev } = boundCdev(s);
    cdev.asksToAttach({ target: 2, pasid: 0x8000_0000 }).refused('EINVAL', 'ENOSPC');
    cdev.attach(2, 3);
  });
});

clause('cdev/attach-reserved-mapped', () => {
  const where = {
    'within the window for MSIs': { iova: MSI + PAGE, length: PAGE },
    'its first page': { iova: MSI - PAGE, length: 2n * PAGE },
    'its last page': { iova: MSI_END - PAGE, length: 2n * PAGE },
  };
  each(where, (s, { iova, length }) => {
    const { c, cdev } = withTwo(s);
    const memory = s.main.memory(SIZE);
    c.map({ ioas: 3, iova, length, vaddr: memory.at() }).returns(0);
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    c.alloc(4);
    cdev.attach(2, 5);
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    pins(s.main, 16);
    cdev.attach(5, 5);
    c.unmap(iova, length, 3).returns(0);
    cdev.attach(3, 6);
  });
  test('not by the neighbours', (s) => {
    const { c, cdev } = boundCdev(s);
    const memory = s.main.memory(SIZE);
    c.map({ ioas: 2, iova: MSI - PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
    c.map({ ioas: 2, iova: MSI_END, length: PAGE, vaddr: memory.at() }).returns(0);
    cdev.attach(2, 3);
  });
  test('allowed to be chosen from', (s) => {
    const { c, cdev } = withTwo(s);
    const ranges = s.main.memory(PAGE);
    ranges.write(new Uint8Array(BigUint64Array.of(PAGE, MSI).buffer));
    c.allow({ ioas_id: 3, num_iovas: 1 }, ranges.at()).returns(0);
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    ranges.write(new Uint8Array(BigUint64Array.of(PAGE, MSI - 1n).buffer));
    c.allow({ ioas_id: 3, num_iovas: 1 }, ranges.at()).returns(0);
    cdev.attach(3, 4);
  });
});

clause('cdev/replace-reserved-mapped', () => {
  test('to a page table that user space made', (s) => {
    const { c, cdev } = withTwo(s);
    c.map({ ioas: 3, iova: MSI, length: PAGE, vaddr: s.main.memory(SIZE).at() }).returns(0);
    allocTable(c, { dev_id: 1, pt_id: 3 }).returns(0);
    cdev.attach(2, 5);
    cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
    cdev.detach().returns(0);
    cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
  });
  test('where memory is missing as well', (s) => {
    const { c, cdev } = withTwo(s);
    const memory = s.main.memory(SIZE);
    memory.hole(PAGE, PAGE).succeeds();
    c.map({ ioas: 3, iova: MSI, length: 2n * PAGE, vaddr: memory.at() }).returns(0);
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    cdev.attach(2, 4);
    cdev.asksToAttach({ target: 3 }).refused('EFAULT');
    cdev.attach(4, 4);
  });
});

clause('cdev/attach-misaligned', () => {
  each(
    { length: [0n, 100n, 0n], iova: [100n, PAGE, 0n], memory: [0n, PAGE, 8n] } as const,
    (s, [iova, length, from]) => {
      const { c, cdev } = withTwo(s);
      c.alloc(4);
      const memory = s.main.memory(SIZE);
      c.map({ ioas: 4, iova, length, vaddr: memory.at(from) }).returns(0);
      cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
      cdev.attach(2, 5);
      cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
      pins(s.main, 16);
      c.alloc(6);
    },
  );
});

clause('cdev/attach-beyond-aperture', () => {
  test('what no IOMMU translates', (s) => {
    const { c, cdev } = withTwo(s);
    c.alloc(4);
    const iova = 1n << 62n;
    c.map({ ioas: 4, iova, length: PAGE, vaddr: s.main.memory(PAGE).at() }).returns(0);
    cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
    cdev.attach(2, 5);
    cdev.asksToAttach({ target: 4 }).refused('EADDRINUSE');
    pins(s.main, 16);
    c.unmap(iova, PAGE, 4).returns(0);
    cdev.attach(4, 6);
  });
  test('allowed to be chosen from', (s) => {
    const { c, cdev } = boundCdev(s);
    const ranges = s.main.memory(PAGE);
    ranges.write(new Uint8Array(BigUint64Array.of(1n << 62n, (1n << 62n) + 0xfffn).buffer));
    c.allow({ ioas_id: 2, num_iovas: 1 }, ranges.at()).returns(0);
    cdev.asksToAttach({ target: 2 }).refused('EADDRINUSE');
    c.allow({ ioas_id: 2 }).returns(0);
    cdev.attach(2, 3);
  });
});

clause('cdev/attach-no-memory', () => {
  test('a page that is gone', (s) => {
    const { c, cdev, memory } = withTwo(s);
    memory.hole(8n * PAGE, PAGE).succeeds();
    cdev.asksToAttach({ target: 2 }).refused('EFAULT');
    pins(s.main, 0);
    cdev.attach(3, 4);
    cdev.asksToAttach({ target: 2 }).refused('EFAULT');
    pins(s.main, 4);
    c.unmap(0n, TOP, 2).returns(0).shows(LENGTH_AT, u64(SIZE));
    cdev.attach(2, 5);
  });
});

clause('cdev/attach-over-limit', () => {
  test('for the process', (s) => {
    const { c, cdev } = boundCdev(s);
    c.alloc(3);
    s.main.drops('ipc_lock').succeeds();
    const memory = s.main.memory(SIZE);
    c.map({ ioas: 2, iova: 0n, length: 4n * PAGE, vaddr: memory.at() }).returns(0);
    c.map({ ioas: 3, iova: 0n, length: 5n * PAGE, vaddr: memory.at() }).returns(0);
    s.main.limits('memlock', 4n * PAGE);
    cdev.asksToAttach({ target: 3 }).refused('ENOMEM');
    pins(s.main, 0);
    cdev.attach(2, 4);
    pins(s.main, 4);
    cdev.asksToAttach({ target: 3 }).refused('ENOMEM');
    pins(s.main, 4);
  });
});

clause('cdev/attach-unwritable', () => {
  test('leaves it attached to nothing', (s) => {
    const { c, cdev } = withTwo(s);
    const argument = s.main.memory(PAGE);
    argument.write(u32(12, 0, 2));
    argument.protect('r');
    cdev.ioctl(ATTACH, pointerTo(argument.at())).refused('EFAULT');
    pins(s.main, 0);
    c.alloc(4);
    cdev.attach(3, 5);
    cdev.ioctl(ATTACH, pointerTo(argument.at())).refused('EFAULT');
    pins(s.main, 0);
    c.destroy(3).returns(0);
    c.destroy(2).returns(0);
  });
});

clause('cdev/detach', () => {
  test('twice, and without having been attached', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.detach().returns(0);
    cdev.attach(2, 4);
    cdev.detach().returns(0);
    pins(s.main, 0);
    c.destroy(4).refused('ENOENT');
    cdev.detach().returns(0);
    c.destroy(1).refused('EBUSY');
    cdev.attach(3, 4);
  });
  test('of a PASID that is not attached', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    for (const pasid of [1, 0xffff_ffff]) cdev.detach({ pasid }).returns(0);
    pins(s.main, 16);
    c.destroy(4).refused('EBUSY');
  });
  test('and what is mapped stays', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    cdev.detach().returns(0);
    c.unmap(0n, TOP, 2).returns(0).shows(LENGTH_AT, u64(SIZE));
  });
});

clause('cdev/detach-unreadable', () => {
  test('NULL, what ends too soon, and a PASID that is not there', (s) => {
    const { cdev } = withTwo(s);
    cdev.attach(2, 4);
    const memory = s.main.memory(PAGE);
    cdev.ioctl(DETACH, NULL).refused('EFAULT');
    cdev.ioctl(DETACH, pointerTo(memory.at(PAGE - 7n))).refused('EFAULT');
    memory.write(u32(12, 1), PAGE - 8n);
    cdev.ioctl(DETACH, pointerTo(memory.at(PAGE - 8n))).refused('EFAULT');
    pins(s.main, 16);
  });
});

clause('cdev/detach-argsz', () => {
  each({ none: { argsz: 0 }, 'a byte too few': { argsz: 7 }, 'no PASID': { argsz: 11, pasid: 1 } }, (s, request) => {
    const { cdev } = withTwo(s);
    cdev.attach(2, 4);
    cdev.ioctl(DETACH, detachArgument(request)).refused('EINVAL');
    pins(s.main, 16);
    cdev.detach({ argsz: 4096 }).returns(0);
    pins(s.main, 0);
  });
});

clause('cdev/detach-flags', () => {
  each({ 'the second bit': 2, 'the highest bit': 0x8000_0000, 'with that for a PASID': 3 }, (s, flags) => {
    const { cdev } = withTwo(s);
    cdev.attach(2, 4);
    cdev.detach({ flags, pasid: 1 }).refused('EINVAL');
    pins(s.main, 16);
  });
});

clause('cdev/close', () => {
  test('while it is attached', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    cdev.close().succeeds();
    pins(s.main, 0);
    c.destroy(4).refused('ENOENT');
    c.destroy(2).returns(0);
    openGroup(s.main).status().returns(0);
  });
  test('after its context was closed, which keeps what is pinned until then', (s) => {
    const { c, cdev } = withTwo(s);
    cdev.attach(2, 4);
    c.close().succeeds();
    pins(s.main, 16);
    cdev.ioctl(ATTACH, attachArgument({ target: 3 })).returns(0);
    pins(s.main, 4);
    cdev.close().succeeds();
    pins(s.main, 0);
  });
});

const byGroup = (s: Scenario) => {
  // For the need of a kernel that knows the requests.
  openCdev(s).close().succeeds();
  const c = readyContainer(s);
  const device = c.groups[0]?.device();
  if (device === undefined) throw new Error('the container has a group');
  device.opened.succeeds();
  return device;
};

clause('cdev/bind-through-group', () => {
  test('to a context', (s) => {
    const device = byGroup(s);
    device.ioctl(BIND, bindArgument({ iommufd: openIommufd(s) })).refused('EINVAL');
    openIommufd(s).alloc(1);
  });
});

clause('cdev/attach-through-group', () => {
  test('attaching and detaching', (s) => {
    const device = byGroup(s);
    device.ioctl(ATTACH, attachArgument({ target: 1 })).refused('ENOTTY');
    device.ioctl(DETACH, detachArgument({})).refused('ENOTTY');
  });
});
