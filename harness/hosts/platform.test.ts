import { expect } from 'chai';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { readPlatform } from './platform.ts';
import type { Files } from './sysfs.ts';
import { addressBits, controlsSnooping, pageSizes, remapsInterrupts } from './vtd.ts';

/** QEMU 7.2's intel-iommu with its default aw-bits=39, and with aw-bits=48. */
const QEMU_39 = { cap: 'd2008c22260286', ecap: 'f00f4a' };
const QEMU_48 = { cap: 'd2008c222f0686', ecap: 'f00f4a' };

const EDU = '0000:00:04.0';
const SECOND_EDU = '0000:00:05.0';
const NIC = '0000:00:06.0';

type Tree = Readonly<Record<string, string>>;

/** A sysfs as a table: a value that begins with `->` is a symbolic link. */
const filesOf = (tree: Tree): Files => {
  const resolve = (path: string): string => {
    for (const [name, value] of Object.entries(tree)) {
      if (value.startsWith('->') && path.startsWith(`${name}/`))
        return resolve(value.slice(2) + path.slice(name.length));
    }
    return path;
  };
  return {
    read: async (path) => {
      const value = tree[resolve(path)];
      return value?.startsWith('->') ? undefined : value;
    },
    list: async (path) => {
      const prefix = `${path}/`;
      const names = Object.keys(tree).filter((name) => name.startsWith(prefix));
      return names.length === 0
        ? undefined
        : [...new Set(names.map((name) => name.slice(prefix.length).split('/')[0] ?? ''))];
    },
    link: async (path) => (tree[path]?.startsWith('->') ? tree[path]?.slice(2) : undefined),
  };
};

const device = (
  address: string,
  group: number,
  driver = 'vfio-pci',
  ids = ['0x1234', '0x11e8'],
  iommu = 'dmar0',
): Tree => ({
  [`/sys/bus/pci/devices/${address}/vendor`]: `${ids[0]}\n`,
  [`/sys/bus/pci/devices/${address}/device`]: `${ids[1]}\n`,
  [`/sys/bus/pci/devices/${address}/class`]: '0x00ff00\n',
  [`/sys/bus/pci/devices/${address}/driver`]: `->/sys/bus/pci/drivers/${driver}`,
  [`/sys/bus/pci/devices/${address}/iommu_group`]: `->/sys/kernel/iommu_groups/${group}`,
  [`/sys/bus/pci/devices/${address}/iommu`]: `->/sys/class/iommu/${iommu}`,
  [`/sys/kernel/iommu_groups/${group}/devices/${address}`]: `->/sys/bus/pci/devices/${address}`,
  [`/sys/kernel/iommu_groups/${group}/reserved_regions`]: '0x00000000fee00000 0x00000000feefffff msi\n',
});

const iommu = ({ cap, ecap }: { cap: string; ecap: string }, name = 'dmar0'): Tree => ({
  [`/sys/class/iommu/${name}/intel-iommu/cap`]: `${cap}\n`,
  [`/sys/class/iommu/${name}/intel-iommu/ecap`]: `${ecap}\n`,
});

const MACHINE: Tree = {
  ...iommu(QEMU_39),
  ...device(EDU, 2),
  ...device(SECOND_EDU, 3),
  '/proc/cmdline': 'console=ttyS0 intel_iommu=on quiet\n',
  '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': '65535\n',
  '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n',
};

/** Intel's IOMMUs tell in sysfs what they translate. */
const noLimits = (): Promise<never> => Promise.reject(new Error('VFIO was asked'));

const read = (tree: Tree, addresses: readonly string[] = [EDU]) =>
  readPlatform(filesOf(tree), addresses, 4096, noLimits);

describe('hosts/platform', () => {
  it('derives what 6.1 reports under an emulated VT-d of 39 bits', async () => {
    expect(await read(MACHINE, [EDU, SECOND_EDU])).to.deep.equal({
      pageSizeBytes: 4096,
      iommu: {
        kind: 'intel',
        aperture: { start: 0n, end: 0x7fffffffffn },
        pageSizes: 0x40201000n,
        enforcesCacheCoherency: false,
        isolatesMsi: true,
        registers: { cap: 0xd2008c22260286n, ecap: 0xf00f4an },
      },
      groups: [
        {
          name: 'group0',
          path: '/dev/vfio/2',
          devices: [{ name: 'device0', address: EDU, kind: 'edu' }],
          reserved: [{ start: 0xfee00000n, end: 0xfeefffffn }],
        },
        {
          name: 'group1',
          path: '/dev/vfio/3',
          devices: [{ name: 'device1', address: SECOND_EDU, kind: 'edu' }],
          reserved: [{ start: 0xfee00000n, end: 0xfeefffffn }],
        },
      ],
      dmaEntryLimit: 65535,
      iommufd: false,
      testModules: [],
    });
  });

  it('tells whether there is IOMMUFD', async () => {
    expect((await read({ ...MACHINE, '/dev/iommu': '' })).iommufd).to.equal(true);
    expect((await read({ ...MACHINE, '/dev/iommufd': '' })).iommufd).to.equal(false);
  });

  it('tells whether allocations can be made to fail', async () => {
    const point = '/sys/kernel/debug/failslab/ignore-gfp-wait';
    expect((await read({ ...MACHINE, [point]: 'N\n' })).testModules).to.deep.equal(['failslab']);
    expect((await read({ ...MACHINE, [point]: 'Y\n' })).testModules).to.deep.equal([]);
  });

  const registers = ({ cap, ecap }: { cap: string; ecap: string }) => ({
    cap: BigInt(`0x${cap}`),
    ecap: BigInt(`0x${ecap}`),
  });
  const withCap = (cap: bigint, ecap = 0n) => ({ cap, ecap });
  const derived: readonly [what: string, found: unknown, expected: unknown][] = [
    ['39 bits of aw-bits=39', addressBits(registers(QEMU_39)), 39],
    ['48 bits of aw-bits=48', addressBits(registers(QEMU_48)), 48],
    ['57 bits where SAGAW and MGAW say so', addressBits(withCap((0b1110n << 8n) | (56n << 16n))), 57],
    ['no more than MGAW', addressBits(withCap((0b0100n << 8n) | (41n << 16n))), 42],
    ['no bits without SAGAW', addressBits(withCap(38n << 16n)), 0],
    ['only 4 KiB pages without SLLPS', pageSizes([withCap(0n)]), 0x1000n],
    ['2 MiB pages for SLLPS bit 0', pageSizes([withCap(1n << 34n)]), 0x201000n],
    ['1 GiB pages for SLLPS bits 0 and 1', pageSizes([withCap(3n << 34n)]), 0x40201000n],
    ['what all IOMMUs have', pageSizes([withCap(3n << 34n), withCap(1n << 34n)]), 0x201000n],
    ['snoop control for ECAP bit 7', controlsSnooping(withCap(0n, 1n << 7n)), true],
    ['no snoop control in QEMU', controlsSnooping(registers(QEMU_39)), false],
    ['interrupt remapping for ECAP bit 3', remapsInterrupts(withCap(0n, 1n << 3n)), true],
    ['no interrupt remapping without it', remapsInterrupts(withCap(0n)), false],
  ];
  for (const [what, found, expected] of derived) it(`derives ${what}`, () => expect(found).to.equal(expected));

  it('takes a device that is not edu for an opaque one', async () => {
    const { groups } = await read({ ...MACHINE, ...device(NIC, 4, 'vfio-pci', ['0x8086', '0x100e']) }, [NIC]);
    expect(groups[0]?.devices[0]?.kind).to.equal('opaque');
  });

  const own = `/sys/bus/pci/devices/${EDU}/vfio-dev`;
  const cdevs: Record<string, [folder: Tree, cdev: string | undefined]> = {
    'that the kernel gives it': [{ [`${own}/vfio7/dev`]: '511:7\n' }, '/dev/vfio/devices/vfio7'],
    'not without a number: the kernel has no such files': [{ [`${own}/vfio7/uevent`]: '' }, undefined],
    'not by another name': [{ [`${own}/../x/dev`]: '511:7\n' }, undefined],
    'not when it is not the only one': [{ [`${own}/vfio7/dev`]: '1:7\n', [`${own}/vfio8/dev`]: '1:8\n' }, undefined],
  };
  for (const [title, [folder, cdev]] of Object.entries(cdevs)) {
    it(`finds the own file of a device, ${title}`, async () => {
      const { groups } = await read({ ...MACHINE, ...folder }, [EDU, SECOND_EDU]);
      expect(groups.map(({ devices }) => devices[0]?.cdev)).to.deep.equal([cdev, undefined]);
    });
  }

  const EMULATED = 'vfio-emulated.0';
  const platformDevice = `/sys/bus/platform/devices/${EMULATED}`;
  for (const [title, folder, cdev] of [
    ['with its own file', { [`${platformDevice}/vfio-dev/vfio9/dev`]: '511:9\n' }, '/dev/vfio/devices/vfio9'],
    ['without one', {}, undefined],
  ] as const)
    it(`finds devices without an IOMMU, ${title}`, async () => {
      const { groups } = await read({
        ...MACHINE,
        [`/sys/bus/platform/drivers/vfio-emulated/${EMULATED}/uevent`]: '',
        [`${platformDevice}/vfio_group`]: '/dev/vfio/7\n',
        ...folder,
      });
      const { devices, ...group } = groups.at(-1) ?? { devices: [] };
      expect(group).to.include({ name: 'emulated0', path: '/dev/vfio/7', emulated: true });
      expect(devices.map((device) => [device.address, device.cdev])).to.deep.equal([[EMULATED, cdev]]);
    });

  for (const [said, logging] of [
    ['reported\n', 'reported'],
    ['unreported\n', 'unreported'],
    ['no\n', undefined],
    [undefined, undefined],
  ] as const)
    it(`asks a device without an IOMMU whether it logs: ${said?.trim() ?? 'nothing'}`, async () => {
      const { groups } = await read({
        ...MACHINE,
        [`/sys/bus/platform/drivers/vfio-emulated/${EMULATED}/uevent`]: '',
        [`${platformDevice}/vfio_group`]: '/dev/vfio/7\n',
        ...(said === undefined ? {} : { [`${platformDevice}/dma_logging`]: said }),
      });
      expect(groups.at(-1)?.devices.map((device) => device.logging)).to.deep.equal([logging]);
    });

  it('leaves relaxable regions to VFIO', async () => {
    const regions = '0x0 0xffffff direct-relaxable\n0x1000000 0x1ffffff direct\n0xfee00000 0xfeefffff msi\n';
    const { groups } = await read({ ...MACHINE, '/sys/kernel/iommu_groups/2/reserved_regions': regions });
    expect(groups[0]?.reserved).to.deep.equal([
      { start: 0x1000000n, end: 0x1ffffffn },
      { start: 0xfee00000n, end: 0xfeefffffn },
    ]);
  });

  it('puts devices of one group together', async () => {
    const { groups } = await read({ ...MACHINE, ...device(NIC, 2) }, [EDU, NIC, EDU]);
    expect(groups.map(({ devices }) => devices.map(({ name }) => name))).to.deep.equal([['device0', 'device1']]);
  });

  const settings: readonly [
    what: string,
    change: Tree,
    found: (platform: Awaited<ReturnType<typeof read>>) => unknown,
    expected: unknown,
  ][] = [
    [
      'another limit of mappings',
      { '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': '16\n' },
      (p) => p.dmaEntryLimit,
      16,
    ],
    ['large pages turned off', { '/proc/cmdline': 'intel_iommu=on,sp_off' }, (p) => p.iommu.pageSizes, 0x1000n],
    ['interrupt remapping turned off', { '/proc/cmdline': 'intremap=off' }, (p) => p.iommu.isolatesMsi, false],
    [
      'unsafe interrupts allowed',
      { '/proc/cmdline': 'nointremap', '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'Y\n' },
      (p) => p.iommu.isolatesMsi,
      true,
    ],
    [
      'a second IOMMU without large pages',
      iommu({ cap: '222f0686', ecap: 'f00f4a' }, 'dmar1'),
      (p) => p.iommu.pageSizes,
      0x1000n,
    ],
    ['the registers', {}, (p) => p.iommu.registers?.ecap, 0xf00f4an],
    ['snoop control', iommu({ ...QEMU_39, ecap: 'f00fca' }), (p) => p.iommu.enforcesCacheCoherency, true],
  ];
  for (const [what, change, found, expected] of settings) {
    it(`sees ${what}`, async () => expect(found(await read({ ...MACHINE, ...change }))).to.equal(expected));
  }

  it('tells no registers where the IOMMUs of the devices differ', async () => {
    const other = { ...iommu({ ...QEMU_39, ecap: 'f00f4b' }, 'dmar1') };
    const tree = { ...MACHINE, ...other, ...device(SECOND_EDU, 3, 'vfio-pci', ['0x1234', '0x11e8'], 'dmar1') };
    expect((await read(tree, [EDU])).iommu.registers?.ecap).to.equal(0xf00f4an);
    expect((await read(tree, [SECOND_EDU])).iommu.registers?.ecap).to.equal(0xf00f4bn);
    expect((await read(tree, [EDU, SECOND_EDU])).iommu.registers).to.equal(undefined);
  });
  /** A guest whose devices stand behind an IOMMU that VFIO is asked about. */
  const behind = (folder: string, files: Tree): Tree => ({
    ...device(EDU, 2, 'vfio-pci', ['0x1234', '0x11e8'], folder),
    ...files,
  });
  const AMD = behind('ivhd0', { '/sys/class/iommu/ivhd0/amd-iommu/cap': '4d\n' });
  const VIRTIO = behind('0000:00:06.0', {
    '/sys/bus/pci/devices/0000:00:06.0/virtio1': '',
    '/sys/bus/virtio/devices/virtio1/driver': '->/sys/bus/virtio/drivers/virtio_iommu',
  });
  const UNSAFE = { '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'Y\n' };
  const limits = { aperture: { start: 0n, end: (1n << 64n) - 1n }, pageSizes: 0x7000n };
  const unknown = { ...limits, pageSizes: 0x1000n };
  const others: readonly [what: string, tree: Tree, asked: readonly string[], expected: object][] = [
    ['AMD', AMD, ['/dev/vfio/2'], { ...limits, kind: 'amd', enforcesCacheCoherency: true, isolatesMsi: true }],
    [
      'AMD without interrupt remapping',
      { ...AMD, '/proc/cmdline': 'nointremap' },
      [],
      { ...unknown, kind: 'amd', enforcesCacheCoherency: true, isolatesMsi: false },
    ],
    [
      'virtio',
      { ...VIRTIO, ...UNSAFE },
      ['/dev/vfio/2'],
      { ...limits, kind: 'virtio', enforcesCacheCoherency: false, isolatesMsi: true },
    ],
    [
      'virtio, where VFIO must not do without isolation',
      VIRTIO,
      [],
      { ...unknown, kind: 'virtio', enforcesCacheCoherency: false, isolatesMsi: false },
    ],
  ];
  for (const [what, tree, expectedAsked, expected] of others) {
    it(`asks VFIO for the limits of ${what}`, async () => {
      const asked: string[] = [];
      const found = await readPlatform(filesOf(tree), [EDU], 4096, async (group) => {
        asked.push(group);
        return limits;
      });
      expect(found.iommu).to.deep.equal(expected);
      expect(asked).to.deep.equal(expectedAsked);
    });
  }

  it('takes the default limit of mappings while the module is not loaded', async () => {
    const { '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': _, ...rest } = MACHINE;
    expect((await read(rest)).dmaEntryLimit).to.equal(65535);
  });

  it('gives a machine without named devices no groups', async () => {
    const { groups, iommu: none } = await read(MACHINE, []);
    expect(groups).to.deep.equal([]);
    expect(none.kind).to.equal('none');
  });

  const without = (tree: Tree, path: string): Tree =>
    Object.fromEntries(Object.entries(tree).filter(([name]) => !name.startsWith(path)));
  const refused: readonly [what: string, tree: Tree, addresses: readonly string[], message: string][] = [
    ['a device that is not there', MACHINE, [NIC], 'there is no PCI device 0000:00:06.0'],
    [
      'a device of another driver',
      { ...MACHINE, ...device(EDU, 2, 'e1000') },
      [EDU],
      'is bound to e1000, not to vfio-pci',
    ],
    [
      'a device without a driver',
      without(MACHINE, `/sys/bus/pci/devices/${EDU}/driver`),
      [EDU],
      'is bound to no driver',
    ],
    [
      'a device without a group',
      without(MACHINE, `/sys/bus/pci/devices/${EDU}/iommu_group`),
      [EDU],
      'has no IOMMU group',
    ],
    [
      'a group that somebody uses',
      { ...MACHINE, ...device(NIC, 2, 'e1000') },
      [EDU],
      'group 2 also holds 0000:00:06.0 (e1000), which was not named',
    ],
    ['a group with another VFIO device', { ...MACHINE, ...device(NIC, 2) }, [EDU], 'which was not named'],
    [
      'an IOMMU that is not Intel',
      without(MACHINE, '/sys/class/iommu'),
      [EDU],
      'does not stand behind an IOMMU of Intel, AMD or virtio',
    ],
    [
      'IOMMUs of different kinds',
      { ...MACHINE, ...AMD, ...device(SECOND_EDU, 3) },
      [EDU, SECOND_EDU],
      'different kinds (amd, intel)',
    ],
    [
      'IOMMUs of different widths',
      { ...MACHINE, ...iommu(QEMU_48, 'dmar1'), ...device(SECOND_EDU, 3, 'vfio-pci', ['0x1234', '0x11e8'], 'dmar1') },
      [EDU, SECOND_EDU],
      'different limits (39 and 48 bits)',
    ],
    [
      'first-stage tables only',
      { ...MACHINE, ...iommu({ ...QEMU_39, ecap: '880000f00f4a' }) },
      [EDU],
      'no second-stage tables',
    ],
    [
      'registers that are no numbers',
      { ...MACHINE, ...iommu({ cap: 'x', ecap: '0' }) },
      [EDU],
      'expected hex digits in cap',
    ],
    [
      'a limit that is no number',
      { ...MACHINE, '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit': 'many' },
      [EDU],
      'expected a number in dma_entry_limit',
    ],
  ];
  for (const [what, tree, addresses, message] of refused) {
    it(`refuses ${what}`, async () => {
      const error = await read(tree, addresses).catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(HostTrouble);
      expect((error as HostTrouble).message).to.contain(message);
    });
  }

  it('allows bridges and devices without a driver in the group', async () => {
    const bridge = { ...device(NIC, 2, 'pcieport'), [`/sys/bus/pci/devices/${NIC}/class`]: '0x060400\n' };
    const idle = without(device('0000:00:07.0', 2), '/sys/bus/pci/devices/0000:00:07.0/driver');
    expect((await read({ ...MACHINE, ...bridge, ...idle })).groups[0]?.devices).to.have.length(1);
  });

  for (const address of ['04:00.0', '../../../etc', '0000:00:04.0/..', '']) {
    it(`does not take ${JSON.stringify(address)} for an address`, async () => {
      expect(await read(MACHINE, [address]).catch((cause: unknown) => cause)).to.be.instanceOf(UsageTrouble);
    });
  }
});
