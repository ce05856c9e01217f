import { expect } from 'chai';
import { REVISIONS } from '../revisions/index.ts';
import { inForce } from '../spec/revision.ts';
import { collectCases } from './suites.ts';

describe('clauses and cases', () => {
  let covered: ReadonlySet<string>;
  before(async () => {
    covered = new Set((await collectCases({ areas: [], texts: [] })).map((one) => one.clause));
  });

  for (const revision of REVISIONS) {
    it(`leave no clause of ${revision.id} without a case`, () => {
      expect([...inForce(revision).keys()].filter((id) => !covered.has(id))).to.deep.equal([]);
    });
  }

  it('have no case for a clause that no revision has', () => {
    const stated = new Set<string>(REVISIONS.flatMap((revision) => [...inForce(revision).keys()]));
    expect([...covered].filter((id) => !stated.has(id))).to.deep.equal([]);
  });
});
