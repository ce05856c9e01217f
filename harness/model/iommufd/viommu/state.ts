import type { MemoryObject } from '../../world/memory-object.ts';
import type { Device, Ioas, PageTable } from '../state.ts';

/** A virtual IOMMU: what a virtual machine sees of the IOMMU. */
export interface Viommu {
  readonly kind: 'virtual IOMMU';
  /** The page table that all that is nested in it is nested in. */
  readonly parent: PageTable;
  /** What needs it: nested page tables, virtual devices, queues, and mappings of its memory. */
  users: number;
  readonly devices: Set<VirtualDevice>;
  readonly eventQueues: Set<EventQueue>;
  /** Queues of hardware, by index. */
  readonly queues: Map<number, HardwareQueue>;
  /** Memory of the kernel's that programs can map. */
  readonly memory: ViommuMemory | undefined;
}

/** Where a virtual IOMMU's memory is mapped from, and how much of it there is: bytes. */
export interface ViommuMemory {
  readonly offset: bigint;
  readonly size: bigint;
  readonly object: MemoryObject;
}

/** A device as the virtual machine knows it. */
export interface VirtualDevice {
  readonly kind: 'virtual device';
  readonly viommu: Viommu;
  readonly device: Device;
  readonly virtId: bigint;
}

/** Events of a virtual IOMMU, until user space has read them. */
export interface EventQueue {
  readonly kind: 'event queue';
  readonly viommu: Viommu;
  readonly type: number;
  /** How many events it can hold. */
  readonly depth: number;
  /** Its open file. */
  users: number;
  readonly waiting: VirtualEvent[];
  /** The number of the next event. */
  sequence: number;
}

/** An event, with its data; without data it tells that events were lost. */
export interface VirtualEvent {
  readonly sequence: number;
  readonly data: Uint8Array | undefined;
}

/** A queue in the memory of a virtual machine that hardware works on. */
export interface HardwareQueue {
  readonly kind: 'hardware queue';
  readonly viommu: Viommu;
  readonly index: number;
  readonly ioas: Ioas;
  /** The queues that cannot be without it. */
  users: number;
  /** The queue that it cannot be without. */
  readonly before: HardwareQueue | undefined;
}
