import { expect } from 'chai';
import { alike, type Cell, cellText, MODES, QUESTIONS, question, refusal } from './index.ts';

const SIZE = { name: 'size', at: 16, width: 8 } as const;
const source = 'here';

const TEXTS: Readonly<Record<string, readonly [Cell, string]>> = {
  'a refusal': [{ refused: ['EINVAL'], source }, 'EINVAL'],
  'one of several': [{ refused: ['EINVAL', 'EOVERFLOW'], source }, 'EINVAL or EOVERFLOW'],
  'a refusal that writes': [{ refused: ['ENOENT'], value: 0n, source }, 'ENOENT, size 0'],
  'a number': [{ returns: 16n, source }, '16'],
  'a number and what it wrote': [{ returns: 0n, value: 0x4000n, source }, '0, size 0x4000'],
  'any success': [{ returns: 'anything', source }, 'succeeds'],
  'what it wrote alone': [{ returns: 'anything', value: 9n, source }, 'size 9'],
  'another place': [{ returns: 0n, value: 10n, valueAt: { ...SIZE, name: 'avail' }, source }, '0, avail 0xa'],
  nothing: [{ none: 'there is no such thing' }, '-'],
};

describe('a question of five modes', () => {
  for (const [what, [cell, text]] of Object.entries(TEXTS)) {
    it(`tells ${what}`, () => expect(cellText({ valueAt: SIZE }, cell)).to.equal(text));
  }

  it('tells its unit', () => expect(cellText({ unit: 'kB' }, { returns: 16n, source })).to.equal('16 kB'));

  it('is a clause that says what each mode answers, and where that stands', () => {
    const one = question('asked', {
      asks: 'What if',
      cells: { ...alike(MODES, { returns: 0n, source }), iommufd: { none: 'it cannot be' } },
    });
    expect(one.id).to.equal('five-modes/asked');
    expect(one.says).to.equal('What if: type1-v1: 0; type1-v2: 0; compat-v1: 0; compat-v2: 0; iommufd: -.');
    expect(one.source).to.contain('type1-v1: here').and.to.contain('iommufd: it cannot be');
    expect(() => refusal(one, 'compat-v1')).to.throw(RangeError, 'compat-v1 does not refuse five-modes/asked');
  });
});

describe('the table', () => {
  it('has each question once', () => {
    for (const told of [QUESTIONS.map(({ id }) => `${id}`), QUESTIONS.map(({ asks }) => asks)])
      expect(told.filter((one, index) => told.indexOf(one) !== index)).to.deep.equal([]);
  });

  it('has a place for every number that it expects', () => {
    for (const { id, valueAt, cells } of QUESTIONS)
      for (const cell of Object.values(cells))
        if ('value' in cell && cell.value !== undefined)
          expect(('valueAt' in cell ? cell.valueAt : undefined) ?? valueAt, id).not.to.equal(undefined);
  });
});
