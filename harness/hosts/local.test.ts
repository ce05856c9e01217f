import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { OPS_HASH } from '../program/ops.ts';
import { parseProgram } from '../program/text.ts';
import { HostTrouble } from '../trouble.ts';
import { localFiles, openLocalHost } from './local.ts';

const GREETING = `vfio-conform-helper 1 ${OPS_HASH} 6.1.0 4096 7`;
const DEADLINES = { stepMs: 1000, programMs: 60_000 };
const PROGRAM = parseProgram('main exec\n');

describe('hosts/local', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-local-'));
  });
  after(() => rm(folder, { recursive: true }));

  /** A FAKE helper: a shell script that says what it is told to say. It runs no program. */
  const fakeHelper = async (name: string, script: string) => {
    const path = join(folder, name);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return {
      path,
      sha256: createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    };
  };

  const troubleOf = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).to.be.instanceOf(HostTrouble);
    return (error as HostTrouble).message;
  };

  it('says what it is', async () => {
    const helper = await fakeHelper('patient', `echo '${GREETING}'; cat >/dev/null`);
    const host = await openLocalHost({ helper, devices: [] });
    expect(host.facts.name).to.equal('local');
    expect(host.facts.kernel).to.equal('6.1.0');
    expect(host.facts.platform.pageSizeBytes).to.equal(4096);
    await host.close();
    await host.close();
    expect(await troubleOf(host.run(PROGRAM, DEADLINES))).to.equal('the local host was closed');
  });

  it('starts another helper when it recovers', async () => {
    const script = `echo '${GREETING}'; read -r frame; read -r line; echo begin 1; test -e ${join(folder, 'died')} || { touch ${join(folder, 'died')}; echo no memory left >&2; kill -9 $$; }; echo 'end 1 5 done'; cat >/dev/null`;
    const host = await openLocalHost({ helper: await fakeHelper('mortal', script), devices: [] });
    const first = await host.run(PROGRAM, DEADLINES);
    expect(first.ending).to.have.property('kind', 'lost');
    expect(first.ending)
      .to.have.property('reason')
      .that.matches(/; the helper was ended by SIGKILL; no memory left$/);
    expect(await troubleOf(host.run(PROGRAM, DEADLINES))).to.contain('the session with the helper is over');
    await host.recover();
    expect((await host.run(PROGRAM, DEADLINES)).ending).to.deep.equal({ kind: 'done' });
    await host.close();
  });

  it('refuses a helper that is not the one that was built', async () => {
    const { path } = await fakeHelper('changed', 'exit 0');
    expect(await troubleOf(openLocalHost({ helper: { path, sha256: '00' }, devices: [] }))).to.match(
      /has SHA-256 [0-9a-f]{64}, expected 00: build it again/,
    );
  });

  it('refuses a helper that is not there', async () => {
    const helper = { path: join(folder, 'nothing'), sha256: '00' };
    expect(await troubleOf(openLocalHost({ helper, devices: [] }))).to.match(/^cannot read the helper .*ENOENT/);
  });

  it('says how a helper ended that never greeted', async () => {
    const helper = await fakeHelper('broken', 'echo cannot map memory >&2; exit 3');
    expect(await troubleOf(openLocalHost({ helper, devices: [] }))).to.match(
      /\(the helper exited with 3; cannot map memory\)$/,
    );
  });

  it('says when the helper cannot be started', async () => {
    const helper = await fakeHelper('closed', 'exit 0');
    await chmod(helper.path, 0o644);
    expect(await troubleOf(openLocalHost({ helper, devices: [] }))).to.match(/EACCES/);
  });

  it('refuses a device that is not there, and leaves no helper behind', async () => {
    const pidFile = join(folder, 'pid');
    const helper = await fakeHelper('left', `echo $$ > ${pidFile}; echo '${GREETING}'; cat >/dev/null`);
    expect(await troubleOf(openLocalHost({ helper, devices: ['ffff:ff:1f.7'] }))).to.contain(
      'there is no PCI device ffff:ff:1f.7',
    );
    const pid = Number(await readFile(pidFile, 'utf8'));
    expect(() => process.kill(pid, 0)).to.throw('ESRCH');
  });

  it('reads the files of this machine', async () => {
    expect(await localFiles.read('/proc/self/stat')).to.contain(`${process.pid} `);
    expect(await localFiles.list('/proc/self/fd')).to.include('0');
    expect(await localFiles.link('/proc/self')).to.equal(`${process.pid}`);
    expect(await localFiles.read('/nothing')).to.equal(undefined);
    expect(await localFiles.list('/nothing')).to.equal(undefined);
    expect(await localFiles.link('/nothing')).to.equal(undefined);
  });
});
