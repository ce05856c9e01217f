import { expect } from 'chai';
import { symbolsOf } from '../kernels/config.ts';
import { type AskDevice, type KernelFacts, propertiesOf, whyUnfit } from './iommu-fitness.ts';
import { IOMMU_PROFILES, iommuProfileNamed } from './iommu-profiles.ts';

const DEBIAN: KernelFacts = {
  config: symbolsOf('CONFIG_INTEL_IOMMU=y\nCONFIG_AMD_IOMMU=y\nCONFIG_VIRTIO_IOMMU=m\n'),
  modules: ['vfio_pci', 'virtio_iommu'],
};
const BARE: KernelFacts = { config: symbolsOf('# CONFIG_INTEL_IOMMU is not set\n'), modules: [] };
const UNKNOWN: KernelFacts = { config: undefined, modules: [] };

const QEMU: Readonly<Record<string, readonly string[]>> = {
  'intel-iommu': ['aw-bits', 'caching-mode', 'intremap', 'x-scalable-mode'],
  'amd-iommu': ['intremap'],
  'virtio-iommu-pci': ['addr'],
};
const qemu: AskDevice = async (device) => QEMU[device];
const older: AskDevice = async (device) => (device === 'intel-iommu' ? ['aw-bits', 'intremap'] : undefined);

describe('hosts/iommu-fitness', () => {
  for (const profile of IOMMU_PROFILES) {
    it(`knows nothing against ${profile.name} where QEMU and the kernel have all of it`, async () => {
      expect(await whyUnfit(profile, DEBIAN, qemu)).to.equal(undefined);
    });

    it(`knows nothing against ${profile.name} for a kernel of which nothing is known`, async () => {
      expect(await whyUnfit(profile, UNKNOWN, qemu)).to.equal(undefined);
    });
  }

  const rows: readonly [name: string, kernel: KernelFacts, ask: AskDevice, why: string | undefined][] = [
    ['intel-39', BARE, qemu, 'the kernel has no driver for it (CONFIG_INTEL_IOMMU is not set)'],
    ['amd', BARE, qemu, 'the kernel has no driver for it (CONFIG_AMD_IOMMU is not set)'],
    ['none', BARE, qemu, undefined],
    [
      'virtio',
      { ...DEBIAN, modules: ['vfio_pci'] },
      qemu,
      'its driver is a module that guests are not given (CONFIG_VIRTIO_IOMMU=m)',
    ],
    [
      'amd',
      { ...DEBIAN, config: symbolsOf('CONFIG_AMD_IOMMU=m') },
      qemu,
      'its driver is a module that guests are not given (CONFIG_AMD_IOMMU=m)',
    ],
    ['intel-39', DEBIAN, older, 'the intel-iommu of this QEMU has no property caching-mode'],
    ['amd', DEBIAN, older, 'this QEMU has no device amd-iommu'],
    ['none', UNKNOWN, older, undefined],
  ];
  for (const [name, kernel, ask, why] of rows) {
    it(`${name}: ${why ?? 'nothing against it'}`, async () => {
      expect(await whyUnfit(iommuProfileNamed(name), kernel, ask)).to.equal(why);
    });
  }

  it('reads the list of properties that QEMU prints', () => {
    const help = [
      'intel-iommu options:',
      '  aw-bits=<uint8>        -  (default: 39)',
      '  x-scalable-mode=<bool> -  (default: false)',
      '  host_mtu=<uint16>      -  (default: 0)',
      '  addr=<int32>           - Slot and optional function number, example: 06.0 or 06=a (default: -1)',
    ].join('\n');
    expect(propertiesOf(help)).to.deep.equal(['aw-bits', 'x-scalable-mode', 'host_mtu', 'addr']);
  });
});
