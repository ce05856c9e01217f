import {
  clause,
  each,
  openGroup,
  READ,
  readyContainer,
  type Scenario,
  TWO_GROUPS,
  test,
  u32,
  u64,
  WRITE,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const PAGE = 0x1000n;
const A = { iova: 0x10000n, size: 0x4000n };
const B = { iova: 0x20000n, size: 0x4000n };
const VADDR = uapi.VFIO_DMA_MAP_FLAG_VADDR;

/** Two mappings, of shared memory, so that a child has the same. */
const mapped = (s: Scenario) => {
  const c = readyContainer(s);
  const memory = s.main.memory(0x8000, { share: 'shared' });
  memory.fill(1);
  c.map({ ...A, vaddr: memory.at() }).succeeds();
  c.map({ ...B, vaddr: memory.at(0x4000n) }).succeeds();
  return { c, memory };
};

clause('vaddr/invalidates', () => {
  test('one mapping', (s) => {
    const { c } = mapped(s);
    c.invalidateVaddr(A).shows(16, u64(0x4000n));
    s.main.lockedKb().returns(32);
  });
  test('both at once', (s) => void mapped(s).c.invalidateVaddr({ iova: 0n, size: 0x100000n }).shows(16, u64(0x8000n)));
  test('nothing', (s) => void mapped(s).c.invalidateVaddr({ iova: 0x80000n, size: PAGE }).shows(16, u64(0n)));
  test('mapped anew elsewhere meanwhile', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.map({ iova: 0x40000n, size: PAGE, vaddr: memory.at() }).succeeds();
    c.map({ ...A, vaddr: memory.at() }).refused('EEXIST');
    s.main.lockedKb().returns(36);
  });
  test('then unmapped: its owner is refunded', (s) => {
    const { c } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.unmap(A).shows(16, u64(A.size));
    s.main.lockedKb().returns(16);
    c.invalidateVaddr(A).shows(16, u64(0n));
  });
  test('its dirty pages can be read all the same', (s) => {
    const { c } = mapped(s);
    c.startDirty().succeeds();
    c.invalidateVaddr(A).succeeds();
    const bitmap = s.main.memory(8);
    c.getDirty({ iova: A.iova, size: 64n * PAGE, bitmap: { data: bitmap.at(), size: 8n } }).succeeds();
    bitmap.read();
  });
});

clause('vaddr/updates', () => {
  test('to the same vaddr', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).returns(0);
    s.main.lockedKb().returns(32);
  });
  test('to another vaddr', (s) => {
    const { c } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.updateVaddr({ ...A, vaddr: s.main.memory(0x4000).at() }).succeeds();
    c.unmap(A).shows(16, u64(0x4000n));
  });
  test('again and again', (s) => {
    const { c, memory } = mapped(s);
    for (const _ of ['once', 'twice', 'thrice']) {
      c.invalidateVaddr(A).succeeds();
      c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    }
  });
  test('of a container of the first version', (s) => {
    const c = readyContainer(s, { type: uapi.VFIO_TYPE1_IOMMU });
    c.map(A).succeeds();
    c.invalidateVaddr(A).shows(16, u64(A.size));
    c.updateVaddr({ ...A, vaddr: c.memory.at(PAGE) }).succeeds();
    c.unmap(A).shows(16, u64(A.size));
  });
  test('to memory that is not there: nothing is pinned anew', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    memory.hole(0n, A.size).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(32);
  });
  test('in another order than they were invalidated', (s) => {
    const { c, memory } = mapped(s);
    c.unmapAll({ flags: uapi.VFIO_DMA_UNMAP_FLAG_ALL | uapi.VFIO_DMA_UNMAP_FLAG_VADDR }).shows(16, u64(0x8000n));
    c.updateVaddr({ ...B, vaddr: memory.at(0x4000n) }).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    c.unmapAll().shows(16, u64(0x8000n));
  });
  test('takes no entry and gives none back', (s) => {
    const { c, memory } = mapped(s);
    const available = 24 + 32 + 8;
    c.info(160).shows(available, u32(65_533));
    c.invalidateVaddr(A).succeeds();
    c.info(160).shows(available, u32(65_533));
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    c.info(160).shows(available, u32(65_533));
  });
});

clause('vaddr/invalidated-twice', () => {
  test('the same range', (s) => {
    const { c } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.invalidateVaddr(A).refused('EINVAL');
  });
});

clause('vaddr/rolls-back', () => {
  test('what was valid before a partly invalid request is valid again', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(B).succeeds();
    c.invalidateVaddr({ iova: 0n, size: 0x100000n }).refused('EINVAL');
    c.updateVaddr({ ...A, vaddr: memory.at() });
    c.updateVaddr({ ...B, vaddr: memory.at(0x4000n) }).succeeds();
    c.invalidateVaddr({ iova: 0n, size: 0x100000n }).shows(16, u64(0x8000n));
  });
  each(
    { 'the first is invalidated already': [A, B], 'the last is invalidated already': [B, A] } as const,
    (s, [one, other]) => {
      const { c } = mapped(s);
      c.invalidateVaddr(one).succeeds();
      c.invalidateVaddr({ iova: 0n, size: 0x100000n }).refused('EINVAL');
      // What was valid still is, and can be invalidated now.
      c.invalidateVaddr(other).shows(16, u64(0x4000n));
      c.invalidateVaddr(one).refused('EINVAL');
    },
  );
});

clause('vaddr/not-invalidated', () => {
  test('never', (s) => {
    const { c, memory } = mapped(s);
    c.updateVaddr({ ...A, vaddr: memory.at() }).refused('EINVAL');
  });
  test('already updated', (s) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).refused('EINVAL');
  });
});

clause('vaddr/no-mapping', () => {
  each({ below: 0x8000n, between: 0x18000n, above: 0x40000n }, (s, iova) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.updateVaddr({ iova, size: PAGE, vaddr: memory.at() }).refused('ENOENT');
  });
});

clause('vaddr/other-range', () => {
  each(
    {
      'a smaller size': { ...A, size: 0x3000n },
      'a larger size': { ...A, size: 0x5000n },
      'another start': { iova: 0x11000n, size: 0x3000n },
      'from below': { iova: 0xf000n, size: 0x5000n },
      'both mappings': { iova: 0x10000n, size: 0x14000n },
    },
    (s, range) => {
      const { c, memory } = mapped(s);
      c.invalidateVaddr({ iova: 0n, size: 0x100000n }).succeeds();
      c.updateVaddr({ ...range, vaddr: memory.at() }).refused('EINVAL');
    },
  );
});

clause('vaddr/exclusive-flags', () => {
  each({ READ: VADDR | READ, WRITE: VADDR | WRITE, both: VADDR | READ | WRITE }, (s, flags) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr(A).succeeds();
    c.map({ ...A, vaddr: memory.at(), flags }).refused('EINVAL');
  });
});

clause('vaddr/blocks-groups', () => {
  test('until the vaddr is updated', (s) => {
    s.needs(TWO_GROUPS);
    const { c, memory } = mapped(s);
    const second = openGroup(s.main, 'group1');
    c.invalidateVaddr(A).succeeds();
    second.setContainer(c).refused('EBUSY');
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    second.setContainer(c).succeeds();
  });
  test('until the mapping is gone', (s) => {
    s.needs(TWO_GROUPS);
    const { c } = mapped(s);
    const second = openGroup(s.main, 'group1');
    c.invalidateVaddr(A).succeeds();
    second.setContainer(c).refused('EBUSY');
    c.unmap(A).succeeds();
    second.setContainer(c).succeeds();
  });
});

clause('vaddr/changes-owner', () => {
  test('to a forked child', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    c.invalidateVaddr(A).succeeds();
    child.lockedKb().returns(0);
    c.of(child)
      .updateVaddr({ ...A, vaddr: memory.at() })
      .succeeds();
    child.lockedKb().returns(16);
    s.main.lockedKb().returns(16);
    c.unmapAll().succeeds();
    child.lockedKb().returns(0);
    s.main.lockedKb().returns(0);
  });
  test('to the same process after exec', (s) => {
    const { c } = mapped(s);
    c.invalidateVaddr({ iova: 0n, size: 0x100000n }).succeeds();
    s.main.execs().succeeds();
    s.main.lockedKb().returns(0);
    const fresh = s.main.memory(0x8000, { share: 'shared' });
    c.updateVaddr({ ...A, vaddr: fresh.at() }).succeeds();
    c.updateVaddr({ ...B, vaddr: fresh.at(0x4000n) }).succeeds();
    s.main.lockedKb().returns(32);
  });
  test('from one that is dead', (s) => {
    const c = readyContainer(s);
    const child = s.main.forks();
    const memory = s.main.memory(0x4000, { share: 'shared' });
    const childs = child.memory(0x4000, { share: 'shared' });
    c.of(child)
      .map({ ...A, vaddr: childs.at() })
      .succeeds();
    s.main.kills(child).succeeds();
    c.invalidateVaddr(A).succeeds();
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(16);
    c.unmap(A).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('to a child, and back', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    for (const [owner, charged] of [
      [child, 16],
      [s.main, 0],
    ] as const) {
      c.invalidateVaddr(A).succeeds();
      c.of(owner)
        .updateVaddr({ ...A, vaddr: memory.at() })
        .succeeds();
      child.lockedKb().returns(charged);
      s.main.lockedKb().returns(32 - charged);
    }
  });
  test('of a child that exec gave another address space', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    child.execs().succeeds();
    const memory = child.memory(0x4000, { share: 'shared' });
    c.invalidateVaddr(A).succeeds();
    c.of(child)
      .updateVaddr({ ...A, vaddr: memory.at() })
      .succeeds();
    child.lockedKb().returns(16);
    s.main.lockedKb().returns(16);
    c.of(child).unmapAll().succeeds();
    s.main.lockedKb().returns(0);
  });
  test('not without an update: who unmaps is not who is refunded', (s) => {
    const { c } = mapped(s);
    const child = s.main.forks();
    c.invalidateVaddr(A).succeeds();
    child.lockedKb().returns(0);
    c.of(child).unmap(A).succeeds();
    child.lockedKb().returns(0);
    s.main.lockedKb().returns(16);
  });
});

clause('vaddr/new-owner-limit', () => {
  each({ 'one page short': [3, false], 'exactly enough': [4, true] } as const, (s, [pages, fits]) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', BigInt(pages) * PAGE).succeeds();
    c.invalidateVaddr(A).succeeds();
    const update = c.of(child).updateVaddr({ ...A, vaddr: memory.at() });
    if (fits) update.succeeds();
    else update.refused('ENOMEM');
    child.lockedKb().returns(fits ? 16 : 0);
    s.main.lockedKb().returns(fits ? 16 : 32);
  });
  test('nothing that was locked before fits with it', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    child.drops('ipc_lock').succeeds();
    child.limits('memlock', 4n * PAGE).succeeds();
    c.of(child).map({ iova: 0x40000n, size: PAGE, vaddr: memory.at() }).succeeds();
    c.invalidateVaddr(A).succeeds();
    c.of(child)
      .updateVaddr({ ...A, vaddr: memory.at() })
      .refused('ENOMEM');
    child.lockedKb().returns(4);
    s.main.lockedKb().returns(32);
    // It is still to be updated, by whoever has the room.
    c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    s.main.lockedKb().returns(32);
  });
  test('CAP_IPC_LOCK lifts it', (s) => {
    const { c, memory } = mapped(s);
    const child = s.main.forks();
    child.limits('memlock', PAGE).succeeds();
    c.invalidateVaddr(A).succeeds();
    c.of(child)
      .updateVaddr({ ...A, vaddr: memory.at() })
      .succeeds();
    child.lockedKb().returns(16);
  });
});

/** What an update takes the same care of as any MAP_DMA. */
const BAD_UPDATES = {
  'map/unaligned': { vaddr: 0x1234n },
  'map/vaddr-wraps': { vaddr: 0xffff_ffff_ffff_f000n },
  'map/zero-size': { size: 0n },
  'map/argsz': { argsz: 31 },
} as const;

for (const [id, change] of Object.entries(BAD_UPDATES)) {
  clause(id as keyof typeof BAD_UPDATES, () => {
    test('of an update', (s) => {
      const { c, memory } = mapped(s);
      c.invalidateVaddr(A).succeeds();
      c.updateVaddr({ ...A, vaddr: memory.at(), ...change }).refused('EINVAL', 'EOVERFLOW');
      c.updateVaddr({ ...A, vaddr: memory.at() }).succeeds();
    });
  });
}

clause('unmap/v2-bisects', () => {
  each({ 'its first half': A.iova, 'its second half': A.iova + 0x2000n }, (s, iova) => {
    const { c, memory } = mapped(s);
    c.invalidateVaddr({ iova, size: 0x2000n }).refused('EINVAL');
    // It is valid as before.
    c.updateVaddr({ ...A, vaddr: memory.at() }).refused('EINVAL');
  });
});
