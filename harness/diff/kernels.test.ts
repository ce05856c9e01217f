import { expect } from 'chai';
import type { CaseRecord } from '../report/record.ts';
import { aDifference, aRecord, aRun, KNOWN } from '../report/testing.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import { compareKernels } from './kernels.ts';
import { side } from './testing.ts';

const compare = (a: readonly CaseRecord[], b: readonly CaseRecord[]) =>
  compareKernels({ a: side(LINUX_6_1, aRun(a)), b: side(LINUX_6_1, aRun(b)) });

const PROGRAM = 'repeat 10\n  main status VmLck\nend\nmain fds\n';
const answering = (...lines: readonly string[]) => aRecord('one', { program: PROGRAM, observed: lines.join('\n') });

/** A case in yesterday's run and in today's, and how they compare. */
const PAIRS: Readonly<Record<string, readonly [before: CaseRecord, after: CaseRecord, how: string | undefined]>> = {
  'nothing new': [aRecord('one'), aRecord('one'), undefined],
  'the same finding': [aDifference('one'), aDifference('one'), undefined],
  'a new finding': [aRecord('one'), aDifference('one'), 'newly broken'],
  'damage where there was none': [aRecord('one'), aDifference('one', { verdict: 'damaged' }), 'newly broken'],
  'a finding that is gone': [aDifference('one'), aRecord('one'), 'mended'],
  'a finding that is known now': [aDifference('one'), aDifference('one', { known: KNOWN }), 'answered otherwise'],
  'a finding that became damage': [
    aDifference('one'),
    aDifference('one', { verdict: 'damaged' }),
    'answered otherwise',
  ],
  'another answer that is allowed, too': [answering('0.0-9 4 0'), answering('0.0-9 8 0'), 'answered otherwise'],
  'another answer in one iteration': [
    answering('0.0-9 4 0'),
    answering('0.0-4 4 0', '0.5 5 0', '0.6-9 4 0'),
    'answered otherwise',
  ],
  'an answer that is missing': [answering('0.0-9 4 0', '1 3 0'), answering('0.0-9 4 0'), 'answered otherwise'],
  'the same answers, told in other pieces': [answering('0.0-9 4 0'), answering('0.0 4 0', '0.1-9 4 0'), undefined],
  'answers to another program': [
    aRecord('one', { program: 'main fds\n', observed: '0 3 0\n' }),
    aRecord('one', { program: 'main shut\n', observed: '0 0 0\n' }),
    undefined,
  ],
};

describe('diff/kernels', () => {
  for (const [title, [before, after, how]] of Object.entries(PAIRS)) {
    it(`compares ${title}`, () => {
      const found = compare([before], [after]);
      expect(found?.changes.map((one) => one.how)).to.deep.equal(how === undefined ? [] : [how]);
      expect(found?.incomparable).to.deep.equal([]);
    });
  }

  it('shows the first answer that is another', () => {
    const [change] = compare([answering('0.0-9 4 0', '1 3 0')], [answering('0.0-9 4 0', '1 -1 22')])?.changes ?? [];
    expect(change?.first).to.deep.equal({ call: 'main fds', a: '3', b: 'EINVAL' });
  });

  it('says how each was run', () => {
    const [change] = compare([aRecord('one')], [aDifference('one')])?.changes ?? [];
    expect(change?.b?.rerun).to.equal("npx vfio-conform run --grep 'type1/map-overlap: one'");
    expect(change?.b?.broken[0]?.expected).to.equal('EEXIST');
  });

  it('sets aside what cannot be compared', () => {
    const lost = aRecord('lost', { verdict: 'host-lost', reason: 'gone' });
    const found = compare([aRecord('one'), aRecord('old'), aRecord('lost')], [aRecord('one'), lost, aRecord('new')]);
    expect(found?.changes).to.deep.equal([]);
    expect(found?.incomparable).to.deep.equal([
      { reason: 'only the first run has them', ids: ['type1/map-overlap: old'] },
      { reason: 'the second run could not judge them: host-lost', ids: ['type1/map-overlap: lost'] },
      { reason: 'only the second run has them', ids: ['type1/map-overlap: new'] },
    ]);
  });

  it('has nothing to say without a run', () => {
    expect(compareKernels({ a: side(LINUX_6_1), b: side(LINUX_6_1) })).to.equal(undefined);
  });
});
