import { VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../../uapi/vfio.ts';
import type { Device } from './state.ts';

/** A region of a device's file: its size in bytes, 0 for one that is not there, and whether it can be mapped. */
export interface Region {
  readonly size: bigint;
  readonly mappable: boolean;
}

/** Each region has 2^40 bytes of the device's file (VFIO_PCI_OFFSET_SHIFT). */
const REGION_SHIFT = 40n;
/** VFIO_PCI_ROM_REGION_INDEX: the last of the regions that need not be there. */
const ROM_REGION_INDEX = 6;

/** Where a region begins in the device's file, in bytes. */
export const regionOffset = (index: number): bigint => BigInt(index) << REGION_SHIFT;

/** The region that a byte of the device's file lies in, and how far into it. */
export const locate = (offset: bigint): { readonly index: number; readonly within: bigint } => ({
  index: Number(offset >> REGION_SHIFT),
  within: offset & ((1n << REGION_SHIFT) - 1n),
});

const ABSENT: Region = { size: 0n, mappable: false };

/** The regions of QEMU's edu: 1 MiB of registers, and the config space of a conventional PCI device. */
const EDU_REGIONS: ReadonlyMap<number, Region> = new Map([
  [VFIO_PCI_BAR0_REGION_INDEX, { size: 0x10_0000n, mappable: true }],
  [VFIO_PCI_CONFIG_REGION_INDEX, { size: 256n, mappable: false }],
]);

/** What is known of a region; `undefined` for one that does not exist, and for all of a device that the model does not know. */
export const regionOf = ({ edu }: Device, index: number): Region | undefined => {
  if (edu === undefined) return undefined;
  return EDU_REGIONS.get(index) ?? (index <= ROM_REGION_INDEX ? ABSENT : undefined);
};
