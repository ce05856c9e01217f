import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { REVISIONS } from '../revisions/index.ts';
import { inForce } from '../spec/revision.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** What `list` prints. A process can load the suites only once, so each list has one of its own. */
const list = async (...words: readonly string[]): Promise<readonly string[]> => {
  const { stdout } = await execa('node', [BIN, 'list', ...words], { stdin: 'ignore' });
  return stdout.split('\n').filter((line) => line !== '');
};

describe('clauses and cases', () => {
  for (const { id } of REVISIONS) {
    it(`leave no clause of ${id} without a case`, async () => {
      expect(await list('clauses', '--uncovered', '--revision', id)).to.deep.equal([]);
    });
  }

  it('have no case for a clause that no revision has', async () => {
    const stated = new Set<string>(REVISIONS.flatMap((revision) => [...inForce(revision).keys()]));
    const cases = await list('cases');
    expect(cases.length).to.be.greaterThan(600);
    expect(cases.filter((one) => !stated.has(one.slice(0, one.indexOf(': '))))).to.deep.equal([]);
  });
});
