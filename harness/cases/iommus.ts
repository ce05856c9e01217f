/** What cases ask of the IOMMU that a host has: their IOVAs are fixed, and IOMMUs differ. */
import type { IovaRange } from '../program/platform.ts';
import type { Need } from './case.ts';

/** Widths of IOVAs that hosts are known to have. */
export type Width = 39 | 48 | 64;

/** Where interrupts go on x86. */
export const MSI_RANGE: IovaRange = { start: 0xfee0_0000n, end: 0xfeef_ffffn };
/** What AMD's driver keeps free for HyperTransport. */
export const HYPERTRANSPORT_RANGE: IovaRange = { start: 0xfd_0000_0000n, end: 0xff_ffff_ffffn };

/** The last IOVA of that many bits. */
export const lastIova = (width: Width): bigint => (1n << BigInt(width)) - 1n;

/** A row for each width. */
export const LAST_PAGES: Readonly<Record<string, Width>> = {
  'the last page of 39 bits': 39,
  'the last page of 48 bits': 48,
  'the last page of 64 bits': 64,
};

/** For cases about the end of what an IOMMU translates. */
export const translates = (width: Width): Need => ({
  reason: `the IOMMU does not translate IOVAs of just ${width} bits`,
  met: ({ iommu }) => iommu.kind !== 'none' && iommu.aperture.end === lastIova(width),
});

/** Page sizes of VT-d, of AMD's driver of 6.1 and of 7.2 (tables of 48 bits), and of QEMU's virtio-iommu, one bit each. */
export const PAGE_SIZES: Readonly<Record<string, bigint>> = {
  '4 KiB, 2 MiB, 1 GiB': 0x40201000n,
  'every power of two but 512 GiB': 0xffff_ff7f_ffff_f000n,
  'every power of two below 256 TiB but 512 GiB': 0x7f7f_ffff_f000n,
  'every power of two': 0xffff_ffff_ffff_f000n,
};

/** For cases about all the page sizes that an IOMMU has. */
export const mapsPagesOf = (sizes: bigint): Need => ({
  reason: `the IOMMU has other page sizes than 0x${sizes.toString(16)}`,
  met: ({ iommu }) => iommu.pageSizes === sizes,
});

/** For cases with an IOVA that the IOMMU must not reach. */
export const doesNotReach = (iova: bigint): Need => ({
  reason: `the IOMMU translates 0x${iova.toString(16)}`,
  met: ({ iommu }) => iommu.aperture.end < iova,
});

/** For cases about a range that is kept free between others that can be mapped. */
export const reserves = (range: IovaRange): Need => ({
  reason: `the IOMMU does not reserve 0x${range.start.toString(16)}-0x${range.end.toString(16)}`,
  met: ({ groups }) =>
    groups.some(({ reserved }) => reserved.some(({ start, end }) => start === range.start && end === range.end)),
});

/** For cases that state all the ranges that can be mapped: just these are kept free. */
export const reservesOnly = (...ranges: readonly IovaRange[]): Need => ({
  reason: `the IOMMU reserves other ranges than ${ranges.map(({ start }) => `0x${start.toString(16)}`).join(' and ')}`,
  met: (platform) =>
    platform.groups[0]?.reserved.length === ranges.length && ranges.every((range) => reserves(range).met(platform)),
});

/** For cases about groups that VFIO refuses. All others that use a group are unsupported where it does. */
export const NOT_ISOLATED: Need = {
  reason: 'interrupts are isolated here, or VFIO was told to do without',
  met: ({ iommu }) => iommu.kind !== 'none' && !iommu.isolatesMsi,
};
