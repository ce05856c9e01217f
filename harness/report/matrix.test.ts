import { expect } from 'chai';
import { type Column, exitCodeOfAll, matrixMarkdown, matrixText } from './matrix.ts';
import { aDifference, aRecord, aRun, KNOWN } from './testing.ts';

const other = { clause: 'type1/gone', id: 'type1/gone: a' };

const COLUMNS: readonly Column[] = [
  { name: '6.1', run: aRun([aRecord('a'), aRecord('b'), aRecord('a', other)]) },
  {
    name: '7.2',
    run: aRun([aRecord('a'), aDifference('b', { known: KNOWN })], { kernel: '7.2.1 | x', revision: 'linux-7.2' }),
  },
  { name: 'mine', run: aRun([aRecord('a', { verdict: 'damaged' }), aDifference('b')]) },
];

describe('matrix', () => {
  it('has a column for each kernel and a row for each clause that is worth telling', () => {
    expect(matrixText(COLUMNS).split('\n')).to.deep.equal([
      '                   6.1             7.2        mine',
      'kernel             6.1.0-28-amd64  7.2.1 | x  6.1.0-28-amd64',
      'model              linux-6.1       linux-7.2  linux-6.1',
      'conforms           3               1          0',
      'known              0               1          0',
      'diverges           0               0          1',
      'damaged            0               0          1',
      'unsupported        0               0          0',
      '',
      'type1/map-overlap  ok 2            known 1/2  DAMAGED 1/2',
      'type1/gone         ok 1            -          -',
      '',
    ]);
  });

  it('leaves out clauses that all kernels conform to', () => {
    const same = { name: 'x', run: aRun([aRecord('a')]) };
    expect(matrixText([same, { ...same, name: 'y' }])).not.to.contain('type1/map-overlap');
  });

  it('leaves cells of the table of five modes to that, unless one is not as it should be', () => {
    const cell = { answer: { asks: 'a', mode: 'v1', column: 0, expected: '0', source: 'here' } };
    const skipped = aRecord('a', { ...cell, verdict: 'unsupported', reason: 'no' });
    const at = (record: typeof skipped): string =>
      matrixText([
        { name: 'x', run: aRun([skipped]) },
        { name: 'y', run: aRun([record]) },
      ]);
    expect(at(aRecord('a', cell))).not.to.contain('type1/map-overlap');
    expect(at(aDifference('a', cell))).to.contain('type1/map-overlap  skipped 1');
  });

  it('is a table of Markdown in which text stays text', () => {
    const lines = matrixMarkdown(COLUMNS).trimEnd().split('\n');
    expect(lines[0]).to.equal('|  | 6.1 | 7.2 | mine |');
    expect(lines.at(-1)).to.equal('| `type1/gone` | ok 1 | - | - |');
  });

  const codes: Readonly<Record<string, readonly [codes: readonly number[], all: number]>> = {
    'all conform': [[0, 0], 0],
    'one ran nothing': [[0, 4], 0],
    'none ran anything': [[4, 4], 4],
    'one could not be had': [[0, 75], 75],
    'one differs, one could not be had': [[75, 1], 1],
    'one ran out of time': [[0, 124, 75], 124],
  };
  for (const [what, [given, all]] of Object.entries(codes)) {
    it(`exits with ${all} when ${what}`, () => expect(exitCodeOfAll(given)).to.equal(all));
  }
});
