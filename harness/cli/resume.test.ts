import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { readUnfinished } from '../report/resume.ts';
import { EXIT } from '../trouble.ts';
import { killWhen } from './testing.ts';
import { randomFrom } from './testing-chaos.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const vfioConform = (...args: readonly string[]) => execa('node', [BIN, ...args], { reject: false, stdin: 'ignore' });

/** What a report says, but for when and how long. */
const told = async (folder: string): Promise<unknown> => {
  const { startedAt: _, durationMs: __, ...rest } = JSON.parse(await readFile(join(folder, 'results.json'), 'utf8'));
  return rest;
};

/** Where the lines end that say what the run is, what it was asked for and what it plans: without them nothing can go on. */
const headOf = (journal: Buffer): number => {
  const parts = journal.toString('latin1').split('\n');
  const last = parts.findIndex((line) => line.startsWith('{"sent"') || line.startsWith('{"began"'));
  return parts.slice(0, last).join('\n').length + 1;
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

  /** A run that others are held against. */
  const undisturbed = async (): Promise<void> => {
    const asked = ['--host', 'none', '--suite', 'unmap', '--report', join(folder, 'before')];
    if (!existsSync(join(folder, 'before')))
      expect((await vfioConform('run', ...asked)).exitCode).to.equal(EXIT.conforms);
  };

  /** `VFIO_CONFORM_CHAOS=50 VFIO_CONFORM_SEED=1` tears it at 50 places. */
  const TEARS = Number(process.env['VFIO_CONFORM_CHAOS'] ?? 2);
  const SEED = Number(process.env['VFIO_CONFORM_SEED'] ?? 1);

  it('tells the same when the controller lost its power, wherever that left the journal', async () => {
    const [whole, torn] = [join(folder, 'before'), join(folder, 'torn')];
    await undisturbed();
    const journal = await readFile(join(whole, 'results.jsonl'));
    const head = headOf(journal);
    const random = randomFrom(SEED);
    for (let tear = 0; tear < TEARS; tear++) {
      await rm(torn, { recursive: true, force: true });
      await cp(whole, torn, { recursive: true });
      const bytes = head + Math.floor(random() * (journal.length - head));
      await truncate(join(torn, 'results.jsonl'), bytes);
      for (const name of await readdir(torn)) {
        if (name !== 'results.jsonl' && random() < 0.5) await rm(join(torn, name), { recursive: true });
      }
      const ended = await vfioConform('run', '--resume', torn);
      expect(ended.exitCode, `${bytes} bytes: ${ended.stderr}`).to.equal(EXIT.conforms);
      expect(await told(torn), `${bytes} bytes`).to.deep.equal(await told(whole));
      expect((await readdir(torn)).sort(), `${bytes} bytes`).to.deep.equal((await readdir(whole)).sort());
    }
    // Where not even that is left what was asked for, there is nothing to go on with.
    for (const bytes of [0, 10, journal.indexOf(0x0a) + 10]) {
      await writeFile(join(torn, 'results.jsonl'), journal.subarray(0, bytes));
      const ended = await vfioConform('run', '--resume', torn);
      expect(ended.exitCode).to.equal(EXIT.usage);
      expect(ended.stderr).to.match(/^vfio-conform: [^\n]* run again$/);
    }
  }).timeout(120_000 + TEARS * 30_000);

  it('says so when the disk is full, and goes on once there is room', async function () {
    await undisturbed();
    const disk = join(folder, 'disk');
    await mkdir(disk);
    const script = `mount -t tmpfs -o size=100k none "$1" || exit 99
      node "$2" run --host none --suite unmap --report "$1/report" > "$3/full"; echo $? > "$3/code"
      mount -o remount,size=64m "$1" && node "$2" run --resume "$1/report" > /dev/null; code=$?
      cp -r "$1/report" "$3/after"; exit $code`;
    const ended = await execa('unshare', ['--mount', 'sh', '-c', script, 'sh', disk, BIN, folder], { reject: false });
    if (ended.exitCode === 99 || ended.exitCode === undefined) {
      console.log('      no tiny disk can be mounted here (that takes root)');
      this.skip();
    }
    expect(await readFile(join(folder, 'code'), 'utf8')).to.equal(`${EXIT.hostTrouble}\n`);
    // A terminal's width does not make it several.
    const full = (await readFile(join(folder, 'full'), 'utf8')).replace(/\s+/g, ' ');
    expect(full).to.match(
      /The report is not whole: cannot write \S+results\.jsonl: no space left on the disk \(ENOSPC\); what was written before stays valid; make room/,
    );
    expect(ended.exitCode, ended.stderr).to.equal(EXIT.conforms);
    expect(await told(join(folder, 'after'))).to.deep.equal(await told(join(folder, 'before')));
  }).timeout(120_000);

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
