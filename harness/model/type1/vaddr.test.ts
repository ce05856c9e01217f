import { expect } from 'chai';
import { VFIO_TYPE1_IOMMU } from '../../uapi/vfio.ts';
import { type MapFields, PAGE, ready } from './testbed.ts';

const READ = 1;
const VADDR = 4;
const ALL = 2;
const pages = (start: bigint, count: bigint) => ({ iova: start * PAGE, size: count * PAGE });

/** Mappings of pages 0 to 3, 4 to 7, and 16 to 19; 12 pages are charged. */
const mapped = (type?: bigint) => {
  const bed = ready(type === undefined ? {} : { type });
  for (const start of [0n, 4n, 16n]) bed.map(pages(start, 4n));
  const invalidate = (start: bigint, count: bigint) => bed.unmap({ ...pages(start, count), flags: VADDR });
  const update = (start: bigint, count: bigint, more: Partial<MapFields> = {}, actor?: string) =>
    bed.map({ ...pages(start, count), flags: VADDR, ...more }, actor);
  return { ...bed, invalidate, update };
};

describe('vaddr update', () => {
  it('invalidates, tells the size, and leaves mappings and charges as they were', () => {
    const bed = mapped();
    expect(bed.invalidate(0n, 8n)).to.equal(`0, ${8n * PAGE}`);
    expect(bed.locked()).to.equal(12);
    expect(bed.map(pages(0n, 1n))).to.equal('EEXIST');
    expect(bed.update(0n, 4n)).to.equal('0');
    expect(bed.update(4n, 4n)).to.equal('0');
    expect(bed.locked()).to.equal(12);
  });

  const mistakes: Record<string, [(bed: ReturnType<typeof mapped>) => string, string]> = {
    'a vaddr that was never invalidated': [(bed) => bed.update(0n, 4n), 'EINVAL'],
    'a second update': [
      (bed) => [bed.invalidate(0n, 4n), bed.update(0n, 4n), bed.update(0n, 4n)].at(-1) ?? '',
      'EINVAL',
    ],
    'a smaller size': [(bed) => [bed.invalidate(0n, 4n), bed.update(0n, 3n)].at(-1) ?? '', 'EINVAL'],
    'another start': [(bed) => [bed.invalidate(0n, 4n), bed.update(1n, 3n)].at(-1) ?? '', 'EINVAL'],
    'two mappings at once': [(bed) => [bed.invalidate(0n, 8n), bed.update(0n, 8n)].at(-1) ?? '', 'EINVAL'],
    'a range that begins before the mapping': [
      (bed) => [bed.invalidate(16n, 4n), bed.update(15n, 5n)].at(-1) ?? '',
      'EINVAL',
    ],
    'a hole': [(bed) => bed.update(10n, 4n), 'ENOENT'],
    'READ with it': [
      (bed) => [bed.invalidate(0n, 4n), bed.update(0n, 4n, { flags: VADDR | READ })].at(-1) ?? '',
      'EINVAL',
    ],
    'a vaddr within a page': [
      (bed) => [bed.invalidate(0n, 4n), bed.update(0n, 4n, { vaddr: 1n })].at(-1) ?? '',
      'EINVAL',
    ],
    'a vaddr that is not mapped': [
      (bed) => [bed.invalidate(0n, 4n), bed.update(0n, 4n, { vaddr: 0n })].at(-1) ?? '',
      '0',
    ],
    'a second invalidation': [(bed) => [bed.invalidate(0n, 4n), bed.invalidate(0n, 4n)].at(-1) ?? '', 'EINVAL'],
    'an invalidation that bisects': [(bed) => bed.invalidate(0n, 6n), 'EINVAL'],
    'an invalidation of nothing': [(bed) => bed.invalidate(10n, 4n), '0, 0'],
  };
  for (const [title, [act, said]] of Object.entries(mistakes)) {
    it(`answers ${title} with ${said}`, () => {
      expect(act(mapped())).to.equal(said);
    });
  }

  it('rolls an invalidation back that meets what is invalidated already', () => {
    const bed = mapped();
    bed.invalidate(16n, 4n);
    expect(bed.invalidate(0n, 20n)).to.equal('EINVAL');
    expect(bed.update(0n, 4n)).to.equal('EINVAL');
    expect(bed.update(4n, 4n)).to.equal('EINVAL');
    expect(bed.update(16n, 4n)).to.equal('0');
    expect(bed.invalidate(0n, 20n)).to.equal(`0, ${12n * PAGE}`);
  });

  it('invalidates all, on v1 too', () => {
    for (const bed of [mapped(), mapped(VFIO_TYPE1_IOMMU)]) {
      expect(bed.unmap({ iova: 0n, size: 0n, flags: ALL | VADDR })).to.equal(`0, ${12n * PAGE}`);
      expect(bed.update(4n, 4n)).to.equal('0');
    }
  });

  it('keeps groups out while a vaddr is invalid, and lets them in when all are valid or gone', () => {
    const bed = mapped();
    bed.openGroup('other', '/dev/vfio/3');
    bed.invalidate(0n, 8n);
    expect(bed.setContainer('other')).to.equal('EBUSY');
    bed.update(0n, 4n);
    expect(bed.setContainer('other')).to.equal('EBUSY');
    expect(bed.unmap(pages(4n, 4n))).to.equal(`0, ${4n * PAGE}`);
    expect(bed.setContainer('other')).to.equal('0');
  });

  it('unmaps what is invalidated', () => {
    const bed = mapped();
    bed.invalidate(0n, 20n);
    expect(bed.unmap({ iova: 0n, size: 0n, flags: ALL })).to.equal(`0, ${12n * PAGE}`);
    expect(bed.locked()).to.equal(0);
  });
});

describe('owner change', () => {
  it('charges the child that updates, and pays the parent back', () => {
    const bed = mapped();
    bed.invalidate(0n, 20n);
    bed.take({ op: 'spawn', child: 'child' });
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([12, 0]);
    expect(bed.update(0n, 4n, {}, 'child')).to.equal('0');
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([8, 4]);
    expect(bed.update(4n, 4n)).to.equal('0');
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([8, 4]);
    bed.unmap(pages(0n, 4n));
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([8, 0]);
  });

  it('charges the same process anew after exec', () => {
    const bed = mapped();
    bed.invalidate(0n, 20n);
    bed.take({ op: 'exec' });
    expect(bed.locked()).to.equal(0);
    bed.take({ op: 'mem', name: 'ram', size: 64n * PAGE });
    expect(bed.update(0n, 4n)).to.equal('0');
    expect(bed.locked()).to.equal(4);
    bed.unmap({ iova: 0n, size: 0n, flags: ALL });
    expect(bed.locked()).to.equal(0);
  });

  it('charges whoever updates when the owner is dead, and pays nobody', () => {
    const bed = mapped();
    bed.invalidate(0n, 20n);
    bed.take({ op: 'spawn', child: 'child' });
    bed.take({ op: 'kill', victim: 'main' }, 'child');
    expect(bed.update(0n, 4n, {}, 'child')).to.equal('0');
    expect(bed.locked('child')).to.equal(4);
    expect(bed.unmap({ iova: 0n, size: 0n, flags: ALL }, 'child')).to.equal(`0, ${12n * PAGE}`);
    expect(bed.locked('child')).to.equal(0);
  });

  const limits: Record<string, [pages: bigint, drop: boolean, said: string, charges: [number, number]]> = {
    'one page below': [3n, true, 'ENOMEM', [12, 0]],
    'exactly the limit': [4n, true, '0', [8, 4]],
    'one page above': [5n, true, '0', [8, 4]],
    'no limit with CAP_IPC_LOCK': [0n, false, '0', [8, 4]],
  };
  for (const [title, [limit, drop, said, charges]] of Object.entries(limits)) {
    it(`holds the new owner to its limit: ${title}`, () => {
      const bed = mapped();
      bed.invalidate(0n, 20n);
      bed.take({ op: 'spawn', child: 'child' });
      bed.take({ op: 'limit', resource: 'memlock', soft: limit * PAGE }, 'child');
      if (drop) bed.take({ op: 'drop', capability: 'ipc_lock' }, 'child');
      expect(bed.update(0n, 4n, {}, 'child')).to.equal(said);
      expect([bed.locked(), bed.locked('child')]).to.deep.equal(charges);
      // What was refused stays invalidated, and its old owner can still update it.
      if (said === 'ENOMEM') expect(bed.update(0n, 4n)).to.equal('0');
    });
  }
});
