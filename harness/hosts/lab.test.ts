import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildInitramfs } from '../kernels/initramfs.ts';
import { createClientKey, createHostKey } from '../kernels/keys.ts';
import { parseProgram } from '../program/text.ts';
import { checkLab } from './check.ts';
import { type Lab, parseHostsFile } from './hosts-file.ts';
import { connectToLab, openLabHost } from './lab.ts';
import { EDU_ADDRESSES, type Guest, startGuest } from './qemu.ts';
import { bareGuest, troubleOf, vmInputs } from './testing.ts';

const [FIRST, SECOND] = EDU_ADDRESSES;

/** A guest that is reached as a machine of a lab is. */
describe('hosts/lab', () => {
  let folder: string;
  let guest: Guest;
  let inputs: Awaited<ReturnType<typeof vmInputs>>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    inputs = await vmInputs();
    const [hostKey, clientKey] = [createHostKey(), createClientKey()];
    const nothing = { moduleParameters: {}, modules: [] };
    const initramfs = await buildInitramfs(inputs.kernel, { ...nothing, hostKey, clientKey, devices: EDU_ADDRESSES });
    guest = await startGuest({ ...(await bareGuest(inputs.kernel)), initramfs });
    await writeFile(join(folder, 'key'), clientKey.privateKey, { mode: 0o600 });
    const blob = Buffer.from(hostKey.publicBlob);
    const kind = blob.subarray(4, 4 + blob.readUInt32BE(0)).toString();
    await writeFile(join(folder, 'known_hosts'), `[127.0.0.1]:${guest.sshPort} ${kind} ${blob.toString('base64')}\n`);
    await writeFile(
      join(folder, 'config'),
      `UserKnownHostsFile ${join(folder, 'known_hosts')}\nGlobalKnownHostsFile none\n`,
    );
  });
  after(async () => {
    await guest.stop();
    await rm(folder, { recursive: true });
  });

  const lab = (...lines: readonly string[]): Lab => {
    const way = ['address: 127.0.0.1', `port: ${guest.sshPort}`, 'user: root', `key: ${join(folder, 'key')}`];
    const what = ['iommu: vtd', 'addressBits: 39', `devices: ['${FIRST}', '${SECOND}']`];
    const text = ['hosts:', '  - name: guest', ...[...way, ...what, ...lines].map((line) => `    ${line}`)];
    const [one] = parseHostsFile(text.join('\n'), 'hosts.yaml');
    return one ?? expect.fail('no host');
  };
  const options = () => ({ helper: inputs.helper, sshConfig: join(folder, 'config') });

  /** Runs a command there and returns what it prints. */
  const there = async (command: string): Promise<string> => {
    const connection = await connectToLab(lab(), join(folder, 'config'));
    const { stdout } = await connection.run(command);
    connection.close();
    return stdout.trim();
  };
  const driverOf = (address: string): Promise<string> =>
    there(`basename "$(readlink /sys/bus/pci/devices/${address}/driver)"`);

  for (const transport of ['ssh2', 'system']) {
    it(`proves that it can be tested on, through ${transport}`, async () => {
      const findings = await checkLab(lab(`transport: ${transport}`), options());
      expect(findings.filter(({ ok }) => !ok)).to.deep.equal([]);
      expect(findings.map(({ what }) => what)).to.deep.equal([
        ...['way', 'lease', 'clock', 'helper', 'kernel', 'iommu', 'devices', 'groups'],
      ]);
    });
  }

  it('says what is not as the file has it', async () => {
    const amd = await checkLab({ ...lab(), iommu: 'amdvi', addressBits: 48 }, options());
    expect(amd.filter(({ ok }) => !ok).map(({ says }) => says)).to.deep.equal([
      'guest has the IOMMUs dmar0, expected amdvi',
      'the IOMMU of guest translates 39 bits, expected 48',
    ]);
  });

  it('binds devices for the time of a check or a run only, and gives them back as they were', async () => {
    await there(
      `echo > /sys/bus/pci/devices/${FIRST}/driver_override; echo ${FIRST} > /sys/bus/pci/drivers/vfio-pci/unbind`,
    );
    const unbound = await checkLab(lab(), options());
    expect(unbound.find(({ ok }) => !ok)?.says).to.equal(
      `${FIRST} is bound to no driver, not to vfio-pci: bind it, or say bind: true`,
    );

    const bindable = await checkLab(lab('bind: true'), options());
    expect(bindable.filter(({ ok }) => !ok)).to.deep.equal([]);
    expect(bindable.map(({ says }) => says)).to.include(
      'could be bound to vfio-pci (they were bound to: none, vfio-pci)',
    );
    expect([await driverOf(FIRST), await driverOf(SECOND)]).to.deep.equal(['', 'vfio-pci']);

    const host = await openLabHost(lab('bind: true'), options());
    expect(host.facts.name).to.equal('guest');
    expect(host.facts.platform.groups).to.have.length(2);
    const run = await host.run(parseProgram('main open c /dev/vfio/vfio flags=rw\n'), {
      stepMs: 5000,
      programMs: 9000,
    });
    expect(run.ending).to.deep.equal({ kind: 'done' });
    expect(await driverOf(FIRST)).to.equal('vfio-pci');
    await host.close();
    expect([await driverOf(FIRST), await driverOf(SECOND)]).to.deep.equal(['', 'vfio-pci']);
    expect(await there(`cat /sys/bus/pci/devices/${FIRST}/driver_override; ls /run/vfio-conform`)).to.equal('(null)');
  });

  it('refuses another kernel than the file expects', async () => {
    expect(await troubleOf(openLabHost(lab("kernel: '^2'"), options()))).to.match(/^guest runs Linux 6\.1/);
  });
});
