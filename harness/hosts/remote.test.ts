import { chmod, readdir, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { expect } from 'chai';
import { execa } from 'execa';
import { type BuiltHelper, buildHelper } from '../helper/build.ts';
import { cacheFolder } from '../kernels/cache.ts';
import type { Run } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import type { Host } from './host.ts';
import { openLabConsole } from './lab-console.ts';
import { localFiles } from './local.ts';
import { openRemoteHost, type RemoteOptions } from './remote.ts';
import { openRemoteFiles } from './remote-files.ts';
import { connectByName } from './ssh-target.ts';
import { childrenOf, isRunning, parentOf, troubleOf, until } from './testing.ts';
import { openSshd, type TestSshd } from './testing-sshd.ts';

const DEADLINES = { stepMs: 2000, programMs: 20_000 };
const VERSION = parseProgram('main cat /proc/version\n');
/** Waits for what never comes, so that there is time to cut it off. */
const WAIT = parseProgram(
  'main open version /proc/version flags=r\nmain mem ram 0x1000\nmain await ram 0 4 0xff 1 15000\n',
);

describe('hosts/remote', () => {
  let server: TestSshd;
  let config = '';
  let helper: BuiltHelper;
  const opened: Host[] = [];
  const at = (name: string): string => server.at(name);

  before(async () => {
    helper = await buildHelper(cacheFolder());
    server = await openSshd();
    ({ config } = server);
  });
  after(() => server.end());
  afterEach(async () => {
    for (const host of opened.splice(0)) await host.close();
    await until(() => childrenOf(server.process().pid ?? 0).length === 0);
    expect((await readdir('/tmp')).filter((name) => /^vfio-conform\.[A-Za-z0-9]{6}$/.test(name))).to.deep.equal([]);
  });

  const open = async (options: Partial<RemoteOptions> = {}): Promise<Host> => {
    const host = await openRemoteHost({
      name: 'lab1',
      helper,
      devices: [],
      sshConfig: config,
      comesBackMs: 0,
      ...options,
    });
    opened.push(host);
    return host;
  };

  /** The one helper that runs for the sshd of this test: one of its sessions started a shell, and that the helper; others may be ending. */
  const helperPid = (): number => {
    const shells = childrenOf(server.process().pid ?? 0).flatMap((session) => childrenOf(session));
    const [helperId] = shells.flatMap((shell) => childrenOf(shell));
    return helperId ?? expect.fail('no helper runs');
  };

  /** Starts a program that waits, and gives control once it does. */
  const startWaiting = async (host: Host): Promise<{ readonly run: Promise<Run>; readonly pid: number }> => {
    const pid = helperPid();
    const run = host.run(WAIT, DEADLINES);
    await until(() => childrenOf(pid).length > 0);
    return { run, pid };
  };

  const lostReason = ({ ending }: Run): string =>
    ending.kind === 'lost' ? ending.reason : `not lost but ${ending.kind}`;

  it('says what it is, and runs programs', async () => {
    const host = await open();
    expect(host.facts).to.include({ name: 'ssh:lab1', kernel: release() });
    expect(host.facts.platform.groups).to.deep.equal([]);
    const run = await host.run(VERSION, DEADLINES);
    expect(run.ending).to.deep.equal({ kind: 'done' });
  });

  it('reads the files of the machine as they are', async () => {
    const connection = await connectByName('lab1', config);
    const files = await openRemoteFiles(connection, 'lab1');
    await writeFile(at('odd file'), '  two blanks \\n\n\nno end');
    try {
      expect(await files.read(at('odd file'))).to.equal('  two blanks \\n\n\nno end\n');
      expect(await files.read(at('no_hosts'))).to.equal('');
      for (const path of ['/proc/cmdline', '/sys/kernel/mm/transparent_hugepage/enabled', '/nothing', server.folder]) {
        expect(await files.read(path), path).to.equal(await localFiles.read(path));
      }
      expect(await files.list(server.folder)).to.have.members(await readdir(server.folder));
      expect(await files.list('/nothing')).to.equal(undefined);
      expect(await files.link('/proc/self/exe')).to.match(/^\//);
      expect(await files.link('/proc/cmdline')).to.equal(undefined);
      expect(await files.read('/proc/version\nread /etc/passwd')).to.equal(undefined);
    } finally {
      files.close();
      connection.close();
    }
  });

  it('goes through another machine', async () => {
    const host = await open({ name: 'jumped' });
    expect((await host.run(VERSION, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('is reached once more when it goes down while it is made ready', async () => {
    let times = 0;
    const host = await open({
      comesBackMs: 60_000,
      prepare: async (connection) => {
        times++;
        if (times !== 2) return;
        for (const session of childrenOf(server.process().pid ?? 0)) process.kill(session, 'SIGKILL');
        await connection.run('true');
      },
    });
    await host.recover();
    expect(times).to.equal(3);
    expect((await host.run(VERSION, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('tells that the helper was killed in mid-program, and starts another', async () => {
    const host = await open();
    const { run, pid } = await startWaiting(host);
    process.kill(pid, 'SIGKILL');
    expect(lostReason(await run)).to.match(/; the machine itself still answers$/);
    expect(await troubleOf(host.run(VERSION, DEADLINES))).to.contain('the session with the helper is over');
    await host.recover();
    expect(helperPid()).not.to.equal(pid);
    expect((await host.run(VERSION, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('tells that the connection was cut in mid-program, and leaves no helper behind', async () => {
    const host = await open();
    const { run, pid } = await startWaiting(host);
    process.kill(parentOf(parentOf(pid)), 'SIGKILL');
    expect(lostReason(await run)).to.match(/; the machine itself still answers$/);
    expect((await run).observations.length).to.be.lessThan(3);
    await until(() => !isRunning(pid));
    await host.recover();
    expect((await host.run(VERSION, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('is closed once and for all, also in mid-program', async () => {
    const host = await open();
    const { run, pid } = await startWaiting(host);
    await host.close();
    await host.close();
    expect((await run).ending).to.have.property('kind', 'lost');
    expect(await troubleOf(host.run(VERSION, DEADLINES))).to.equal('the host ssh:lab1 was closed');
    expect(await troubleOf(host.recover())).to.equal('the host ssh:lab1 was closed');
    await until(() => !isRunning(pid));
  });

  it('tells that the machine cannot be reached any more', async () => {
    const host = await open();
    const { run, pid } = await startWaiting(host);
    const session = parentOf(parentOf(pid));
    const sshd = server.process();
    sshd.kill('SIGKILL');
    await new Promise((ended) => sshd.once('exit', ended));
    process.kill(session, 'SIGKILL');
    expect(lostReason(await run)).to.match(/; cannot reach ssh:lab1 .* nothing listens there/);
    expect(await troubleOf(host.recover())).to.match(/^cannot reach ssh:lab1 /);
    await server.start();
    await host.recover();
  });

  it('is booted by force when it does not come back, where that is possible', async () => {
    let revived = 0;
    const revive = async (): Promise<void> => {
      revived++;
      await server.start();
    };
    const host = await open({ revive });
    const sshd = server.process();
    const session = childrenOf(sshd.pid ?? 0)[0] ?? 0;
    sshd.kill('SIGKILL');
    await new Promise((ended) => sshd.once('exit', ended));
    process.kill(session, 'SIGKILL');
    await host.recover();
    expect(revived).to.equal(1);
    expect((await host.run(VERSION, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
  });

  it('has its console read, which tells that its kernel panicked', async () => {
    const lines = ['[ 1.0] Oops: 0002', '[ 1.1] Kernel panic - not syncing: Fatal exception'];
    const console = openLabConsole(['sh', '-c', 'printf "%s\\n" "$@"; cat', 'sh', ...lines]);
    await until(() => console.shown().lines().length === 2);
    const host = await open({ console });
    const { run, pid } = await startWaiting(host);
    process.kill(pid, 'SIGKILL');
    expect((await run).ending).to.deep.equal({ kind: 'panicked', console: lines });
    // What a machine said before is not said of it again.
    console.startAnew();
    expect(console.shown().since('panic', 1)).to.equal(undefined);
  });

  const refusals: readonly [what: string, options: Partial<RemoteOptions>, message: RegExp][] = [
    [
      'its host key has changed',
      { name: 'changed' },
      /^the host key of ssh:changed has changed: .*ssh-keygen -R '\[127.0.0.1\]:\d+'/,
    ],
    ['its host key is not known', { name: 'unknown' }, /^the host key of ssh:unknown is not known \(SHA256:/],
    ['it refuses our key', { name: 'stranger' }, /^ssh:stranger refuses our SSH key as /],
    ['nothing listens', { name: 'closed' }, /^cannot reach ssh:closed \(127.0.0.1 port 1\): nothing listens there/],
    [
      'it runs another kernel',
      { kernelRelease: '2.6.32' },
      /^ssh:lab1 runs Linux \S+, expected 2.6.32: boot that kernel there$/,
    ],
    [
      'the helper is not the one that was built',
      { helper: { path: '/bin/true', sha256: '00' } },
      /^the helper on ssh:lab1 has SHA-256 [0-9a-f]{64}, expected 00/,
    ],
    ['a device is not there', { devices: ['ffff:ff:1f.7'] }, /^there is no PCI device ffff:ff:1f.7/],
  ];
  for (const [what, options, message] of refusals) {
    it(`refuses a machine and says why when ${what}`, async () => {
      expect(await troubleOf(open(options))).to.match(message);
    });
  }

  it('says what a helper said that does not start', async () => {
    const path = at('broken-helper');
    await writeFile(path, '#!/bin/sh\necho cannot map memory >&2\n');
    await chmod(path, 0o755);
    const { stdout } = await execa('sha256sum', [path]);
    expect(await troubleOf(open({ helper: { path, sha256: stdout.slice(0, 64) } }))).to.match(
      /^the helper did not answer: .* \(on ssh:lab1: cannot map memory\)$/,
    );
  });
});
