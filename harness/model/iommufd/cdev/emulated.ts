import { offsetOf } from '../../../uapi/struct.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfioDeviceAttachIommufdPt,
  vfioDeviceDetachIommufdPt,
} from '../../../uapi/vfio-cdev.ts';
import { request } from '../../clauses.ts';
import { closeLog } from '../../logging/state.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { letGoOfAll } from '../../type1/emulated-device.ts';
import { emulatedRegion } from '../../type1/emulated-file.ts';
import type { Emulated } from '../../type1/emulated-state.ts';
import { closeDevice } from '../../type1/membership.ts';
import type { KernelFile } from '../../world/kernel-file.ts';
import { accessObjections, type Joining } from '../access/create.ts';
import { memoryOfAccess } from '../access/emulated.ts';
import { moveAccess } from '../access/items.ts';
import type { Access } from '../state.ts';
import type { Bound, Cdev } from './state.ts';

/* Devices without an IOMMU that are bound by their own file: what they have is an access. */

const HEADER = 'include/uapi/linux/vfio.h';
const SOURCE = 'drivers/vfio/iommufd.c';

/** A device without an IOMMU that is bound. */
export type BoundEmulated = Cdev & { readonly bound: Bound & { readonly object: Access } };

const WRONG = 'what is refused for its argument is stated for devices with an IOMMU';

interface AttachCall extends Joining {
  readonly cdev: BoundEmulated;
  readonly asked: Pick<Found<typeof vfioDeviceAttachIommufdPt.fields>, 'readable' | 'argsz' | 'flags'>;
}

const ATTACH_SIZE = offsetOf(vfioDeviceAttachIommufdPt, 'pasid');

const ATTACH = request<BoundEmulated, AttachCall>({
  id: 'emulated/attach',
  level: 'must',
  says: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT attaches a device without an IOMMU to an IO address space, in place of the one that it had (of which it is then told that everything ends), and returns 0; nothing is pinned by that, pt_id stays what it was, and the IO address space is in use.',
  source: `${HEADER}: VFIO_DEVICE_ATTACH_IOMMUFD_PT; vfio_iommufd_emulated_attach_ioas(), ${SOURCE}`,
  on: 'emulated',
  request: VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  situation: (cdev, { argument }) => {
    const { context, object } = cdev.bound;
    const asked = readStruct(argument, vfioDeviceAttachIommufdPt, 0, ATTACH_SIZE);
    return { cdev, context, access: object, asked, ioas: context.objects.get(asked.pt_id) };
  },
  leavesOpen: ({ context, asked: { readable, argsz, flags } }) =>
    readable && argsz >= ATTACH_SIZE && flags === 0 ? context.unclear : WRONG,
  stages: ['object', 'place'],
  effect: ({ context, access, ioas }) => {
    if (access !== undefined) moveAccess(context, access, ioas);
  },
});

interface DetachCall {
  readonly cdev: BoundEmulated;
  readonly asked: Found<typeof vfioDeviceDetachIommufdPt.fields>;
}

const DETACH_SIZE = offsetOf(vfioDeviceDetachIommufdPt, 'pasid');

const DETACH = request<BoundEmulated, DetachCall>({
  id: 'emulated/detach',
  level: 'must',
  says: 'VFIO_DEVICE_DETACH_IOMMUFD_PT takes a device without an IOMMU from its IO address space, if it has one, and returns 0: it is told that everything ends, has nothing pinned there any more, and reaches nothing.',
  source: `${HEADER}: VFIO_DEVICE_DETACH_IOMMUFD_PT; vfio_iommufd_emulated_detach_ioas(), ${SOURCE}; iommufd_access_change_ioas(), drivers/iommu/iommufd/device.c`,
  on: 'emulated',
  request: VFIO_DEVICE_DETACH_IOMMUFD_PT,
  situation: (cdev, { argument }) => ({
    cdev,
    asked: readStruct(argument, vfioDeviceDetachIommufdPt, 0, DETACH_SIZE),
  }),
  leavesOpen: ({ asked: { readable, argsz, flags } }) =>
    readable && argsz >= DETACH_SIZE && flags === 0 ? undefined : WRONG,
  stages: [],
  effect: ({ cdev: { bound } }) => moveAccess(bound.context, bound.object, undefined),
});

/** What a device without an IOMMU does when it is used by its own file. */
export const emulatedCdev = (
  cdev: Cdev,
  emulated: Emulated,
): Pick<KernelFile, 'ioctl' | 'pread' | 'pwrite' | 'backing' | 'release'> => {
  const memory = () => {
    const { bound } = cdev;
    return bound?.object.kind === 'access' ? memoryOfAccess(bound.context, bound.object, emulated) : undefined;
  };
  return {
    ...emulatedRegion(cdev, emulated, memory),
    release: () => {
      cdev.device.opened--;
      closeLog(cdev.vfio.law, emulated.logger, cdev.device.opened);
      closeDevice(cdev.vfio, cdev.group);
    },
  };
};

/** Closing lets go of everything, before the device is unbound. */
export const letGoAtClose = ({ bound, device: { emulated } }: Cdev): void => {
  if (bound?.object.kind !== 'access' || emulated === undefined) return;
  letGoOfAll(emulated, memoryOfAccess(bound.context, bound.object, emulated).unpin);
};

export const EMULATED_CDEV_CLAUSES = [ATTACH, ...accessObjections(ATTACH), DETACH];
