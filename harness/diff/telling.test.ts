import { expect } from 'chai';
import { aRecord, aRun } from '../report/testing.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import type { BehaviourChange, Seen } from './spec-diff.ts';
import { alike, sidesTaken } from './telling.ts';
import { CASES, diffOf, POSTED, programText, side } from './testing.ts';

const change = (id: string, words: string, agreesWith?: Seen['agreesWith']): BehaviourChange => ({
  id,
  clause: 'a/one',
  calls: 1,
  program: 'main fds\n',
  line: 1,
  call: 'main fds',
  allowed: { a: { words, clauses: [] }, b: { words: 'succeeds', clauses: [] } },
  seen: agreesWith === undefined ? {} : { b: { verdict: 'conforms', agreesWith } },
  intended: true,
  why: 'for a test',
});

/** Differences, smallest first, and how they are told: the one that stands for others, and those. */
const KINDS: Readonly<
  Record<string, readonly [changes: readonly BehaviourChange[], told: readonly (readonly string[])[]]>
> = {
  none: [[], []],
  'numbers that differ': [
    [change('a', 'returns 4'), change('b', 'returns 8'), change('c', 'succeeds, bytes 8-15 are 0x1')],
    [['a', 'b'], ['c']],
  ],
  'bytes in other places': [
    [change('a', 'succeeds, bytes 8-15 are 0x1'), change('b', 'succeeds, byte 3 is 7')],
    [['a', 'b']],
  ],
  'another errno': [
    [change('a', 'is refused with EPERM'), change('b', 'is refused with EINVAL'), change('c', 'is refused with EPERM')],
    [['a', 'c'], ['b']],
  ],
  'a kernel on other sides': [
    [change('a', 'succeeds', 'b'), change('b', 'succeeds', 'a'), change('c', 'succeeds', 'b')],
    [['a', 'c'], ['b']],
  ],
  'a kernel that ran only some': [
    [
      change('a', 'succeeds'),
      change('b', 'succeeds', 'b'),
      change('c', 'succeeds', 'unknown'),
      change('d', 'succeeds', 'a'),
    ],
    [['b', 'a', 'c'], ['d']],
  ],
  'a kernel that ran none': [[change('a', 'succeeds'), change('b', 'succeeds')], [['a', 'b']]],
};

describe('diff/telling', () => {
  for (const [title, [changes, told]] of Object.entries(KINDS)) {
    it(`tells once what is alike: ${title}`, () => {
      expect(alike(changes).map((one) => [one.change.id, ...one.others])).to.deep.equal(told);
    });
  }

  it('counts on which side a kernel is', () => {
    const answers: Readonly<Record<string, string>> = {
      'map/overlap: identical': '6 -1 17\n',
      'map/unknown-flags: bit 3': '5 0 0\n',
      'ping/answers: any time': '5 -1 1\n',
    };
    const records = CASES.filter(({ id }) => id in answers).map((one) =>
      aRecord(one.title, { id: one.id, program: programText(one), observed: answers[one.id] ?? '' }),
    );
    const diff = diffOf(side(LINUX_6_1), side(POSTED, aRun(records)));
    expect(sidesTaken(diff, 'b')).to.equal(
      'where the models differ: 1 as linux-6.1, 1 as ping/posted, 1 as neither, 4 not told',
    );
    expect(sidesTaken(diff, 'a')).to.equal(undefined);
  });
});
