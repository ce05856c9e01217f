import { edu } from '../harness/cases/edu.ts';
import { clause, each, openGroup, readyContainer, test } from '../harness/cases/index.ts';
import { mapsItsOwn } from '../harness/cases/owners.ts';

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };

clause('accounting/charged-pages', () => {
  test('once for each mapping', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    s.main.lockedKb().returns(16);
    c.map({ ...A, iova: 0x20000n }).succeeds();
    s.main.lockedKb().returns(32);
  });
});

clause('accounting/charges-caller', () => {
  test('not who opened the container', (s) => {
    const c = readyContainer(s);
    const child = s.main.forks();
    mapsItsOwn(c, child, A).succeeds();
    child.lockedKb().returns(16);
    s.main.lockedKb().returns(0);
  });
  test('who was sent the container', (s) => {
    const other = s.main.forks('other');
    const c = readyContainer(s);
    s.main.does({ op: 'send', fd: c.fd, to: other.name }).succeeds();
    mapsItsOwn(c, other, A).succeeds();
    other.lockedKb().returns(16);
    s.main.lockedKb().returns(0);
    c.unmap(A).succeeds();
    other.lockedKb().returns(0);
  });
  test('parent and child, each for its own', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    const child = s.main.forks();
    child.lockedKb().returns(0);
    c.of(child).map({ iova: 0x20000n, size: PAGE, vaddr: c.memory.at() }).succeeds();
    child.lockedKb().returns(4);
    s.main.lockedKb().returns(16);
    c.of(child).unmap(A).succeeds();
    child.lockedKb().returns(4);
    s.main.lockedKb().returns(0);
    c.unmap({ iova: 0x20000n, size: PAGE }).succeeds();
    child.lockedKb().returns(0);
  });
});

clause('accounting/ipc-lock-exempt', () => {
  test('beyond the limit, and charged', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    s.main.limits('memlock', PAGE).succeeds();
    c.map(A).succeeds();
    s.main.lockedKb().returns(16);
  });
  test('who may lock what it likes does not lend that to its child', (s) => {
    const c = readyContainer(s);
    s.main.limits('memlock', 4n * PAGE).succeeds();
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    const memory = child.memory(0x8000);
    const range = { iova: 0x40000n, size: 5n * PAGE };
    c.of(child)
      .map({ ...range, vaddr: memory.at() })
      .refused('ENOMEM');
    c.map({ ...range }).succeeds();
    s.main.lockedKb().returns(20);
    child.lockedKb().returns(0);
  });
});

clause('accounting/limit', () => {
  each({ 'room for none': 4, 'room for one': 5, 'room for both': 8 }, (s, pages) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', BigInt(pages) * PAGE).succeeds();
    c.map(A).succeeds();
    if (pages >= 8) c.map({ ...A, iova: 0x20000n }).succeeds();
    else c.map({ ...A, iova: 0x20000n }).refused('ENOMEM');
    s.main.lockedKb().returns(pages >= 8 ? 32 : 16);
  });
  test('another user without the capability', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    s.main.becomes(1000).succeeds();
    s.main.limits('memlock', 4n * PAGE).succeeds();
    c.map({ ...A, size: 5n * PAGE }).refused('ENOMEM');
    c.map(A).succeeds();
  });
  test('nothing may be locked', (s) => {
    const c = readyContainer(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 0n).succeeds();
    c.map({ ...A, size: PAGE }).refused('ENOMEM');
    s.main.lockedKb().returns(0);
  });
  test('lowered below what is locked', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 2n * PAGE).succeeds();
    s.main.lockedKb().returns(16);
    c.map({ iova: 0x20000n, size: PAGE }).refused('ENOMEM');
    c.unmap(A).succeeds();
    c.map({ iova: 0x20000n, size: 2n * PAGE }).succeeds();
    c.map({ iova: 0x30000n, size: PAGE }).refused('ENOMEM');
  });
  test('what is unmapped can be locked again', (s) => {
    const c = readyContainer(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 4n * PAGE).succeeds();
    for (const _ of ['once', 'twice', 'thrice']) {
      c.map(A).succeeds();
      c.map({ iova: 0x20000n, size: PAGE }).refused('ENOMEM');
      c.unmap(A).succeeds();
    }
  });
  test('it counts for each process by itself', (s) => {
    const c = readyContainer(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 4n * PAGE).succeeds();
    c.map(A).succeeds();
    const child = s.main.forks();
    const memory = child.memory(0x4000);
    c.of(child).map({ iova: 0x20000n, size: 0x4000n, vaddr: memory.at() }).succeeds();
    c.of(child).map({ iova: 0x30000n, size: PAGE, vaddr: memory.at() }).refused('ENOMEM');
    c.map({ iova: 0x30000n, size: PAGE }).refused('ENOMEM');
  });
  test('registers of a device need no room', (s) => {
    const { c, registers } = edu(s);
    s.main.drops('ipc_lock').succeeds();
    s.main.limits('memlock', 0n).succeeds();
    c.map({ ...A, vaddr: registers.at() }).succeeds();
  });
});

clause('accounting/refund', () => {
  test('when the container and the group are closed', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    c.close().succeeds();
    s.main.lockedKb().returns(16);
    c.groups[0]?.close().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('several mappings at once', (s) => {
    const c = readyContainer(s);
    for (const page of [0n, 2n, 4n, 9n]) c.map({ iova: page * PAGE, size: PAGE }).succeeds();
    s.main.lockedKb().returns(16);
    c.unmap({ iova: 0n, size: 5n * PAGE }).succeeds();
    s.main.lockedKb().returns(4);
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('not when an unmap is refused', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    c.unmap({ ...A, size: PAGE }).refused('EINVAL');
    s.main.lockedKb().returns(16);
  });
  test('when unmapped', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('when the group leaves', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('with a second group, once', (s) => {
    const c = readyContainer(s, { groups: ['group0', 'group1'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    s.main.lockedKb().returns(16);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
});

clause('accounting/dead-owner', () => {
  test('the mapping outlives it', (s) => {
    const c = readyContainer(s);
    const child = s.main.forks();
    mapsItsOwn(c, child, A).succeeds();
    s.main.kills(child).succeeds();
    s.main.lockedKb().returns(0);
    c.map({ ...A, size: PAGE }).refused('EEXIST');
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('it left by itself', (s) => {
    const c = readyContainer(s);
    const child = s.main.forks();
    c.of(child)
      .map({ ...A, vaddr: child.memory(0x4000).at() })
      .succeeds();
    child.exits();
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('it has another address space since exec', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    s.main.execs().succeeds();
    s.main.lockedKb().returns(0);
    const memory = s.main.memory(PAGE);
    c.map({ ...A, vaddr: memory.at(), size: PAGE }).refused('EEXIST');
    c.map({ iova: 0x20000n, size: PAGE, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(4);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(4);
    c.unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('its child goes on with the container', (s) => {
    const c = readyContainer(s);
    const owner = s.main.forks('owner');
    const memory = owner.memory(0x4000, { share: 'shared' });
    c.of(owner)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    const heir = owner.forks('heir');
    s.main.kills(owner).succeeds();
    heir.lockedKb().returns(0);
    c.of(heir).unmap(A).succeeds();
    c.of(heir)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    heir.lockedKb().returns(16);
  });
});

clause('group/reserved-region-mapped', () => {
  test('no second group is refused whose reserved region is not mapped', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    const second = openGroup(s.main, 'group1');
    second.setContainer(c).succeeds();
  });
});
