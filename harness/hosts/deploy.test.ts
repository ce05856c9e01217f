import { expect } from 'chai';
import { type BuiltHelper, buildHelper, buildKexec } from '../helper/build.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel, type Kernel } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { parseProgram } from '../program/text.ts';
import { filled, type Wanted } from './deploy.ts';
import type { Host } from './host.ts';
import { connectToLab, openLabHost } from './lab.ts';
import { type SshConnection, UnreachableHost } from './ssh.ts';
import { troubleOf } from './testing.ts';
import { type LabMachine, openLabMachine } from './testing-lab.ts';

const VERSION = parseProgram('main cat /proc/version\n');

/** A guest that boots Linux 6.1 whenever its power comes, and is to run 6.12. */
describe('hosts/deploy', () => {
  const cache = cacheFolder();
  let machine: LabMachine;
  let helper: BuiltHelper;
  let old: Kernel;
  let wanted: Wanted;
  const said: string[] = [];
  const opened: Host[] = [];
  before(async () => {
    [helper, old] = await Promise.all([buildHelper(cache), fetchKernel(await readManifest('6.1'), { cache })]);
    const { release, image, ...kernel } = await fetchKernel(await readManifest('6.12'), { cache });
    machine = await openLabMachine([old, { ...kernel, release, image }], { reboots: true });
    wanted = { kernel: '6.12', image, release, program: await buildKexec(cache), say: (line) => said.push(line) };
    (await up()).close();
  });
  afterEach(async () => {
    said.length = 0;
    for (const host of opened.splice(0)) await host.close();
  });
  after(() => machine.end());

  /** Waits until it can be reached. */
  const up = async (): Promise<SshConnection> => {
    for (;;) {
      const found = await connectToLab(machine.lab([]), machine.sshConfig).catch((cause: unknown) => cause);
      if (!(found instanceof Error)) return found as SshConnection;
      if (!(found instanceof UnreachableHost)) throw found;
    }
  };
  const there = async (command: string): Promise<string> => {
    const connection = await up();
    const { stdout } = await connection.run(command);
    connection.close();
    return stdout.trim();
  };
  const quoted = (words: readonly string[]): string => `[${words.map((word) => `'${word}'`).join(', ')}]`;
  const power = (): string => `power: { cycle: ${quoted(machine.words('cycle'))} }`;
  const byCommand = (...verb: readonly string[]): string => `deploy: { command: ${quoted(machine.words(...verb))} }`;
  const byKexec = (more = ''): string => `deploy: { kexec: { initrd: '${machine.folder}/initrd-{release}'${more} } }`;
  const open = async (lines: readonly string[], on: Wanted | undefined = wanted): Promise<Host> => {
    const lab = machine.lab(lines);
    const host = await openLabHost(lab, { helper, sshConfig: machine.sshConfig, wanted: on });
    opened.push(host);
    return host;
  };
  const releaseOf = async (host: Host): Promise<string> => {
    const { ending } = await host.run(VERSION, { stepMs: 5000, programMs: 9000 });
    expect(ending).to.deep.equal({ kind: 'done' });
    return host.facts.kernel;
  };

  it('has the machine boot by kexec what it does not run, and leaves it alone when it does', async () => {
    expect(await there('uname -r')).to.equal(old.release);
    const host = await open([
      byKexec(", commandLine: 'console=ttyS0 panic=-1 intel_iommu=on no_timer_check told=anew'"),
    ]);
    expect(await releaseOf(host)).to.equal(wanted.release);
    expect(said).to.deep.equal([`guest runs Linux ${old.release}: deploying 6.12 (${wanted.release})`]);
    expect(await there('cat /proc/cmdline')).to.match(/told=anew$/);
    expect(await there('ls -d /tmp/vfio-conform.*/kexec; cat /var/lib/vfio-conform/lease | wc -l')).to.equal('2');
    await host.close();
    expect(await releaseOf(await open([byKexec()]))).to.equal(wanted.release);
    expect(said).to.have.length(1);
  });

  it('deploys again when the machine comes back with another kernel', async () => {
    const host = await open([byKexec()]);
    const before = host.boot?.();
    await there('echo b > /proc/sysrq-trigger').catch(() => undefined);
    // It may know already that it is lost, and refuse.
    await host.run(VERSION, { stepMs: 5000, programMs: 9000 }).catch(() => undefined);
    await host.recover();
    expect(host.boot?.()).not.to.equal(before);
    expect(said.at(-1)).to.equal(`guest runs Linux ${old.release}: deploying 6.12 (${wanted.release})`);
    expect(await releaseOf(host)).to.equal(wanted.release);
    // The command line is the one that the old kernel had.
    expect(await there('cat /proc/cmdline')).to.not.match(/told=anew/);
  });

  it('has a command do it, which is told what and where', async () => {
    const back = { ...wanted, kernel: '6.1', release: old.release, image: old.image };
    const host = await open([byCommand('boot', '{image}', '{release}')], back);
    expect(await releaseOf(host)).to.equal(old.release);
  });

  it('refuses a machine that comes back with another kernel than was deployed', async () => {
    expect(await troubleOf(open([byCommand('cycle')]))).to.equal(
      `guest runs Linux ${old.release} after ${wanted.release} was deployed: see its console`,
    );
  });

  it('says why a command failed, and what a kernel refuses', async () => {
    expect(await troubleOf(open([byCommand('nonsense')]))).to.match(
      /^6\.12 cannot be deployed to guest: \S+machine\.sh ended with 64: expected off, on, cycle, boot or console, not nonsense$/,
    );
    const strange = { ...wanted, image: machine.sshConfig };
    expect(await troubleOf(open([byKexec()], strange))).to.match(
      /^guest does not boot \S+config by kexec: kexec_file_load: .* \(the image is none that it boots: expected a bzImage\)$/,
    );
    expect(await there('uname -r; ls -d /tmp/vfio-conform.*/kexec')).to.equal(old.release);
  });

  it('switches the power of a machine that does not come back, and is trouble', async () => {
    const boot = await there('cat /proc/sys/kernel/random/boot_id');
    const lines = ["deploy: { command: ['true'] }", 'bootSeconds: 5', power()];
    expect(await troubleOf(open(lines))).to.match(
      /^guest did not come back with Linux \S+ within 5 s; it was power-cycled, and (runs Linux 6\.1\S+ now|does not answer since): see its console$/,
    );
    expect(await there('cat /proc/sys/kernel/random/boot_id')).to.not.equal(boot);
  });

  it('fills in what is known, and nothing else', () => {
    expect(filled('{image}-{release}{other}', { image: '{release}', release: '1' })).to.equal('{release}-1{other}');
  });
}).timeout(300_000);
