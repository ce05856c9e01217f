import { expect } from 'chai';
import { struct, u32, u64 } from '../uapi/struct.ts';
import type { Clause, ClauseId } from './clause.ts';
import { byId, inForce, type Revision, structsOf, takenNumbers } from './revision.ts';

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

describe('what a revision has besides clauses', () => {
  const [old, changed, other] = [struct('s', { a: u32 }), struct('s', { a: u64 }), struct('t', { a: u32 })];
  const base: Revision = { ...ROOT, structs: [old, other], numbers: [{ space: 'container', name: 'A', number: 1 }] };
  const next: Revision = {
    id: 'next',
    base,
    summary: 'more',
    clauses: {},
    structs: [changed],
    numbers: [{ space: 'container', name: 'B', number: 2 }],
  };

  it('is inherited: structs by their tags, one for each', () => {
    expect(structsOf(next)).to.deep.equal([changed, other]);
    expect(structsOf(base)).to.deep.equal([old, other]);
    expect(structsOf(ROOT)).to.deep.equal([]);
  });

  it('is inherited: numbers, all of them', () => {
    expect(takenNumbers(next).map(({ name }) => name)).to.deep.equal(['A', 'B']);
  });
});
