import { clause, each, openGroup, readyContainer, test } from '../harness/cases/index.ts';

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
    const memory = child.memory(0x4000);
    memory.fill(1);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    child.lockedKb().returns(16);
    s.main.lockedKb().returns(0);
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
});

clause('accounting/refund', () => {
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
    const memory = child.memory(0x4000);
    memory.fill(1);
    c.of(child)
      .map({ ...A, vaddr: memory.at() })
      .succeeds();
    s.main.kills(child).succeeds();
    s.main.lockedKb().returns(0);
    c.map({ ...A, size: PAGE }).refused('EEXIST');
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
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
