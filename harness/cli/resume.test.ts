import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { readUnfinished } from '../report/resume.ts';
import { EXIT } from '../trouble.ts';
import { killWhen } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const vfioConform = (...args: readonly string[]) => execa('node', [BIN, ...args], { reject: false, stdin: 'ignore' });

/** What a report says, but for when and how long. */
const told = async (folder: string): Promise<unknown> => {
  const { startedAt: _, durationMs: __, ...rest } = JSON.parse(await readFile(join(folder, 'results.json'), 'utf8'));
  return rest;
};

describe('run --resume', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-resume-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('tells what an undisturbed run tells, however often the harness was killed', async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    const asked = ['--host', 'none', '--suite', 'map', '--suite', 'unmap'];
    expect((await vfioConform('run', ...asked, '--report', whole)).exitCode).to.equal(EXIT.conforms);
    const results = (await readFile(join(whole, 'results.jsonl'), 'utf8')).match(/^\{"case"/gm)?.length ?? 0;

    await killWhen([BIN, 'run', ...asked, '--report', killed], killed, 1);
    for (const part of [0.3, 0.7]) {
      const before = readUnfinished(killed).settled.size;
      await killWhen([BIN, 'run', '--resume', killed], killed, Math.ceil(part * results));
      expect(readUnfinished(killed).settled.size).to.be.greaterThan(before);
    }
    const { exitCode, stderr } = await vfioConform('run', '--resume', killed);
    expect(exitCode, stderr).to.equal(EXIT.conforms);
    expect(await told(killed)).to.deep.equal(await told(whole));
    const ids = (await readFile(join(killed, 'results.jsonl'), 'utf8')).match(/^\{"case":\{"id":"[^"]*"/gm) ?? [];
    expect(new Set(ids).size).to.equal(ids.length).and.to.equal(results);
    // It is over, and says so again.
    expect((await vfioConform('run', '--resume', killed)).exitCode).to.equal(EXIT.conforms);
  }).timeout(240_000);

  const refusals: readonly [what: string, args: readonly string[], message: RegExp][] = [
    ['a folder that is none', ['--resume', '/nowhere'], /\/nowhere holds no run that could go on/],
    ['options beside it', ['--resume', '.', '--suite', 'map'], /--suite does not go with --resume/],
  ];
  for (const [what, args, message] of refusals) {
    it(`refuses ${what}`, async () => {
      const { exitCode, stderr } = await vfioConform('run', ...args);
      expect(exitCode).to.equal(EXIT.usage);
      expect(stderr).to.match(message);
    });
  }
});
