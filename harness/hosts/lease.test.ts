import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { holderOf, type Lease, type Shell, takeLease } from './lease.ts';
import { leased } from './leased.ts';
import { localShell } from './local-shell.ts';
import type { SshConnection } from './ssh.ts';
import { connectByName } from './ssh-target.ts';
import { troubleOf, until } from './testing.ts';
import { openSshd, type TestSshd } from './testing-sshd.ts';

/** Controllers that are apart: each has connections of its own to the one machine. */
describe('hosts/lease', () => {
  let server: TestSshd;
  let connection: SshConnection;
  let folder: string;
  let count = 0;
  const held: Lease[] = [];
  before(async () => {
    server = await openSshd();
    connection = await connect();
  });
  beforeEach(() => {
    folder = server.at(`lock${count++}`);
  });
  afterEach(async () => {
    for (const lease of held.splice(0)) await lease.leave();
  });
  after(async () => {
    connection.close();
    await server.end();
  });

  const connect = (): Promise<SshConnection> => connectByName('lab1', server.config);
  const take = async (owner: string, seconds = 300): Promise<Lease> => {
    const lease = await takeLease('lab1', connect, { folder, owner, seconds });
    held.push(lease);
    return lease;
  };
  const who = async () => (await holderOf('lab1', connection, { folder }))?.owner;

  /** Rewrites the times of the lease, as if they had passed. */
  const age = async (seconds: number): Promise<void> => {
    const [first = '', owner = ''] = (await readFile(join(folder, 'lease'), 'utf8')).split('\n');
    const [token, since, until] = first.split(' ');
    await writeFile(
      join(folder, 'lease'),
      `${token} ${Number(since) - seconds} ${Number(until) - seconds}\n${owner}\n`,
    );
  };

  /** Has another controller take it over, as it may once its time is out. */
  const takeOver = async (owner: string): Promise<void> => {
    const now = Math.floor(Date.now() / 1000);
    await writeFile(join(folder, 'lease'), `another-token ${now} ${now + 300}\n${owner}\n`);
  };

  it('is one controller’s at a time, and free when that leaves', async () => {
    expect(await who()).to.equal(undefined);
    const first = await take('one');
    expect(await who()).to.equal('one');
    expect(await troubleOf(take('two'))).to.match(
      /^lab1 is taken: one, since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, for another \d+ s unless it is refreshed; wait/,
    );
    await first.leave();
    expect(await who()).to.equal(undefined);
    await take('two');
    expect(await who()).to.equal('two');
  });

  it('is waited for as long as one has patience', async () => {
    const first = await take('one');
    const said: string[] = [];
    const terms = { folder, owner: 'two', say: (line: string) => void said.push(line) };
    const second = takeLease('lab1', connect, { ...terms, waitMs: 60_000 });
    await until(() => said.length > 0);
    expect(said[0]).to.match(/^lab1 is taken: one, since .*; waiting$/);
    await first.leave();
    held.push(await second);
    expect(await who()).to.equal('two');
    expect(said).to.have.length(1);
  });

  it('is the same for runs on the machine itself', async () => {
    held.push(await takeLease('local', async () => localShell, { folder, owner: 'here' }));
    expect(await who()).to.equal('here');
    expect(await troubleOf(take('two'))).to.match(/^lab1 is taken: here/);
    const local = takeLease('local', async () => localShell, { folder, owner: 'there' });
    expect(await troubleOf(local)).to.match(/^local is taken: here/);
  });

  it('is kept by who finds that the machine forgot it with a boot, and by nobody else', async () => {
    const lease = await take('one');
    await rm(join(folder, 'lease'));
    expect(await troubleOf(lease.renew()), 'in the same boot').to.match(/another took it over, and left$/);
    let boot = 'a';
    const rebooting = async (): Promise<Shell> => ({
      ...localShell,
      run: async (command, input) => {
        const result = await localShell.run(command, input);
        return { ...result, stdout: result.stdout.replace(/(?<= )[0-9a-f-]{36}$/m, boot) };
      },
    });
    const other = await takeLease('lab1', rebooting, { folder, owner: 'two' });
    held.push(other);
    await rm(join(folder, 'lease'));
    boot = 'b';
    await other.renew();
    expect(await who()).to.equal('two');
    await takeOver('three');
    boot = 'c';
    expect(await troubleOf(other.renew())).to.match(/taken over by three/);
  });

  it('goes to one of many that come at once', async () => {
    const tried = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((owner) => take(owner)));
    expect(tried.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
  });

  it('is taken over after its time, not before', async () => {
    await take('one');
    await age(280);
    expect(await troubleOf(take('two'))).to.match(/^lab1 is taken: one/);
    await age(300);
    await take('two');
    expect(await who()).to.equal('two');
  });

  it('tells who lost it so, and what follows', async () => {
    const first = await take('one', 1);
    await takeOver('two');
    expect(await first.lost).to.match(/^the lease of lab1 is lost: taken over by two, since /);
    expect(await troubleOf(first.confirm())).to.match(/taken over by two/);
    await first.leave();
    expect(await who(), 'leaving what is not ours').to.equal('two');
  });

  it('is refreshed while it is held, also by one whose connection was cut', async () => {
    const cut: SshConnection[] = [];
    const lease = await takeLease(
      'lab1',
      async () => {
        const one = await connect();
        cut.push(one);
        return one;
      },
      { folder, owner: 'one', seconds: 2 },
    );
    held.push(lease);
    cut[0]?.close();
    const before = (await holderOf('lab1', connection, { folder }))?.until ?? 0;
    for (;;) {
      const now = await holderOf('lab1', connection, { folder });
      expect(now?.owner).to.equal('one');
      if ((now?.until ?? 0) > before + 2) break;
    }
    expect(cut.length).to.be.greaterThan(1);
  });

  it('keeps a host from being touched once it is lost', async () => {
    const touched: string[] = [];
    const host = leased(
      {
        facts: undefined as never,
        boot: () => 'b1',
        livesOn: true,
        run: async () => {
          touched.push('run');
          return { observations: [], kernelLog: [], durationUs: 0, ending: { kind: 'done' } };
        },
        recover: async () => void touched.push('recover'),
        abandon: () => void touched.push('abandon'),
        close: async () => undefined,
      },
      await take('one', 1),
    );
    const program = { lets: {}, steps: [] };
    await host.run(program, { stepMs: 1, programMs: 1 });
    await takeOver('two');
    await held[0]?.lost;
    expect(touched).to.deep.equal(['run', 'abandon']);
    expect(await troubleOf(host.run(program, { stepMs: 1, programMs: 1 }))).to.match(/taken over by two/);
    expect(await troubleOf(host.recover())).to.match(/taken over by two/);
    expect(touched).to.deep.equal(['run', 'abandon']);
  });

  it('says so when it cannot be kept', async () => {
    await writeFile(folder, 'a file where the folder should be');
    expect(await troubleOf(take('one'))).to.match(/^the lease of lab1 cannot be kept: mkdir: /);
  });
});
