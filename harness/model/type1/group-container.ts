import { VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER } from '../../uapi/vfio.ts';
import { objection, request } from '../clauses.ts';
import { contextOf } from '../iommufd/cdev/state.ts';
import type { Context } from '../iommufd/state.ts';
import type { IoctlCall, KernelFile } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import type { GroupFile } from './files.ts';
import { join, leave } from './membership.ts';
import { type Container, hasIommu, isTaken } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const MAIN = 'drivers/vfio/vfio_main.c';
const ATTACH = 'vfio_iommu_type1_attach_group(), drivers/vfio/vfio_iommu_type1.c';

/** What the descriptor in an argument leads to. */
type Target =
  | { readonly kind: 'container'; readonly container: Container }
  | { readonly kind: 'iommufd'; readonly context: Context }
  | { readonly kind: 'other' }
  | { readonly kind: 'closed' }
  /** A bare number: it may or may not be a descriptor of the process, but no container of the program's. */
  | { readonly kind: 'unknown' };

export interface SetContainerCall extends GroupFile {
  readonly caller: Process;
  readonly readable: boolean;
  readonly target: Target;
}

const containers = new WeakMap<KernelFile, Container>();

/** Remembers that a file is a container's, for groups that are given it. */
export const markContainer = (file: KernelFile, container: Container): void => void containers.set(file, container);

const targetOf = ({ argument }: IoctlCall, bytes: Uint8Array): Target => {
  const open = argument.fileAt(0);
  if (open !== undefined) {
    const container = containers.get(open.file);
    if (container !== undefined) return { kind: 'container', container };
    const context = contextOf(open.file);
    return context === undefined ? { kind: 'other' } : { kind: 'iommufd', context };
  }
  const number = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
  return { kind: number < 0 ? 'closed' : 'unknown' };
};

export const SET_CONTAINER = request<GroupFile, SetContainerCall>({
  id: 'group/set-container',
  level: 'must',
  says: 'SET_CONTAINER puts the group into the container whose descriptor it is given, where others may be already, and returns 0.',
  source: `${HEADER}: VFIO_GROUP_SET_CONTAINER`,
  on: 'group',
  request: VFIO_GROUP_SET_CONTAINER,
  situation: (file, call) => {
    const bytes = call.argument.read(0, 4);
    return {
      ...file,
      caller: call.caller,
      readable: bytes !== undefined,
      target: bytes === undefined ? { kind: 'other' } : targetOf(call, bytes),
    };
  },
  stages: ['read', 'descriptor', 'arguments', 'attach'],
  effect: ({ vfio, group, target, caller }) => {
    if (target.kind === 'container') join(vfio, target.container, group, caller);
  },
});

const CONTAINER_UNREADABLE = objection(SET_CONTAINER, {
  id: 'group/unreadable-container',
  level: 'must',
  says: 'A SET_CONTAINER whose argument cannot be read is refused with EFAULT.',
  source: `vfio_group_ioctl_set_container(), ${MAIN}`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ readable }) => !readable,
});

const CONTAINER_CLOSED = objection(SET_CONTAINER, {
  id: 'group/set-container-bad-descriptor',
  level: 'must',
  says: 'SET_CONTAINER with a number that is no open descriptor is refused with EBADF.',
  source: `vfio_group_ioctl_set_container(), ${MAIN}`,
  stage: 'descriptor',
  errnos: ['EBADF'],
  when: ({ target: { kind } }) => (kind === 'unknown' ? 'perhaps' : kind === 'closed'),
});

export const NOT_A_CONTAINER = objection(SET_CONTAINER, {
  id: 'group/set-container-other-file',
  level: 'must',
  says: 'SET_CONTAINER with the descriptor of something else is refused with EINVAL.',
  source: `vfio_group_ioctl_set_container(), ${MAIN}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ target: { kind } }) => kind !== 'container',
});

const CONTAINER_TWICE = objection(SET_CONTAINER, {
  id: 'group/set-container-twice',
  level: 'must',
  says: 'SET_CONTAINER on a group that is in a container, the same or another, is refused with EINVAL.',
  source: `${HEADER}: Groups may only belong to a single container; vfio_group_ioctl_set_container(), ${MAIN}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ group }) => isTaken(group),
});

/** The IOMMU that a group would come to. */
export const iommuOf = ({ target }: SetContainerCall) =>
  target.kind === 'container' ? target.container.iommu : undefined;

const VADDR_INVALID = objection(SET_CONTAINER, {
  id: 'vaddr/blocks-groups',
  level: 'must',
  says: 'While a mapping is without a valid vaddr no group can be added to its container: SET_CONTAINER is refused with EBUSY.',
  source: `${HEADER}: Groups may not be added to the container while any addresses are invalid; ${ATTACH}`,
  stage: 'attach',
  errnos: ['EBUSY'],
  when: (call) => (iommuOf(call)?.invalidated ?? 0) > 0,
});

const RESERVED_MAPPED = objection(SET_CONTAINER, {
  id: 'group/reserved-region-mapped',
  level: 'must',
  says: 'A group with a reserved region that is mapped in the container already is refused with EINVAL.',
  source: `vfio_iommu_resv_conflict(), ${ATTACH}`,
  stage: 'attach',
  errnos: ['EINVAL'],
  when: (call) =>
    call.group.platform.reserved.some(
      ({ start, end }) => iommuOf(call)?.mappings.overlapping(start, end + 1n) !== undefined,
    ),
});

const UNSAFE_INTERRUPTS = objection(SET_CONTAINER, {
  id: 'group/unsafe-interrupts',
  level: 'must',
  says: 'A group whose devices could forge interrupts is refused with EPERM by a container with an IOMMU, unless the administrator allowed that.',
  source: ATTACH,
  stage: 'attach',
  errnos: ['EPERM'],
  when: (call) => hasIommu(call.group) && iommuOf(call) !== undefined && !call.vfio.platform.iommu.isolatesMsi,
});

const UNSET_CONTAINER = request<GroupFile, GroupFile>({
  id: 'group/unset-container',
  level: 'must',
  says: 'UNSET_CONTAINER takes the group out of its container and returns 0; the group can then be put into that or another container.',
  source: `${HEADER}: VFIO_GROUP_UNSET_CONTAINER`,
  on: 'group',
  request: VFIO_GROUP_UNSET_CONTAINER,
  situation: (file) => file,
  stages: ['state'],
  effect: ({ vfio, group }) => leave(vfio, group),
});

const NO_CONTAINER = objection(UNSET_CONTAINER, {
  id: 'group/unset-container-without',
  level: 'must',
  says: 'UNSET_CONTAINER on a group that is in no container is refused with EINVAL.',
  source: `${HEADER}: Availability: When attached to container; vfio_group_ioctl_unset_container(), ${MAIN}`,
  stage: 'state',
  errnos: ['EINVAL'],
  when: ({ group }) => !isTaken(group),
});

const DEVICES_OPEN = objection(UNSET_CONTAINER, {
  id: 'group/unset-container-with-device',
  level: 'must',
  says: 'UNSET_CONTAINER while a device of the group is open is refused with EBUSY.',
  source: `${HEADER}: All device file descriptors must be released prior to calling this interface; vfio_group_ioctl_unset_container(), ${MAIN}`,
  stage: 'state',
  errnos: ['EBUSY'],
  when: ({ group }) => group.devices.some(({ opened }) => opened > 0),
});

export const GROUP_CONTAINER_CLAUSES = [
  SET_CONTAINER,
  CONTAINER_UNREADABLE,
  CONTAINER_CLOSED,
  NOT_A_CONTAINER,
  CONTAINER_TWICE,
  VADDR_INVALID,
  RESERVED_MAPPED,
  UNSAFE_INTERRUPTS,
  UNSET_CONTAINER,
  NO_CONTAINER,
  DEVICES_OPEN,
];
