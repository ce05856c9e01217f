import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { needProgram, REQUIREMENTS } from '../kernels/requirements.ts';
import { OPS_HASH } from '../program/ops.ts';
import type { Observation, Program } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import { iommuProfileNamed } from './iommu-profiles.ts';
import { freePort } from './port.ts';
import { childrenOf, isRunning, troubleOf, vmInputs } from './testing.ts';
import { openVmHost, type VmHost, type VmOptions } from './vm.ts';

const DEADLINES = { stepMs: 2000, programMs: 20_000 };

/** A program in text form, with the names that every host gives. */
const program = (text: string): Program => parseProgram(`let group0 /dev/vfio/2\nlet group1 /dev/vfio/3\n${text}`);

const results = (observations: readonly Observation[]): readonly string[] =>
  observations.map((one) => ('mishap' in one ? one.mishap : `${one.ret}${one.errno === 0 ? '' : ` ${one.errno}`}`));

/** Opens a container with both groups, maps 64 KiB, and unmaps it. Numbers as in include/uapi/linux/vfio.h. */
const MAP_AND_UNMAP = program(`
main open container /dev/vfio/vfio
main ioctl container 0x3b64 =0
main open group0 $group0
main open group1 $group1
main ioctl group0 0x3b68 [00*4 @0=fd:container]
main ioctl container 0x3b66 =3
main ioctl group1 0x3b68 [00*4 @0=fd:container]
main mem ram 0x10000
main ioctl container 0x3b71 [20000000,03000000,00*8,0000010000000000,0000010000000000 @8=&ram+0x0]
main ioctl container 0x3b72 [18000000,00000000,0000010000000000,0000010000000000]
`);

describe('hosts/vm', () => {
  let inputs: Awaited<ReturnType<typeof vmInputs>>;
  let host: VmHost;
  before(async () => {
    inputs = await vmInputs();
    host = await openVmHost({ ...inputs, session: { marginMs: 1500 } });
  });
  after(() => host?.close());

  const qemuIds = (): readonly number[] => childrenOf(process.pid, 'qemu-system-x86_64');

  it('says what it is', () => {
    const { facts } = host;
    expect(facts.name).to.equal('vm');
    expect(facts.kernel).to.equal(inputs.kernel.release);
    expect(facts.description).to.match(/^QEMU \d[\w.]* (kvm|tcg), intel-iommu \(intel-39\), \d+ MiB$/);
    expect(facts.platform.iommu).to.deep.include({ kind: 'intel', aperture: { start: 0n, end: (1n << 39n) - 1n } });
    expect(
      facts.platform.groups.map(({ path, devices }) => [path, devices.map(({ kind, dmaMask }) => [kind, dmaMask])]),
    ).to.deep.equal([
      ['/dev/vfio/2', [['edu', (1n << 64n) - 1n]]],
      ['/dev/vfio/3', [['edu', (1n << 64n) - 1n]]],
    ]);
    expect(facts.platform.groups[0]?.reserved).to.deep.equal([{ start: 0xfee00000n, end: 0xfeefffffn }]);
    expect(facts.platform.dmaEntryLimit).to.equal(65_535);
  });

  it('maps memory for two groups of one container', async () => {
    const run = await host.run(MAP_AND_UNMAP, DEADLINES);
    expect(run.ending).to.deep.equal({ kind: 'done' });
    expect(results(run.observations).slice(4)).to.deep.equal(['0', '0', '0', '0', '0', '0']);
    expect(run.kernelLog).to.deep.equal([]);
  });

  it('has pages of 2 MiB for hugetlb memory, and debugfs', async () => {
    const run = await host.run(
      program('main mem huge 0x200000 huge=0x200000\nmain cat /sys/kernel/debug/sleep_time\n'),
      DEADLINES,
    );
    expect(results(run.observations)[0]).to.equal('0');
    expect(results(run.observations)[1]).not.to.equal('-1 2');
  });

  it('ends a call that hangs, and goes on', async () => {
    // TIOCMIWAIT: waits for a change of the serial line's signals, which never comes.
    const hang = program('main open tty /dev/ttyS0\nmain ioctl tty 0x545c =0x20\n');
    const run = await host.run(hang, { stepMs: 300, programMs: 20_000 });
    expect(results(run.observations).at(-1)).to.equal('timeout');
    expect(run.ending).to.deep.equal({ kind: 'done' });
    expect((await host.run(MAP_AND_UNMAP, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('tells a panic from everything else, and recovers from it', async () => {
    const panic = program(
      'main open trigger /proc/sysrq-trigger flags=w\nmain cat /proc/version\nmain pwrite trigger 0 63\nmain cat /proc/version\n',
    );
    const first = host.run(panic, DEADLINES);
    const behind = host.run(MAP_AND_UNMAP, DEADLINES);
    const { ending } = await first;
    if (ending.kind !== 'panicked') expect.fail(JSON.stringify(ending));
    expect(ending.console.join('\n'))
      .to.match(/sysrq triggered crash/)
      .and.to.match(/Kernel panic - not syncing/);
    expect((await behind).ending).to.have.property('kind', 'lost');
    expect(await troubleOf(host.run(MAP_AND_UNMAP, DEADLINES))).to.contain('the session with the helper is over');
    await host.recover();
    expect((await host.run(MAP_AND_UNMAP, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
    expect(qemuIds()).to.have.length(1);
  });

  it('tells a guest that hangs', async () => {
    const [qemu = 0] = qemuIds();
    const waiting = host.run(program('main open container /dev/vfio/vfio\nmain cat /proc/version\n'), {
      stepMs: 1000,
      programMs: 1000,
    });
    process.kill(qemu, 'SIGSTOP');
    expect((await waiting).ending).to.have.property('kind', 'hung');
    await host.recover();
    expect(isRunning(qemu)).to.equal(false);
  });

  it('tells that QEMU was killed', async () => {
    const waiting = host.run(program('main cat /proc/version\n'), DEADLINES);
    process.kill(qemuIds()[0] ?? 0, 'SIGKILL');
    const { ending } = await waiting;
    expect(ending).to.have.property('kind', 'lost');
    expect(ending)
      .to.have.property('reason')
      .that.matches(/QEMU was ended by SIGKILL/);
  });

  it('is closed once and for all', async () => {
    await host.close();
    await host.close();
    expect(await troubleOf(host.run(MAP_AND_UNMAP, DEADLINES))).to.equal('the host vm was closed');
    expect(await troubleOf(host.recover())).to.equal('the host vm was closed');
    expect(qemuIds()).to.deep.equal([]);
  });
});

describe('hosts/vm: opening', () => {
  let inputs: Awaited<ReturnType<typeof vmInputs>>;
  let folder = '';
  before(async () => {
    inputs = await vmInputs();
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  after(() => rm(folder, { recursive: true }));
  afterEach(() => expect(childrenOf(process.pid, 'qemu-system-x86_64')).to.deep.equal([]));

  const open = (options: Partial<VmOptions>): Promise<VmHost> =>
    openVmHost({ ...inputs, accelerator: 'tcg', ...options });

  /** A FAKE helper: a shell script that greets as the helper does, and runs no program. */
  const fakeHelper = async (script: string) => {
    const path = join(folder, 'fake-helper');
    const text = `#!/bin/sh\necho "vfio-conform-helper 1 ${OPS_HASH} $(uname -r) 4096 7"\n${script}\n`;
    await writeFile(path, text);
    return { path, sha256: createHash('sha256').update(text).digest('hex') };
  };

  const takenPort = async () => {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const address = server.address();
    return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, free: () => server.close() };
  };

  it('takes another port when the first is taken; tells that a helper was killed and the guest was not', async () => {
    const taken = await takenPort();
    const offered = [taken.port];
    const helper = await fakeHelper('read -r frame; read -r line; echo begin 1; kill -9 $$');
    const host = await open({
      helper,
      iommu: iommuProfileNamed('intel-48'),
      moduleParameters: { vfio_iommu_type1: ['dma_entry_limit=64'] },
      choosePort: async () => offered.shift() ?? freePort(),
    });
    try {
      expect(offered).to.deep.equal([]);
      expect(host.facts.platform.dmaEntryLimit).to.equal(64);
      expect(host.facts.platform.iommu.aperture.end).to.equal((1n << 48n) - 1n);
      const { ending } = await host.run(program('main exec\n'), DEADLINES);
      expect(ending).to.have.property('kind', 'lost');
      expect(ending)
        .to.have.property('reason')
        .that.matches(/; the guest itself still answers$/);
    } finally {
      await host.close();
      taken.free();
    }
  });

  it('says that no port is free', async () => {
    const taken = await takenPort();
    expect(await troubleOf(open({ choosePort: async () => taken.port }))).to.match(
      /^QEMU found 5 TCP ports .* try again$/,
    );
    taken.free();
  });

  it('says that a guest does not answer, with what it said last', async () => {
    // The first program waits for input that never comes.
    expect(await troubleOf(open({ commandLine: 'rdinit=/bin/cat', bootMs: 1500 }))).to.match(
      /^the guest did not answer within 1.5 s; /,
    );
  });

  it('ends a guest that is not wanted any more before it is up', async () => {
    const end = new AbortController();
    const opening = open({
      signal: end.signal,
      choosePort: async () => {
        setTimeout(() => end.abort(), 200);
        return freePort();
      },
    });
    expect(await troubleOf(opening)).to.match(/^QEMU was ended by SIGKILL/);
    expect(await troubleOf(open({ signal: end.signal }))).to.match(/^QEMU was ended by SIGKILL/);
  });

  it('says that a guest died while it started', async () => {
    expect(await troubleOf(open({ commandLine: 'rdinit=/bin/false' }))).to.match(
      /^the guest died while it started: .*Kernel panic - not syncing: Attempted to kill init/,
    );
  });

  it('says what is wrong with a module that was given', async () => {
    const path = join(folder, 'broken.ko');
    await writeFile(path, 'not a module');
    expect(await troubleOf(open({ modules: [path] }))).to.equal(
      'the guest is of no use: the module broken.ko cannot be loaded',
    );
  });

  it('refuses a helper that is not the one that was built', async () => {
    expect(await troubleOf(open({ helper: { ...inputs.helper, sha256: '00' } }))).to.match(
      /SHA-256 [0-9a-f]{64}, expected 00/,
    );
  });

  it('refuses a guest that runs another kernel', async () => {
    expect(await troubleOf(open({ kernel: { ...inputs.kernel, release: '6.1.0-0-amd64' } }))).to.match(
      /^the guest runs Linux \S+, expected 6.1.0-0-amd64/,
    );
  });

  it('says that QEMU is missing, and where to get it', async () => {
    const bin = join(folder, 'bin');
    await mkdir(bin);
    for (const { program: name } of REQUIREMENTS.filter((one) => one.program !== 'qemu-system-x86_64')) {
      await symlink(await needProgram(name), join(bin, basename(name)));
    }
    const path = process.env['PATH'];
    process.env['PATH'] = bin;
    try {
      expect(await troubleOf(open({}))).to.equal(
        'qemu-system-x86_64 is not installed (runs the kernel under test): apt-get install qemu-system-x86',
      );
    } finally {
      process.env['PATH'] = path;
    }
  });
});
