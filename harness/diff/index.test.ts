import { expect } from 'chai';
import { capability } from '../model/type1/capabilities.ts';
import { aDifference, aRecord, aRun } from '../report/testing.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import { byId, type Revision } from '../spec/revision.ts';
import { ABIS } from '../uapi/abis.ts';
import { encode, flexible, struct, u8, u32 } from '../uapi/struct.ts';
import { vfioIommuType1InfoDmaAvail } from '../uapi/vfio.ts';
import { type BehaviourChange, differs } from './spec-diff.ts';
import { CARELESS, CASES, diffOf, PADDED, POSTED, programText, REVIEWED, side, storing } from './testing.ts';

const between = (a: Revision, b: Revision) => diffOf(side(a), side(b));
const told = ({ id, intended, allowed }: BehaviourChange) => [id, intended, allowed.a.words, allowed.b.words];

describe('diff', () => {
  it('finds nothing between a revision and itself', () => {
    const diff = between(POSTED, POSTED);
    expect(differs(diff)).to.equal(false);
    expect(diff.behaviour.compared).to.equal(CASES.length);
    expect(diff.clauses.unchanged).to.include('ping/answers').and.not.include('map/unknown-flags');
  });

  it('finds nothing between a revision and one that only has another name', () => {
    const diff = between(LINUX_6_1, { id: 'same', base: LINUX_6_1, summary: 'nothing new', clauses: {} });
    expect(differs(diff)).to.equal(false);
  });

  it('tells which clauses were stated anew, and how many programs show each', () => {
    const { clauses } = between(LINUX_6_1, POSTED);
    expect(clauses.changes.map(({ id, change, programs }) => [id, change, programs])).to.deep.equal([
      ['map/unknown-flags', 'removed', 1],
      ['map/overlap', 'changed', 2],
      ['info/page-sizes', 'changed', 1],
      ['accounting/charged-pages', 'changed', 1],
      ['ping/answers', 'added', 2],
    ]);
    const overlap = clauses.changes.find(({ id }) => id === 'map/overlap');
    expect(overlap?.a?.says).to.match(/EEXIST/);
    expect(overlap?.b?.says).to.equal('An overlap is refused with EBUSY.');
  });

  it('lists programs whose allowed outcomes differ, the smallest first, in words', () => {
    expect(between(LINUX_6_1, POSTED).behaviour.changes.map(told)).to.deep.equal([
      ['info/page-sizes: all', true, 'succeeds, bytes 8-15 are 0x40201000', 'succeeds, bytes 8-15 are 0x201000'],
      ['map/unknown-flags: bit 3', true, 'is refused with EINVAL', 'succeeds'],
      ['ping/answers: any time', true, 'is refused with ENOTTY', 'returns 7'],
      ['accounting/charged-pages: one', true, 'returns 4', 'returns 8'],
      ['map/overlap: identical', true, 'is refused with EEXIST', 'is refused with EBUSY'],
      ['ping/answers: stores', true, 'is refused with ENOTTY', 'returns 7'],
      ['map/overlap: after another', true, 'is refused with EEXIST', 'is refused with EBUSY'],
    ]);
  });

  it('says the same from the other side', () => {
    const [there, back] = [between(LINUX_6_1, POSTED), between(POSTED, LINUX_6_1)];
    expect(back.behaviour.changes.map(told)).to.deep.equal(
      there.behaviour.changes.map(({ id, intended, allowed }) => [id, intended, allowed.b.words, allowed.a.words]),
    );
    expect(back.clauses.changes.find(({ id }) => id === 'ping/answers')?.change).to.equal('removed');
  });

  it('compares two patches on one base', () => {
    const { clauses, behaviour } = between(POSTED, REVIEWED);
    expect(clauses.changes.map(({ id, change }) => [id, change])).to.deep.equal([['ping/never', 'added']]);
    expect(behaviour.changes.map(told)).to.deep.equal([
      ['ping/answers: any time', true, 'returns 7', 'is refused with EPERM'],
      ['ping/answers: stores', true, 'returns 7', 'is refused with EPERM'],
    ]);
  });

  it('marks what no clause declares, and says what it may follow from', () => {
    const { behaviour } = between(LINUX_6_1, CARELESS);
    const unmap = behaviour.changes.find(({ id }) => id.startsWith('unmap/'));
    expect(unmap?.intended).to.equal(false);
    expect(unmap?.allowed.a.words).to.match(/0x1000/);
    expect(unmap?.allowed.b.words).to.match(/0x0/);
    expect(unmap?.why).to.match(/^not declared to change: unmap\/.*; it may follow from line 6, under map\/maps$/);
  });

  it('puts what is unintended before what is smaller', () => {
    const intents = between(LINUX_6_1, CARELESS).behaviour.changes.map(({ intended }) => intended);
    expect(intents).to.include(true).and.include(false);
    expect(intents.lastIndexOf(false)).to.be.lessThan(intents.indexOf(true));
  });

  it('takes what shows in an instrument for the work of a declared call before it', () => {
    const { changes } = between(storing(1), storing(2)).behaviour;
    expect(changes.map(({ call, intended, why }) => [call, intended, why])).to.deep.equal([
      ['main read memory 0 1', true, 'shows what line 6 did, under ping/answers, which is declared'],
    ]);
  });

  it('does not let a declared call excuse what another clause promises', () => {
    const locked = between(LINUX_6_1, CARELESS).behaviour.changes.find(({ id }) => id.startsWith('accounting/'));
    expect([locked?.call, locked?.intended]).to.deep.equal(['main status VmLck', false]);
    expect(locked?.why).to.match(/^not declared to change: accounting\/charged-pages/);
  });

  it('takes bytes for declared when the clause of one side is', () => {
    const [info, ...others] = between(LINUX_6_1, PADDED).behaviour.changes;
    expect(others).to.deep.equal([]);
    expect(info && told(info)).to.deep.equal([
      'info/page-sizes: all',
      true,
      'succeeds, bytes 20-23 are 0xeeeeeeee',
      'succeeds, bytes 20-23 are 0x0',
    ]);
  });

  it('takes what a declared piece only moves for declared', () => {
    const inserted = capability({
      id: 'inserted/capability',
      level: 'must',
      says: 'There is one capability more, before the others.',
      source: 'A. Author',
      before: 'info/migration-capability',
      structure: () => encode(vfioIommuType1InfoDmaAvail, { header: { id: 99, version: 1 }, avail: 1 }),
    });
    const revision = (more: Revision['clauses']): Revision => ({
      id: 'inserted',
      base: LINUX_6_1,
      summary: 'one capability more',
      clauses: { ...byId(inserted), ...more },
    });
    const [moved] = between(LINUX_6_1, revision({})).behaviour.changes;
    expect(moved).to.include({ id: 'info/page-sizes: all', intended: true });
    expect(moved?.why).to.equal(
      'declared by inserted/capability; the rest is the same on both sides and only lies elsewhere',
    );
  });

  it('keeps the program up to the call where the two part', () => {
    const change = between(LINUX_6_1, POSTED).behaviour.changes.find(({ id }) => id === 'map/overlap: after another');
    const lines = change?.program.trimEnd().split('\n');
    expect(lines).to.have.length(8);
    expect(change?.line).to.equal(8);
    expect(lines?.[7]).to.equal(change?.call);
  });

  it('compares request numbers', () => {
    expect(between(LINUX_6_1, POSTED).numbers).to.deep.equal([
      {
        on: 'iommu files',
        number: '0x3b93',
        change: 'added',
        b: { id: 'ping/answers', clashes: false, number: '0x3b93', name: 'VFIO_BASE + 47' },
      },
    ]);
  });

  it('compares ids, and tells where two clash', () => {
    const name = 'type1-info capability 3';
    const own = { id: 'VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL', clashes: false, number: '3', name };
    const taken: Revision = {
      id: 'taken',
      base: LINUX_6_1,
      summary: 'for a test',
      clauses: {},
      numbers: [
        { space: 'type1-info capability', name: 'CAP_NEW', number: 3 },
        { space: 'type1-info capability', name: 'CAP_OTHER', number: 9 },
      ],
    };
    expect(between(LINUX_6_1, taken).numbers).to.deep.equal([
      {
        on: 'type1-info capability',
        number: '3',
        change: 'changed',
        a: own,
        b: { ...own, id: `${own.id} and CAP_NEW`, clashes: true },
      },
      {
        on: 'type1-info capability',
        number: '9',
        change: 'added',
        b: { id: 'CAP_OTHER', clashes: false, number: '9', name: 'type1-info capability 9' },
      },
    ]);
  });

  it('compares layouts on each architecture', () => {
    const capability = (fields: Parameters<typeof struct>[1]) => struct('capability', { flags: u32, ...fields });
    const structsOf = (revision: Revision) => [
      capability(revision === LINUX_6_1 ? { info: flexible(u8) } : { reserved: u32, info: flexible(u8) }),
      struct('unchanged', { flags: u32 }),
    ];
    const { structs } = diffOf(side(LINUX_6_1), side(POSTED), { structsOf });
    expect(structs.unchanged).to.deep.equal(['unchanged']);
    expect(
      structs.changes.map(({ struct: tag, change, abis, a, b }) => [tag, change, abis, a?.size, b?.size]),
    ).to.deep.equal([['capability', 'changed', ABIS.map(({ name }) => name), 4, 8]]);
  });
});

describe('diff with a run', () => {
  const overlap = CASES.find(({ id }) => id === 'map/overlap: identical');
  const program = overlap === undefined ? '' : programText(overlap);
  /** The run's kernel answered the last MAP_DMA so. */
  const runWith = (answer: string, differs: Parameters<typeof aRecord>[1] = {}) =>
    aRun([
      aRecord('identical', {
        id: 'map/overlap: identical',
        clause: 'map/overlap',
        program: `let group0 /dev/vfio/7\n${program}`,
        observed: `0 3 0\n1 4 0\n2 0 0\n3 0 0\n4 0 0\n5 0 0\n6 ${answer}\n`,
        ...differs,
      }),
    ]);

  for (const [answer, agreesWith, answered] of [
    ['-1 17', 'a', 'refused it with EEXIST'],
    ['-1 16', 'b', 'refused it with EBUSY'],
    ['-1 22', 'neither', 'refused it with EINVAL'],
    ['0 0', 'neither', 'succeeded'],
  ] as const) {
    it(`tells which side a kernel is on that answered ${answer}`, () => {
      const { behaviour } = diffOf(side(LINUX_6_1), side(POSTED, runWith(answer)));
      const seen = behaviour.changes.find(({ id }) => id === 'map/overlap: identical')?.seen;
      expect(seen).to.deep.equal({ b: { verdict: 'conforms', answered, agreesWith } });
    });
  }

  it('does not take sides for another program, or for an answer that is missing or cut', () => {
    for (const run of [
      runWith('-1 17', { program: `${program}main fds\n` }),
      runWith('-1 17', { observed: '0 3 0\n' }),
      runWith('-1 x'),
      runWith('!died SIGBUS'),
    ]) {
      const { behaviour } = diffOf(side(LINUX_6_1), side(POSTED, run));
      expect(behaviour.changes.find(({ id }) => id === 'map/overlap: identical')?.seen.b).to.deep.equal({
        verdict: 'conforms',
        agreesWith: 'unknown',
      });
    }
  });

  it('lists what the only kernel broke, known differences aside', () => {
    const known = { id: 'known-quirk', reason: 'It always did.' };
    const run = aRun([aRecord('fine'), aDifference('anew'), aDifference('as ever', { known })]);
    const diff = diffOf(side(LINUX_6_1), side(LINUX_6_1, run));
    expect(diff.kernels?.tallies).to.deep.equal({ b: { conforms: 1, diverges: 1, known: 1 } });
    expect(diff.kernels?.changes.map(({ id, how }) => [id, how])).to.deep.equal([
      ['type1/map-overlap: anew', 'broken'],
    ]);
    expect(differs(diff)).to.equal(true);
    expect(differs(diffOf(side(LINUX_6_1, aRun([aRecord('fine')])), side(LINUX_6_1)))).to.equal(false);
  });
});
