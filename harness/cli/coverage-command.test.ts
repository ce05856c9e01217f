import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { aRecord, aRun } from '../report/testing.ts';
import { EXIT } from '../trouble.ts';
import { expectRefusal } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

describe('cli coverage', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-coverage-'));
    const save = async (name: string, run: unknown, code?: string): Promise<void> => {
      await mkdir(join(folder, name), { recursive: true });
      await writeFile(join(folder, name, 'results.json'), JSON.stringify(run));
      if (code !== undefined) await writeFile(join(folder, name, 'code.json'), code);
    };
    const cases = [aRecord('one', { clause: 'map/overlap' })];
    await save('two/6.1', aRun(cases, { kernel: '6.1.0' }));
    await save('two/7.2', aRun(cases, { kernel: '7.2.0', revision: 'linux-7.2' }));
    await writeFile(join(folder, 'two', 'matrix.txt'), '');
    await save('foreign', aRun(cases, { revision: 'linux-2.4' }));
    await save('spoilt', aRun(cases), '{"schema":"vfio-conform/code/1"}');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** The command, among the files above. */
  const coverage = (...args: readonly string[]) =>
    execa('node', [BIN, 'coverage', ...args], { reject: false, stdin: 'ignore', cwd: folder });

  const REFUSED: Readonly<Record<string, readonly [args: readonly string[], message: RegExp]>> = {
    'no report': [[], /coverage takes reports of run/],
    'a report that is not there': [['nothing'], /there is no report nothing/],
    'a folder that is none': [['.'], /is not a report's folder/],
    'a run of an unknown revision': [['foreign'], /there is no revision linux-2\.4/],
    'counts that run did not write': [['spoilt'], /code\.json is not what run wrote: expected vfio-conform\/code\/1/],
    'an unknown part': [['two', '--part', 'lines'], /--part takes one of clauses, ioctls, faults, code, not "lines"/],
    'an unknown format': [['two', '--format', 'html'], /--format takes one of text, md, json, not "html"/],
  };
  for (const [title, [args, message]] of Object.entries(REFUSED)) {
    it(`refuses ${title} in one line`, async () => {
      expectRefusal(await coverage(...args), message);
    });
  }

  it('takes the folder of several kernels for a column each', async () => {
    const { exitCode, stdout } = await coverage('two', '--part', 'clauses');
    expect(exitCode).to.equal(EXIT.conforms);
    expect(stdout)
      .to.match(/^A +6\.1\.0 +linux-6\.1 +1$/m)
      .and.match(/^B +7\.2\.0 +linux-7\.2 +1$/m);
    expect(stdout).to.match(/^map\/overlap +ok 1 +ok 1$/m);
  });

  it('writes data to a file', async () => {
    const { exitCode, stdout } = await coverage('two/6.1', '--format', 'json', '--out', 'found.json');
    expect([exitCode, stdout]).to.deep.equal([EXIT.conforms, '']);
    const found: unknown = JSON.parse(await readFile(join(folder, 'found.json'), 'utf8'));
    expect(found).to.deep.include({ schema: 'vfio-conform/coverage/1', code: [null], faults: [] });
  });
});
