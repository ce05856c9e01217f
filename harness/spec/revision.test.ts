import { expect } from 'chai';
import type { Clause, ClauseId } from './clause.ts';
import { byId, inForce, type Revision } from './revision.ts';

const clause = (id: ClauseId, says = 'It does.'): Clause => ({ id, level: 'must', says, source: 'here' });

const ROOT: Revision = {
  id: 'root',
  summary: 'the root',
  clauses: byId(clause('a/one'), clause('a/two'), clause('a/three')),
};

describe('revision', () => {
  it('inherits clauses as the same objects, in their order', () => {
    const next: Revision = { id: 'next', base: ROOT, summary: 'more', clauses: byId(clause('a/four')) };
    expect([...inForce(next).keys()]).to.deep.equal(['a/one', 'a/two', 'a/three', 'a/four']);
    expect(inForce(next).get('a/two')).to.equal(ROOT.clauses['a/two']);
  });

  it('modifies a clause in its place and withdraws another', () => {
    const modified = clause('a/one', 'It does something else.');
    const next: Revision = { id: 'next', base: ROOT, summary: 'other', clauses: { ...byId(modified), 'a/two': null } };
    expect([...inForce(next).values()]).to.deep.equal([modified, ROOT.clauses['a/three']]);
    expect(inForce(ROOT).size).to.equal(3);
  });

  it('refuses to withdraw what is not there', () => {
    const next: Revision = { id: 'next', base: ROOT, summary: 'wrong', clauses: { 'a/nine': null } };
    expect(() => inForce(next)).to.throw(RangeError, 'next withdraws a/nine');
  });

  it('refuses two clauses of one name', () => {
    expect(() => byId(clause('a/one'), clause('a/one'))).to.throw(RangeError, 'a/one');
  });
});
