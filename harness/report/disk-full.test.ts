import { expect } from 'chai';
import { execa } from 'execa';
import { inFolder } from './testing.ts';

const here = (name: string): string => new URL(name, import.meta.url).href;

/** Runs 200 cases of about 3 kB each into the folder it is given, and prints what came of it. */
const SCRIPT = `
import { readFileSync, readdirSync } from 'node:fs';
import { attachRecord } from ${JSON.stringify(here('attach.ts'))};
import { parseJournal, runOfJournal } from ${JSON.stringify(here('journal.ts'))};
import { aDifference, aRecord, addTest, runSuites } from ${JSON.stringify(here('testing.ts'))};
const folder = process.argv[1];
let started = 0;
const end = await runSuites(folder, (clause) => {
  for (let index = 0; index < 200; index++) {
    addTest(clause, 'case ' + index, async function () {
      started++;
      attachRecord(this.runnable(), aRecord('x', { observed: 'o'.repeat(3000) }));
    });
  }
});
const kept = runOfJournal(parseJournal(readFileSync(folder + '/results.jsonl', 'utf8'), 'results.jsonl'));
const broken = readdirSync(folder, { recursive: true }).map(String).filter((name) => /(^|\\/)\\./.test(name));
console.log(JSON.stringify({
  exitCode: end.exitCode,
  message: end.trouble?.message,
  summary: end.summary,
  interrupted: end.record.interrupted?.why,
  started,
  kept: kept.cases.map(({ title, verdict }) => [title, verdict]),
  plan: kept.cases.length + kept.notRun.length,
  tap: readFileSync(folder + '/run.tap', 'utf8').slice(-300),
  broken,
}));
`;

/** `unshare` gives a mount namespace of its own, so that the tiny disk is gone with the process. */
const withTinyDisk = (folder: string, command: readonly string[]) =>
  execa(
    'unshare',
    ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"', 'sh', folder, ...command],
    { reject: false },
  );

describe('a disk that runs full', () => {
  before(async function () {
    const tried = await inFolder((folder) => withTinyDisk(folder, ['true']));
    if (tried.failed) {
      console.log('      no tiny disk can be mounted here (that takes root): a full disk is not tried');
      this.skip();
    }
  });

  it('ends the run with one line, and what was written before stays valid', () =>
    inFolder(async (folder) => {
      const node = [process.execPath, '--import', 'tsx', '--input-type=module', '--eval', SCRIPT, folder];
      const { stdout, stderr, exitCode } = await withTinyDisk(folder, node);
      expect(exitCode, stderr).to.equal(0);
      const told = JSON.parse(stdout);
      expect(told.exitCode).to.equal(75);
      expect(told.message).to.match(/^cannot write .*: no space left on the disk \(ENOSPC\); .*$/);
      expect(told.summary).to.include('ENOSPC').and.to.include('Exit code 75');
      expect(told.interrupted).to.equal('trouble');
      expect(told.started).to.be.within(2, 60);
      // Nothing is lost but the case that found the disk full, and nothing half written is taken for a result.
      expect(told.kept.length).to.be.within(told.started - 1, told.started);
      expect(told.kept[0]).to.deep.equal(['case 0', 'conforms']);
      expect(told.plan).to.equal(200);
      expect(told.tap).to.match(/\n {2}\.\.\.\n$/);
      expect(told.broken).to.deep.equal([]);
    }));
});
