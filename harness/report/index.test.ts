import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import Mocha from 'mocha';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { attachRecord } from './attach.ts';
import { openReport } from './index.ts';
import { RunRecord } from './record.ts';
import { rebuild } from './results.ts';
import {
  aDifference,
  addTest,
  aRecord,
  type BuildSuites,
  inFolder,
  META,
  NOON,
  readJunit,
  runSuites,
} from './testing.ts';

const three: BuildSuites = (clause) => {
  for (const record of [
    aRecord('one'),
    aDifference('two', { kernelLog: ['a line'] }),
    aRecord('three', { verdict: 'unsupported', reason: 'no' }),
  ]) {
    addTest(clause, record.title, async function () {
      attachRecord(this.runnable(), record);
    });
  }
};

const FILES = ['cases', 'junit.xml', 'report.md', 'report.txt', 'results.json', 'results.jsonl', 'run.tap'];

/** All files of a report with what is in them, by path. */
const contents = (folder: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path.slice(folder.length), readFileSync(path, 'utf8')]),
  );

describe('a report', () => {
  it('holds everything when it is finished', () =>
    inFolder(async (folder) => {
      const { record, exitCode, summary, trouble } = await runSuites(folder, three, { now: () => NOON });
      expect(readdirSync(folder).sort()).to.deep.equal(FILES);
      expect(RunRecord.parse(JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')))).to.deep.equal(record);
      expect(record.startedAt).to.equal('2026-01-02T12:30:00.000Z');
      expect([exitCode, trouble]).to.deep.equal([1, undefined]);
      expect(readFileSync(join(folder, 'report.txt'), 'utf8').startsWith(summary.split('\n\n')[0] ?? '?')).to.equal(
        true,
      );
      expect(existsSync(join(folder, 'cases/type1/map-overlap/two/program.txt'))).to.equal(true);
    }));

  it('says how long the run took', () =>
    inFolder(async (folder) => {
      let now = NOON;
      const { record } = await runSuites(folder, three, { now: () => (now += 1000) });
      expect(record.durationMs)
        .to.be.above(0)
        .and.to.equal(now - NOON - 1000);
    }));

  it('can be made again from results.jsonl alone, to the byte', () =>
    inFolder(async (folder) => {
      await runSuites(folder, three, {}, { disappeared: ['quirk'] });
      const before = contents(folder);
      for (const name of FILES.filter((name) => name !== 'results.jsonl'))
        rmSync(join(folder, name), { recursive: true });
      await rebuild(folder);
      expect(Object.fromEntries(contents(folder))).to.deep.equal(Object.fromEntries(before));
    }));

  it('can be made from what a killed run left, and says that it was cut off', () =>
    inFolder(async (folder) => {
      await runSuites(folder, three);
      const journal = join(folder, 'results.jsonl');
      const lines = readFileSync(journal, 'utf8').split('\n');
      writeFileSync(journal, `${lines.slice(0, 6).join('\n')}\n${lines[6]?.slice(0, 40)}`);
      const run = await rebuild(folder);
      expect(run.cases.map(({ title, verdict }) => [title, verdict])).to.deep.equal([
        ['one', 'conforms'],
        ['two', 'host-lost'],
      ]);
      expect(readJunit(folder).cases.map(({ name, outcome }) => [name, outcome])).to.deep.equal([
        ['type1/map-overlap: one', 'passed'],
        ['type1/map-overlap: two', 'error'],
        ['type1/map-overlap: three', 'skipped'],
        ['harness/run: reached its end', 'error'],
      ]);
    }));

  it('cannot be made from nothing', () =>
    inFolder(async (folder) => {
      const error = await rebuild(folder).catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(UsageTrouble);
    }));

  it('cleans what comes from a host before it is kept anywhere', () =>
    inFolder(async (folder) => {
      const evil = '\u001b[2J\u0007\u202e\0';
      await runSuites(folder, (clause) => {
        addTest(clause, `title ${evil}`, async function () {
          attachRecord(
            this.runnable(),
            aDifference('x', { reason: evil, observed: evil, program: evil, kernelLog: [evil] }),
          );
        });
      });
      const files = contents(folder);
      expect(files.size).to.equal(11);
      for (const [path, text] of files) expect(text, path).not.to.match(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}]/u);
    }));

  describe('that ends early', () => {
    const interrupted: BuildSuites = (clause, _, report) => {
      addTest(clause, 'one', async function () {
        attachRecord(this.runnable(), aRecord('one'));
      });
      addTest(clause, 'two', async function () {
        report.interrupt({ why: 'signal', reason: 'interrupted by Ctrl-C' });
        report.interrupt({ why: 'trouble', reason: 'the host was closed' });
        attachRecord(this.runnable(), aRecord('two', { verdict: 'host-lost', reason: 'the host was closed' }));
      });
      addTest(clause, 'three', async function () {
        attachRecord(this.runnable(), aRecord('three'));
      });
      clause.afterAll(async () => {
        throw new HostTrouble('the host was closed');
      });
    };

    it('is marked in every form, and blames no host for the interruption', () =>
      inFolder(async (folder) => {
        const { record, exitCode, summary } = await runSuites(folder, interrupted);
        expect(exitCode).to.equal(130);
        expect(record.interrupted).to.deep.equal({ why: 'signal', reason: 'interrupted by Ctrl-C' });
        expect(record.cases.map(({ title }) => title)).to.deep.equal(['one']);
        expect(record.notRun.map(({ title, reason }) => [title, reason])).to.deep.equal([
          ['two', 'interrupted by Ctrl-C'],
          ['three', 'interrupted by Ctrl-C'],
        ]);
        expect(summary).to.include('INTERRUPTED').and.to.include('interrupted by Ctrl-C');
        expect(readFileSync(join(folder, 'run.tap'), 'utf8')).to.match(/\nBail out! interrupted by Ctrl-C\n$/);
        expect(readFileSync(join(folder, 'report.md'), 'utf8')).to.include('**Interrupted');
        const { cases, suites } = readJunit(folder);
        expect(cases.map(({ outcome }) => outcome)).to.deep.equal(['passed', 'skipped', 'skipped', 'error']);
        expect(cases[3]?.message).to.match(/^interrupted: interrupted by Ctrl-C \(1 of 3 cases ran in /);
        expect(suites[0]?.properties.get('vfio-conform.interrupted')).to.equal('interrupted by Ctrl-C');
      }));

    it('keeps what was found before: a difference stays a difference', () =>
      inFolder(async (folder) => {
        const { exitCode } = await runSuites(folder, (clause, _, report) => {
          addTest(clause, 'two', async function () {
            report.interrupt({ why: 'time-limit', reason: '--timeout 10m passed' });
            attachRecord(this.runnable(), aDifference('two'));
          });
        });
        expect(exitCode).to.equal(1);
      }));

    it('can be finished while Mocha still waits for a case', () =>
      inFolder(async (folder) => {
        const report = openReport(folder, META);
        const mocha = new Mocha({ reporter: report.reporter });
        const clause = Mocha.Suite.create(mocha.suite, 'type1/map-overlap');
        const release = await new Promise<() => void>((started) => {
          addTest(clause, 'hangs', () => new Promise<void>((end) => started(end)));
          mocha.run();
        });
        const { record, exitCode } = await report.finish({ interrupted: { why: 'time-limit', reason: 'too long' } });
        const written = contents(folder);
        release();
        await new Promise((later) => setImmediate(later));
        expect(record.notRun.map(({ title, reason }) => [title, reason])).to.deep.equal([['hangs', 'too long']]);
        expect(exitCode).to.equal(124);
        expect(contents(folder)).to.deep.equal(written);
      }));
  });

  describe('on disk', () => {
    it('is what `latest` points to, from the beginning of the run', () =>
      inFolder(async (folder) => {
        const latest = (): string => readlinkSync(join(folder, 'latest'));
        openReport(join(folder, 'first'), META, { latest: true });
        expect(latest()).to.equal('first');
        openReport(join(folder, 'second'), META, { latest: true });
        expect(latest()).to.equal('second');
        expect(readdirSync(folder).sort()).to.deep.equal(['first', 'latest', 'second']);
      }));

    it('does not take the place of something else that is called latest', () =>
      inFolder(async (folder) => {
        mkdirSync(join(folder, 'latest'));
        expect(() => openReport(join(folder, 'run'), META, { latest: true })).to.throw(
          HostTrouble,
          'latest is not a link',
        );
      }));

    it('is never mixed with an earlier one', () =>
      inFolder(async (folder) => {
        await runSuites(folder, three);
        expect(() => openReport(folder, META)).to.throw(UsageTrouble, 'holds the report of an earlier run');
      }));

    it('is refused in one line when its folder cannot be made', () =>
      inFolder(async (folder) => {
        writeFileSync(join(folder, 'file'), '');
        expect(() => openReport(join(folder, 'file', 'run'), META))
          .to.throw(HostTrouble, 'cannot write')
          .with.property('message')
          .that.does.not.include('\n');
      }));

    it('says what could not be written, and still tells the results', () =>
      inFolder(async (folder) => {
        mkdirSync(join(folder, 'report.txt'));
        mkdirSync(join(folder, 'report.txt', 'in the way'));
        const { exitCode, trouble, summary, record } = await runSuites(folder, three);
        expect(exitCode).to.equal(75);
        expect(trouble?.message).to.include('report.txt').and.to.not.include('\n');
        expect(summary).to.include('The report is not whole').and.to.include('EEXIST').and.to.include('Exit code 75');
        expect(record.cases).to.have.length(3);
        expect(JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'))).to.have.property('cases');
      }));
  });
});
