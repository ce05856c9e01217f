import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { childrenOf } from '../hosts/testing.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { kernelNamed, prepareKernel } from '../kernels/choice.ts';
import { RunRecord } from '../report/record.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

const cli = (...args: readonly string[]) => execa('node', [BIN, ...args], { reject: false, stdin: 'ignore' });

/** A command that cannot be taken is answered with this exit code and one line. */
const REFUSED: Readonly<Record<string, readonly [args: readonly string[], exitCode: number, message: RegExp]>> = {
  'an unknown command': [['rin'], EXIT.usage, /unknown command "rin"; expected one of: run, .*list/],
  'an unknown option': [['run', '--kernle', '6.1'], EXIT.usage, /--kernle/],
  'an option without its value': [['run', '--kernel'], EXIT.usage, /--kernel/],
  'an option given twice': [['run', '--host', 'vm', '--host', 'local'], EXIT.usage, /--host was given more than once/],
  'an unknown kernel': [['run', '--kernel', '5.4'], EXIT.usage, /5\.4/],
  'an unknown revision of a series': [['run', '--kernel', 'nesting-cap/v9'], EXIT.usage, /nesting-cap\/posted/],
  'an image that is not there': [
    ['run', '--kernel', './bzImage'],
    EXIT.usage,
    /is no kernel image: expected a bzImage/,
  ],
  'modules without an image': [['run', '--modules', '/lib/modules/x'], EXIT.usage, /goes with the path of a kernel/],
  'one unknown kernel of several': [['run', '--kernel', '6.1,5.4'], EXIT.usage, /"5\.4"/],
  'a kernel twice': [['run', '--kernel', '6.1,6.1'], EXIT.usage, /names a kernel twice/],
  'several kernels on one model': [['run', '--kernel', '6.1,7.2', '--revision', 'linux-6.1'], EXIT.usage, /one kernel/],
  'patches that are not there': [['run', '--patches', '/nowhere'], EXIT.usage, /cannot read the patches \/nowhere/],
  'patches for a kernel of their own': [['run', '--patches', '/x', '--kernel', '6.1'], EXIT.usage, /goes with --base/],
  'an unknown base': [['run', '--patches', '/x', '--base', '5.4'], EXIT.usage, /"5\.4"/],
  'a base without patches': [['run', '--base', '6.1'], EXIT.usage, /--base is for --patches/],
  'nothing to build': [['kernel', 'build'], EXIT.usage, /takes names of kernels/],
  'a kernel to do something else with': [['kernel', 'burn', '6.1'], EXIT.usage, /takes one verb: build/],
  'an unknown revision': [['run', '--revision', 'linux-2.4'], EXIT.usage, /there is no revision linux-2\.4/],
  'an unknown host': [['run', '--host', 'cloud'], EXIT.usage, /--host takes vm, local, ssh:NAME or none/],
  'a host that looks like an option': [['run', '--host', 'ssh:-oProxyCommand=x'], EXIT.usage, /--host takes/],
  'a lab host without a device': [['run', '--host', 'ssh:lab'], EXIT.usage, /needs --device/],
  'a device that is no address': [['run', '--host', 'local', '--device', '../x'], EXIT.usage, /PCI address/],
  'an unknown IOMMU': [['run', '--iommu', 'vtd'], EXIT.usage, /--iommu takes one of intel-39, .*, none, not "vtd"/],
  'an unknown IOMMU for several kernels': [['run', '--kernel', '6.1,7.2', '--iommu', 'x'], EXIT.usage, /--iommu takes/],
  'an IOMMU for a host that has its own': [
    ['run', '--host', 'local', '--device', '0000:00:04.0', '--iommu', 'amd'],
    EXIT.usage,
    /--iommu is for the vm/,
  ],
  'an unknown kernel to list': [['list', 'hosts', '--kernel', '5.4'], EXIT.usage, /there is no kernel "5\.4"/],
  'a program that is not there': [
    ['run', '--host', 'none', '--program', '/nowhere'],
    EXIT.usage,
    /cannot read \/nowhere/,
  ],
  'an unknown suite': [['run', '--host', 'none', '--suite', 'nothing'], EXIT.usage, /no suite "nothing"/],
  'suites of no such name': [['run', '--host', 'none', '--suite', 'pon*'], EXIT.usage, /no suite "pon\*"/],
  'a time that is none': [['run', '--timeout', 'soon'], EXIT.usage, /--timeout takes a duration/],
  'repeats of a model': [['run', '--host', 'none', '--repeat', '2'], EXIT.usage, /--repeat is for hosts/],
  'machines without their file': [['hosts', 'check'], EXIT.usage, /hosts needs --hosts FILE/],
  'an unknown verb for machines': [['hosts', 'chek'], EXIT.usage, /hosts takes one verb: list, check, who/],
  'a hosts file without a host': [['run', '--hosts', 'x.yaml'], EXIT.usage, /--hosts goes with --host/],
  'too many jobs': [['run', '--jobs', '99'], EXIT.usage, /--jobs takes a whole number/],
  'known differences that are not there': [['run', '--host', 'none', '--known', '/nowhere'], EXIT.usage, /\/nowhere/],
  'a list of nothing': [['list', 'nothing'], EXIT.usage, /list takes one of/],
  'a report in a place where there are no folders': [
    ['run', '--host', 'none', '--report', '/proc/nowhere/deep'],
    EXIT.hostTrouble,
    /\/proc\/nowhere/,
  ],
  'a report in a place that cannot be written': [
    ['run', '--host', 'none', '--report', '/dev/null/nowhere'],
    EXIT.hostTrouble,
    /nowhere/,
  ],
};

describe('cli', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-cli-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const [title, [args, exitCode, message]] of Object.entries(REFUSED)) {
    it(`answers ${title} with one line and exit ${exitCode}`, async () => {
      const result = await cli(...args);
      expect(result.exitCode).to.equal(exitCode);
      expect(result.stderr)
        .to.match(/^vfio-conform: [^\n]+$/)
        .and.match(message);
    });
  }

  it('takes the name of a suite, and of all that begin so', async () => {
    const cases = async (...names: readonly string[]) => {
      const { stdout } = await cli('list', 'cases', ...names.flatMap((name) => ['--suite', name]));
      return stdout.split('\n').sort();
    };
    expect(await cases('no-memory*', 'no-memory')).to.deep.equal(
      await cases('no-memory', 'no-memory-access', 'no-memory-viommu'),
    );
  });

  for (const command of ['run', 'kernel', 'list', 'hosts', 'doctor', 'bench']) {
    it(`shows options and examples of ${command}`, async () => {
      const { exitCode, stdout } = await cli(command, '--help');
      expect(exitCode).to.equal(0);
      expect(stdout).to.include(`usage: vfio-conform ${command}`).and.include('examples:');
    });
  }

  it('holds every case against the model alone', async () => {
    const report = join(folder, 'model');
    const { exitCode, stdout } = await cli('run', '--host', 'none', '--report', report);
    expect(exitCode, stdout).to.equal(EXIT.conforms);
    const { cases } = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
    expect(cases.length).to.be.at.least(300);
  });

  it('says that nothing ran when no case is selected', async () => {
    const args = ['run', '--host', 'none', '--grep', 'no case is called this', '--report', join(folder, 'nothing')];
    expect((await cli(...args)).exitCode).to.equal(EXIT.nothingRan);
  });

  it('boots nothing for an IOMMU that the kernel cannot drive: its cases are unsupported, with the reason', async () => {
    const report = join(folder, 'unfit');
    const { exitCode, stderr } = await cli('run', '--iommu', 'virtio', '--grep', 'map/overlap', '--report', report);
    expect(exitCode, stderr).to.equal(EXIT.nothingRan);
    expect(stderr).not.to.contain('booting');
    const { cases } = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
    const reasons = new Set(cases.map(({ verdict, reason }) => `${verdict}: ${reason}`));
    expect([...reasons]).to.deep.equal([
      'unsupported: 6.1 cannot be given --iommu virtio: the kernel has no driver for it (CONFIG_VIRTIO_IOMMU is not set)',
    ]);
  });

  it('refuses at once to write over a report', async () => {
    const report = join(folder, 'kept');
    await cli('run', '--host', 'none', '--grep', 'map/overlap', '--report', report);
    const { exitCode, stderr } = await cli('run', '--report', report);
    expect(exitCode).to.equal(EXIT.usage);
    expect(stderr).to.match(/^vfio-conform: .* holds the report of an earlier run[^\n]+$/);
  });

  it('finds that Linux 6.1 conforms but for its known differences, all of which show', async () => {
    const report = join(folder, 'vm');
    const { exitCode, stdout } = await cli('run', '--report', report);
    expect(exitCode, stdout).to.equal(EXIT.conforms);
    const run = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
    expect(run.kernel).to.match(/^6\.1\./);
    expect(run.disappeared).to.deep.equal([]);
    expect(run.notRun).to.deep.equal([]);
  }).timeout(600_000);

  for (const kernel of ['6.12', '7.2']) {
    it(`finds that Linux ${kernel} conforms but for its known differences, all of which show`, async function () {
      const prepared = await prepareKernel(await kernelNamed(kernel), cacheFolder()).catch((cause: unknown) =>
        skipBecause(this, cause instanceof Error ? cause.message : String(cause)),
      );
      const report = join(folder, `vm-${kernel}`);
      const { exitCode, stdout } = await cli('run', '--kernel', kernel, '--report', report);
      expect(exitCode, stdout).to.equal(EXIT.conforms);
      const run = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
      expect(run.kernel.startsWith(`${kernel}.`)).to.equal(true);
      expect(run.disappeared).to.deep.equal([]);
      // Where the archive has dropped what test modules are built with, a note says so, and the cases that need one are skipped.
      const withoutModule = run.cases.filter(({ reason = '' }) => /test module/.test(reason)).map(({ id }) => id);
      if (prepared.notes.length === 0) expect(withoutModule).to.deep.equal([]);
    }).timeout(900_000);
  }

  it('ends at its time limit, with a report that says so and no guest left', async () => {
    const report = join(folder, 'limit');
    const running = cli('run', '--timeout', '1s', '--report', report);
    const { exitCode, stderr } = await running;
    expect(exitCode, stderr).to.be.oneOf([EXIT.timeLimit]);
    expect(childrenOf(process.pid, 'qemu-system-x86_64')).to.deep.equal([]);
  });

  it('ends at Ctrl-C with a partial report that says so', async () => {
    const report = join(folder, 'interrupted');
    const running = execa('node', [BIN, 'run', '--report', report], { reject: false, stdin: 'ignore' });
    let guests: readonly number[] = [];
    running.stderr.on('data', (chunk: Uint8Array) => {
      if (!/cases to run/.test(Buffer.from(chunk).toString()) || running.pid === undefined) return;
      guests = childrenOf(running.pid, 'qemu-system-x86_64');
      running.kill('SIGINT');
    });
    const { exitCode } = await running;
    expect(exitCode).to.equal(EXIT.interrupted);
    const run = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
    expect(run.interrupted?.why).to.equal('signal');
    expect(run.notRun.length).to.be.greaterThan(0);
    expect(guests).to.have.length(1);
    for (const pid of guests) expect(() => process.kill(pid, 0), `QEMU ${pid} is left`).to.throw();
  }).timeout(300_000);
});
