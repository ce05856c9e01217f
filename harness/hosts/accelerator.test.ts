import { access, constants, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Kernel } from '../kernels/fetch.ts';
import { chooseAccelerator } from './accelerator.ts';
import { DEFAULT_IOMMU } from './iommu-profiles.ts';
import type { Accelerator, GuestOptions } from './qemu.ts';

/** No kernel at all: what KVM does with it does not matter, it never reaches its first program. */
const kernel: Kernel = {
  name: 'none',
  release: '0',
  image: '/nowhere/vmlinux',
  modules: [],
  commandLine: '',
  packages: [],
  notes: [],
};

describe('hosts/accelerator', () => {
  let cache = '';
  let probes: Accelerator[] = [];
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    probes = [];
  });
  afterEach(() => rm(cache, { recursive: true }));

  const guestWith = async (accelerator: Accelerator): Promise<{ readonly guest: GuestOptions }> => {
    probes.push(accelerator);
    const guest = {
      kernel,
      accelerator,
      initramfs: Buffer.alloc(0),
      memoryMiB: 64,
      cpus: 1,
      commandLine: '',
      bootMs: 1,
    };
    return { guest: { ...guest, iommu: DEFAULT_IOMMU } };
  };
  const choose = (accelerator?: Accelerator): Promise<Accelerator> =>
    chooseAccelerator({ kernel, cache, ...(accelerator === undefined ? {} : { accelerator }) }, guestWith);

  const kvmOpens = (): Promise<boolean> =>
    access('/dev/kvm', constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );

  it('takes what was asked for, and tries nothing', async () => {
    expect([await choose('kvm'), await choose('tcg')]).to.deep.equal(['kvm', 'tcg']);
    expect(probes).to.deep.equal([]);
  });

  it('does not take KVM where it boots nothing, and tries that once', async () => {
    expect(await Promise.all([choose(), choose()])).to.deep.equal(['tcg', 'tcg']);
    expect(await choose()).to.equal('tcg');
    expect(probes).to.deep.equal((await kvmOpens()) ? ['kvm'] : []);
  });

  it('takes KVM where it was seen to boot the kernel, as long as it can be opened', async () => {
    await choose();
    const opens = await kvmOpens();
    const answers = opens ? (await readdir(join(cache, 'kvm'))).filter((name) => !name.endsWith('.lock')) : [];
    for (const name of answers) await writeFile(join(cache, 'kvm', name), 'kvm');
    expect(await choose()).to.equal(opens ? 'kvm' : 'tcg');
  });
});
