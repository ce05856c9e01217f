import { expect } from 'chai';
import type { Platform } from '../program/platform.ts';
import { UsageTrouble } from '../trouble.ts';
import { IOMMU_PROFILES, iommuArguments, iommuKernelWords, iommuProfileNamed, unexpected } from './iommu-profiles.ts';
import { type GuestOptions, qemuArguments } from './qemu.ts';

/** What QEMU and the kernel are told for each profile. */
const TOLD: Readonly<Record<string, readonly [device: string | undefined, kernel: string]>> = {
  'intel-39': ['intel-iommu,intremap=on,caching-mode=on,aw-bits=39', 'intel_iommu=on'],
  'intel-48': ['intel-iommu,intremap=on,caching-mode=on,aw-bits=48', 'intel_iommu=on'],
  'intel-uncached': ['intel-iommu,intremap=on,caching-mode=off,aw-bits=39', 'intel_iommu=on'],
  'intel-scalable': ['intel-iommu,intremap=on,caching-mode=on,aw-bits=48,x-scalable-mode=on', 'intel_iommu=on,sm_on'],
  'intel-unisolated': ['intel-iommu,intremap=off,caching-mode=on,aw-bits=39', 'intel_iommu=on'],
  amd: ['amd-iommu,intremap=on', ''],
  virtio: ['virtio-iommu-pci,addr=0x2', 'vfio_iommu_type1.allow_unsafe_interrupts=1 iommufd.allow_unsafe_interrupts=1'],
  none: [undefined, ''],
};

const guest: Omit<GuestOptions, 'iommu'> = {
  accelerator: 'tcg',
  memoryMiB: 512,
  cpus: 1,
  kernel: { image: '/vmlinux', commandLine: 'of=the-kernel' },
  initramfs: new Uint8Array(0),
  commandLine: 'of=the-guest',
  bootMs: 1,
};

describe('hosts/iommu-profiles', () => {
  it('are those of this table', () => {
    expect(IOMMU_PROFILES.map(({ name }) => name)).to.deep.equal(Object.keys(TOLD));
  });

  for (const [name, [device, kernel]] of Object.entries(TOLD)) {
    it(`${name}: QEMU's device and the kernel's words`, () => {
      const profile = iommuProfileNamed(name);
      expect(iommuArguments(profile)).to.deep.equal(device === undefined ? [] : ['-device', device]);
      expect(iommuKernelWords(profile)).to.equal(kernel);
    });

    it(`${name}: the IOMMU stands before what is behind it, and the words in order`, () => {
      const words = qemuArguments({ ...guest, iommu: iommuProfileNamed(name) }, '/initramfs', 2222);
      const devices = words.filter((_, index) => words[index - 1] === '-device').map((word) => word.split(',')[0]);
      const iommu = device === undefined ? [] : [device.split(',')[0]];
      expect(devices).to.deep.equal([...iommu, 'virtio-net-pci', 'edu', 'edu']);
      const said = words[words.indexOf('-append') + 1] ?? '';
      expect(said.split(' ').slice(-2)).to.deep.equal(['of=the-kernel', 'of=the-guest']);
      expect(said).to.contain(kernel);
      expect(said).not.to.contain('  ');
    });
  }

  const found = (name: string): Platform => {
    const { reserved, ...iommu } = iommuProfileNamed(name).expected;
    const group = { name: 'group0', path: '/dev/vfio/2', devices: [], reserved };
    return { pageSizeBytes: 4096, iommu, groups: [group], dmaEntryLimit: 1, iommufd: false, testModules: [] };
  };
  for (const profile of IOMMU_PROFILES) {
    it(`${profile.name}: has nothing to say of a guest that has what is expected`, () => {
      expect(unexpected(profile, found(profile.name))).to.deep.equal([]);
    });
  }

  it('says what a guest has otherwise', () => {
    expect(unexpected(iommuProfileNamed('intel-39'), found('amd'))).to.deep.equal([
      'kind of the IOMMU: amd, expected intel',
      'IOVAs of the IOMMU: 0x0-0xffffffffffffffff, expected 0x0-0x7fffffffff',
      'page sizes of the IOMMU: 0xffffff7ffffff000, expected 0x40201000',
      'reserved ranges of the IOMMU: 0xfee00000-0xfeefffff, 0xfd00000000-0xffffffffff, expected 0xfee00000-0xfeefffff',
      'coherent accesses of the IOMMU: true, expected false',
    ]);
    expect(unexpected(iommuProfileNamed('intel-39'), { ...found('intel-39'), groups: [] })).to.deep.equal([
      'reserved ranges of the IOMMU: none, expected 0xfee00000-0xfeefffff',
    ]);
  });

  for (const name of ['intel', 'AMD', '', 'intel-39 ']) {
    it(`does not know ${JSON.stringify(name)}`, () => {
      expect(() => iommuProfileNamed(name))
        .to.throw(UsageTrouble)
        .with.property('message')
        .that.matches(/^--iommu takes one of intel-39, .*, none, not "/);
    });
  }
});
