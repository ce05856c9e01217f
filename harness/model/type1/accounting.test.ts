import { expect } from 'chai';
import { PAGE, ready } from './testbed.ts';

const pages = (start: bigint, count: bigint) => ({ iova: start * PAGE, size: count * PAGE });

/** A process whose limit is so many pages and which cannot ignore it. */
const limited = (soft: bigint) => {
  const bed = ready();
  bed.take({ op: 'limit', resource: 'memlock', soft });
  bed.take({ op: 'drop', capability: 'ipc_lock' });
  return bed;
};

describe('accounting', () => {
  const limits: Record<string, [soft: bigint, pages: bigint, said: string]> = {
    'one page below': [8n * PAGE, 7n, '0'],
    'exactly the limit': [8n * PAGE, 8n, '0'],
    'one page above': [8n * PAGE, 9n, 'ENOMEM'],
    'a limit within a page': [9n * PAGE - 1n, 9n, 'ENOMEM'],
    'no memory at all': [0n, 1n, 'ENOMEM'],
    'no limit': [(1n << 64n) - 1n, 64n, '0'],
  };
  for (const [title, [soft, count, said]] of Object.entries(limits)) {
    it(`answers ${title} with ${said}`, () => {
      const bed = limited(soft);
      expect(bed.map(pages(0n, count))).to.equal(said);
      expect(bed.locked()).to.equal(said === '0' ? Number(count) : 0);
    });
  }

  it('counts what is charged already', () => {
    const bed = limited(8n * PAGE);
    bed.map(pages(0n, 5n));
    expect(bed.map(pages(16n, 4n))).to.equal('ENOMEM');
    expect(bed.map(pages(16n, 3n))).to.equal('0');
    bed.unmap(pages(0n, 5n));
    expect(bed.map(pages(0n, 5n))).to.equal('0');
  });

  it('counts a page once for each mapping it is in', () => {
    const bed = ready();
    bed.map(pages(0n, 4n));
    bed.map(pages(16n, 4n));
    expect(bed.locked()).to.equal(8);
  });

  it('does not hold a process with CAP_IPC_LOCK to its limit, and charges it', () => {
    const bed = ready();
    bed.take({ op: 'limit', resource: 'memlock', soft: 0n });
    expect(bed.map(pages(0n, 4n))).to.equal('0');
    expect(bed.locked()).to.equal(4);
  });

  it('leaves it open what a limit is that the program did not set', () => {
    const bed = ready();
    bed.take({ op: 'drop', capability: 'ipc_lock' });
    expect(bed.map(pages(0n, 4n))).to.equal('0 or ENOMEM');
  });

  it('promises no order between a limit and a hole', () => {
    const bed = limited(4n * PAGE);
    bed.take({ op: 'unmap', name: 'ram', offset: 8n * PAGE, size: PAGE });
    expect(bed.map(pages(0n, 16n))).to.equal('EFAULT or ENOMEM');
    expect(bed.map(pages(0n, 4n))).to.equal('0');
  });

  it('does not charge the page of zeros, nor registers', () => {
    const bed = ready();
    bed.take({ op: 'mem', name: 'zeros', size: 4n * PAGE });
    bed.map({ ...pages(0n, 4n), vaddr: { memory: 'zeros' }, flags: 1 });
    expect(bed.locked()).to.equal(0);
    bed.openDevice();
    bed.take({ op: 'map', name: 'bar', fd: 'device', start: 0n, size: 0x10_0000n, share: 'shared' });
    expect(bed.map({ ...pages(16n, 4n), vaddr: { memory: 'bar' } })).to.equal('0');
    expect(bed.locked()).to.equal(0);
    expect(bed.unmap(pages(0n, 32n))).to.equal(`0, ${8n * PAGE}`);
  });

  it('charges pages that a failed mapping made, when they are mapped again', () => {
    const bed = ready();
    bed.take({ op: 'mem', name: 'zeros', size: 4n * PAGE });
    const vaddr = { memory: 'zeros' };
    expect(bed.map({ ...pages(0n, 5n), vaddr })).to.equal('EFAULT');
    expect(bed.locked()).to.equal(0);
    bed.map({ ...pages(0n, 4n), vaddr, flags: 1 });
    expect(bed.locked()).to.equal(4);
  });

  it('charges the process that maps, whoever opened the container', () => {
    const bed = ready();
    bed.take({ op: 'spawn', child: 'child' });
    expect(bed.map(pages(0n, 4n), 'child')).to.equal('0');
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([0, 4]);
    // The parent unmaps, and the child gets back what it paid.
    bed.unmap(pages(0n, 4n));
    expect([bed.locked(), bed.locked('child')]).to.deep.equal([0, 0]);
  });

  it('outlives its owner without charging anybody', () => {
    const bed = ready();
    bed.take({ op: 'spawn', child: 'child' });
    bed.map(pages(0n, 4n), 'child');
    bed.take({ op: 'kill', victim: 'child' });
    expect(bed.map(pages(0n, 1n))).to.equal('EEXIST');
    expect(bed.unmap(pages(0n, 4n))).to.equal(`0, ${4n * PAGE}`);
    expect(bed.locked()).to.equal(0);
  });

  for (const how of ['unset', 'close the group', 'close everything'] as const) {
    it(`pays back when the last group leaves: ${how}`, () => {
      const bed = ready();
      bed.map(pages(0n, 4n));
      if (how === 'unset') bed.unsetContainer();
      else bed.take(how === 'close everything' ? { op: 'shut' } : { op: 'close', fd: 'group' });
      expect(bed.locked()).to.equal(0);
    });
  }
});
