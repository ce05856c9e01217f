import { BASE, checkPins, holds, SIZE } from '../harness/cases/accesses.ts';
import { type EmulatedCdev, openEmulated } from '../harness/cases/cdev.ts';
import { PIN_READ, PIN_WRITE } from '../harness/cases/emulated.ts';
import { clause, each, type Memory, openGroup, type Scenario, test, u64 } from '../harness/cases/index.ts';
import { type Context, openIommufd, READ, WRITE } from '../harness/cases/iommufd.ts';
import { IOMMUFD_MOCK } from '../harness/cases/needs.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { offsetOf } from '../harness/uapi/struct.ts';

/* Devices without an IOMMU that are bound by their own file, and pin, read and write what an IO address space maps. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const FIXED_READ = READ | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
const FIXED_WRITE = WRITE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

/** A process that may lock 2 MiB, which are counted for it; device 1, bound and not attached; IO address space 2 with 16 pages at BASE. */
const bound = (s: Scenario): EmulatedCdev & { readonly c: Context; readonly memory: Memory } => {
  const c = openIommufd(s);
  const { cdev, d } = openEmulated(s);
  c.option({ option_id: 0, op: uapi.IOMMU_OPTION_OP_SET, val64: 1n }).returns(0);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', 0x200000n);
  cdev.bind(c, 1);
  c.alloc(2);
  const memory = s.main.memory(SIZE, { share: 'shared' });
  c.map({ ioas: 2, iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
  return { c, cdev, d, memory };
};

const attached = (s: Scenario): ReturnType<typeof bound> => {
  const all = bound(s);
  all.cdev.asksToAttach({ target: 2 }).returns(0);
  return all;
};

clause('cdev/bind', () => {
  test('a device without an iommu is an object, and can be attached to by none', (s) => {
    const { c, cdev } = bound(s);
    c.destroy(1).refused('EBUSY');
    c.hwInfo({ data_len: 0 }).refused('ENOENT');
    cdev.close().returns(0);
    c.alloc(1);
  });
});

clause('cdev/bound-blocks-group', () => {
  test('of a device without an iommu', (s) => {
    const { cdev } = bound(s);
    s.main.does({ op: 'open', fd: 'group', path: '$emulated0' }).refused('EBUSY');
    cdev.close().returns(0);
    openGroup(s.main, 'emulated0');
  });
});

clause('cdev/close', () => {
  test('a device without an iommu lets go', (s) => {
    const { c, cdev, d } = attached(s);
    d.pins(BASE, 3).succeeds();
    holds(s.main, 3);
    c.destroy(2).refused('EBUSY');
    cdev.close().returns(0);
    holds(s.main, 0);
    c.destroy(2).returns(0);
    const again = openEmulated(s);
    again.cdev.bind(c, 1);
    again.d.tells({ pins: 0n, unmaps: 0n });
  });
  test('after the context', (s) => {
    const { c, cdev, d } = attached(s);
    d.pins(BASE, 3).succeeds();
    c.close().returns(0);
    holds(s.main, 3);
    d.pins(BASE + 3n * PAGE).succeeds();
    cdev.close().returns(0);
    holds(s.main, 0);
  });
});

clause('emulated/attach', () => {
  test('pins nothing, and uses the io address space', (s) => {
    const { c, d } = attached(s);
    holds(s.main, 0);
    c.destroy(2).refused('EBUSY');
    d.pins(BASE, 2).succeeds();
    holds(s.main, 2);
    d.tells({ pins: 2n, pages: 2n, unmaps: 0n });
    c.map({ ioas: 2, iova: BASE + SIZE, length: 2048n, vaddr: s.main.memory(PAGE).at() }).refused('EINVAL');
  });
  test('again to the same changes nothing', (s) => {
    const { cdev, d } = attached(s);
    d.pins(BASE, 2).succeeds();
    cdev.asksToAttach({ target: 2 }).returns(0);
    d.tells({ pins: 2n, unmaps: 0n });
    holds(s.main, 2);
  });
  test('to another: what it pinned it lets go of', (s) => {
    const { c, cdev, d } = attached(s);
    c.alloc(3);
    const other = s.main.memory(PAGE);
    other.fill(8);
    c.map({ ioas: 3, iova: BASE, length: PAGE, vaddr: other.at() }).returns(0);
    d.pins(BASE, 2).succeeds();
    d.pins(BASE + PAGE, 2).succeeds();
    cdev.asksToAttach({ target: 3 }).returns(0);
    d.tells({ pins: 0n, pages: 0n, unmaps: 1n, unmap_iova: 0n, unmap_size: TOP, unmap_pins: 4n });
    holds(s.main, 0);
    c.destroy(2).returns(0);
    c.destroy(3).refused('EBUSY');
    d.pins(BASE).succeeds();
    d.loads(BASE, 2).succeeds();
    d.holds(8, 8);
    d.pins(BASE + PAGE).refused('ENOENT');
  });
  test('without pins it is told as well', (s) => {
    const { c, cdev, d } = attached(s);
    c.alloc(3);
    cdev.asksToAttach({ target: 3 }).returns(0);
    d.tells({ unmaps: 1n, unmap_iova: 0n, unmap_size: TOP, unmap_pins: 0n });
  });
});

clause('emulated/attach-unknown-ioas', () => {
  each({ none: 0, 'never given': 9, itself: 1 }, (s, target) => {
    const { c, cdev, d } = attached(s);
    d.pins(BASE).succeeds();
    cdev.asksToAttach({ target }).refused('ENOENT');
    d.tells({ pins: 1n, unmaps: 0n });
    c.destroy(2).refused('EBUSY');
  });
  test('a page table', (s) => {
    s.needs(IOMMUFD_MOCK);
    const { c, cdev } = bound(s);
    c.attachMock(2).returns(0);
    cdev.asksToAttach({ target: 5 }).refused('ENOENT');
    cdev.asksToAttach({ target: 2 }).returns(0);
  });
});

clause('emulated/attach-misaligned', () => {
  each({ 'when attached to none': false, 'when attached to another': true }, (s, before) => {
    const { c, cdev, d, memory } = before ? attached(s) : bound(s);
    c.alloc(3);
    c.map({ ioas: 3, iova: BASE, length: 2048n, vaddr: memory.at() }).returns(0);
    if (before) d.pins(BASE).succeeds();
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    if (before) d.tells({ pins: 1n, unmaps: 0n });
    else d.pins(BASE).refused('ENOENT');
    c.destroy(3).returns(0);
  });
});

clause('emulated/detach', () => {
  test('lets go, and reaches nothing', (s) => {
    const { c, cdev, d } = attached(s);
    d.pins(BASE, 5).succeeds();
    cdev.detach().returns(0);
    d.tells({ pins: 0n, unmaps: 1n, unmap_iova: 0n, unmap_size: TOP, unmap_pins: 5n });
    holds(s.main, 0);
    d.pins(BASE).refused('ENOENT');
    d.reads(BASE, 1).refused('ENOENT');
    d.writesByThread(BASE, 1).refused('ENOENT');
    c.destroy(2).returns(0);
    cdev.detach().returns(0);
    d.tells({ unmaps: 1n });
  });
  test('and attached again', (s) => {
    const { cdev, d } = attached(s);
    cdev.detach().returns(0);
    cdev.asksToAttach({ target: 2 }).returns(0);
    d.pins(BASE).succeeds();
    d.tells({ pins: 1n, unmaps: 1n });
  });
  test('when it is attached to none', (s) => {
    const { cdev, d } = bound(s);
    cdev.detach().returns(0);
    d.tells({ unmaps: 0n });
    d.pins(BASE).refused('ENOENT');
  });
});

clause('access/pin', () => {
  test('a device without an iommu: as often as it likes, in any order', (s) => {
    const { d, c, memory } = attached(s);
    s.needs(IOMMUFD_MOCK);
    d.pins(BASE + PAGE, 3, PIN_READ).succeeds();
    d.pins(BASE, 16).succeeds();
    d.pins(BASE + 2n * PAGE, 5).succeeds();
    d.tells({ pins: 24n, pages: 16n });
    holds(s.main, 16);
    checkPins(c, memory.at(), SIZE, 1).returns(0);
    d.unpins(BASE, 16).succeeds();
    holds(s.main, 6);
    checkPins(c, memory.at(), PAGE, 0).returns(0);
    checkPins(c, memory.at(PAGE), 6n * PAGE, 1).returns(0);
    d.unpins(BASE + 2n * PAGE, 2).succeeds();
    d.unpins(BASE + 3n * PAGE).succeeds();
    holds(s.main, 5);
    d.unpinsAll().succeeds();
    holds(s.main, 0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
  test('two devices: a page is pinned once', (s) => {
    const { c, d } = attached(s);
    const other = openEmulated(s, s.main, 'emulated1');
    other.cdev.bind(c, 3);
    other.cdev.asksToAttach({ target: 2 }).returns(0);
    d.pins(BASE, 4).succeeds();
    other.d.pins(BASE + 2n * PAGE, 4).succeeds();
    holds(s.main, 6);
    d.unpinsAll().succeeds();
    holds(s.main, 4);
    other.cdev.close().returns(0);
    holds(s.main, 0);
  });
  test('over two mappings, and what is in them', (s) => {
    const { c, d, memory } = attached(s);
    const other = s.main.memory(PAGE);
    memory.fill(1);
    other.fill(2);
    c.map({ ioas: 2, iova: BASE + SIZE, length: PAGE, vaddr: other.at() }).returns(0);
    d.pins(BASE + SIZE - PAGE, 2).succeeds();
    d.loads(BASE + SIZE - 2n, 4).succeeds();
    d.holds(1, 1, 2, 2);
    d.fills(7);
    d.stores(BASE + SIZE - 1n, 2).succeeds();
    memory.read(SIZE - 2n, 2n).shows(0, Uint8Array.of(1, 7));
    other.read(0n, 2n).shows(0, Uint8Array.of(7, 2));
  });
  test('memory that is taken away stays with it', (s) => {
    const { d, memory } = attached(s);
    memory.fill(3);
    d.pins(BASE, 2).succeeds();
    memory.hole(0n, SIZE);
    d.loads(BASE, 2).succeeds();
    d.holds(3, 3);
    d.pins(BASE).succeeds();
    d.pins(BASE + 2n * PAGE).refused('EFAULT');
    d.pins(BASE + PAGE, 2).refused('EFAULT');
    d.tells({ pins: 3n, pages: 2n });
    holds(s.main, 2);
  });
});

clause('access/pin-empty', () => {
  test('a device without an iommu', (s) => {
    attached(s).d.pins(BASE, 0).refused('EINVAL');
  });
});

clause('access/pin-unmapped', () => {
  each(
    { 'before it': [-PAGE, 2], 'behind it': [SIZE - PAGE, 2], 'the last page there is': [-PAGE - BASE, 1] } as const,
    (s, [offset, pages]) => {
      const { d } = attached(s);
      d.pins(BigInt.asUintN(64, BASE + offset), pages).refused('ENOENT');
      d.tells({ pins: 0n });
      holds(s.main, 0);
    },
  );
});

clause('access/pin-beyond-access', () => {
  test('a device without an iommu', (s) => {
    const { c, d, memory } = attached(s);
    c.map({ ioas: 2, iova: BASE + SIZE, length: PAGE, vaddr: memory.at(), flags: FIXED_READ }).returns(0);
    c.map({ ioas: 2, iova: BASE + SIZE + PAGE, length: PAGE, vaddr: memory.at(), flags: FIXED_WRITE }).returns(0);
    d.pins(BASE + SIZE, 1, PIN_WRITE).refused('EPERM');
    d.pins(BASE + SIZE + PAGE, 1, PIN_READ).refused('EPERM');
    d.pins(BASE + SIZE - PAGE, 2).refused('EPERM');
    holds(s.main, 0);
    d.pins(BASE + SIZE, 1, PIN_READ).succeeds();
    d.pins(BASE + SIZE + PAGE, 1, PIN_WRITE).succeeds();
    d.fills(1);
    d.stores(BASE + SIZE, 1).refused('EROFS');
    d.writes(BASE + SIZE, 1).refused('EPERM');
    d.reads(BASE + SIZE + PAGE, 1).refused('EPERM');
  });
});

clause('access/pin-over-limit', () => {
  test('a device without an iommu', (s) => {
    const { d } = attached(s);
    s.main.limits('memlock', 4n * PAGE);
    d.pins(BASE, 5).refused('ENOMEM');
    holds(s.main, 0);
    d.pins(BASE, 4).succeeds();
    d.pins(BASE + 3n * PAGE, 2).refused('ENOMEM');
    d.pins(BASE, 4).succeeds();
    holds(s.main, 4);
  });
});

clause('access/unmap-lets-go', () => {
  test('a device without an iommu is told of each mapping that it has pinned of', (s) => {
    const { c, d, memory } = attached(s);
    c.map({ ioas: 2, iova: BASE + SIZE, length: SIZE, vaddr: memory.at() }).returns(0);
    c.map({ ioas: 2, iova: BASE + 2n * SIZE, length: SIZE, vaddr: memory.at() }).returns(0);
    d.pins(BASE + SIZE - PAGE, 3).succeeds();
    c.unmap(BASE + 2n * SIZE, SIZE, 2).returns(0);
    d.tells({ unmaps: 0n, pins: 3n });
    c.unmap(BASE, 2n * SIZE, 2)
      .returns(0)
      .shows(LENGTH_AT, u64(2n * SIZE));
    d.tells({ pins: 0n, pages: 0n, unmaps: 2n, unmap_iova: BASE + SIZE, unmap_size: SIZE, unmap_pins: 3n });
    holds(s.main, 0);
    d.pins(BASE).refused('ENOENT');
  });
  test('it keeps what lies in other mappings', (s) => {
    const { c, d, memory } = attached(s);
    c.map({ ioas: 2, iova: BASE + SIZE, length: SIZE, vaddr: memory.at() }).returns(0);
    memory.fill(5);
    d.pins(BASE + SIZE - 2n * PAGE, 3).succeeds();
    c.unmap(BASE + SIZE, SIZE, 2).returns(0);
    d.tells({ pins: 2n, pages: 2n, unmaps: 1n, unmap_iova: BASE + SIZE, unmap_size: SIZE, unmap_pins: 1n });
    holds(s.main, 2);
    d.loads(BASE + SIZE - 2n, 2).succeeds();
    d.holds(5, 5);
  });
  test('two devices, of which one has pinned nothing', (s) => {
    const { c, d } = attached(s);
    const other = openEmulated(s, s.main, 'emulated1');
    other.cdev.bind(c, 3);
    other.cdev.asksToAttach({ target: 2 }).returns(0);
    d.pins(BASE, 2).succeeds();
    c.unmap(BASE, SIZE, 2).returns(0);
    d.tells({ pins: 0n, unmaps: 1n, unmap_iova: BASE, unmap_size: SIZE, unmap_pins: 2n });
    other.d.tells({ pins: 0n, unmaps: 1n, unmap_iova: BASE, unmap_size: SIZE, unmap_pins: 0n });
  });
  test('a part of a mapping is not unmapped', (s) => {
    const { c, d } = attached(s);
    d.pins(BASE).succeeds();
    c.unmap(BASE, PAGE, 2).refused('ENOENT');
    d.tells({ pins: 1n, unmaps: 0n });
  });
});

clause('access/rw', () => {
  test('a device without an iommu, by the process and by a thread of the kernel', (s) => {
    const { c, d, memory } = attached(s);
    const other = s.main.memory(PAGE);
    c.map({ ioas: 2, iova: BASE + SIZE, length: PAGE, vaddr: other.at() }).returns(0);
    memory.fill(1);
    other.fill(2);
    for (const read of [d.reads, d.readsByThread]) {
      d.fills(0);
      read(BASE + SIZE - 2n, 4).succeeds();
      d.holds(1, 1, 2, 2, 0);
    }
    for (const [byte, write] of [
      [7, d.writes],
      [8, d.writesByThread],
    ] as const) {
      d.fills(byte);
      write(BASE + SIZE - 2n, 4).succeeds();
      memory.read(SIZE - 3n, 3n).shows(0, Uint8Array.of(1, byte, byte));
      other.read(0n, 3n).shows(0, Uint8Array.of(byte, byte, 2));
    }
    holds(s.main, 0);
  });
  test('a page and more, by a thread of the kernel', (s) => {
    const { d, memory } = attached(s);
    memory.fill(1);
    d.fills(9);
    d.writesByThread(BASE + 100n, 4096).succeeds();
    memory.read(99n, 4098n).shows(0, Uint8Array.of(1, ...new Uint8Array(4096).fill(9), 1));
    d.fills(0);
    d.readsByThread(BASE + 101n, 4096).succeeds();
    d.holds(...new Uint8Array(4095).fill(9), 1);
  });
  test('by another process than the one whose memory it is', (s) => {
    const { d, memory } = attached(s);
    memory.fill(1);
    const child = s.main.forks();
    d.of(child)
      .reads(BASE + PAGE - 2n, 4)
      .succeeds();
    d.holds(1, 1, 1, 1);
    d.fills(4);
    d.of(child)
      .writes(BASE + PAGE - 2n, 4)
      .succeeds();
    d.of(child).writes(BASE, 1).succeeds();
    memory.read(PAGE - 3n, 6n).shows(0, Uint8Array.of(1, 4, 4, 4, 4, 1));
    memory.read(0n, 2n).shows(0, Uint8Array.of(4, 1));
  });
  test('by a thread of the kernel it reads what the process may only read, whoever asks', (s) => {
    const { d, memory } = attached(s);
    memory.fill(2);
    memory.protect('r');
    const child = s.main.forks();
    const asked = d.of(child);
    asked.readsByThread(BASE + PAGE - 1n, 2).succeeds();
    d.holds(2, 2, 0);
    asked.reads(BASE + PAGE - 1n, 2).refused('EFAULT');
    asked.writesByThread(BASE + PAGE - 1n, 2).refused('EFAULT');
  });
  test('a file, by a thread of the kernel', (s) => {
    const { c, d } = attached(s);
    const fd = s.main.memfd(SIZE);
    const memory = s.main.maps(fd, SIZE);
    c.mapFile({ ioas: 2, fd, iova: BASE + SIZE, length: SIZE }).returns(0);
    d.fills(6);
    d.writesByThread(BASE + SIZE + PAGE - 1n, 2).succeeds();
    memory.read(PAGE - 2n, 4n).shows(0, Uint8Array.of(0, 6, 6, 0));
  });
});

clause('access/rw-empty', () => {
  test('a device without an iommu', (s) => {
    attached(s).d.reads(BASE, 0).refused('EINVAL');
  });
});

clause('access/rw-unmapped', () => {
  each({ 'before it': [-1n, 2], 'to behind it': [SIZE - 1n, 2] } as const, (s, [offset, size]) => {
    const { d, memory } = attached(s);
    memory.fill(1);
    d.fills(3);
    d.writesByThread(BASE + offset, size).refused('ENOENT');
    memory.read(SIZE - 2n, 2n).shows(0, Uint8Array.of(1, offset > 0n ? 3 : 1));
    d.readsByThread(BASE + offset, size).refused('ENOENT');
  });
});

clause('access/rw-no-memory', () => {
  test('of a device without an iommu, by a thread of the kernel', (s) => {
    const { d, memory } = attached(s);
    memory.hole(PAGE, PAGE);
    d.readsByThread(BASE + PAGE, 1).refused('EFAULT');
    d.writesByThread(BASE + PAGE - 1n, 2).refused('EFAULT');
    d.readsByThread(BASE, 1).succeeds();
  });
  test('of a process that is gone', (s) => {
    const { c, d } = attached(s);
    const child = s.main.forks();
    const theirs = child.memory(SIZE);
    theirs.fill(6);
    c.of(child)
      .map({ ioas: 2, iova: BASE + SIZE, length: SIZE, vaddr: theirs.at() })
      .returns(0);
    d.pins(BASE + SIZE, 2).succeeds();
    d.readsByThread(BASE + SIZE, 1).succeeds();
    d.holds(6);
    child.exits();
    d.fills(0);
    d.readsByThread(BASE + SIZE + PAGE - 1n, 2).succeeds();
    d.holds(6, 6, 0);
    d.readsByThread(BASE + SIZE + 2n * PAGE - 1n, 2).refused('EFAULT');
    d.reads(BASE + SIZE + 2n * PAGE, 2).refused('EFAULT');
  });
});
