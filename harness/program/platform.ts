/** A byte range of IOVA space, both ends inclusive (as VFIO reports ranges). */
export interface IovaRange {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * What the model must know of the machine that a host is: hardware and configuration, read from sysfs or known from
 * the way the VM was started. Of IOMMUs that do not tell there what they translate, the first and last IOVA and the page
 * sizes are asked of VFIO once (hosts/limits.ts); all else never comes from the ioctls under test.
 */
export interface Platform {
  readonly pageSizeBytes: number;
  readonly iommu: {
    readonly kind: 'intel' | 'amd' | 'virtio' | 'smmuv3' | 'none';
    /** Why there is none that VFIO could use, where something should be said of it. */
    readonly absent?: string;
    /** What the hardware can translate, before reserved ranges are taken out. */
    readonly aperture: IovaRange;
    /** Page sizes the IOMMU can map, one bit each. */
    readonly pageSizes: bigint;
    /** The IOMMU can block no-snoop transactions (VFIO_DMA_CC_IOMMU answers 1 for a container of its groups). */
    readonly enforcesCacheCoherency: boolean;
    /** Interrupt remapping or isolated MSI; without it groups are refused with EPERM. */
    readonly isolatesMsi: boolean;
    /** Of an Intel IOMMU: its capability register and its extended one; absent where the devices' IOMMUs differ in them. */
    readonly registers?: { readonly cap: bigint; readonly ecap: bigint };
  };
  /**
   * IOMMU groups that are viable and may be used: `group0` is bound to `let group0`, its devices to `let device0`...
   * Groups of emulated devices stand behind the others: `emulated0`, with the device `emulated0-device`.
   */
  readonly groups: readonly PlatformGroup[];
  /** Module parameter dma_entry_limit of vfio_iommu_type1. */
  readonly dmaEntryLimit: number;
  /** The kernel has IOMMUFD: /dev/iommu. */
  readonly iommufd: boolean;
  /**
   * Test modules that are loaded (fixtures/modules/), as sysfs names them: `iova_bitmap_test`; and what else a kernel has
   * for tests: `iommufd_mock`, `failslab`. Cases that need one say so.
   */
  readonly testModules: readonly string[];
}

export interface PlatformGroup {
  /** The name that programs use: `group0`. */
  readonly name: string;
  /** `/dev/vfio/2` */
  readonly path: string;
  readonly devices: readonly PlatformDevice[];
  readonly reserved: readonly IovaRange[];
  /** No IOMMU is behind it: its devices pin what they use. Such groups have names of their own: `emulated0`. */
  readonly emulated?: true;
}

export interface PlatformDevice {
  /** The name that programs use: `device0`. */
  readonly name: string;
  /** PCI address, or what else the device is called, as VFIO_GROUP_GET_DEVICE_FD takes it. */
  readonly address: string;
  /**
   * `edu`: QEMU's educational device, which the model can tell to do DMA. `emulated`: a device of the test module
   * vfio-emulated (fixtures/modules/emulated). `opaque`: nothing is assumed.
   */
  readonly kind: 'edu' | 'emulated' | 'opaque';
  /**
   * It logs what it writes by DMA when it is asked to; `unreported` where the kernel was built without what it takes to tell
   * (CONFIG_IOMMUFD_DRIVER). Absent: it does not log.
   */
  readonly logging?: 'reported' | 'unreported';
  /** Its own file, `/dev/vfio/devices/vfio0`, where the kernel gives devices one; programs call it `device0-cdev`. */
  readonly cdev?: string;
  /** Address bits that the device drives in DMA, as a mask; absent: 28 bits, as QEMU makes `edu`. */
  readonly dmaMask?: bigint;
}
