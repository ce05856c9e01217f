import { expect } from 'chai';
import type { Answer, Outcome } from '../model/outcome.ts';
import type { Clause } from '../spec/clause.ts';
import { compareAnswers } from './outcomes.ts';

const clause = (id: Clause['id']): Clause => ({ id, level: 'must', says: 'It does.', source: 'here' });
const ONE = clause('a/one');
const TWO = clause('a/two');

const outcome = (differs: Partial<Outcome> = {}): Outcome => ({
  ret: { exactly: 0n },
  errno: 0,
  clauses: [ONE],
  commit: () => undefined,
  ...differs,
});
const refused = (errno: Outcome['errno'], by = ONE): Outcome =>
  outcome({ ret: { exactly: -1n }, errno, clauses: [by] });
const answer = (first: Outcome, ...others: readonly Outcome[]): Answer => ({ allowed: [first, ...others] });
const wrote = (at: number, ...bytes: readonly number[]): Outcome =>
  outcome({ out: [{ at, bytes: Uint8Array.from(bytes), clause: TWO }] });
const BEFORE = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);

/** Two answers, and how they differ. */
const PAIRS: Readonly<Record<string, readonly [a: Answer, b: Answer, differ: string]>> = {
  'the same under another clause': [answer(refused('EINVAL')), answer(refused('EINVAL', TWO)), 'same'],
  'the same in another order': [answer(refused('EINVAL'), outcome()), answer(outcome(), refused('EINVAL')), 'same'],
  'the same but for what the model can merely follow': [
    answer(outcome()),
    answer(outcome(), { ...outcome({ ret: { exactly: 5n } }), breaks: [TWO] as const }),
    'same',
  ],
  'another errno': [answer(refused('EINVAL')), answer(refused('EFAULT')), 'results: -EINVAL +EFAULT'],
  'one errno more': [answer(refused('EINVAL')), answer(refused('EINVAL'), refused('EFAULT')), 'results: +EFAULT'],
  'success and refusal': [answer(outcome()), answer(refused('EPERM')), 'results: -0 +EPERM'],
  'another value': [answer(outcome()), answer(outcome({ ret: { exactly: 1n } })), 'results: -0 +1'],
  'any value and one': [answer(outcome({ ret: { atLeast: 0n } })), answer(outcome()), 'results: -0.. +0'],
  'bytes that nobody wrote and the same bytes written': [answer(outcome()), answer(wrote(2, 3, 4)), 'same'],
  'other bytes': [answer(wrote(2, 9, 9)), answer(wrote(2, 9, 8)), 'bytes: 2+2 a/two a/two'],
  'bytes that only one writes': [answer(outcome()), answer(wrote(4, 0, 0)), 'bytes: 4+2 a/one a/two'],
  'bytes that overlap in part': [
    answer(wrote(0, 9, 9, 9)),
    answer(wrote(2, 9, 9)),
    'bytes: 0+2 a/two a/one, 3+1 a/one a/two',
  ],
  'bytes that may be anything': [
    answer(wrote(0, 9)),
    answer(outcome({ out: [{ at: 0, bytes: 1, clause: TWO }] })),
    'bytes: 0+1 a/two a/two',
  ],
  'an output that promises nothing': [
    answer(wrote(0, 9)),
    answer(outcome({ out: 'anything' })),
    'bytes: 0+0 a/one a/one',
  ],
  'a call that one leaves open': [answer(outcome()), { unspecified: 'who knows' }, 'specified by a'],
  'a call that both leave open': [{ unspecified: 'who knows' }, { unspecified: 'not us' }, 'same'],
};

const resultOf = ({ ret, errno }: Outcome): string =>
  errno !== 0 ? errno : 'exactly' in ret ? ret.exactly.toString() : `${ret.atLeast}..`;

const text = (found: ReturnType<typeof compareAnswers>): string => {
  switch (found.kind) {
    case 'same':
      return 'same';
    case 'specified':
      return `specified by ${found.by}`;
    case 'bytes':
      return `bytes: ${found.bytes.map(({ at, length, a, b }) => `${at}+${length} ${a.clause.id} ${b.clause.id}`).join(', ')}`;
    case 'results':
      return `results: ${[...found.onlyA.map((one) => `-${resultOf(one)}`), ...found.onlyB.map((one) => `+${resultOf(one)}`)].join(' ')}`;
  }
};

describe('diff/outcomes', () => {
  for (const [title, [a, b, differ]] of Object.entries(PAIRS)) {
    it(`compares ${title}`, () => {
      expect(text(compareAnswers(a, b, BEFORE))).to.equal(differ);
    });
  }

  it('compares outputs that an operation only produces, of any length', () => {
    expect(text(compareAnswers(answer(wrote(0, 1, 2)), answer(wrote(0, 1, 2)), undefined))).to.equal('same');
    expect(text(compareAnswers(answer(wrote(0, 1, 2)), answer(wrote(0, 1)), undefined))).to.equal(
      'bytes: 1+1 a/two a/one',
    );
  });
});
