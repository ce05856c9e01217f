/** The IOMMUs that a guest can be given: what QEMU is told, what the kernel needs for it, and what it is expected to offer. */
import type { IovaRange, Platform } from '../program/platform.ts';
import { UsageTrouble } from '../trouble.ts';

export interface IommuProfile {
  /** What `--iommu` takes. */
  readonly name: string;
  /** One line for `list hosts`. */
  readonly says: string;
  /** The device of QEMU that plays it; absent: the guest has no IOMMU, and no device is handed to VFIO. */
  readonly device?: QemuDevice;
  readonly kernel: KernelNeeds;
  /**
   * What the guest should find, from the device of QEMU 7.2 and the driver of Linux 6.1. A guest is asked what it really
   * has (platform.ts), and where that is something else it is said; this stands in where there is no guest.
   */
  readonly expected: Platform['iommu'] & { readonly reserved: readonly IovaRange[] };
}

/** What follows `-device`. */
export interface QemuDevice {
  readonly name: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** What a kernel must have, and be told, to drive an IOMMU. */
export interface KernelNeeds {
  /** The driver's configuration symbol. */
  readonly config?: string;
  /** The driver's module where it is one; nothing is loaded where it is built in. */
  readonly module?: string;
  readonly commandLine: string;
  /** Parameters of modules, by module; they reach those that are built in, too. */
  readonly parameters: Readonly<Record<string, readonly string[]>>;
}

/** Where x86 machines send interrupts: no IOMMU of theirs translates it. */
const MSI: IovaRange = { start: 0xfee00000n, end: 0xfeefffffn };
/** HyperTransport, which AMD's driver keeps free (HT_RANGE_START, drivers/iommu/amd/amd_iommu_types.h). */
const HYPERTRANSPORT: IovaRange = { start: 0xfd_0000_0000n, end: 0xff_ffff_ffffn };
const ALL_64_BITS: IovaRange = { start: 0n, end: (1n << 64n) - 1n };

/** An Intel IOMMU as QEMU plays it; it has no snoop control, and 2 MiB and 1 GiB pages. */
const intel = (
  name: string,
  says: string,
  bits: 39 | 48,
  { properties = {}, commandLine = 'intel_iommu=on' }: Partial<QemuDevice & KernelNeeds> = {},
): IommuProfile => ({
  name,
  says,
  device: {
    name: 'intel-iommu',
    properties: { intremap: 'on', 'caching-mode': 'on', 'aw-bits': `${bits}`, ...properties },
  },
  kernel: { config: 'CONFIG_INTEL_IOMMU', commandLine, parameters: {} },
  expected: {
    kind: 'intel',
    aperture: { start: 0n, end: (1n << BigInt(bits)) - 1n },
    pageSizes: 0x40201000n,
    enforcesCacheCoherency: false,
    isolatesMsi: true,
    reserved: [MSI],
  },
});

const AMD: IommuProfile = {
  name: 'amd',
  says: 'AMD-Vi, 64 bits, interrupt remapping',
  device: { name: 'amd-iommu', properties: { intremap: 'on' } },
  kernel: { config: 'CONFIG_AMD_IOMMU', commandLine: '', parameters: {} },
  expected: {
    kind: 'amd',
    aperture: ALL_64_BITS,
    // AMD_IOMMU_PGSIZES: every power of two from 4 KiB on but 512 GiB.
    pageSizes: 0xffff_ff7f_ffff_f000n,
    enforcesCacheCoherency: true,
    isolatesMsi: true,
    reserved: [MSI, HYPERTRANSPORT],
  },
};

/** It stands before the network card, whose driver would have to wait for it otherwise. */
const VIRTIO: IommuProfile = {
  name: 'virtio',
  says: 'virtio-iommu, 64 bits; it isolates no interrupts, so VFIO is told to do without',
  device: { name: 'virtio-iommu-pci', properties: { addr: '0x2' } },
  kernel: {
    config: 'CONFIG_VIRTIO_IOMMU',
    module: 'virtio_iommu',
    commandLine: '',
    parameters: {
      vfio_iommu_type1: ['allow_unsafe_interrupts=1'],
      iommufd: ['allow_unsafe_interrupts=1'],
    },
  },
  expected: {
    kind: 'virtio',
    aperture: ALL_64_BITS,
    pageSizes: 0xffff_ffff_ffff_f000n,
    enforcesCacheCoherency: false,
    isolatesMsi: true,
    reserved: [MSI],
  },
};

const NONE: IommuProfile = {
  name: 'none',
  says: 'no IOMMU: only what needs none, and groups of emulated devices',
  kernel: { commandLine: '', parameters: {} },
  expected: {
    kind: 'none',
    aperture: { start: 0n, end: 0n },
    pageSizes: 0n,
    enforcesCacheCoherency: false,
    isolatesMsi: false,
    reserved: [],
  },
};

const UNREMAPPED = intel('intel-unisolated', 'VT-d, 39 bits, no interrupt remapping: VFIO refuses its groups', 39, {
  properties: { intremap: 'off' },
});
const UNISOLATED: IommuProfile = { ...UNREMAPPED, expected: { ...UNREMAPPED.expected, isolatesMsi: false } };

/** The profile of a guest for which nothing else was asked. */
export const DEFAULT_IOMMU: IommuProfile = intel('intel-39', 'VT-d, 39 bits, caching mode, interrupt remapping', 39);

export const IOMMU_PROFILES: readonly IommuProfile[] = [
  DEFAULT_IOMMU,
  intel('intel-48', 'VT-d, 48 bits, caching mode, interrupt remapping', 48),
  intel('intel-uncached', 'VT-d, 39 bits, no caching mode: absent entries are not cached', 39, {
    properties: { 'caching-mode': 'off' },
  }),
  intel('intel-scalable', 'VT-d in scalable mode, 48 bits, second-stage tables', 48, {
    properties: { 'x-scalable-mode': 'on' },
    commandLine: 'intel_iommu=on,sm_on',
  }),
  UNISOLATED,
  AMD,
  VIRTIO,
  NONE,
];

/** The profile of that name. Throws UsageTrouble when there is none. */
export const iommuProfileNamed = (name: string): IommuProfile => {
  const profile = IOMMU_PROFILES.find((one) => one.name === name);
  if (profile !== undefined) return profile;
  const expected = IOMMU_PROFILES.map((one) => one.name).join(', ');
  throw new UsageTrouble(`--iommu takes one of ${expected}, not ${JSON.stringify(name)}`);
};

/** QEMU's arguments for it. */
export const iommuArguments = ({ device }: IommuProfile): readonly string[] => {
  if (device === undefined) return [];
  const properties = Object.entries(device.properties).map(([name, value]) => `${name}=${value}`);
  return ['-device', [device.name, ...properties].join(',')];
};

/** What a kernel is told on its command line: also the parameters, for modules that are built in. */
export const iommuKernelWords = ({ kernel }: IommuProfile): string =>
  [
    kernel.commandLine,
    ...Object.entries(kernel.parameters).flatMap(([module, texts]) => texts.map((text) => `${module}.${text}`)),
  ]
    .join(' ')
    .trim();

/** What a guest has otherwise than its profile says, a line each. */
export const unexpected = ({ expected }: IommuProfile, { iommu, groups }: Platform): readonly string[] => {
  const reserved = groups.find(({ emulated }) => emulated !== true)?.reserved ?? [];
  const pairs: readonly (readonly [what: string, expected: string, found: string])[] = [
    ['kind', expected.kind, iommu.kind],
    ['IOVAs', rangeText(expected.aperture), rangeText(iommu.aperture)],
    ['page sizes', hex(expected.pageSizes), hex(iommu.pageSizes)],
    ['reserved ranges', expected.reserved.map(rangeText).join(', '), reserved.map(rangeText).join(', ')],
    ['coherent accesses', `${expected.enforcesCacheCoherency}`, `${iommu.enforcesCacheCoherency}`],
    ['isolated interrupts', `${expected.isolatesMsi}`, `${iommu.isolatesMsi}`],
  ];
  return pairs.flatMap(([what, wanted, found]) =>
    wanted === found ? [] : [`${what} of the IOMMU: ${found || 'none'}, expected ${wanted || 'none'}`],
  );
};

const hex = (number: bigint): string => `0x${number.toString(16)}`;
const rangeText = ({ start, end }: IovaRange): string => `${hex(start)}-${hex(end)}`;
