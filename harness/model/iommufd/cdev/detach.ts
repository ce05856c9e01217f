import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import {
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_PASID,
  vfioDeviceDetachIommufdPt,
} from '../../../uapi/vfio-cdev.ts';
import { refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { move } from '../tables.ts';
import type { BoundCdev } from './state.ts';

/* Detaching a device by its own file. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_DETACH_IOMMUFD_PT';
const SOURCE = 'vfio_df_ioctl_detach_pt(), drivers/vfio/device_cdev.c';
const TYPE = vfioDeviceDetachIommufdPt;
/** What every caller gives, in bytes. */
const LEAST = offsetOf(TYPE, 'pasid');

interface DetachCall {
  readonly cdev: BoundCdev;
  readonly asked: Found<typeof TYPE.fields>;
  /** The PASID, where one is meant: 0 if it cannot be read. */
  readonly pasid: { readonly readable: boolean; readonly number: number } | undefined;
}

const DETACH = request<BoundCdev, DetachCall>({
  id: 'cdev/detach',
  level: 'must',
  says: 'VFIO_DEVICE_DETACH_IOMMUFD_PT takes the device from what it is attached to, if it is, and returns 0; the page table that was made for it is gone, and what only that kept pinned is not any more. The argument stays as it was. A PASID that is not attached is no error.',
  source: `${HEADER}: Remove the association of the device or a pasid of the device and its current associated address space`,
  on: 'cdev',
  request: VFIO_DEVICE_DETACH_IOMMUFD_PT,
  situation: (cdev, { argument }) => {
    const asked = readStruct(argument, TYPE, 0, LEAST);
    const whole = readStruct(argument, TYPE);
    const ofPasid = (asked.flags & VFIO_DEVICE_DETACH_PASID) !== 0;
    return { cdev, asked, pasid: ofPasid ? { readable: whole.readable, number: whole.pasid } : undefined };
  },
  stages: ['size', 'flags', 'pasid'],
  effect: ({ cdev: { bound }, pasid }) => {
    if (pasid === undefined) move(bound.context, bound.object, undefined);
  },
});

const refuses = refusing(DETACH);

const OBJECTIONS = [
  refuses({
    id: 'cdev/detach-unreadable',
    says: 'A VFIO_DEVICE_DETACH_IOMMUFD_PT whose argument cannot be read is refused with EFAULT, and the device stays attached; so is one whose pasid cannot be read, with VFIO_DEVICE_DETACH_PASID.',
    source: SOURCE,
    stage: 'pasid',
    errnos: ['EFAULT'],
    when: ({ asked, pasid }) => !asked.readable || pasid?.readable === false,
  }),
  refuses({
    id: 'cdev/detach-argsz',
    says: 'An argsz that does not reach to the end of flags, or with VFIO_DEVICE_DETACH_PASID to that of pasid, is refused with EINVAL, and the device stays attached.',
    source: `${HEADER}: argsz; ${SOURCE}`,
    stage: 'size',
    errnos: ['EINVAL'],
    when: ({ asked, pasid }) => asked.readable && asked.argsz < (pasid === undefined ? LEAST : sizeOf(TYPE)),
  }),
  refuses({
    id: 'cdev/detach-flags',
    says: 'Flags other than VFIO_DEVICE_DETACH_PASID are refused with EINVAL, and the device stays attached.',
    source: `${HEADER}: flags`,
    stage: 'flags',
    errnos: ['EINVAL'],
    when: ({ asked }) => (asked.flags & ~VFIO_DEVICE_DETACH_PASID) !== 0,
  }),
];

export const DETACH_CLAUSES = [DETACH, ...OBJECTIONS];
