import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { fiveModesLine, fiveModesMarkdown, tableOf } from './five-modes.ts';
import { writeMatrix } from './matrix.ts';
import type { Answer, CaseRecord } from './record.ts';
import { writeReports } from './results.ts';
import { aRecord, aRun, inFolder, KNOWN } from './testing.ts';

const MODES = ['v1', 'v2', 'native'];

const aCell = (row: string, column: number, answer: Partial<Answer>, differs: Partial<CaseRecord> = {}): CaseRecord =>
  aRecord(MODES[column] ?? '?', {
    clause: `five-modes/${row}`,
    id: `five-modes/${row}: ${MODES[column]}`,
    answer: { asks: `UNMAP of ${row}`, mode: MODES[column] ?? '?', column, expected: '0', source: 'here', ...answer },
    ...differs,
  });

const RUN = aRun([
  // The columns stand as their numbers say, whatever came first.
  aCell('nothing', 2, { observed: 'ENOENT' }),
  aCell('nothing', 0, { observed: '0' }),
  aCell('nothing', 1, { observed: '0' }),
  aRecord('no cell'),
  aCell('half', 0, { observed: '0' }),
  aCell('half', 1, { observed: '0 | 1', expected: 'EINVAL' }, { verdict: 'diverges', reason: 'it did that' }),
  aCell('half', 2, { observed: '0', expected: 'EBUSY' }, { verdict: 'diverges', known: KNOWN }),
  aCell('warns', 0, { observed: 'EINVAL' }, { verdict: 'damaged', reason: 'the log shows damage' }),
  aCell('warns', 2, {}, { verdict: 'unsupported', reason: 'the kernel has no IOMMUFD' }),
]);

const lines = (): readonly string[] => [...fiveModesMarkdown(RUN)].join('').split('\n');

describe('the table of five modes', () => {
  it('has a row for each question and a column for each mode, with what was observed', () => {
    const table = lines().filter((line) => line.startsWith('|'));
    expect(table).to.deep.equal([
      '|  | v1 | v2 | native |',
      '| --- | --- | --- | --- |',
      '| UNMAP of nothing | `0` | `0` | `ENOENT` |',
      '| UNMAP of half | `0` | `0 \\| 1` **differs** | `0` *(known)* |',
      '| UNMAP of warns | `EINVAL` **damaged** | - | ? |',
    ]);
  });

  it('tells of what is not as expected, and why cells were not asked', () => {
    const told = lines().filter((line) => line.startsWith('- '));
    expect(told).to.have.length(4);
    expect(told[0]).to.contain('UNMAP of half, v2: expected `EINVAL` (here), observed `0 | 1`. it did that');
    expect(told[1]).to.contain(KNOWN.reason);
    expect(told[2]).to.contain('the log shows damage');
    expect(told[3]).to.equal('- 1 cells: the kernel has no IOMMUFD');
  });

  it('is told in a line', () => {
    expect(fiveModesLine(RUN)).to.equal(
      'Five modes: 3 questions, 2 of them answered otherwise in one mode than in another; 7 cells observed, 3 not as expected (1 known); 1 not asked here: five-modes.md',
    );
  });

  it('is not there where no case belongs to it', () =>
    inFolder(async (folder) => {
      const run = aRun([aRecord('a')]);
      expect([tableOf(run), fiveModesLine(run)]).to.deep.equal([undefined, undefined]);
      await writeReports(folder, run);
      expect(existsSync(join(folder, 'five-modes.md'))).to.equal(false);
    }));

  it('is a file of the report, and of the report of several kernels, one after another', () =>
    inFolder(async (folder) => {
      await writeReports(folder, RUN);
      const one = readFileSync(join(folder, 'five-modes.md'), 'utf8');
      expect(one).to.equal([...fiveModesMarkdown(RUN)].join(''));
      writeMatrix(folder, [
        { name: 'a', run: RUN },
        { name: 'b', run: aRun([aRecord('a')]) },
        { name: 'c', run: { ...RUN, kernel: '7.2.99' } },
      ]);
      const both = readFileSync(join(folder, 'five-modes.md'), 'utf8');
      expect(both.match(/^# .*$/gm)).to.deep.equal([
        '# Five modes on Linux 6.1.0-28-amd64',
        '# Five modes on Linux 7.2.99',
      ]);
    }));
});
