import {
  type Actor,
  clause,
  each,
  type Memory,
  openGroup,
  readyContainer,
  type Scenario,
  test,
} from '../harness/cases/index.ts';
import { A, B, change, locked, mapped, mappedFile, SHARED, withDevice } from '../harness/cases/owners.ts';

const PAGE = 0x1000n;

clause('change-dma-owner/changes', () => {
  test('of nothing', (s) => void change(readyContainer(s)).returns(0));
  test('to the owner itself', (s) => {
    const { c } = mapped(s);
    change(c).returns(0);
    change(c).returns(0);
    s.main.lockedKb().returns(32);
  });
  each(
    {
      'to a child, in anonymous memory': (s: Scenario) => mapped(s),
      'to a child, in a memfd': mappedFile,
      'to a child, in huge pages': (s: Scenario) => mapped(s, s.main.memory(0x200000, { ...SHARED, align: 0x200000n })),
    },
    (s, make) => {
      const { c } = make(s);
      const child = s.main.forks();
      change(c.of(child)).returns(0);
      locked({ [child.name]: 32 }, child, s.main);
      c.unmapAll().succeeds();
      locked({}, child, s.main);
    },
  );
  test('to a child and back', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    change(c.of(child)).returns(0);
    change(c).returns(0);
    locked({ main: 32 }, child, s.main);
    s.main.kills(child).succeeds();
    change(c).returns(0);
  });
  test('from two owners to a third', (s) => {
    const c = readyContainer(s);
    const memory = s.main.memory(0x8000, SHARED);
    memory.fill(1);
    const [child, heir] = [s.main.forks(), s.main.forks('heir')];
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    c.of(child)
      .map({ ...B, vaddr: memory.of(child).at(0x4000n) })
      .succeeds();
    locked({ main: 16, [child.name]: 16 }, s.main, child, heir);
    change(c.of(heir)).returns(0);
    locked({ [heir.name]: 32 }, s.main, child, heir);
  });
  test('what is mapped afterwards belongs to who maps it', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    change(c.of(child)).returns(0);
    c.map({ iova: 0x40000n, size: PAGE, vaddr: memory.at() }).succeeds();
    locked({ main: 4, [child.name]: 32 }, s.main, child);
  });
  test('in another process, with one group or two', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    const second = openGroup(s.main, 'group1');
    s.needs({ reason: 'the host has only one usable IOMMU group', met: ({ groups }) => groups.length >= 2 });
    second.setContainer(c).succeeds();
    change(c.of(child)).returns(0);
    second.unsetContainer().succeeds();
    locked({ [child.name]: 32 }, s.main, child);
  });
  test('while dirty pages are logged', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    c.startDirty().succeeds();
    change(c.of(child)).returns(0);
    c.stopDirty().succeeds();
    locked({ [child.name]: 32 }, s.main, child);
  });
  test('on a container without an IOMMU', (s) => {
    const { c } = mapped(s);
    c.groups[0]?.unsetContainer().succeeds();
    change(c).refused('EINVAL');
  });
});

clause('change-dma-owner/charges-caller', () => {
  test('for what it did not own, and once', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    c.of(child)
      .map({ iova: 0x40000n, size: 2n * PAGE, vaddr: memory.of(child).at() })
      .succeeds();
    locked({ main: 32, [child.name]: 8 }, s.main, child);
    for (const _ of ['once', 'again']) {
      change(c.of(child)).returns(0);
      locked({ [child.name]: 40 }, s.main, child);
    }
  });
  test('another user', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    child.becomes(1000).succeeds();
    child.limits('memlock', 8n * PAGE).succeeds();
    change(c.of(child)).returns(0);
    locked({ [child.name]: 32 }, s.main, child);
  });
});

clause('change-dma-owner/translates', () => {
  test('the owner before may lose its memory', (s) => {
    const { c, d, memory } = withDevice(s);
    const child = s.main.forks();
    change(c.of(child)).returns(0);
    memory.hole(0n, 0x8000n).succeeds();
    d.pins(A.iova, 2).succeeds();
    d.loads(A.iova, 2).succeeds();
    d.holds(1, 1);
    d.readsByThread(B.iova, 1).succeeds();
    locked({ [child.name]: 8 }, s.main, child);
  });
  test('the new owner may not', (s) => {
    const { c, d, memory } = withDevice(s);
    const child = s.main.forks();
    change(c.of(child)).returns(0);
    memory.of(child).hole(0n, 0x8000n).succeeds();
    d.pins(A.iova).refused('EFAULT');
    d.readsByThread(A.iova, 1).refused('EFAULT');
    locked({}, s.main, child);
  });
  test('the new owner may read and write in its own name, the one before may not', (s) => {
    const { c, d, memory } = withDevice(s);
    const child = s.main.forks();
    d.reads(A.iova, 1).succeeds();
    d.of(child).reads(A.iova, 1).refused('EFAULT');
    change(c.of(child)).returns(0);
    d.reads(A.iova, 1).refused('EFAULT');
    d.of(child).fills(7);
    d.of(child).writes(A.iova, 2).succeeds();
    memory.read(0n, 3n).shows(0, Uint8Array.of(7, 7, 1));
  });
  test('the owner before may die', (s) => {
    const { c, d, memory } = withDevice(s);
    const [child, heir] = [s.main.forks(), s.main.forks('heir')];
    change(c.of(child)).returns(0);
    change(c.of(heir)).returns(0);
    s.main.kills(child).succeeds();
    memory.hole(0n, 0x8000n).succeeds();
    d.pins(A.iova).succeeds();
    locked({ [heir.name]: 4 }, s.main, heir);
    s.main.kills(heir).succeeds();
    d.pins(B.iova).refused('ENODEV');
  });
  test('what is pinned changes hands', (s) => {
    const { c, d } = withDevice(s);
    const child = s.main.forks();
    d.pins(A.iova, 3).succeeds();
    locked({ main: 12 }, s.main, child);
    change(c.of(child)).returns(0);
    locked({ [child.name]: 12 }, s.main, child);
    d.unpins(A.iova, 2).succeeds();
    locked({ [child.name]: 4 }, s.main, child);
    c.unmapAll().succeeds();
    locked({}, s.main, child);
  });
  test('the limit of the new owner counts for what is pinned later', (s) => {
    const { c, d } = withDevice(s);
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', PAGE).succeeds();
    change(c.of(child)).returns(0);
    d.pins(A.iova, 2).refused('ENOMEM');
    d.pins(A.iova).succeeds();
    locked({ [child.name]: 4 }, s.main, child);
  });
  test('after a call that was refused it is still the owner before', (s) => {
    const { c, d, memory } = withDevice(s);
    const child = s.main.forks();
    memory.of(child).hole(0x7000n, PAGE).succeeds();
    change(c.of(child)).refused('ENXIO');
    memory.of(child).hole(0n, 0x7000n).succeeds();
    d.reads(A.iova, 1).succeeds();
    d.pins(A.iova).succeeds();
    locked({ main: 4 }, s.main, child);
  });
});

clause('change-dma-owner/gives-back', () => {
  test('so that the owner before can lock as much again', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 8n * PAGE).succeeds();
    const own = s.main.memory(0x8000);
    own.fill(1);
    const more = { iova: 0x40000n, size: 0x8000n, vaddr: own.at() };
    c.map(more).refused('ENOMEM');
    change(c.of(child)).returns(0);
    c.map(more).succeeds();
    locked({ main: 32, [child.name]: 32 }, s.main, child);
  });
  test('to nobody when the new owner dies', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    change(c.of(child)).returns(0);
    s.main.kills(child).succeeds();
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
});

clause('change-dma-owner/owner-gone', () => {
  test('killed', (s) => {
    const c = readyContainer(s);
    const memory = s.main.memory(0x4000, SHARED);
    memory.fill(1);
    const child = s.main.forks();
    c.of(child)
      .map({ ...A, vaddr: memory.of(child).at() })
      .succeeds();
    s.main.kills(child).succeeds();
    change(c).refused('ESRCH');
    s.main.lockedKb().returns(0);
    c.unmap(A).succeeds();
    change(c).returns(0);
  });
  test('one of two', (s) => {
    const c = readyContainer(s);
    const memory = s.main.memory(0x8000, SHARED);
    memory.fill(1);
    const [child, heir] = [s.main.forks(), s.main.forks('heir')];
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    c.of(child)
      .map({ ...B, vaddr: memory.of(child).at() })
      .succeeds();
    s.main.kills(child).succeeds();
    change(c.of(heir)).refused('ESRCH');
    locked({ main: 16 }, s.main, heir);
  });
  test('by its own exec', (s) => {
    const { c } = mapped(s);
    s.main.execs().succeeds();
    change(c).refused('ESRCH');
    s.main.lockedKb().returns(0);
  });
});

clause('change-dma-owner/object-differs', () => {
  /** What a child puts in the place of what it inherited. */
  const others: Readonly<Record<string, (child: Actor, fd: string, at: ReturnType<Memory['at']>) => void>> = {
    'another memory': (child, _, at) => void child.memory(0x8000, { ...SHARED, at }),
    'another file': (child, _, at) => void child.maps(child.memfd(0x8000), 0x8000, { at }),
    'another place in the file': (child, fd, at) => void child.maps(fd, 0x7000, { at, start: PAGE }),
  };
  each(others, (s, put) => {
    const { c, fd, memory } = mappedFile(s);
    const child = s.main.forks();
    memory.of(child).hole(0n, 0x8000n).succeeds();
    put(child, fd, memory.at());
    change(c.of(child)).refused('ENXIO');
    locked({ main: 32 }, s.main, child);
  });
  each({ 'another access': 0n, 'another access to the last page': 0x7000n }, (s, from) => {
    const { c, memory } = mappedFile(s);
    const child = s.main.forks();
    memory.of(child).protect('r', from).succeeds();
    change(c.of(child)).refused('ENXIO');
    locked({ main: 32 }, s.main, child);
  });
  test('not where the same file is mapped in parts', (s) => {
    const { c, fd, memory } = mappedFile(s);
    const child = s.main.forks();
    const place = memory.of(child);
    place.hole(0x2000n, 0x3000n).succeeds();
    child.maps(fd, 0x3000, { at: place.at(0x2000n), start: 0x2000n });
    change(c.of(child)).returns(0);
  });
});

clause('change-dma-owner/not-shared', () => {
  test('private memory, after fork', (s) => {
    const { c } = mapped(s, s.main.memory(0x8000));
    const child = s.main.forks();
    change(c.of(child)).refused('ENXIO');
    locked({ main: 32 }, s.main, child);
  });
  test('private memory of the owner itself', (s) => {
    const { c } = mapped(s, s.main.memory(0x8000));
    change(c).refused('ENXIO');
    s.main.lockedKb().returns(32);
  });
  test('a private mapping of the file', (s) => {
    const fd = s.main.memfd(0x8000);
    const { c } = mapped(s, s.main.maps(fd, 0x8000, { share: 'private' }));
    change(c.of(s.main.forks())).refused('ENXIO');
  });
  test('nothing there in the caller', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    memory.of(child).hole(0x7000n, PAGE).succeeds();
    change(c.of(child)).refused('ENXIO');
    locked({ main: 32 }, s.main, child);
  });
  test('nothing there any more in the owner', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    memory.hole(0n, 0x8000n).succeeds();
    change(c.of(child)).refused('ENXIO');
    locked({ main: 32 }, s.main, child);
  });
});

clause('change-dma-owner/limit', () => {
  each({ 'one page short': 7n, 'exactly enough': 8n } as const, (s, pages) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', pages * PAGE).succeeds();
    if (pages < 8n) change(c.of(child)).refused('ENOMEM');
    else change(c.of(child)).returns(0);
    locked(pages < 8n ? { main: 32 } : { [child.name]: 32 }, s.main, child);
  });
  test('not for who may lock what it likes', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    child.limits('memlock', PAGE).succeeds();
    change(c.of(child)).returns(0);
    locked({ [child.name]: 32 }, s.main, child);
  });
  test('not for what the caller owns already', (s) => {
    const { c } = mapped(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', PAGE).succeeds();
    change(c).returns(0);
    s.main.lockedKb().returns(32);
  });
});

clause('change-dma-owner/vaddr-invalidated', () => {
  test('until it is valid again', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    c.invalidateVaddr(A).succeeds();
    change(c.of(child)).refused('EINVAL');
    locked({ main: 32 }, s.main, child);
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    change(c.of(child)).returns(0);
    locked({ [child.name]: 32 }, s.main, child);
  });
});

clause('change-dma-owner/all-or-nothing', () => {
  test('one of two mappings is private', (s) => {
    const { c } = mapped(s);
    const own = s.main.memory(0x4000);
    own.fill(1);
    const last = { iova: 0x30000n, size: 0x4000n };
    c.map({ ...last, vaddr: own.at() }).succeeds();
    const child = s.main.forks();
    change(c.of(child)).refused('ENXIO');
    locked({ main: 48 }, s.main, child);
    c.unmap(last).succeeds();
    locked({ main: 32 }, s.main, child);
    change(c.of(child)).returns(0);
    locked({ [child.name]: 32 }, s.main, child);
  });
  test('the limit has room for one of two', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', 6n * PAGE).succeeds();
    change(c.of(child)).refused('ENOMEM');
    locked({ main: 32 }, s.main, child);
    c.unmap(A).succeeds();
    locked({ main: 16 }, s.main, child);
    change(c.of(child)).returns(0);
    locked({ [child.name]: 16 }, s.main, child);
  });
  test('the owner goes on as before', (s) => {
    const { c, memory } = mapped(s, s.main.memory(0x8000));
    const child = s.main.forks();
    change(c.of(child)).refused('ENXIO');
    s.main.kills(child).succeeds();
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(16);
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(32);
  });
});
