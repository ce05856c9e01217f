/** What include/uapi/linux/vfio.h of Linux 6.12 lays out otherwise than that of 6.1. */
import { struct, u32 } from './struct.ts';
import { vfioDeviceInfo, vfioIommuType1Info } from './vfio.ts';

/** Since 6.6. */
export const vfioDeviceInfoPadded = struct(vfioDeviceInfo.name, { ...vfioDeviceInfo.fields, pad: u32 });
/** Since 6.6. */
export const vfioIommuType1InfoPadded = struct(vfioIommuType1Info.name, { ...vfioIommuType1Info.fields, pad: u32 });
