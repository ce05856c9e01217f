import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import {
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfioDeviceBindIommufd,
} from '../../../uapi/vfio-cdev.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import { openDevice } from '../../type1/device-open.ts';
import type { IoctlCall } from '../../world/kernel-file.ts';
import { isNoDescriptor } from '../../world/open-file.ts';
import type { OpenFile, Process } from '../../world/process.ts';
import { emulatedAccess } from '../access/emulated.ts';
import { bytesBehind } from '../framing.ts';
import { newId } from '../ids.ts';
import { type Access, type Context, type Device, newDevice } from '../state.ts';
import { reach } from './dma.ts';
import { hardwareOf } from './hardware.ts';
import { type Cdev, contextOf } from './state.ts';

/* Binding a device, by its own file, to a context of IOMMUFD. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_BIND_IOMMUFD';
const SOURCE = 'vfio_df_ioctl_bind_iommufd(), drivers/vfio/device_cdev.c';
const TYPE = vfioDeviceBindIommufd;
const FD_AT = offsetOf(TYPE, 'iommufd');
/** What every caller gives, in bytes: the structure as it was at first. */
const LEAST = offsetOf(TYPE, 'token_uuid_ptr');
const TOKEN_SIZE = 16;

interface BindCall {
  readonly cdev: Cdev;
  readonly caller: Process;
  readonly asked: Found<typeof TYPE.fields>;
  /** What is behind the part of the structure that is known, up to argsz. */
  readonly tail: 'zero' | 'other' | 'unreadable';
  /** What the descriptor in it leads to; `undefined` for a bare number, which may or may not be a descriptor. */
  readonly file: OpenFile | undefined;
  readonly context: Context | undefined;
}

const situation = (cdev: Cdev, { caller, argument }: IoctlCall): BindCall => {
  const { readable, argsz } = readStruct(argument, TYPE, 0, 4);
  const enough = readable && argsz >= LEAST;
  const file = argument.fileAt(FD_AT);
  return {
    cdev,
    caller,
    asked: enough
      ? readStruct(argument, TYPE, 0, Math.min(argsz, sizeOf(TYPE)))
      : { ...readStruct(argument, TYPE, 0, 0), argsz, readable },
    tail: enough ? bytesBehind(argument, sizeOf(TYPE), argsz) : 'zero',
    file,
    context: file && contextOf(file.file),
  };
};

/** What a device is in a context: one without an IOMMU only has an access. */
const newObject = (context: Context, cdev: Cdev): Device | Access =>
  cdev.device.emulated === undefined ? newDevice(hardwareOf(cdev)) : emulatedAccess(context, cdev.device.emulated);

const BIND = request<Cdev, BindCall>({
  id: 'cdev/bind',
  level: 'must',
  says: 'VFIO_DEVICE_BIND_IOMMUFD gives the device to a context of IOMMUFD, as an object of it, and returns 0; the device can be used from then on, and belongs to the context until its file is closed.',
  source: `${HEADER}: Bind a vfio_device to the specified iommufd; Unbind is automatically conducted when device fd is closed`,
  on: 'cdev',
  request: VFIO_DEVICE_BIND_IOMMUFD,
  situation,
  leavesOpen: ({ context }) => context?.unclear,
  stages: ['size', 'struct', 'arguments', 'group', 'state', 'token', 'descriptor', 'device'],
  effect: ({ cdev, context, file }) => {
    if (context === undefined || file === undefined) return;
    const object = newObject(context, cdev);
    context.others.set(newId(context), object);
    file.hold();
    openDevice(cdev.vfio, cdev.device);
    cdev.group.bound++;
    if (object.kind === 'device') cdev.device.reach = (iova, access) => reach(context, object, iova, access);
    cdev.bound = { context, object, file };
  },
});

const DEVICE_ID = field(BIND, {
  id: 'cdev/bind-id',
  level: 'must',
  says: 'The field out_devid returns the id that the device has in the context; nothing else of the argument changes.',
  source: `${HEADER}: out_devid`,
  at: () => offsetOf(TYPE, 'out_devid'),
  bytes: ({ context }) => (context === undefined ? undefined : u32Bytes(newId(context))),
});

const refuses = refusing(BIND);

const OBJECTIONS = [
  refuses({
    id: 'cdev/bind-unreadable',
    says: 'A VFIO_DEVICE_BIND_IOMMUFD whose argsz cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'size',
    errnos: ['EFAULT'],
    when: ({ asked, tail }) => !asked.readable && tail === 'zero',
  }),
  refuses({
    id: 'cdev/bind-argsz',
    says: 'An argsz that does not reach to the end of out_devid is refused with EINVAL.',
    source: `${HEADER}: argsz; ${SOURCE}`,
    stage: 'size',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.readable && asked.argsz < LEAST,
  }),
  refuses({
    id: 'cdev/bind-unknown-tail',
    says: 'A larger structure than the kernel knows is taken when all that is behind the known part is 0, and refused with E2BIG otherwise.',
    source: `${SOURCE}: copy_struct_from_user()`,
    stage: 'struct',
    errnos: ['E2BIG'],
    when: ({ tail }) => tail === 'other',
  }),
  refuses({
    id: 'cdev/bind-unreadable-struct',
    says: 'A structure that cannot be read up to argsz is refused with EFAULT.',
    source: `${SOURCE}: copy_struct_from_user()`,
    stage: 'struct',
    errnos: ['EFAULT'],
    when: ({ asked, tail }) => tail === 'unreadable' || !asked.readable,
  }),
  refuses({
    id: 'cdev/bind-flags',
    says: 'Flags other than VFIO_DEVICE_BIND_FLAG_TOKEN are refused with EINVAL.',
    source: `${HEADER}: flags: Must be 0 or a bit flags of VFIO_DEVICE_BIND_*`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => (asked.flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0,
  }),
  refuses({
    id: 'cdev/bind-negative-descriptor',
    says: 'A negative descriptor is refused with EINVAL.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked, file }) => file === undefined && asked.iommufd < 0,
  }),
  refuses({
    id: 'cdev/bind-open-group',
    says: 'While the group of the device is open, or a device of it is by its group, binding is refused with EBUSY.',
    source: 'vfio_device_block_group(), drivers/vfio/group.c',
    stage: 'group',
    errnos: ['EBUSY'],
    when: ({ cdev }) => cdev.group.opened,
  }),
  refuses({
    id: 'cdev/bind-twice',
    says: 'Binding again through the same file is refused with EINVAL, be it to the same context, and what is bound stays.',
    source: `${SOURCE}: one device cannot be bound twice`,
    stage: 'state',
    errnos: ['EINVAL'],
    when: ({ cdev }) => cdev.bound !== undefined,
  }),
  refuses({
    id: 'cdev/bind-unreadable-token',
    says: 'With VFIO_DEVICE_BIND_FLAG_TOKEN a token that cannot be read is refused with EFAULT.',
    source: 'vfio_df_check_token(), drivers/vfio/device_cdev.c',
    stage: 'token',
    errnos: ['EFAULT'],
    when: ({ asked, caller }) => wantsToken(asked) && caller.space.read(asked.token_uuid_ptr, TOKEN_SIZE) === undefined,
  }),
  refuses({
    id: 'cdev/bind-needless-token',
    says: 'A token for a device that is neither a virtual function nor has any is refused with EINVAL.',
    source: `${HEADER}: unless this is known to be needed VFIO_DEVICE_BIND_FLAG_TOKEN should not be set; vfio_pci_core_match_token_uuid(), drivers/vfio/pci/vfio_pci_core.c`,
    stage: 'token',
    errnos: ['EINVAL'],
    when: ({ asked, caller, cdev }) => {
      if (!wantsToken(asked) || caller.space.read(asked.token_uuid_ptr, TOKEN_SIZE) === undefined) return false;
      return cdev.device.edu === undefined ? 'perhaps' : true;
    },
  }),
  refuses({
    id: 'cdev/bind-bad-descriptor',
    says: 'A number that is no open descriptor is refused with EBADF.',
    source: `${SOURCE}: iommufd_ctx_from_fd()`,
    stage: 'descriptor',
    errnos: ['EBADF'],
    when: ({ file, asked }) => file === undefined && (isNoDescriptor(asked.iommufd) || 'perhaps'),
  }),
  refuses({
    id: 'cdev/bind-other-file',
    says: 'The descriptor of anything but /dev/iommu is refused with EBADFD.',
    source: `${SOURCE}: iommufd_ctx_from_fd()`,
    stage: 'descriptor',
    errnos: ['EBADFD'],
    when: ({ context, file, asked }) => context === undefined && (file !== undefined || !isNoDescriptor(asked.iommufd)),
  }),
  refuses({
    id: 'cdev/bind-open-device',
    says: 'A device that is bound through another opening of its file, by the same process or another, is refused with EINVAL.',
    source:
      'vfio_df_open(), drivers/vfio/vfio_main.c: Only the group path allows the device to be opened multiple times',
    stage: 'device',
    errnos: ['EINVAL'],
    when: ({ cdev }) => cdev.device.opened > 0,
  }),
];

const wantsToken = ({ flags }: BindCall['asked']): boolean => (flags & VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0;

export const BIND_CLAUSES = [BIND, DEVICE_ID, ...OBJECTIONS];
