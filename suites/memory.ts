import {
  type Actor,
  clause,
  each,
  type Memory,
  READ,
  readyContainer,
  type Scenario,
  test,
  u32,
  u64,
  WRITE,
} from '../harness/cases/index.ts';

/* What kinds of memory can be mapped, how they are charged, and what becomes of what was pinned. */

const PAGE = 0x1000n;
const HUGE = 0x20_0000n;
const A = { iova: 0x10000n, size: 0x4000n };
/** The number of entries that are left, in GET_INFO's second capability. */
const AVAILABLE_AT = 24 + 32 + 8;

/** Makes four pages of some kind of memory. */
type Make = (actor: Actor) => Memory;

const file = (actor: Actor): string => {
  actor.does({ op: 'file', fd: 'file', size: 0x4000n }).succeeds();
  return 'file';
};

const KINDS: Readonly<Record<string, Make>> = {
  'anonymous and private': (actor) => actor.memory(0x4000),
  'anonymous and shared': (actor) => actor.memory(0x4000, { share: 'shared' }),
  'a memfd': (actor) => actor.maps(actor.memfd(0x4000), 0x4000),
  'a memfd, privately': (actor) => actor.maps(actor.memfd(0x4000), 0x4000, { share: 'private' }),
  'a file': (actor) => actor.maps(file(actor), 0x4000),
  'a file, privately': (actor) => actor.maps(file(actor), 0x4000, { share: 'private' }),
};

clause('map/maps', () => {
  each(KINDS, (s, make) => {
    const c = readyContainer(s);
    const memory = make(s.main);
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    c.unmap(A).shows(16, u64(A.size));
    memory.fill(7).succeeds();
  });
  test('memories of several kinds, side by side', (s) => {
    const c = readyContainer(s);
    const first = s.main.memory(0x4000);
    first.hole(0x2000n, 0x2000n).succeeds();
    const second = s.main.memory(0x2000, { at: first.at(0x2000n), share: 'shared' });
    first.fill(1, 0n, 0x2000n);
    second.fill(2);
    c.map({ ...A, vaddr: first.at() }).succeeds();
    s.main.lockedKb().returns(16);
  });
  test('512 MiB, to be read', (s) => {
    const c = readyContainer(s);
    const large = { iova: 0x1000_0000n, size: 0x2000_0000n };
    const memory = s.main.memory(large.size);
    c.map({ ...large, vaddr: memory.at(), flags: READ }).succeeds();
    c.info(160).shows(AVAILABLE_AT, u32(65_534));
    c.map({ iova: large.iova + large.size - PAGE, size: PAGE }).refused('EEXIST');
    c.unmap(large).shows(16, u64(large.size));
    c.info(160).shows(AVAILABLE_AT, u32(65_535));
  });
  test('512 MiB with one page that is not there, which is refused', (s) => {
    const c = readyContainer(s);
    const large = { iova: 0x1000_0000n, size: 0x2000_0000n };
    const memory = s.main.memory(large.size);
    memory.hole(large.size - PAGE, PAGE).succeeds();
    c.map({ ...large, vaddr: memory.at(), flags: READ }).refused('EFAULT');
    c.info(160).shows(AVAILABLE_AT, u32(65_535));
    s.main.lockedKb().returns(0);
  });
});

/** Whether there are huge pages is the host's affair: the model goes on from what it sees. */
clause('accounting/charged-pages', () => {
  each(KINDS, (s, make) => {
    const c = readyContainer(s);
    const memory = make(s.main);
    c.map({ ...A, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(16);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  each({ private: 'private', shared: 'shared' } as const, (s, share) => {
    const c = readyContainer(s);
    const memory = s.main.memory(HUGE, { huge: HUGE, share });
    memory.fill(1);
    c.map({ iova: HUGE, size: HUGE, vaddr: memory.at() });
    s.main.lockedKb();
    c.map({ iova: 3n * HUGE, size: 3n * PAGE, vaddr: memory.at(5n * PAGE) });
    s.main.lockedKb();
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('a memfd of huge pages', (s) => {
    const c = readyContainer(s);
    s.main.does({ op: 'memfd', fd: 'huge', size: HUGE, huge: HUGE });
    const memory = s.main.maps('huge', HUGE, { align: HUGE });
    memory.fill(1);
    c.map({ iova: HUGE, size: HUGE, vaddr: memory.at() });
    s.main.lockedKb();
  });
  test('memory that nobody wrote, to be written: its pages are made', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    s.main.lockedKb().returns(16);
  });
  test('registers of a device count for nobody', (s) => {
    const c = readyContainer(s);
    const device = c.groups[0]?.device();
    if (device === undefined) throw new Error('a ready container has a group');
    device.opened.succeeds();
    // Registers can only be reached while the device answers in memory space.
    s.main.does({ op: 'pwrite', fd: device.fd, offset: (7n << 40n) + 4n, data: Uint8Array.of(2, 0) }).succeeds();
    const registers = s.main.maps(device.fd, 0x4000);
    c.map({ ...A, vaddr: registers.at() }).succeeds();
    s.main.lockedKb().returns(0);
    c.unmap(A).shows(16, u64(A.size));
  });
  each(
    { 'registers between pages of memory: only those are counted': 1n, 'registers that come first': 0n },
    (s, page) => {
      const c = readyContainer(s);
      const device = c.groups[0]?.device();
      if (device === undefined) throw new Error('a ready container has a group');
      device.opened.succeeds();
      s.main.does({ op: 'pwrite', fd: device.fd, offset: (7n << 40n) + 4n, data: Uint8Array.of(2, 0) }).succeeds();
      const memory = s.main.memory(0x4000);
      memory.fill(1);
      memory.hole(page * PAGE, PAGE).succeeds();
      const registers = s.main.maps(device.fd, PAGE, { at: memory.at(page * PAGE) });
      // Touched before, so that its page is there.
      s.main.does({ op: 'peek', name: registers.name, offset: 0n, width: 4n }).returns(0x010000ed);
      c.map({ ...A, vaddr: memory.at() }).succeeds();
      s.main.lockedKb().returns(12);
      c.unmap(A).shows(16, u64(A.size));
      s.main.lockedKb().returns(0);
    },
  );
});

const readOnlyKinds: Readonly<Record<string, Make>> = {
  'anonymous and private': (actor) => actor.memory(0x4000, { prot: 'r' }),
  'anonymous and shared': (actor) => actor.memory(0x4000, { prot: 'r', share: 'shared' }),
  'a memfd': (actor) => actor.maps(actor.memfd(0x4000), 0x4000, { prot: 'r' }),
  'a file, privately': (actor) => actor.maps(file(actor), 0x4000, { prot: 'r', share: 'private' }),
};

clause('map/unreachable-memory', () => {
  for (const [title, make] of Object.entries(readOnlyKinds)) {
    test(`read-only, ${title}: to be read only`, (s) => {
      const c = readyContainer(s);
      const memory = make(s.main);
      const vaddr = memory.at();
      for (const flags of [WRITE, READ | WRITE]) c.map({ ...A, vaddr, flags }).refused('EFAULT');
      c.map({ ...A, vaddr, flags: READ }).succeeds();
      memory.read(0n, 8n).shows(0, u64(0n));
    });
  }
  test('behind the end of a file', (s) => {
    const c = readyContainer(s);
    const memory = s.main.maps(s.main.memfd(0x3000), 0x4000);
    c.map({ ...A, vaddr: memory.at() }).refused('EFAULT');
    s.main.lockedKb().returns(0);
    c.map({ ...A, size: 0x3000n, vaddr: memory.at() }).succeeds();
  });
  each(
    { 'read-only from its third page on': 'r', 'without access from its third page on': 'none' } as const,
    (s, prot) => {
      const c = readyContainer(s);
      c.memory.fill(1);
      c.memory.protect(prot, 0x2000n, PAGE).succeeds();
      c.map(A).refused('EFAULT');
      s.main.lockedKb().returns(0);
      c.map({ ...A, size: 0x2000n }).succeeds();
      s.main.lockedKb().returns(8);
    },
  );
});

/** Maps, does something to the memory, and says that the mapping is as it was. */
const staysMapped = (s: Scenario, change: (c: ReturnType<typeof readyContainer>) => void): void => {
  const c = readyContainer(s);
  c.memory.fill(1);
  c.map(A).succeeds();
  change(c);
  s.main.lockedKb().returns(16);
  c.unmap(A).shows(16, u64(A.size));
  s.main.lockedKb().returns(0);
};

clause('accounting/refund', () => {
  test('after the memory was unmapped', (s) => staysMapped(s, (c) => c.memory.hole(0n, A.size).succeeds()));
  test('after the memory was protected', (s) => staysMapped(s, (c) => c.memory.protect('none').succeeds()));
  test('after the file was cut to nothing', (s) => {
    const c = readyContainer(s);
    const fd = s.main.memfd(0x4000);
    c.map({ ...A, vaddr: s.main.maps(fd, 0x4000).at() }).succeeds();
    s.main.does({ op: 'truncate', fd, size: 0n }).succeeds();
    s.main.lockedKb().returns(16);
    c.unmap(A).shows(16, u64(A.size));
    s.main.lockedKb().returns(0);
  });
});

/** What follows depends on the revision, and is the model's to say. */
clause('map/pins-for-reading', () => {
  const kinds: Readonly<Record<string, Make>> = {
    'memory that nobody wrote': (actor) => actor.memory(0x4000),
    'memory that nobody may write': (actor) => actor.memory(0x4000, { prot: 'r' }),
    'shared memory': (actor) => actor.memory(0x4000, { share: 'shared' }),
    'a file, privately': (actor) => actor.maps(file(actor), 0x4000, { share: 'private' }),
  };
  each(kinds, (s, make) => {
    const c = readyContainer(s);
    c.map({ ...A, vaddr: make(s.main).at(), flags: READ }).succeeds();
    s.main.lockedKb();
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('memory of which a part was written', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1, PAGE, PAGE);
    c.map({ ...A, flags: READ }).succeeds();
    s.main.lockedKb();
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('what a child and its parent share', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    const child = s.main.forks();
    c.of(child)
      .map({ ...A, vaddr: c.memory.at(), flags: READ })
      .succeeds();
    child.lockedKb().returns(16);
  });
});
