import { expect } from 'chai';
import { type BuiltHelper, buildHelper } from '../helper/build.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { checkLab } from './check.ts';
import { type Lab, parseHostsFile } from './hosts-file.ts';
import { connectToLab } from './lab.ts';
import { childrenOf, until } from './testing.ts';
import { openSshd, type TestSshd } from './testing-sshd.ts';

describe('hosts/check', () => {
  let server: TestSshd;
  let helper: BuiltHelper;
  before(async () => {
    helper = await buildHelper(cacheFolder());
    server = await openSshd();
  });
  after(() => server.end());
  afterEach(() => until(() => childrenOf(server.process().pid ?? 0).length === 0));

  /** A host of these lines; the device is one that no machine has. */
  const lab = (...lines: readonly string[]): Lab => {
    const own = [`lock: ${server.at('lock')}`, "devices: ['ffff:ff:1f.7']"];
    const text = [
      'hosts:',
      '  - name: lab1',
      ...own.map((line) => `    ${line}`),
      ...lines.map((line) => `    ${line}`),
    ];
    const [one] = parseHostsFile(text.join('\n'), 'hosts.yaml');
    return one ?? expect.fail('no host');
  };

  const ways: Readonly<Record<string, readonly string[]>> = {
    'ssh2 by its alias': ['ssh: lab1'],
    'ssh2 through another machine': ['ssh: lab1', 'jump: lab2'],
    'the ssh of this machine': ['ssh: lab1', 'transport: system'],
  };
  for (const [what, lines] of Object.entries(ways)) {
    it(`reaches a machine with ${what}, and looks at all of it`, async () => {
      const findings = await checkLab(lab(...lines), { helper, sshConfig: server.config });
      expect(findings.filter(({ ok }) => ok).map((one) => one.what)).to.include.members([
        'way',
        'lease',
        'clock',
        'helper',
        'kernel',
      ]);
      const devices = findings.find((one) => one.what === 'devices');
      expect([devices?.ok, devices?.says]).to.deep.equal([false, 'ffff:ff:1f.7 is not there']);
    });
  }

  it('reaches a machine by its address, with the key that is named', async () => {
    const words = ['address: 127.0.0.1', `port: ${server.port}`, `key: ${server.at('client_key')}`];
    for (const transport of ['ssh2', 'system']) {
      const connection = await connectToLab(lab(...words, `transport: ${transport}`), server.config);
      expect((await connection.run('cat', Buffer.from('x\n'))).stdout.trim()).to.equal('x');
      connection.close();
      expect(connection.over).to.contain('closed by us');
    }
  });

  const troubles: readonly [what: string, lines: readonly string[], finding: string, says: RegExp][] = [
    ['its host key changed', ['ssh: changed'], 'way', /^the host key of lab1 has changed/],
    ['its host key changed (ssh)', ['ssh: changed', 'transport: system'], 'way', /verification failed/],
    ['it refuses our key', ['ssh: stranger'], 'way', /^lab1 refuses our SSH key/],
    ['it refuses our key (ssh)', ['ssh: stranger', 'transport: system'], 'way', /Permission denied/],
    ['nothing listens', ['ssh: closed'], 'way', /nothing listens there/],
    ['nothing listens (ssh)', ['ssh: closed', 'transport: system'], 'way', /Connection refused/],
    ['another kernel runs', ['ssh: lab1', "kernel: '^2\\.6'"], 'kernel', /expected one like \^2\\\.6/],
    ['a device cannot be bound', ['ssh: lab1', 'bind: true'], 'devices', /ffff:ff:1f\.7: there is no such device/],
  ];
  for (const [what, lines, finding, says] of troubles) {
    it(`says so when ${what}`, async () => {
      const findings = await checkLab(lab(...lines), { helper, sshConfig: server.config });
      const found = findings.find((one) => one.what === finding && !one.ok);
      expect(found?.says).to.match(says);
    });
  }

  it('says how far off a clock is', async () => {
    const now = () => Date.now() + 3_600_000;
    const findings = await checkLab(lab('ssh: lab1'), { helper, sshConfig: server.config, now });
    expect(findings.find(({ what }) => what === 'clock')?.says).to.match(
      /^the clock of lab1 is 3[56]\d\d s off: set it$/,
    );
  });
});
