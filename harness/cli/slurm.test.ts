import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { freePort } from '../hosts/port.ts';
import { readResults } from '../report/read-results.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';
import { expectRefusal } from './testing.ts';
import { type Cluster, openCluster, whyNoSlurm } from './testing-slurm.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** `model` runs on any node with vtd, which the host of `smmu` is not; there is no device on any host of the lab. */
const LAB = `
classes:
  - name: bare
    features: [vtd]
    hosts:
      - { name: spr1, host: local, devices: ['ffff:00:00.0'] }
      - { name: spr2, host: local, devices: ['ffff:00:00.0'] }
  - { name: smmu, features: [smmuv3], hosts: [{ name: arm1, host: local, devices: ['ffff:00:00.0'] }] }
  - { name: model, features: [vtd], host: none }
  - { name: nowhere, features: [amdvi], host: none }
`;

const SUITES = ['iova', 'info', 'dma', 'group'].flatMap((suite) => ['--suite', suite]);

interface CellLine {
  readonly on: string;
  readonly attempt: number;
  readonly exitCode: number;
  readonly startedAt: string;
  readonly durationMs: number;
}

describe('vfio-conform slurm', () => {
  let folder: string;
  let cluster: Cluster | undefined;
  const cli = (...args: readonly string[]) =>
    execa('node', [BIN, ...args], { cwd: folder, reject: false, stdin: 'ignore', env: { ...cluster?.env } });
  const slurm = (program: string, ...args: readonly string[]) =>
    execa(program, args, { env: { ...cluster?.env } }).then(({ stdout }) => stdout);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-slurm-'));
    await writeFile(join(folder, 'lab.yaml'), LAB);
    await cli('plan', '--classes', 'lab.yaml', '--class', 'model', ...SUITES, '--out', 'plan.jsonl');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('writes lines of slurm.conf: a node for each test host, with its class among its features', async () => {
    const { stdout } = await cli('slurm', 'nodes', '--classes', 'lab.yaml', '--controller', 'ctl', '--port', '20000');
    expect(stdout.split('\n')).to.deep.equal([
      'NodeName=spr1 NodeHostname=ctl Port=20000 Feature=class-bare,vtd State=UNKNOWN',
      'NodeName=spr2 NodeHostname=ctl Port=20001 Feature=class-bare,vtd State=UNKNOWN',
      'NodeName=arm1 NodeHostname=ctl Port=20002 Feature=class-smmu,smmuv3 State=UNKNOWN',
      '# class model runs on any node with Feature=vtd',
      '# class nowhere runs on any node with Feature=amdvi',
    ]);
  });

  it('says what it would submit, without a Slurm', async () => {
    await cli('plan', '--classes', 'lab.yaml', '--class', 'smmu', '--class', 'model', ...SUITES, '--out', 'both.jsonl');
    const { stdout } = await cli(
      'slurm',
      'submit',
      'both.jsonl',
      '--out',
      'dry',
      '--option=--partition=lab',
      '--dry-run',
    );
    const at = `${folder}/dry/slurm`;
    const common = `--nodes=1 --ntasks=1`;
    const every = `--requeue --open-mode=append --output=${at}/%A_%a.log --partition=lab ${at}/cell.sh`;
    expect(stdout.split('\n')).to.deep.equal([
      `sbatch --job-name=vfio-conform-smmu --array=0-3 ${common} --exclusive '--constraint=class-smmu&smmuv3' ${every} ${at}/array-1`,
      `sbatch --job-name=vfio-conform-model --array=0-3 ${common} --constraint=vtd ${every} ${at}/array-2`,
      `sbatch --job-name=vfio-conform-next --output=${at}/next.log --open-mode=append --partition=lab --dependency=afterany:JOB1:JOB2 ${at}/next.sh`,
    ]);
    expect(await readdir(folder)).not.to.include('dry');
  });

  it('says so where there is no Slurm', async () => {
    const { exitCode, stderr } = await execa(process.execPath, [BIN, 'slurm', 'submit', 'plan.jsonl'], {
      cwd: folder,
      reject: false,
      env: { PATH: dirname(fileURLToPath(import.meta.url)) },
    });
    expect([exitCode, stderr]).to.deep.equal([
      EXIT.hostTrouble,
      'vfio-conform: Slurm is not installed here: expected sbatch and scontrol in PATH',
    ]);
  });

  for (const [words, message] of [
    [['slurm'], /slurm takes submit and a plan, or nodes/],
    [['slurm', 'submit', '/nowhere'], /cannot read the plan \/nowhere/],
    [['slurm', 'submit', 'plan.jsonl', '--attempts', '0'], /--attempts takes a whole number/],
    [['slurm', 'submit', 'plan.jsonl', '--option=rm -rf'], /--option takes an option of sbatch in one word/],
    [['slurm', 'nodes'], /slurm nodes needs --classes/],
    [['slurm', 'nodes', '--classes', 'lab.yaml', '--controller', 'a b'], /--controller takes the name of a machine/],
  ] as const) {
    it(`refuses ${words.join(' ')}, in one line`, async () => {
      expectRefusal(await cli(...words), message);
    });
  }

  describe('on a Slurm of three hosts', () => {
    before(async function () {
      const why = await whyNoSlurm();
      if (why !== undefined) skipBecause(this, why);
      const port = String(Math.min(await freePort(), 59_000));
      const { stdout } = await cli(
        'slurm',
        'nodes',
        '--classes',
        'lab.yaml',
        '--controller',
        'localhost',
        '--port',
        port,
      );
      cluster = await openCluster(
        await mkdtemp(join(folder, 'slurm-')),
        stdout.split('\n').filter((line) => line.startsWith('NodeName=')),
      );
    });
    after(async () => {
      await cluster?.close();
      cluster = undefined;
    });

    const cellsOf = async (out: string): Promise<readonly CellLine[]> =>
      (await readFile(join(folder, out, 'report', 'cells.jsonl'), 'utf8'))
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as CellLine);

    it('runs a plan on the hosts that have its features, one cell on each at a time, and merges it', async () => {
      const { exitCode, stderr } = await cli('slurm', 'submit', 'plan.jsonl', '--out', 'ran', '--wait');
      expect(exitCode, stderr).to.equal(0);
      const undivided = await cli('run', '--host', 'none', ...SUITES, '--report', 'undivided');
      expect(undivided.exitCode).to.equal(0);
      const verdicts = (name: string) => readResults(join(folder, name)).cases.map(({ id, verdict }) => [id, verdict]);
      expect(verdicts('ran/report')).to.deep.equal(verdicts('undivided'));
      const cells = await cellsOf('ran');
      expect(new Set(cells.map(({ on }) => on))).to.deep.equal(new Set(['spr1', 'spr2']));
      for (const one of cells) {
        const until = Date.parse(one.startedAt) + one.durationMs;
        const beside = cells.filter(
          (other) => other !== one && other.on === one.on && Date.parse(other.startedAt) >= Date.parse(one.startedAt),
        );
        for (const other of beside) expect(Date.parse(other.startedAt)).to.be.at.least(until);
      }
    }).timeout(300_000);

    it('does not run again what was run before', async () => {
      await rm(join(folder, 'ran', 'report'), { recursive: true });
      const { exitCode, stderr } = await cli('slurm', 'submit', 'plan.jsonl', '--out', 'ran', '--wait');
      expect([exitCode, stderr]).to.deep.equal([0, `the merge ended with 0: ${folder}/ran/slurm/merge.log`]);
      const again = await cli('slurm', 'submit', 'plan.jsonl', '--out', 'ran', '--wait');
      expect(again.exitCode).to.equal(EXIT.usage);
    }).timeout(120_000);

    for (const waits of [true, false]) {
      it(`submits a cell again that ends in trouble, and gives up in the end${waits ? '' : ', with nobody waiting'}`, async () => {
        const out = waits ? 'lost' : 'left';
        await cli('plan', '--classes', 'lab.yaml', '--class', 'smmu', '--suite', 'iova', '--out', 'smmu.jsonl');
        const words = ['slurm', 'submit', 'smmu.jsonl', '--out', out, '--attempts', '2'];
        const { exitCode, stderr } = await cli(...words, ...(waits ? ['--wait'] : []));
        expect(exitCode, stderr).to.equal(waits ? EXIT.hostTrouble : EXIT.conforms);
        while ((await slurm('squeue', '-h', '-o', '%i')) !== '') await pause(200);
        expect(await readdir(join(folder, out, 'attempts'))).to.deep.equal(['cell-000001.1']);
        const [only, ...more] = await cellsOf(out);
        expect(more).to.deep.equal([]);
        expect([only?.on, only?.attempt, only?.exitCode]).to.deep.equal(['arm1', 2, EXIT.hostTrouble]);
        expect(await readFile(join(folder, out, 'slurm', 'merge.log'), 'utf8')).to.include(
          'none of its 1 cells came to a report',
        );
      }).timeout(300_000);
    }

    it('refuses a plan that no host can run, and leaves nothing in the queue', async () => {
      await cli(
        'plan',
        '--classes',
        'lab.yaml',
        '--class',
        'smmu',
        '--class',
        'nowhere',
        ...SUITES,
        '--out',
        'no.jsonl',
      );
      await slurm('scontrol', 'update', 'nodename=ALL', 'state=drain', 'reason=test');
      const { exitCode, stderr } = await cli('slurm', 'submit', 'no.jsonl', '--out', 'no');
      expect(exitCode).to.equal(EXIT.usage);
      expect(stderr).to.match(/Slurm refuses --job-name=vfio-conform-nowhere: .*Invalid feature specification$/);
      expect(await slurm('squeue', '-h', '-t', 'PENDING,RUNNING')).to.equal('');
    }).timeout(120_000);
  });
});
