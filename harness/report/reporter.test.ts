import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import Mocha from 'mocha';
import { HostTrouble } from '../trouble.ts';
import { attachRecord, CaseFailure, CaseTrouble, skipWith } from './attach.ts';
import type { CaseRecord, RunRecord } from './record.ts';
import { tapOf } from './tap.ts';
import { aDifference, addTest, aRecord, type BuildSuites, inFolder, KNOWN, readJunit, runSuites } from './testing.ts';

/** A test that leaves a record and then ends as the words of the suites let it end. */
const leaving = (record: CaseRecord): Mocha.AsyncFunc =>
  async function () {
    attachRecord(this.runnable(), record);
    if (record.verdict === 'unsupported') skipWith(this, record.reason ?? '');
    if (record.verdict === 'host-lost' || record.verdict === 'harness-error') throw new CaseTrouble(record);
    if (record.verdict !== 'conforms' && record.known === undefined) throw new CaseFailure(record);
  };

const ran = (run: RunRecord): readonly (readonly [string, string, string | undefined])[] =>
  run.cases.map(({ title, verdict, reason }) => [title, verdict, reason]);

const left = (run: RunRecord): readonly (readonly [string, string])[] =>
  run.notRun.map(({ title, reason }) => [title, reason]);

interface Expected {
  readonly ran: readonly (readonly [title: string, verdict: string, reason: string | undefined])[];
  readonly left?: readonly (readonly [title: string, reason: string])[];
  readonly exit: number;
}

/** Suites as Mocha runs them, and what must come out: nothing lost, nothing twice, nobody blamed for another's fault. */
const SUITES: Readonly<Record<string, readonly [build: BuildSuites, expected: Expected]>> = {
  'a case of each verdict': [
    (clause) => {
      for (const record of [
        aRecord('fine'),
        aDifference('known', { known: KNOWN }),
        aDifference('anew', { reason: 'EEXIST' }),
        aRecord('damaged', { verdict: 'damaged', reason: 'a splat' }),
        aRecord('unsupported', { verdict: 'unsupported', reason: 'no huge pages' }),
        aRecord('lost', { verdict: 'host-lost', reason: 'gone' }),
        aRecord('ours', { verdict: 'harness-error', reason: 'a bug' }),
      ]) {
        addTest(clause, record.title, leaving(record));
      }
    },
    {
      ran: [
        ['fine', 'conforms', undefined],
        ['known', 'diverges', aDifference('known').reason],
        ['anew', 'diverges', 'EEXIST'],
        ['damaged', 'damaged', 'a splat'],
        ['unsupported', 'unsupported', 'no huge pages'],
        ['lost', 'host-lost', 'gone'],
        ['ours', 'harness-error', 'a bug'],
      ],
      exit: 1,
    },
  ],
  'a test that leaves no record': [
    (clause) => {
      addTest(clause, 'silent', async () => undefined);
      addTest(clause, 'loud', async () => expect('a').to.equal('b'));
      addTest(clause, 'hostless', async () => {
        throw new HostTrouble('the host cannot be recovered');
      });
      addTest(clause, 'odd', async () => {
        throw undefined;
      });
    },
    {
      ran: [
        ['silent', 'harness-error', 'the case left no record of what it did'],
        ['loud', 'harness-error', "expected 'a' to equal 'b'"],
        ['hostless', 'host-lost', 'the host cannot be recovered'],
        ['odd', 'harness-error', undefined],
      ],
      exit: 75,
    },
  ],
  'a suite that fails after its case conformed': [
    (clause) => {
      addTest(clause, 'both', async function () {
        attachRecord(this.runnable(), aRecord('both'));
        expect(1).to.equal(2);
      });
    },
    {
      ran: [['both', 'harness-error', 'the case conforms, but its suite failed: expected 1 to equal 2']],
      exit: 75,
    },
  ],
  'a test that takes too long': [
    (clause) => {
      addTest(clause, 'slow', () => new Promise(() => undefined)).timeout(5);
      addTest(clause, 'next', leaving(aRecord('next')));
    },
    {
      ran: [
        ['slow', 'harness-error', undefined],
        ['next', 'conforms', undefined],
      ],
      exit: 75,
    },
  ],
  'skips, with and without a reason': [
    (clause, root) => {
      addTest(clause, 'never written');
      addTest(clause, 'bare', async function () {
        this.skip();
      });
      addTest(clause, 'reasoned', async function () {
        skipWith(this, 'needs two devices');
      });
      const below = Mocha.Suite.create(root, 'type1/dirty');
      below.beforeAll(async function () {
        skipWith(this, 'no dirty tracking');
      });
      addTest(below, 'start', leaving(aRecord('start')));
      addTest(Mocha.Suite.create(below, 'deeper'), 'stop', leaving(aRecord('stop')));
      const each = Mocha.Suite.create(root, 'type1/unmap');
      each.beforeEach(async function () {
        if (this.currentTest?.title === 'second') skipWith(this, 'only the first');
      });
      addTest(each, 'first', leaving(aRecord('first')));
      addTest(each, 'second', leaving(aRecord('second')));
    },
    {
      ran: [['first', 'conforms', undefined]],
      left: [
        ['never written', 'skipped in its suite'],
        ['bare', 'skipped in its suite'],
        ['reasoned', 'needs two devices'],
        ['start', 'no dirty tracking'],
        ['deeper stop', 'no dirty tracking'],
        ['second', 'only the first'],
      ],
      exit: 0,
    },
  ],
  'a before hook that fails': [
    (clause, root) => {
      clause.beforeAll('boot', async () => {
        throw new HostTrouble('QEMU did not start');
      });
      addTest(clause, 'one', leaving(aRecord('one')));
      addTest(Mocha.Suite.create(clause, 'deeper'), 'two', leaving(aRecord('two')));
      addTest(Mocha.Suite.create(root, 'type1/unmap'), 'three', leaving(aRecord('three')));
    },
    {
      ran: [
        ['"before all" hook: boot for "one"', 'host-lost', 'QEMU did not start'],
        ['three', 'conforms', undefined],
      ],
      left: [
        ['one', '"before all" hook: boot for "one" failed'],
        ['deeper two', '"before all" hook: boot for "one" failed'],
      ],
      exit: 75,
    },
  ],
  'a beforeEach hook that fails': [
    (clause) => {
      let times = 0;
      clause.beforeEach(async () => {
        if (++times === 2) throw new Error('second time');
      });
      for (const title of ['one', 'two', 'three']) addTest(clause, title, leaving(aRecord(title)));
    },
    {
      ran: [
        ['one', 'conforms', undefined],
        ['"before each" hook for "two"', 'harness-error', 'second time'],
      ],
      left: [
        ['two', '"before each" hook for "two" failed'],
        ['three', '"before each" hook for "two" failed'],
      ],
      exit: 75,
    },
  ],
  'after hooks that fail': [
    (clause) => {
      clause.afterEach(async () => {
        throw new Error('each');
      });
      clause.afterAll(async () => {
        throw new Error('all');
      });
      addTest(clause, 'one', leaving(aRecord('one')));
      addTest(clause, 'two', leaving(aRecord('two')));
    },
    {
      ran: [
        ['one', 'conforms', undefined],
        ['"after each" hook for "one"', 'harness-error', 'each'],
        ['"after all" hook for "two"', 'harness-error', 'all'],
      ],
      left: [['two', '"after each" hook for "one" failed']],
      exit: 75,
    },
  ],
  'a test that ends twice': [
    (clause) => {
      const twice = new Mocha.Test('twice', (done) => {
        attachRecord(twice, aRecord('twice'));
        done();
        done();
      });
      clause.addTest(twice);
      addTest(clause, 'next', leaving(aRecord('next')));
    },
    {
      ran: [
        ['twice', 'conforms', undefined],
        ['twice (2)', 'harness-error', undefined],
        ['next', 'conforms', undefined],
      ],
      exit: 75,
    },
  ],
  'a test that is tried again': [
    (clause) => {
      let times = 0;
      addTest(clause, 'flaky', async function () {
        if (++times < 3) throw new Error('not yet');
        attachRecord(this.runnable(), aRecord('flaky'));
      }).retries(5);
    },
    { ran: [['flaky', 'conforms', undefined]], exit: 0 },
  ],
  'two tests of one title': [
    (clause) => {
      addTest(clause, 'same', leaving(aRecord('same')));
      addTest(clause, 'same', leaving(aDifference('same', { reason: 'EEXIST' })));
      addTest(clause, 'sa\nme', leaving(aRecord('sa me')));
    },
    {
      ran: [
        ['same', 'conforms', undefined],
        ['same (2)', 'diverges', 'EEXIST'],
        ['sa me', 'conforms', undefined],
      ],
      exit: 1,
    },
  ],
  'nothing at all': [() => undefined, { ran: [], exit: 4 }],
};

describe('the reporter', () => {
  for (const [name, [build, expected]] of Object.entries(SUITES)) {
    it(`tells of ${name}`, () =>
      inFolder(async (folder) => {
        const { record, exitCode } = await runSuites(folder, build);
        // `undefined` as a reason stands for words that are Mocha's.
        const wanted = expected.ran.map(([title, verdict, reason], index) => [
          title,
          verdict,
          reason ?? record.cases[index]?.reason,
        ]);
        expect(ran(record)).to.deep.equal(wanted);
        expect(left(record)).to.deep.equal(expected.left ?? []);
        expect(exitCode).to.equal(expected.exit);
        const { cases, totals } = readJunit(folder);
        expect(totals.tests).to.equal(String(expected.ran.length + (expected.left?.length ?? 0)));
        expect(cases.map((one) => one.name)).to.deep.equal([...record.cases, ...record.notRun].map(({ id }) => id));
      }));
  }

  it('gives the reason, the difference and the place of an error that left no record', () =>
    inFolder(async (folder) => {
      const { record } = await runSuites(folder, (clause) => {
        addTest(clause, 'loud', async () => expect('one\ntwo').to.equal('one\nthree'));
      });
      expect(record.cases[0]?.observed)
        .to.match(/[+-]three/)
        .and.to.match(/[+-]two/)
        .and.to.include('reporter.test.ts');
    }));

  it('honours --grep and its inversion in what it plans', () =>
    inFolder(async (folder) => {
      const { record } = await runSuites(
        folder,
        (clause, root) => {
          addTest(clause, 'wanted', leaving(aRecord('wanted')));
          addTest(clause, 'unwanted', leaving(aRecord('unwanted')));
          expect(root.total()).to.equal(2);
        },
        {},
        {},
        (mocha) => void mocha.grep('/ wanted/'),
      );
      expect(ran(record)).to.deep.equal([['wanted', 'conforms', undefined]]);
      expect(left(record)).to.deep.equal([]);
    }));

  it('names what stands outside every clause', () =>
    inFolder(async (folder) => {
      const { record } = await runSuites(folder, (_, root) => {
        root.beforeAll('boot', async () => {
          throw new HostTrouble('no host');
        });
        addTest(Mocha.Suite.create(root, 'Some words'), 'stray', leaving(aRecord('stray')));
      });
      expect(record.cases.map(({ id, area }) => [id, area])).to.deep.equal([
        ['harness/no-clause: "before all" hook: boot in "{root}"', 'harness'],
      ]);
      expect(record.notRun.map(({ id }) => id)).to.deep.equal(['harness/no-clause: Some words stray']);
    }));
});

describe('run.tap', () => {
  it('has its plan first and every result on disk before the next case starts', () =>
    inFolder(async (folder) => {
      const seen: string[] = [];
      const look = (): void => void seen.push(readFileSync(join(folder, 'run.tap'), 'utf8'));
      await runSuites(folder, (clause) => {
        addTest(clause, 'one', async function () {
          look();
          attachRecord(this.runnable(), aRecord('one'));
        });
        addTest(clause, 'two', async function () {
          look();
          attachRecord(this.runnable(), aRecord('two'));
        });
      });
      expect(seen[0]).to.match(/^TAP version 14\n1\.\.2\n# vfio-conform [^\n]*\n$/);
      expect(seen[1]).to.include('ok 1 - type1/map-overlap: one\n').and.to.not.include('two');
      const journal = readFileSync(join(folder, 'results.jsonl'), 'utf8').trimEnd().split('\n');
      expect(journal.map((line) => Object.keys(JSON.parse(line)).join())).to.deep.equal([
        'run',
        'asked',
        'planned',
        'began',
        'case',
        'began',
        'case',
        'end',
      ]);
    }));

  it('is, while it grows, the beginning of what it is in the end', () =>
    inFolder(async (folder) => {
      let live = '';
      const { record } = await runSuites(folder, (clause, root) => {
        addTest(clause, 'one', leaving(aRecord('one')));
        addTest(clause, 'skipped', leaving(aRecord('skipped', { verdict: 'unsupported', reason: 'not # here' })));
        addTest(clause, 'two', leaving(aDifference('two')));
        addTest(clause, 'never written');
        root.afterAll(() => {
          live = readFileSync(join(folder, 'run.tap'), 'utf8');
        });
      });
      const whole = readFileSync(join(folder, 'run.tap'), 'utf8');
      expect(whole).to.equal(tapOf(record));
      expect(live)
        .to.include('not ok 3')
        .and.to.satisfy((text: string) => whole.startsWith(text));
    }));

  it('is not touched by what tests print, and nothing of ours is printed', () =>
    inFolder(async (folder) => {
      const printed: string[] = [];
      const { write } = process.stdout;
      process.stdout.write = (text: string | Uint8Array) => printed.push(String(text)) > 0;
      try {
        await runSuites(folder, (clause) => {
          addTest(clause, 'noisy', async function () {
            process.stdout.write('ok 1 map\nBail out!\n1..2\n');
            attachRecord(this.runnable(), aRecord('noisy'));
          });
          addTest(clause, 'wrong', leaving(aDifference('wrong')));
        });
      } finally {
        process.stdout.write = write;
      }
      expect(printed).to.deep.equal(['ok 1 map\nBail out!\n1..2\n']);
      expect(readJunit(folder).cases.map(({ outcome }) => outcome)).to.deep.equal(['passed', 'failure']);
    }));
});
