import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import { exitCodeOf, tallyOf } from '../report/tally.ts';
import { aDifference, aRecord, aRun, inFolder, KNOWN } from '../report/testing.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { complete, rangesOf } from './complete.ts';
import { allDone, type CellNote, cellExit, cellFolder, type Done, readNote, settle } from './done.ts';
import { mergeParts, type Part } from './merge.ts';
import { aPlan } from './testing.ts';

const PLAN = aPlan();

const note = (cell: number, differs: Partial<CellNote> = {}): CellNote => ({
  schema: 'vfio-conform/cell/1',
  plan: PLAN.id,
  cell,
  on: 'spr1',
  attempt: 1,
  startedAt: '2026-01-02T12:30:00.000Z',
  durationMs: 1000,
  exitCode: 0,
  ...differs,
});

const done = (cell: number, differs: Partial<CellNote> = {}): Done => ({
  folder: `cells/${cell}`,
  note: note(cell, differs),
});

const all = PLAN.list.map(({ cell }) => done(cell));

describe('completeness', () => {
  it('is given in any order, and gives the order of the plan', () => {
    expect(complete(PLAN, [...all].reverse()).map(({ cell }) => cell)).to.deep.equal(PLAN.list);
  });

  for (const [name, cells, kind, message] of [
    [
      'a cell is missing',
      all.filter(({ note: { cell } }) => cell !== 4),
      HostTrouble,
      /^1 of 10 cells are missing: 4;/,
    ],
    ['most are missing', all.slice(3, 4), HostTrouble, /^9 of 10 cells are missing: 1-3, 5-10;/],
    [
      'a cell is there twice',
      [...all, { ...done(4), folder: 'other/4' }],
      UsageTrouble,
      /cell 4 is there twice: cells\/4 and other\/4/,
    ],
    [
      'a cell is of another plan',
      [...all.slice(1), done(1, { plan: 'x' })],
      UsageTrouble,
      /cells\/1 is of another plan/,
    ],
    ['a cell is beyond the plan', [...all, done(11)], UsageTrouble, /the plan has no cell 11/],
  ] as const) {
    it(`is refused when ${name}`, () => {
      expect(() => complete(PLAN, cells)).to.throw(kind, message);
    });
  }

  it('tells long lists of missing cells in short', () => {
    expect(rangesOf([1, 2, 3, 7, 9, 10])).to.equal('1-3, 7, 9-10');
    expect(rangesOf(Array.from({ length: 100 }, (_, at) => at * 2))).to.match(/^(\d+, ){12}\.\.\.$/);
  });
});

describe('the results of cells', () => {
  const attemptIn = (folder: string, text: string): string => {
    const attempt = join(folder, `.attempt-${text}`);
    mkdirSync(attempt);
    writeFileSync(join(attempt, 'results.json'), text);
    return attempt;
  };

  it('appear whole, and an earlier attempt is kept aside', () =>
    inFolder(async (folder) => {
      settle(attemptIn(folder, 'first'), folder, note(3, { exitCode: 75 }));
      settle(attemptIn(folder, 'second'), folder, note(3, { attempt: 2 }));
      expect(allDone([folder]).map((one) => one.note.attempt)).to.deep.equal([2]);
      expect(readFileSync(join(cellFolder(folder, 3), 'results.json'), 'utf8')).to.equal('second');
      expect(readFileSync(join(folder, 'attempts', 'cell-000003.1', 'results.json'), 'utf8')).to.equal('first');
    }));

  it('are there when the run never came to a report', () =>
    inFolder(async (folder) => {
      settle(join(folder, '.attempt-none'), folder, note(1, { exitCode: 75 }));
      expect(readNote(cellFolder(folder, 1))?.exitCode).to.equal(75);
      expect(existsSync(join(folder, '.attempt-none'))).to.equal(false);
    }));

  it('are refused where something else stands', () =>
    inFolder(async (folder) => {
      mkdirSync(cellFolder(folder, 1));
      expect(() => allDone([folder])).to.throw(UsageTrouble, 'is no note of a cell');
      expect(() => allDone([join(folder, 'nowhere')])).to.throw(UsageTrouble, 'there is no folder');
    }));

  for (const [exitCode, exit] of [
    [0, 0],
    [1, 1],
    [4, 0],
    [75, 75],
    [124, 75],
    [130, 75],
  ] as const) {
    it(`end with ${exit} when the run ended with ${exitCode}`, () => {
      expect(cellExit(note(1, { exitCode }))).to.equal(exit);
    });
  }
});

const inClause = (clause: string, record: CaseRecord): CaseRecord => ({
  ...record,
  clause,
  area: clause.split('/')[0] ?? '',
  id: `${clause}: ${record.title}`,
});

const FIRST = aRun([aRecord('one'), aDifference('two', { known: KNOWN })], {
  disappeared: ['shown-elsewhere', 'shown-nowhere'],
  startedAt: '2026-01-02T13:00:00.000Z',
});
const SECOND = aRun(
  [
    inClause('group/status', aDifference('one', { known: { id: 'other, shown-elsewhere', reason: 'So it is.' } })),
    inClause('group/status', aRecord('lost', { verdict: 'host-lost', reason: 'gone' })),
  ],
  { disappeared: ['shown-nowhere'], durationMs: 1000 },
);

const merged = (...runs: readonly (RunRecord | undefined)[]): RunRecord => {
  const parts = runs.map(
    (run, at): Part => ({ name: `cell ${at + 1} (map on spr1)`, ...(run === undefined ? {} : { run }) }),
  );
  const run = mergeParts('vtd', parts);
  if (run === undefined) throw new Error('there is no report');
  return run;
};

describe('the parts of a run', () => {
  it('make the run that was divided', () => {
    const run = merged(FIRST, SECOND);
    expect(run.cases).to.deep.equal([...FIRST.cases, ...SECOND.cases]);
    expect(tallyOf(run)).to.deep.include({ conforms: 1, known: 2, 'host-lost': 1 });
    expect([run.startedAt, run.durationMs, run.kernel]).to.deep.equal([SECOND.startedAt, 43_000, FIRST.kernel]);
    expect(run).not.to.have.property('interrupted');
    expect(run.host).to.deep.equal(FIRST.host);
  });

  it('miss a known difference only when no part shows it', () => {
    expect(merged(FIRST, SECOND).disappeared).to.deep.equal(['shown-nowhere']);
  });

  it('name their hosts when there are several', () => {
    const run = merged(FIRST, { ...SECOND, host: { name: 'ssh:spr2', description: 'a machine', iommu: 'intel' } });
    expect(run.host).to.deep.equal({
      name: 'vtd',
      description: `vm: ${FIRST.host.description}; ssh:spr2: a machine`,
      iommu: `${FIRST.host.iommu}; intel`,
    });
  });

  it('keep the interruption of any part', () => {
    const cut = { ...SECOND, interrupted: { why: 'time-limit' as const, reason: 'the time limit passed' } };
    const run = merged(FIRST, cut, { ...cut, cases: [] });
    expect(run.interrupted).to.deep.equal({
      why: 'time-limit',
      reason: 'cell 2 (map on spr1): the time limit passed, after 1.0 s (and 1 more)',
    });
    expect(exitCodeOf(run)).to.equal(124);
  });

  it('do not pass when one never came to a report', () => {
    const run = merged(FIRST, undefined);
    expect(run.interrupted).to.deep.equal({ why: 'trouble', reason: 'cell 2 (map on spr1) came to no report' });
    expect(exitCodeOf(run)).to.equal(75);
  });

  it('are none when no part came to a report', () => {
    expect(mergeParts('vtd', [{ name: 'cell 1' }])).to.equal(undefined);
  });

  it('are refused when they ran on different kernels', () => {
    expect(() => merged(FIRST, { ...SECOND, kernel: '7.2.13' })).to.throw(
      HostTrouble,
      'the cells on vtd differ in their kernel: 6.1.0-28-amd64, 7.2.13',
    );
  });

  it('tell apart cases that two suites call the same', () => {
    const ids = merged(FIRST, { ...FIRST, notRun: [{ ...aRecord('one'), reason: 'Ctrl-C' }] });
    expect([...ids.cases, ...ids.notRun].map(({ title }) => title)).to.deep.equal([
      'one',
      'two',
      'one (2)',
      'two (2)',
      'one (3)',
    ]);
    expect(new Set([...ids.cases, ...ids.notRun].map(({ id }) => id)).size).to.equal(5);
  });
});
