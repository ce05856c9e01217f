import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { type JournalLine, parseJournal, runOfJournal } from './journal.ts';
import type { CaseName } from './record.ts';
import { aRecord, aRun } from './testing.ts';

const { cases: _, notRun: __, durationMs: ___, disappeared: ____, ...run } = aRun([]);
const names = ['one', 'two', 'three'].map((title): CaseName => {
  const { id, clause, area } = aRecord(title);
  return { id, clause, area, title };
});
const [one, two, three] = names.map(({ title }) => aRecord(title));
const begun: readonly JournalLine[] = [{ run }, { planned: names }];
const text = (lines: readonly unknown[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');

describe('journal', () => {
  it('tells a whole run', () => {
    if (one === undefined || two === undefined || three === undefined)
      throw new Error('three names make three records');
    const lines: readonly JournalLine[] = [
      ...begun,
      { began: one.id },
      { case: one },
      { began: two.id },
      { case: two },
      { notRun: { id: three.id, reason: 'a hook failed' } },
      { end: { durationMs: 7, disappeared: ['quirk'] } },
    ];
    expect(runOfJournal(parseJournal(text(lines), 'x'))).to.deep.equal({
      ...run,
      durationMs: 7,
      disappeared: ['quirk'],
      cases: [one, two],
      notRun: [{ ...names[2], reason: 'a hook failed' }],
    });
  });

  it('gives the interruption as the reason of what did not run', () => {
    const told = runOfJournal([
      ...begun,
      { end: { durationMs: 7, disappeared: [], interrupted: { why: 'signal', reason: 'Ctrl-C' } } },
    ]);
    expect(told.notRun.map(({ reason }) => reason)).to.deep.equal(['Ctrl-C', 'Ctrl-C', 'Ctrl-C']);
  });

  it('takes the host for lost when the harness was killed while a case ran, and says that the run was cut off', () => {
    const told = runOfJournal([...begun, { began: 'type1/map-overlap: one' }]);
    expect(told.interrupted?.why).to.equal('cut-off');
    expect(told.cases.map(({ id, verdict }) => [id, verdict])).to.deep.equal([['type1/map-overlap: one', 'host-lost']]);
    expect(told.notRun.map(({ title }) => title)).to.deep.equal(['two', 'three']);
  });

  it('leaves out a last line that was cut', () => {
    const cut = `${text([...begun])}{"case":{"id":"typ`;
    expect(parseJournal(cut, 'x')).to.deep.equal(begun);
  });

  for (const [name, line] of Object.entries({
    'no JSON': 'garbage',
    'another object': '{"surprise":1}',
    'a record without a verdict': JSON.stringify({ case: { ...one, verdict: 'perhaps' } }),
    'two things in one line': JSON.stringify({ began: 'x', end: {} }),
  })) {
    it(`refuses ${name}, naming the line`, () => {
      expect(() => parseJournal(`${text([...begun])}${line}\n`, 'results.jsonl')).to.throw(
        UsageTrouble,
        'results.jsonl:3:',
      );
    });
  }

  it('refuses a journal without its first line', () => {
    expect(() => runOfJournal([])).to.throw(UsageTrouble, 'first line');
  });
});
