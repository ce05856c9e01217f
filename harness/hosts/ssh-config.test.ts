import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { parseSettings, readSshSettings } from './ssh-config.ts';

const BASE = `host lab1
user root
hostname 10.0.0.7
port 22
identitiesonly no
userknownhostsfile ~/.ssh/known_hosts /etc/%h/known
globalknownhostsfile /etc/ssh/ssh_known_hosts
identityfile ~/.ssh/id_ed25519
identityfile %d/keys/%r@%h-100%%
proxyjump none
`;

describe('hosts/ssh-config', () => {
  it('reads what ssh prints', () => {
    expect(parseSettings(BASE, '/run/agent')).to.deep.equal({
      host: '10.0.0.7',
      port: 22,
      user: 'root',
      knownAs: '10.0.0.7',
      knownHostsFiles: [`${homedir()}/.ssh/known_hosts`, '/etc/10.0.0.7/known', '/etc/ssh/ssh_known_hosts'],
      identityFiles: [`${homedir()}/.ssh/id_ed25519`, `${homedir()}/keys/root@10.0.0.7-100%`],
      agent: '/run/agent',
    });
  });

  const variants: readonly [what: string, from: string, to: string, changes: object][] = [
    ['another port', 'port 22', 'port 2222', { port: 2222, knownAs: '[10.0.0.7]:2222' }],
    ['another name for the host key', 'port 22', 'port 2222\nhostkeyalias lab', { knownAs: 'lab' }],
    ['machines to go through', 'proxyjump none', 'proxyjump a,b@c:2', { jump: 'a,b@c:2' }],
    ['an agent of its own', 'port 22', 'port 22\nidentityagent ~/agent', { agent: `${homedir()}/agent` }],
    ['the agent of the environment', 'port 22', 'port 22\nidentityagent SSH_AUTH_SOCK', { agent: '/run/agent' }],
    [
      'no known_hosts',
      'userknownhostsfile ~/.ssh/known_hosts /etc/%h/known',
      'userknownhostsfile none',
      { knownHostsFiles: ['/etc/ssh/ssh_known_hosts'] },
    ],
  ];
  for (const [what, from, to, changes] of variants) {
    it(`reads ${what}`, () => {
      expect(BASE).to.contain(from);
      expect(parseSettings(BASE.replace(from, to), '/run/agent')).to.deep.include(changes);
    });
  }

  it('asks no agent when only the named keys may be used, or there is none', () => {
    expect(parseSettings(BASE.replace('identitiesonly no', 'identitiesonly yes'), '/run/agent')).not.to.have.property(
      'agent',
    );
    expect(parseSettings(BASE, undefined)).not.to.have.property('agent');
    expect(parseSettings(`${BASE}identityagent none\n`, undefined)).not.to.have.property('agent');
  });

  it('refuses what it cannot do', () => {
    expect(() => parseSettings(BASE.replace('proxyjump none', 'proxycommand nc %h %p'), undefined)).to.throw(
      HostTrouble,
      /use ProxyJump/,
    );
  });

  describe('asking ssh', () => {
    let folder = '';
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    });
    after(() => rm(folder, { recursive: true }));

    it('follows patterns and included files', async () => {
      await writeFile(join(folder, 'more'), 'Host lab*\n  Port 2222\n  HostName %h.example.org\n');
      await writeFile(join(folder, 'config'), `Include ${join(folder, 'more')}\nHost *\n  User tester\n`);
      const settings = await readSshSettings('lab1', join(folder, 'config'));
      expect(settings).to.include({
        host: 'lab1.example.org',
        port: 2222,
        user: 'tester',
        knownAs: '[lab1.example.org]:2222',
      });
      expect(await readSshSettings('me@other', join(folder, 'config'))).to.include({
        host: 'other',
        port: 22,
        user: 'me',
      });
    });

    it('says which line ssh does not like', async () => {
      await writeFile(join(folder, 'broken'), 'Host *\n  Prot 22\n');
      const cause = await readSshSettings('lab1', join(folder, 'broken')).catch((error: unknown) => error);
      expect(cause).to.be.instanceOf(HostTrouble);
      expect(String(cause)).to.match(
        /does not take its configuration for lab1: .*line 2: Bad configuration option: prot$/,
      );
    });

    for (const name of ['-oProxyCommand=id', '', 'a b', 'a;b', 'user@-x', '$(id)', 'a\nb']) {
      it(`takes no name for a host that is none: ${JSON.stringify(name)}`, async () => {
        expect(await readSshSettings(name).catch((error: unknown) => error)).to.be.instanceOf(UsageTrouble);
      });
    }
  });
});
