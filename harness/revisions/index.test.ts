import { expect } from 'chai';
import { lawOf } from '../model/law.ts';
import { UsageTrouble } from '../trouble.ts';
import { REVISIONS, revisionNamed } from './index.ts';

describe('revisions', () => {
  for (const revision of REVISIONS) {
    it(`${revision.id} can be named, says what it is, and fits together`, () => {
      expect(revisionNamed(revision.id)).to.equal(revision);
      expect(revision.id).to.match(/^[a-z0-9.-]+(\/[a-z0-9.-]+)?$/);
      expect(revision.summary).not.to.equal('');
      expect(lawOf(revision).clauses.size).to.be.greaterThan(0);
    });
  }

  it('have names of their own, bases before what is built on them', () => {
    expect(new Set(REVISIONS.map(({ id }) => id)).size).to.equal(REVISIONS.length);
    for (const [index, { base }] of REVISIONS.entries()) {
      if (base !== undefined) expect(REVISIONS.slice(0, index)).to.include(base);
    }
  });

  it('tells which there are when one is asked for that is not', () => {
    expect(() => revisionNamed('linux-9.9')).to.throw(UsageTrouble, 'linux-6.1');
  });
});
