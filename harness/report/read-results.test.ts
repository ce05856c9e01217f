import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { readResults } from './read-results.ts';
import { writeReports } from './results.ts';
import { aDifference, aRecord, aRun, inFolder } from './testing.ts';

/** What a report's folder may hold that is no whole report, and what is said of it. */
const REFUSED: Readonly<Record<string, readonly [files: Readonly<Record<string, string>>, message: RegExp]>> = {
  nothing: [{}, /is not a report's folder: expected results\.json in it, found none/],
  'only the journal of a run': [{ 'results.jsonl': '{}\n' }, /is half-written: expected results\.json, found only/],
  'half of the results': [{ 'results.json': '{"schema": "vfio-conform/res' }, /cannot be read as JSON.*half-written/],
  'results without their cases': [{ 'results.json': '{"schema": "vfio-conform/results/1"}' }, /is not a whole report/],
  'results of another version': [
    { 'results.json': JSON.stringify({ ...aRun([]), schema: 'vfio-conform/results/2' }) },
    /expected vfio-conform\/results\/1; schema: /,
  ],
  'something else': [{ 'results.json': '[1, 2]' }, /is not a whole report/],
};

describe('read-results', () => {
  it('reads what was written, from its folder or its file', () =>
    inFolder(async (folder) => {
      const run = aRun([aRecord('one'), aDifference('two')], { interrupted: { why: 'signal', reason: 'Ctrl-C' } });
      await writeReports(folder, run);
      expect(readResults(folder)).to.deep.equal(run);
      expect(readResults(join(folder, 'results.json'))).to.deep.equal(run);
    }));

  it('makes harmless what somebody put there', () =>
    inFolder(async (folder) => {
      const run = aRun([aRecord('\u001b[31mone\u202e')], { kernel: 'six\u0007' });
      writeFileSync(join(folder, 'results.json'), JSON.stringify(run));
      expect(readResults(folder).kernel).to.equal('six\\x07');
      expect(readResults(folder).cases[0]?.title).to.equal('one\\u202e');
    }));

  for (const [title, [files, message]] of Object.entries(REFUSED)) {
    it(`refuses a folder with ${title} in one line, and leaves it as it was`, () =>
      inFolder(async (folder) => {
        for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
        expect(() => readResults(folder))
          .to.throw(UsageTrouble, message)
          .with.property('message')
          .that.does.not.include('\n');
        expect(readdirSync(folder)).to.deep.equal(Object.keys(files));
      }));
  }

  it('refuses what is not there, or is no file', () =>
    inFolder(async (folder) => {
      expect(() => readResults(join(folder, 'nothing'))).to.throw(UsageTrouble, "expected a report's folder");
      mkdirSync(join(folder, 'results.json'));
      expect(() => readResults(folder)).to.throw(UsageTrouble);
    }));
});
