import { mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { Kernel } from './fetch.ts';
import { type BootSettings, buildInitramfs } from './initramfs.ts';
import { createClientKey, createHostKey } from './keys.ts';
import { needProgram } from './requirements.ts';

/** The header of an archive's first entry: its form, and number 1. */
const FIRST_ENTRY = '07070100000001';

describe('kernels/initramfs', () => {
  let folder = '';
  let kernel: Kernel;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    for (const name of ['vfio', 'vfio_pci']) await writeFile(join(folder, `${name}.ko`), `stock ${name}`);
    await writeFile(join(folder, 'vfio-pci.ko'), 'patched vfio_pci');
    await writeFile(join(folder, 'probe.ko'), 'probe');
    kernel = {
      name: '6.1',
      release: '6.1.0-1-amd64',
      image: '/nowhere',
      modules: ['vfio', 'vfio_pci'].map((name) => ({ name, path: join(folder, `${name}.ko`) })),
      commandLine: '',
      packages: [],
      notes: [],
    };
  });
  after(() => rm(folder, { recursive: true }));

  const SETTINGS: BootSettings = {
    hostKey: createHostKey(),
    clientKey: createClientKey(),
    devices: ['0000:00:04.0'],
    moduleParameters: {},
    modules: [],
  };

  /** Unpacks the image as the kernel does, one archive after the other; reads a file of it. */
  const unpacked = async (changes: Partial<BootSettings>): Promise<(path: string) => Promise<string>> => {
    const image = Buffer.from(await buildInitramfs(kernel, { ...SETTINGS, ...changes }));
    const root = await mkdtemp(join(folder, 'root-'));
    const second = image.indexOf(FIRST_ENTRY, FIRST_ENTRY.length);
    for (const archive of [image.subarray(0, second), image.subarray(second)]) {
      await execa(await needProgram('busybox'), ['cpio', '-idmu', '--quiet'], {
        input: archive,
        cwd: root,
        // Only root may make a device.
        reject: false,
      });
    }
    return (path) => readFile(join(root, path), 'utf8');
  };

  it('has the same bytes for the same inputs, and others for another key', async () => {
    const [one, two] = [await buildInitramfs(kernel, SETTINGS), await buildInitramfs(kernel, SETTINGS)];
    expect(Buffer.compare(one, two)).to.equal(0);
    const other = await buildInitramfs(kernel, { ...SETTINGS, hostKey: createHostKey() });
    expect(Buffer.compare(one, other)).not.to.equal(0);
  });

  it('lists modules in order, with their parameters, and the devices', async () => {
    const read = await unpacked({ moduleParameters: { vfio: ['a=1', 'b=2'] } });
    expect(await read('/etc/vfio-conform/modules')).to.equal('vfio.ko a=1 b=2\nvfio_pci.ko\n');
    expect(await read('/etc/vfio-conform/devices')).to.equal('0000:00:04.0\n');
    expect(await read('/root/.ssh/authorized_keys')).to.equal(`${SETTINGS.clientKey.authorizedKey}\n`);
  });

  it('lets a module that is given take the place of the stock one, and loads others last', async () => {
    const read = await unpacked({ modules: [join(folder, 'probe.ko'), join(folder, 'vfio-pci.ko')] });
    expect(await read('/lib/modules/vfio.ko')).to.equal('stock vfio');
    expect(await read('/lib/modules/vfio_pci.ko')).to.equal('patched vfio_pci');
    expect(await read('/etc/vfio-conform/modules')).to.equal('vfio.ko\nvfio_pci.ko\nprobe.ko\n');
  });

  it('loads a further module of the kernel only where it is asked for, before the others', async () => {
    kernel = { ...kernel, further: [{ name: 'driver', path: join(folder, 'driver.ko') }] };
    await writeFile(join(folder, 'driver.ko'), 'an IOMMU driver');
    const without = await unpacked({ further: ['another'] });
    expect(await without('/etc/vfio-conform/modules')).to.equal('vfio.ko\nvfio_pci.ko\n');
    const read = await unpacked({ further: ['driver'] });
    expect(await read('/etc/vfio-conform/modules')).to.equal('driver.ko\nvfio.ko\nvfio_pci.ko\n');
    expect(await read('/lib/modules/driver.ko')).to.equal('an IOMMU driver');
  });

  it('brings the programs of the guest with everything they are linked with', async () => {
    const image = Buffer.from(await buildInitramfs(kernel, SETTINGS));
    const root = await mkdtemp(join(folder, 'root-'));
    await execa(await needProgram('busybox'), ['cpio', '-idm', '--quiet'], { input: image, cwd: root, reject: false });
    expect(await readlink(join(root, 'bin/sh'))).to.equal('busybox');
    const interpreter = (await execa('sh', ['-c', 'ls lib64/ld-linux-x86-64.so.2'], { cwd: root })).stdout;
    const listed = await execa(join(root, interpreter), [
      '--library-path',
      join(root, 'lib/x86_64-linux-gnu'),
      '--list',
      join(root, 'bin/dropbear'),
    ]);
    expect(listed.stdout).to.contain(root).and.not.to.contain('not found');
  });

  const mistakes: readonly [what: string, changes: () => Partial<BootSettings>, message: RegExp][] = [
    [
      'parameters of a module that is not there',
      () => ({ moduleParameters: { nvme: ['a=1'] } }),
      /^parameters were given for nvme/,
    ],
    [
      'a module that cannot be read',
      () => ({ modules: [join(folder, 'absent.ko')] }),
      /^cannot read the module .*absent.ko: ENOENT/,
    ],
  ];
  for (const [what, changes, message] of mistakes) {
    it(`refuses ${what}`, async () => {
      const cause = await buildInitramfs(kernel, { ...SETTINGS, ...changes() }).catch((error: unknown) => error);
      expect(cause).to.be.instanceOf(HostTrouble).with.property('message').that.matches(message);
    });
  }
});
