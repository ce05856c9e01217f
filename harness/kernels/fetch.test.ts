import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { HostTrouble } from '../trouble.ts';
import type { AptView } from './apt.ts';
import { fetchKernel } from './fetch.ts';
import { type KernelManifest, readManifest } from './manifest.ts';
import { type Archive, makeArchive } from './testing.ts';

describe('kernels/fetch', () => {
  let folder = '';
  let cache = '';
  let view: AptView = [];
  let packages: Archive['packages'] = new Map();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    const archive = await makeArchive(folder);
    const addPackage = archive.add;
    packages = archive.packages;
    await addPackage('linux-image-6.1.0-9-amd64', '6.1.9-1', KERNEL('6.1.0-9-amd64'));
    await addPackage('linux-image-6.1.0-10-amd64', '6.1.10-1', KERNEL('6.1.0-10-amd64'));
    await addPackage('linux-image-6.1.0-11-amd64-unsigned', '6.1.11-1', KERNEL('6.1.0-11-amd64'));
    await addPackage('linux-image-hollow', '1-1', { '/usr/share/doc/nothing': '' });
    await addPackage('linux-image-unsaid', '1-1', { '/lib/modules/1/kernel/vfio.ko': '' });
    await addPackage('linux-image-headless', '1-1', {
      '/lib/modules/1/kernel/vfio.ko': '',
      '/lib/modules/1/modules.builtin': '',
    });
    await addPackage('linux-image-elsewhere', '7.2-1', {
      '/usr/lib/modules/7.2/vmlinuz': 'an image',
      '/usr/lib/modules/7.2/kernel/vfio.ko': 'a module',
      '/usr/lib/modules/7.2/modules.builtin': '',
    });
    await addPackage('linux-image-lost', '1-1', KERNEL('1'));
    await rm(packages.get('linux-image-lost')?.deb ?? '');
    await addPackage('linux-image-forged', '1-1', KERNEL('1'));
    await writeFile(packages.get('linux-image-forged')?.deb ?? '', 'something else');
    view = await archive.open();
  });
  after(() => rm(folder, { recursive: true }));
  beforeEach(async () => {
    cache = await mkdtemp(join(folder, 'cache-'));
  });

  const KERNEL = (release: string): Readonly<Record<string, string>> => ({
    [`/boot/vmlinuz-${release}`]: `image of ${release}`,
    [`/boot/config-${release}`]: 'CONFIG_VFIO=m\n',
    [`/lib/modules/${release}/kernel/vfio.ko`]: `vfio of ${release}`,
    [`/lib/modules/${release}/kernel/vfio-pci.ko`]: `vfio-pci of ${release}`,
    [`/lib/modules/${release}/modules.builtin`]: '',
  });

  const manifest = (
    name: string,
    changes: Partial<KernelManifest> = {},
    form = name.replaceAll('.', '\\.'),
  ): KernelManifest => {
    const { version = '1-1', sha256 = 'ab'.repeat(32) } = packages.get(name) ?? {};
    return {
      name: '6.1',
      suites: ['bookworm'],
      packages: [{ form, pin: { package: name, version, sha256 } }],
      modules: ['vfio', 'vfio_pci'],
      further: [],
      commandLine: '',
      ...changes,
    };
  };

  const fetch = (wanted: KernelManifest, more: AptView = []) => fetchKernel(wanted, { cache, apt: [...view, ...more] });

  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const cause = await work.catch((error: unknown) => error);
    expect(cause).to.be.instanceOf(HostTrouble);
    const message = cause instanceof HostTrouble ? cause.message : '';
    expect(message).to.match(/^[^\n]+$/);
    const left = await readdir(join(cache, 'kernels')).catch(() => []);
    expect(left.filter((name) => !name.endsWith('.lock'))).to.deep.equal([]);
    return message;
  };

  it('takes the pinned package', async () => {
    const kernel = await fetch(manifest('linux-image-6.1.0-9-amd64'));
    expect(kernel.release).to.equal('6.1.0-9-amd64');
    expect(kernel.packages).to.deep.equal(['linux-image-6.1.0-9-amd64 6.1.9-1']);
    expect(kernel.notes).to.deep.equal([]);
    expect(await readFile(kernel.image, 'utf8')).to.equal('image of 6.1.0-9-amd64');
    expect(kernel.modules.map(({ name }) => name)).to.deep.equal(['vfio', 'vfio_pci']);
    for (const { path } of kernel.modules)
      expect((await readFile(path)).toString('latin1')).to.contain('of 6.1.0-9-amd64');
  });

  it('keeps the configuration, and further modules apart from those that every guest loads', async () => {
    const kernel = await fetch(
      manifest('linux-image-6.1.0-9-amd64', { modules: ['vfio'], further: ['vfio', 'vfio_pci'] }),
    );
    expect(kernel.modules.map(({ name }) => name)).to.deep.equal(['vfio']);
    expect(kernel.further?.map(({ name }) => name)).to.deep.equal(['vfio_pci']);
    expect((await readFile(kernel.further?.[0]?.path ?? '')).toString('latin1')).to.contain('vfio-pci of 6.1.0-9');
    expect(await readFile(kernel.config ?? '', 'utf8')).to.equal('CONFIG_VFIO=m\n');
  });

  it('does without a configuration where the package has none', async () => {
    expect(await fetch(manifest('linux-image-elsewhere', { modules: [] }))).not.to.have.property('config');
  });

  it('asks nobody the second time', async () => {
    const wanted = manifest('linux-image-6.1.0-9-amd64');
    const first = await fetch(wanted);
    expect(await fetchKernel(wanted, { cache, apt: ['--no-such-option'] })).to.deep.equal(first);
  });

  it('gets a kernel again when other modules are wanted', async () => {
    const wanted = manifest('linux-image-6.1.0-9-amd64');
    await fetch(wanted);
    const other = await fetch({ ...wanted, modules: ['vfio'] });
    expect(other.modules.map(({ name }) => name)).to.deep.equal(['vfio']);
  });

  it('falls forward to the newest of the form when the archive dropped the pinned one, and says so', async () => {
    const kernel = await fetch(manifest('linux-image-6.1.0-8-amd64', {}, 'linux-image-6\\.1\\.0-[0-9]+-amd64'));
    expect(kernel.release).to.equal('6.1.0-10-amd64');
    expect(kernel.notes).to.deep.equal([
      'the archive no longer has linux-image-6.1.0-8-amd64 1-1; linux-image-6.1.0-10-amd64 6.1.10-1 is used instead',
    ]);
  });

  it('serves two runs at once with one kernel', async () => {
    const wanted = manifest('linux-image-6.1.0-9-amd64');
    const [one, two] = await Promise.all([fetch(wanted), fetch(wanted)]);
    expect(one).to.deep.equal(two);
    expect((await readdir(join(cache, 'kernels'))).sort()).to.deep.equal(
      [basename(dirname(one.image)), '6.1.lock'].sort(),
    );
  });

  it('finds the image where newer packages have it', async () => {
    const kernel = await fetch(manifest('linux-image-elsewhere', { modules: [] }));
    expect([kernel.release, await readFile(kernel.image, 'utf8')]).to.deep.equal(['7.2', 'an image']);
  });

  const refusals: readonly [what: string, name: string, changes: Partial<KernelManifest>, message: RegExp][] = [
    [
      'the file of a package is not there',
      'linux-image-lost',
      {},
      /^cannot download linux-image-lost 1-1: E: .*\(check the network/,
    ],
    [
      'the file is another one than the index says',
      'linux-image-forged',
      {},
      /^cannot download linux-image-forged 1-1: E: /,
    ],
    ['the package has no modules', 'linux-image-hollow', {}, /^the kernel package holds no modules/],
    ['the package has no image', 'linux-image-headless', { modules: [] }, /^the kernel package holds no kernel image/],
    ['the package says not what is built in', 'linux-image-unsaid', {}, /^the kernel package holds no modules.builtin/],
    [
      'the package lacks a module',
      'linux-image-6.1.0-9-amd64',
      { modules: ['vfio', 'no_such'] },
      /has no module no_such/,
    ],
  ];
  for (const [what, name, changes, message] of refusals) {
    it(`keeps nothing and says why when ${what}`, async () => {
      expect(await refusal(fetch(manifest(name, changes)))).to.match(message);
    });
  }

  it('refuses a pinned package that the archive has with another hash', async () => {
    const wanted = manifest('linux-image-6.1.0-9-amd64');
    const [first] = wanted.packages;
    if (first === undefined) expect.fail();
    const forged = { ...wanted, packages: [{ ...first, pin: { ...first.pin, sha256: '00'.repeat(32) } }] };
    expect(await refusal(fetch(forged))).to.match(/has SHA-256 [0-9a-f]{64}, expected 0{64}/);
  });

  it('says that the network refuses the lists of other suites', async () => {
    const proxy = ['-o', 'Acquire::http::Proxy=http://127.0.0.1:1', '-o', 'Acquire::Retries=0'];
    const wanted = manifest('linux-image-6.1.0-8-amd64');
    expect(await refusal(fetch(wanted, proxy))).to.match(
      /^cannot read the package lists of bookworm: E: .*127\.0\.0\.1.* \(check the network and the package sources, try again\)$/,
    );
  });

  it('says that the network refuses the stock kernel', async () => {
    const proxy = ['-o', 'Acquire::http::Proxy=http://127.0.0.1:1', '-o', 'Acquire::Retries=0'];
    const stock = await readManifest('6.1');
    expect(await refusal(fetchKernel(stock, { cache, apt: proxy }))).to.match(/^cannot (download|read) .*127\.0\.0\.1/);
  });
});
