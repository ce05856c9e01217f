import { VFIO_DEVICE_BIND_IOMMUFD } from '../../../uapi/vfio-cdev.ts';
import { answerRequest } from '../../answer.ts';
import { type Objection, rule } from '../../clauses.ts';
import type { Answer } from '../../outcome.ts';
import { deviceFile } from '../../type1/device-file.ts';
import type { DeviceFile } from '../../type1/files.ts';
import { OPENS as OPENS_GROUP } from '../../type1/group.ts';
import type { Group, Vfio } from '../../type1/state.ts';
import type { Files, KernelFile } from '../../world/kernel-file.ts';
import { fails } from '../../world/replies.ts';
import { moveAccess } from '../access/items.ts';
import { move } from '../tables.ts';
import { emulatedCdev, letGoAtClose } from './emulated.ts';
import type { Cdev } from './state.ts';

/* A device's own file, /dev/vfio/devices/vfioN. */

/** What opening a device's own file gives. */
export const OPENS = rule<(file: DeviceFile) => Cdev>({
  id: 'cdev/open',
  level: 'must',
  says: "A device's own file can be opened as often as one likes, also while its group is open, and hinders nobody before it is bound.",
  source:
    'Documentation/driver-api/vfio.rst: VFIO device cdev; vfio_device_fops_cdev_open(), drivers/vfio/device_cdev.c',
  rule: (file) => ({ ...file, bound: undefined }),
});

/** Whether a file does nothing yet. */
const ACCESS_NEEDS_BINDING = rule<(cdev: Cdev) => boolean>({
  id: 'cdev/access-before-binding',
  level: 'must',
  says: 'Before it is bound a device cannot be used through its own file: requests other than VFIO_DEVICE_BIND_IOMMUFD, known or not, reading, writing and mapping are refused with EINVAL.',
  source:
    'include/uapi/linux/vfio.h: VFIO_DEVICE_BIND_IOMMUFD: User is restricted from accessing the device before the binding operation is completed',
  rule: ({ bound }) => bound === undefined,
});

/** What closing the file gives back. */
const CLOSING_UNBINDS = rule<(cdev: Cdev) => void>({
  id: 'cdev/close',
  level: 'must',
  says: "When the last descriptor and the last mapping of a device's file are gone the device is detached and unbound: its id names nothing any more, its group can be opened again, and the device bound again. Until then its context stays, even if /dev/iommu is closed.",
  source:
    'include/uapi/linux/vfio.h: Unbind is automatically conducted when device fd is closed; vfio_df_unbind_iommufd(), drivers/vfio/device_cdev.c; iommufd_device_bind(): iommufd_ctx_get()',
  rule: (cdev) => {
    const { bound } = cdev;
    if (bound === undefined) return;
    const { context, object, file } = bound;
    if (object.kind === 'device') move(context, object, undefined);
    else {
      letGoAtClose(cdev);
      moveAccess(context, object, undefined);
    }
    for (const [id, one] of context.others) if (one === object) context.others.delete(id);
    cdev.group.bound--;
    cdev.device.reach = undefined;
    cdev.bound = undefined;
    file.drop();
  },
});

/** A group is not opened while it is in use otherwise. */
const BLOCKS_GROUP: Objection<Group> = {
  kind: 'objection',
  to: OPENS_GROUP.id,
  stage: 'open',
  id: 'cdev/bound-blocks-group',
  level: 'must',
  says: 'While a device is bound through its own file opening its group is refused with EBUSY.',
  source: 'vfio_group_fops_open(), drivers/vfio/group.c',
  errnos: ['EBUSY'],
  when: ({ bound }) => bound > 0,
};

/** The files of a platform's devices. What others than root may open is for the system to say, not for VFIO. */
export const cdevFiles = (vfio: Vfio): Files => {
  const files = new Map(
    vfio.groups.flatMap((group) => group.devices.map((device) => [device.platform.cdev, { vfio, group, device }])),
  );
  const clause = vfio.law.of(OPENS);
  return (path) => {
    const file = files.get(path);
    if (file === undefined) return undefined;
    return ({ uid }) =>
      uid === 0
        ? { opens: () => cdevFile(clause.rule(file)), clauses: [clause] }
        : { unspecified: 'who may open this file is for the system to say' };
  };
};

/** What is said of a request on a device's file: binding is the same for all devices. */
const provisionOf = ({ vfio: { law }, device: { emulated } }: Cdev, request: bigint) =>
  law.provision(emulated === undefined || request === VFIO_DEVICE_BIND_IOMMUFD ? 'cdev' : 'emulated', request);

const cdevFile = (cdev: Cdev): KernelFile => {
  const { law } = cdev.vfio;
  const { emulated } = cdev.device;
  const device = emulated === undefined ? deviceFile(cdev) : emulatedCdev(cdev, emulated);
  const needsBinding = law.of(ACCESS_NEEDS_BINDING);
  const bound = (answer: () => Answer | undefined): Answer =>
    needsBinding.rule(cdev) ? fails('EINVAL', needsBinding) : (answer() ?? { unspecified: 'nothing defines this' });
  return {
    kind: 'cdev',
    ioctl: (call) => {
      const own = provisionOf(cdev, call.request);
      if (own === undefined) return bound(() => device.ioctl?.(call));
      const answer = (): Answer => answerRequest(own, cdev, call);
      return call.request === VFIO_DEVICE_BIND_IOMMUFD ? answer() : bound(answer);
    },
    pread: (...asked) => bound(() => device.pread?.(...asked)),
    pwrite: (...asked) => bound(() => device.pwrite?.(...asked)),
    backing: (asked) =>
      needsBinding.rule(cdev)
        ? { kind: 'refused', errno: 'EINVAL', clauses: [needsBinding] }
        : (device.backing?.(asked) ?? { kind: 'unspecified', why: 'nothing defines this' }),
    release: () => {
      if (cdev.bound === undefined) return;
      law.of(CLOSING_UNBINDS).rule(cdev);
      device.release?.();
    },
  };
};

export const CDEV_FILE_CLAUSES = [OPENS, ACCESS_NEEDS_BINDING, CLOSING_UNBINDS, BLOCKS_GROUP];
