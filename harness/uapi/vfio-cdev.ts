/** What include/uapi/linux/vfio.h of Linux 7.2 gives a device's own file, /dev/vfio/devices/vfioN. */
import { s32, struct, u32, u64 } from './struct.ts';

/** `_IO(';', 100 + number)`. */
const request = (number: number): bigint => BigInt((';'.charCodeAt(0) << 8) | (100 + number));

/** Fills out_devid of a vfio_device_bind_iommufd. */
export const VFIO_DEVICE_BIND_IOMMUFD = request(18);
/** Takes a vfio_device_attach_iommufd_pt, and fills its pt_id. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = request(19);
/** Takes a vfio_device_detach_iommufd_pt. */
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = request(20);

/** token_uuid_ptr is valid. */
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0;
/** pasid is valid: what is attached or detached is that PASID of the device. */
export const VFIO_DEVICE_ATTACH_PASID = 1 << 0;
export const VFIO_DEVICE_DETACH_PASID = 1 << 0;

/** At first it ended with out_devid. */
export const vfioDeviceBindIommufd = struct('vfio_device_bind_iommufd', {
  argsz: u32,
  /** VFIO_DEVICE_BIND_FLAG_*. */
  flags: u32,
  iommufd: s32,
  /** Out: the id of the device in that context. */
  out_devid: u32,
  /** Where 16 bytes of a UUID are. */
  token_uuid_ptr: u64,
});

/** At first it ended with pt_id. */
export const vfioDeviceAttachIommufdPt = struct('vfio_device_attach_iommufd_pt', {
  argsz: u32,
  /** VFIO_DEVICE_ATTACH_PASID. */
  flags: u32,
  /** In: an IO address space or a page table; out: the page table. */
  pt_id: u32,
  pasid: u32,
});

/** At first it ended with flags. */
export const vfioDeviceDetachIommufdPt = struct('vfio_device_detach_iommufd_pt', {
  argsz: u32,
  /** VFIO_DEVICE_DETACH_PASID. */
  flags: u32,
  pasid: u32,
});
