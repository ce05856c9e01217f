import type { Clause } from '../../spec/clause.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { PageStore } from './page-store.ts';

/** Where one byte of IOVA space leads: a page, and the clause that lets the device reach it (what it writes there is judged by it). */
export interface Translated {
  readonly pages: PageStore;
  readonly page: number;
  readonly clause: Clause;
}

export interface EduOptions {
  readonly pageSizeBytes: number;
  /** Address bits that the device drives: 28 unless QEMU's property `dma_mask` widens it. */
  readonly dmaMask: bigint;
  /** The IOMMU as the device meets it: where an access to that address goes, or `undefined` when it is blocked. */
  readonly translate: (iova: bigint, access: 'read' | 'write') => Translated | undefined;
}

/** QEMU's educational device. It lives as long as the machine: opening and closing it does not reset its registers. */
export interface EduDevice {
  /** BAR 0 (1 MiB). */
  readonly registers: DeviceMemory;
  /** Bit 2 of the command register in config space: without it the device does no DMA. */
  busMaster: boolean;
}
