import { expect } from 'chai';
import { EDU, EMULATED, TEST_DEVICES } from '../world/clauses.ts';
import { DirtyMarks } from './dirty-marks.ts';

const seen = (marks: DirtyMarks, pages = 100) => marks.of(pages).map(({ first, count, by }) => [first, count, by?.id]);

describe('pages that are marked dirty', () => {
  it('come in order, neighbours of one clause together', () => {
    const marks = new DirtyMarks();
    marks.mark(EDU, 7);
    marks.mark(EDU, 2, 3);
    marks.mark(EDU, 5);
    marks.mark(EMULATED, 6);
    expect(seen(marks)).to.deep.equal([
      [2, 4, EDU.id],
      [6, 1, EMULATED.id],
      [7, 1, EDU.id],
    ]);
  });

  it('stay under the clause that marked them first', () => {
    const marks = new DirtyMarks();
    marks.mark(EDU, 3);
    marks.mark(EMULATED, 2, 3);
    expect(seen(marks)).to.deep.equal([
      [2, 1, EMULATED.id],
      [3, 1, EDU.id],
      [4, 1, EMULATED.id],
    ]);
  });

  it('can be all, until they are set anew', () => {
    const marks = new DirtyMarks();
    marks.mark(EDU, 3);
    marks.markAll(EMULATED);
    expect(seen(marks, 5)).to.deep.equal([[0, 5, EMULATED.id]]);
    marks.reset(TEST_DEVICES, [9, 8]);
    expect(seen(marks)).to.deep.equal([[8, 2, TEST_DEVICES.id]]);
    expect(marks.clean).to.equal(TEST_DEVICES);
  });
});
