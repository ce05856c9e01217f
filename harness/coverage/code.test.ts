import { expect } from 'chai';
import type { CodeRecord } from '../report/code.ts';
import { revisionNamed } from '../revisions/index.ts';
import { UsageTrouble } from '../trouble.ts';
import { coverageOf } from './index.ts';
import { coverageText } from './page.ts';
import { type Explanation, parseRest } from './rest.ts';
import { aRunOf } from './testing.ts';

type Line = CodeRecord['files'][number]['lines'][number];

const PATH = 'drivers/vfio/container.c';
const line = (number: number, count: number, ...branches: readonly number[]): Line => ({
  line: number,
  count,
  branches: [...branches],
});

const counted = (lines: readonly Line[], differs: Partial<CodeRecord> = {}): CodeRecord => ({
  schema: 'vfio-conform/code/1',
  kernel: '7.2.0-gcov',
  boots: 1,
  bootsLost: 0,
  files: [
    {
      path: PATH,
      functions: [
        { name: 'one', firstLine: 10, lastLine: 19, count: 0 },
        { name: 'two', firstLine: 20, lastLine: 29, count: 0 },
      ],
      lines: [...lines],
    },
  ],
  ...differs,
});

const found = (codes: readonly CodeRecord[], rest: readonly Explanation[] = []) =>
  coverageOf(
    codes.map((code, index) => ({ path: `reports/${index}`, run: aRunOf([], { kernel: '7.2.0-gcov' }), code })),
    { version: '0.1.0', revisionNamed, restOf: (kernel) => (kernel === '7.2.0-gcov' ? rest : []) },
  );

const LINES = [line(11, 2, 2, 0), line(12, 0), line(15, 0), line(18, 0, 0, 0), line(21, 0), line(22, 0)];

describe('coverage of the kernel’s code', () => {
  it('is a share of lines, of branches and of functions', () => {
    const [code] = found([counted(LINES)]).code;
    expect(code?.files).to.have.length(1);
    expect(code?.files[0]).to.deep.include({
      lines: { reached: 1, all: 6 },
      branches: { reached: 1, all: 4 },
      functions: { reached: 1, all: 2 },
    });
  });

  it('adds the reports of one kernel up, but not those of another build of it', () => {
    const other = counted([line(11, 0, 0, 5), line(12, 1), ...LINES.slice(2)], { bootsLost: 2 });
    const moved = counted([line(11, 1, 1, 1), line(13, 1), line(16, 1), line(18, 1, 1, 1), line(21, 1), line(23, 1)]);
    const [code] = found([counted(LINES), other, moved]).code;
    expect(code).to.deep.include({ boots: 2, bootsLost: 2 });
    expect(code?.files[0]).to.deep.include({ lines: { reached: 2, all: 6 }, branches: { reached: 2, all: 4 } });
  });

  it('is nothing for a kernel that does not count', () => {
    const { code } = coverageOf([{ path: 'a', run: aRunOf([]) }], { version: '0', revisionNamed, restOf: () => [] });
    expect(code).to.deep.equal([null]);
  });

  const FILE = { file: PATH, why: 'no memory' };
  const REASONS: readonly (readonly [title: string, rest: readonly Explanation[], gaps: readonly string[]])[] = [
    ['nothing', [], ['one in part 12 15 18', 'two never 21 22']],
    ['a function as a whole', [{ ...FILE, function: 'two' }], ['one in part 12 15 18', 'two never 21 22: no memory']],
    [
      'some lines of one',
      [{ ...FILE, function: 'one', lines: ['12-15', '40'] }],
      ['one in part 12 15: no memory', 'one in part 18', 'two never 21 22'],
    ],
    [
      'some lines, and another reason for the others',
      [
        { ...FILE, function: 'one', lines: ['15'] },
        { ...FILE, function: 'one', why: 'other hardware' },
      ],
      ['one in part 15: no memory', 'one in part 12 18: other hardware', 'two never 21 22'],
    ],
    ['lines that ran', [{ ...FILE, function: 'one', lines: ['11'] }], ['one in part 12 15 18', 'two never 21 22']],
    [
      'another file',
      [{ ...FILE, function: 'two', file: 'drivers/vfio/group.c' }],
      ['one in part 12 15 18', 'two never 21 22'],
    ],
  ];
  for (const [title, rest, gaps] of REASONS) {
    it(`says what did not run, with reasons for ${title}`, () => {
      const [code] = found([counted(LINES)], rest).code;
      const told = code?.files[0]?.gaps.map(
        (gap) =>
          `${gap.function} ${gap.entered ? 'in part' : 'never'} ${gap.lines.join(' ')}${gap.why === undefined ? '' : `: ${gap.why}`}`,
      );
      expect(told).to.deep.equal(gaps);
    });
  }

  it('stands on the page, with what is explained apart', () => {
    const text = [
      ...coverageText(found([counted(LINES, { bootsLost: 1 })], [{ ...FILE, function: 'two' }]), ['code']),
    ].join('');
    expect(text).to.match(/^drivers\/vfio\/container\.c +16\.7 % +1\/6 +25\.0 % +1\/4 +1\/2 +2 +3$/m);
    expect(text).to.match(/^drivers\/vfio\/container\.c +one +3 +12 15 18$/m);
    expect(text).to.match(/^drivers\/vfio\/container\.c +two +2 +never +no memory$/m);
    expect(text).to.contain('the counts of 1 more');
  });
});

describe('reasons for code that is not reached', () => {
  it('are read from a file', () => {
    const text = `rest:\n  - { file: a.c, function: f, lines: ['3', 5-7], why: no memory }\n`;
    expect(parseRest(text, 'x.yaml')).to.deep.equal([
      { file: 'a.c', function: 'f', lines: ['3', '5-7'], why: 'no memory' },
    ]);
  });

  for (const [title, text, message] of [
    ['no reason', 'rest:\n  - { file: a.c, function: f }\n', /^x\.yaml:2:5: rest\.0\.why/],
    [
      'lines that are none',
      "rest:\n  - { file: a.c, function: f, lines: ['7-'], why: x }\n",
      /expected a line or lines/,
    ],
  ] as const) {
    it(`are refused with ${title}`, () => {
      expect(() => parseRest(text, 'x.yaml')).to.throw(UsageTrouble, message);
    });
  }
});
