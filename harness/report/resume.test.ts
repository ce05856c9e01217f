import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { attachRecord } from './attach.ts';
import type { ReportOptions } from './index.ts';
import type { JournalLine } from './journal.ts';
import type { CaseRecord } from './record.ts';
import { readUnfinished } from './resume.ts';
import { aDifference, addTest, aRecord, aRun, inFolder, runSuites } from './testing.ts';

const { cases: _, notRun: __, durationMs: ___, disappeared: ____, ...run } = aRun([]);
const TITLES = ['one', 'two', 'three'];
const planned = TITLES.map((title) => {
  const { id, clause, area } = aRecord(title);
  return { id, clause, area, title };
});
const idOf = (title: string): string => aRecord(title).id;
const begun: readonly JournalLine[] = [{ run }, { asked: ['--host=none'] }, { planned }];
const sent = (boot: string, ...titles: readonly string[]): JournalLine => ({
  sent: { ids: titles.map(idOf), host: 'local', boot },
});
const panicked = (title: string): JournalLine => ({ panicked: { id: idOf(title), host: 'local', console: ['bang'] } });

/** A folder in which a run was cut off behind these lines. */
const leave = (folder: string, lines: readonly JournalLine[], cut = ''): void =>
  writeFileSync(join(folder, 'results.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join('') + cut);

/** Goes on with three cases; returns what ran anew, and how the report ended. */
const goOn = async (folder: string, record: (title: string) => CaseRecord = aRecord, options: ReportOptions = {}) => {
  const unfinished = readUnfinished(folder);
  const ran: string[] = [];
  const end = await runSuites(
    folder,
    (clause) => {
      for (const title of TITLES) {
        addTest(clause, title, async function () {
          const settled = unfinished.settled.get(idOf(title));
          if (settled === undefined) ran.push(title);
          attachRecord(this.runnable(), settled ?? record(title));
        });
      }
    },
    { ...options, unfinished },
  );
  return { ran, end };
};

const kindsOf = (folder: string): readonly string[] =>
  readFileSync(join(folder, 'results.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => Object.keys(JSON.parse(line)).join());

describe('a run that goes on', () => {
  it('runs what has no result, once, and tells what an undisturbed run tells', () =>
    inFolder(async (folder) => {
      leave(folder, [...begun, sent('b1', ...TITLES), { began: idOf('one') }, { case: aDifference('one') }], '{"be');
      const { ran, end } = await goOn(folder);
      expect(ran).to.deep.equal(['two', 'three']);
      expect(end.record.cases.map(({ title, verdict }) => [title, verdict])).to.deep.equal([
        ['one', 'diverges'],
        ['two', 'conforms'],
        ['three', 'conforms'],
      ]);
      expect(end.record).to.not.have.property('interrupted');
      expect(end.record.notRun).to.deep.equal([]);
      expect(kindsOf(folder).filter((kind) => kind === 'case')).to.have.length(3);
      expect(readFileSync(join(folder, 'run.tap'), 'utf8').match(/^(not )?ok/gm)).to.have.length(3);
      expect(readUnfinished(folder).isWhole).to.equal(true);
    }));

  it('keeps the order of the plan, also where a host was lost, and runs those cases again', () =>
    inFolder(async (folder) => {
      const lost = aRecord('one', { verdict: 'host-lost', reason: 'gone' });
      leave(folder, [...begun, { case: lost }, { case: aRecord('two') }, { end: { durationMs: 5, disappeared: [] } }]);
      const { ran, end } = await goOn(folder);
      expect(ran).to.deep.equal(['one', 'three']);
      expect(end.record.cases.map(({ title, verdict }) => [title, verdict])).to.deep.equal(
        TITLES.map((title) => [title, 'conforms']),
      );
      expect(end.exitCode).to.equal(0);
    }));

  it('knows what a host was at when both went down', () =>
    inFolder(async (folder) => {
      const lost = aRecord('two', { verdict: 'host-lost' });
      leave(folder, [...begun, sent('b1', 'one'), { case: aRecord('one') }, sent('b1', 'two'), { case: lost }]);
      expect([...readUnfinished(folder).inFlight]).to.deep.equal([[idOf('two'), { host: 'local', boot: 'b1' }]]);
    }));

  it('knows what a kernel panicked under before it had a result', () =>
    inFolder(async (folder) => {
      const lines = [sent('b1', ...TITLES), panicked('one'), { case: aRecord('one') }, panicked('two')];
      leave(folder, [...begun, ...lines]);
      expect([...readUnfinished(folder).panicked]).to.deep.equal([[idOf('two'), ['bang']]]);
    }));

  it('does not go on with other suites', () =>
    inFolder(async (folder) => {
      leave(folder, [{ run }, { asked: [] }, { planned: planned.slice(0, 2) }]);
      const { ran, end } = await goOn(folder);
      expect(ran).to.deep.equal([]);
      expect(end.record.interrupted?.reason).to.match(/^the suites are not those/);
    }));

  const refusals: readonly [what: string, lines: readonly JournalLine[], message: RegExp][] = [
    ['nothing', [], /is empty: nothing had begun/],
    ['a run that does not say what was asked for', [{ run }, { planned }], /does not say what was asked for/],
  ];
  for (const [what, lines, message] of refusals) {
    it(`is refused a folder that holds ${what}`, () =>
      inFolder(async (folder) => {
        leave(folder, lines);
        expect(() => readUnfinished(folder)).to.throw(UsageTrouble, message);
      }));
  }

  it('is refused a folder without a run, and one that another process writes', () =>
    inFolder(async (folder) => {
      expect(() => readUnfinished(folder)).to.throw(UsageTrouble, /holds no run that could go on/);
      leave(folder, begun);
      await runSuites(join(folder, 'other'), () => {
        // This process is alive, and so is what it writes.
        writeFileSync(join(folder, '.running'), readFileSync(join(folder, 'other', '.running')));
      });
      expect(() => readUnfinished(folder)).to.throw(UsageTrouble, /goes on \(process \d+\)/);
      appendFileSync(join(folder, '.running'), ' another boot');
      expect(readUnfinished(folder).isWhole).to.equal(false);
    }));
});
