import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { childrenOf } from '../hosts/testing.ts';
import { readResults } from '../report/read-results.ts';
import type { RunRecord } from '../report/record.ts';
import { rebuild } from '../report/results.ts';
import { exitCodeOf, tallyOf } from '../report/tally.ts';
import { EXIT } from '../trouble.ts';
import { expectRefusal } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** As seen from a CI system that says nothing of parts, unless it is told. */
const cli = (cwd: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const own = Object.entries(process.env).filter(([name]) => !/^(CI|CIRCLE|BUILDKITE|SLURM|TEST_)/.test(name));
  return execa('node', [BIN, ...args], {
    cwd,
    reject: false,
    stdin: 'ignore',
    extendEnv: false,
    env: { ...Object.fromEntries(own), ...env },
  });
};

const SUITES = ['--suite', 'iova', '--suite', 'unmap', '--suite', 'vaddr'];

/** What a run found, without when and how long. */
const verdicts = (run: RunRecord) => ({
  cases: run.cases.map(({ id, verdict, reason, known, program }) => ({ id, verdict, reason, known, program })),
  notRun: run.notRun,
  disappeared: run.disappeared,
  tally: tallyOf(run),
  exitCode: exitCodeOf(run),
  head: [run.kernel, run.revision, run.host.name],
});

describe('a campaign in cells', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-scale-'));
    const { exitCode } = await cli(folder, ['plan', '--class', 'none', ...SUITES, '--out', 'plan.jsonl']);
    expect(exitCode).to.equal(0);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('is the same when every job plans it for itself', async () => {
    const { stdout } = await cli(folder, ['plan', '--class', 'none', ...SUITES]);
    expect(`${stdout}\n`).to.equal(await readFile(join(folder, 'plan.jsonl'), 'utf8'));
  });

  it('leaves out suites that have no case for a revision', async () => {
    const { stdout } = await cli(folder, [
      'plan',
      '--kernel',
      '6.1,nesting-cap/posted@nesting-cap/reviewed',
      '--suite',
      'nesting-cap',
    ]);
    const [, ...cells] = stdout.split('\n').map((line) => JSON.parse(line) as { revision?: string });
    expect(cells.map(({ revision }) => revision)).to.deep.equal(['nesting-cap/reviewed']);
  });

  it('comes out as the run that was never divided: two parts, one cell again by itself, and a merge', async () => {
    const undivided = await cli(folder, ['run', '--host', 'none', ...SUITES, '--report', 'undivided']);
    const gitlab = (index: number) => ({ CI_NODE_INDEX: `${index}`, CI_NODE_TOTAL: '2' });
    const shard = (index: number) =>
      cli(folder, ['cell', '--shard', 'auto', '--plan', 'plan.jsonl', '--out', `part-${index}`], gitlab(index));
    expect((await shard(2)).exitCode).to.equal(0);
    const early = await cli(folder, ['merge', 'part-2', '--plan', 'plan.jsonl']);
    expect([early.exitCode, early.stderr]).to.deep.equal([
      EXIT.hostTrouble,
      'vfio-conform: 2 of 3 cells are missing: 1, 3; run them (vfio-conform cell N) and merge again',
    ]);
    expect((await shard(1)).exitCode).to.equal(0);
    const again = await cli(folder, ['cell', '3', '--plan', 'plan.jsonl', '--out', 'part-1']);
    expect([again.exitCode, again.stderr]).to.deep.equal([
      0,
      'cell 3 of 3: vaddr of 6.1 on none: was run before, exit code 0',
    ]);

    const { exitCode } = await cli(folder, ['merge', 'part-1', 'part-2', '--plan', 'plan.jsonl', '--report', 'whole']);
    expect(exitCode).to.equal(undivided.exitCode);
    const [whole, expected] = [readResults(join(folder, 'whole')), readResults(join(folder, 'undivided'))];
    expect(verdicts(whole)).to.deep.equal(verdicts(expected));
    expect(expected.cases.length).to.be.greaterThan(100);
    expect((await readdir(join(folder, 'whole'))).filter((name) => name !== 'cells.jsonl')).to.deep.equal(
      await readdir(join(folder, 'undivided')),
    );
    expect(verdicts(await rebuild(join(folder, 'whole')))).to.deep.equal(verdicts(expected));
  }).timeout(120_000);

  it('is refused when a cell is there twice, and writes nothing', async () => {
    await cp(join(folder, 'part-1', 'cell-000001'), join(folder, 'twice', 'cell-000001'), { recursive: true });
    const { exitCode, stderr } = await cli(folder, [
      'merge',
      'part-1',
      'part-2',
      'twice',
      '--plan',
      'plan.jsonl',
      '--report',
      'no',
    ]);
    expect([exitCode, stderr]).to.deep.equal([
      EXIT.usage,
      'vfio-conform: cell 1 is there twice: part-1/cell-000001 and twice/cell-000001; remove one of them',
    ]);
    expect(await readdir(folder)).not.to.include('no');
  });

  it('gives a report for each kernel, and puts them side by side', async () => {
    await cli(folder, ['plan', '--class', 'none', '--kernel', '6.1,7.2', '--suite', 'iova', '--out', 'two.jsonl']);
    for (const index of ['1/2', '2/2'])
      await cli(folder, ['cell', '--shard', index, '--plan', 'two.jsonl', '--out', 'two']);
    const { exitCode, stdout } = await cli(folder, ['merge', 'two', '--plan', 'two.jsonl', '--report', 'both']);
    expect([exitCode, stdout.split('\n')[0]?.trim()]).to.deep.equal([0, '6.1 on none  7.2 on none']);
    const folders = (await readdir(join(folder, 'both'), { withFileTypes: true })).filter((one) => one.isDirectory());
    const runs = folders.map(({ name }) => readResults(join(folder, 'both', name)).revision);
    expect(runs.sort()).to.deep.equal(['linux-6.1', 'linux-7.2']);
  }).timeout(60_000);

  it('keeps what is wrong in a cell from being called a result', async () => {
    const lab = join(folder, 'lab.yaml');
    await writeFile(lab, "classes: [{ name: lab, hosts: [{ name: spr1, host: local, devices: ['ffff:00:00.0'] }] }]");
    await cli(folder, ['plan', '--class', 'lab', '--classes', lab, '--suite', 'iova', '--out', 'lab.jsonl']);
    const first = await cli(folder, ['cell', '1', '--plan', 'lab.jsonl', '--out', 'lab']);
    const second = await cli(folder, ['cell', '1', '--plan', 'lab.jsonl', '--out', 'lab']);
    expect([first.exitCode, second.exitCode]).to.deep.equal([75, 75]);
    expect(await readdir(join(folder, 'lab', 'attempts'))).to.deep.equal(['cell-000001.1']);
    const { exitCode, stderr } = await cli(folder, ['merge', 'lab', '--plan', 'lab.jsonl', '--report', 'never']);
    expect([exitCode, stderr]).to.deep.equal([75, '6.1 on lab: none of its 1 cells came to a report']);
  }).timeout(60_000);

  it('keeps what a run had found that was killed', async () => {
    await cli(folder, ['plan', '--class', 'none', '--suite', 'map', '--out', 'killed.jsonl']);
    const running = cli(folder, ['cell', '1', '--plan', 'killed.jsonl', '--out', 'killed']);
    running.stderr.on('data', (chunk: Uint8Array) => {
      if (!/cases to run/.test(Buffer.from(chunk).toString()) || running.pid === undefined) return;
      for (const pid of childrenOf(running.pid, 'node')) process.kill(pid, 'SIGKILL');
    });
    expect((await running).exitCode).to.equal(75);
    const run = readResults(join(folder, 'killed', 'cell-000001'));
    expect(run.interrupted?.why).to.equal('cut-off');
    expect(run.notRun.length).to.be.greaterThan(0);
  }).timeout(60_000);

  for (const [words, message] of [
    [['plan', '--kernel', '5.4'], /there is no kernel "5\.4"/],
    [['plan', '--kernel', '6.1@linux-2.4'], /there is no revision linux-2\.4/],
    [['plan', '--kernel', '6.1,6.1'], /--kernel names 6\.1 twice/],
    [['plan', '--class', 'vtd'], /there is no host class "vtd"; there are: vm, none/],
    [['plan', '--classes', '/nowhere'], /cannot read the host classes \/nowhere/],
    [['plan', '--grep', 'no such case'], /the plan would be empty/],
    [['plan', '--timeout', 'soon'], /--timeout takes a duration/],
    [['cell', '1'], /cell needs --plan/],
    [['cell', '1', '--plan', '/nowhere'], /cannot read the plan \/nowhere/],
    [['cell', '--plan', 'plan.jsonl'], /takes the number of one cell, or --shard/],
    [['cell', '1', '--shard', '1/2', '--plan', 'plan.jsonl'], /takes the number of one cell, or --shard/],
    [['cell', 'one', '--plan', 'plan.jsonl'], /takes the number of a cell, not "one"/],
    [['cell', '4', '--plan', 'plan.jsonl'], /the plan has no cell 4: it has 3/],
    [['cell', '--shard', '3/2', '--plan', 'plan.jsonl'], /--shard takes a part such as 2\/5/],
    [['merge', '.', '--report', 'x'], /merge needs --plan/],
    [['merge', '--plan', 'plan.jsonl'], /merge takes the folders/],
    [['merge', '/nowhere', '--plan', 'plan.jsonl'], /there is no folder \/nowhere/],
  ] as const) {
    it(`refuses ${words.join(' ')}, in one line`, async () => {
      expectRefusal(await cli(folder, words), message);
    });
  }
});
