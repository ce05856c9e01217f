import { sizeOf } from '../../../uapi/struct.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfioDeviceBindIommufd,
} from '../../../uapi/vfio-cdev.ts';
import { readStruct } from '../../type1/argument.ts';
import { interposer } from '../../type1/interposer.ts';
import type { UserArgument } from '../../world/kernel-file.ts';
import { fails } from '../../world/replies.ts';

/* The requests of a device's own file, made to a device that was opened by its group. */

const HEADER = 'include/uapi/linux/vfio.h';

/** Whether an argument is such that binding would look further. */
const isSound = (argument: UserArgument): boolean => {
  const { readable, argsz, flags } = readStruct(argument, vfioDeviceBindIommufd);
  return readable && argsz === sizeOf(vfioDeviceBindIommufd) && (flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) === 0;
};

const BIND = interposer({
  id: 'cdev/bind-through-group',
  level: 'must',
  says: 'VFIO_DEVICE_BIND_IOMMUFD of a device that was opened by its group is refused with EINVAL.',
  source: `${HEADER}: VFIO_DEVICE_BIND_IOMMUFD: Only allowed on cdev fds; vfio_df_ioctl_bind_iommufd(), drivers/vfio/device_cdev.c`,
  ioctl: (_, { request, argument }, through) => {
    if (request !== VFIO_DEVICE_BIND_IOMMUFD) return through();
    return isSound(argument)
      ? fails('EINVAL', BIND)
      : { unspecified: 'what comes first when the argument is wrong as well is not stated' };
  },
});

const ATTACH = interposer({
  id: 'cdev/attach-through-group',
  level: 'must',
  says: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT and VFIO_DEVICE_DETACH_IOMMUFD_PT of a device that was opened by its group are refused with ENOTTY.',
  source: `${HEADER}: This is only allowed on cdev fds; vfio_device_fops_unl_ioctl(), drivers/vfio/vfio_main.c; vfio_pci_core_ioctl(), drivers/vfio/pci/vfio_pci_core.c`,
  ioctl: (_, { request }, through) =>
    request === VFIO_DEVICE_ATTACH_IOMMUFD_PT || request === VFIO_DEVICE_DETACH_IOMMUFD_PT
      ? fails('ENOTTY', ATTACH)
      : through(),
});

export const THROUGH_GROUP_CLAUSES = [BIND, ATTACH];
