import { expect } from 'chai';
import type { RunRecord } from './record.ts';
import { exitCodeOf, exitMeaning, tallyOf } from './tally.ts';
import { aDifference, aRecord, aRun, KNOWN } from './testing.ts';

const fine = aRecord('fine');
const known = aDifference('known', { known: KNOWN });
const anew = aDifference('anew');
const damaged = aRecord('damaged', { verdict: 'damaged', reason: 'a splat' });
const skipped = aRecord('skipped', { verdict: 'unsupported', reason: 'no huge pages' });
const lost = aRecord('lost', { verdict: 'host-lost', reason: 'gone' });
const ours = aRecord('ours', { verdict: 'harness-error', reason: 'bug' });
const because = (why: NonNullable<RunRecord['interrupted']>['why']): Partial<RunRecord> => ({
  interrupted: { why, reason: 'because' },
});

const EXITS: Readonly<Record<string, readonly [code: number, run: RunRecord]>> = {
  'everything conforms': [0, aRun([fine, skipped])],
  'known differences only': [0, aRun([fine, known])],
  'a known difference did not show': [0, aRun([fine], { disappeared: ['quirk'] })],
  'a new difference': [1, aRun([fine, known, anew])],
  damage: [1, aRun([fine, damaged])],
  'damage that is known': [0, aRun([{ ...damaged, known: KNOWN }])],
  'a difference, and a host that was lost later': [1, aRun([anew, lost])],
  'a difference before the time limit': [1, aRun([anew], because('time-limit'))],
  'nothing was selected': [4, aRun([])],
  'everything was skipped': [4, aRun([skipped])],
  'the host was lost': [75, aRun([fine, lost])],
  'an error of the harness': [75, aRun([fine, ours])],
  'trouble cut the run': [75, aRun([fine], because('trouble'))],
  'the harness was killed': [75, aRun([fine], because('cut-off'))],
  'the time limit': [124, aRun([fine, lost], because('time-limit'))],
  'Ctrl-C': [130, aRun([fine], because('signal'))],
};

describe('tally', () => {
  for (const [name, [code, run]] of Object.entries(EXITS)) {
    it(`exits with ${code} for: ${name}`, () => {
      expect(exitCodeOf(run)).to.equal(code);
      expect(exitMeaning(code)).not.to.equal('unexpected');
    });
  }

  it('counts known differences apart from new ones', () => {
    expect(
      tallyOf(aRun([fine, fine, known, anew, damaged, skipped, lost, ours], { disappeared: ['quirk'] })),
    ).to.deep.equal({
      conforms: 2,
      known: 1,
      diverges: 1,
      damaged: 1,
      unsupported: 1,
      'host-lost': 1,
      'harness-error': 1,
      notRun: 0,
      disappeared: 1,
    });
  });
});
