import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_STATUS,
  vfioGroupStatus,
} from '../../uapi/vfio.ts';
import { field, type Objection, objection, request, rule } from '../clauses.ts';
import { type Found, readStruct } from './argument.ts';
import { u32Bytes } from './bytes.ts';
import type { GroupFile } from './files.ts';
import { type Group, isTaken } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const MAIN = 'drivers/vfio/vfio_main.c';

/** Whether a group can be opened at all. */
export const OPENS = rule<(group: Group) => void>({
  id: 'group/open',
  level: 'must',
  says: 'Opening /dev/vfio/NUMBER gives a descriptor for the group, in no container.',
  source: 'Documentation/driver-api/vfio.rst: VFIO Usage Example',
  rule: (group) => {
    group.opened = true;
  },
});

export const OPEN_ONCE: Objection<Group> = {
  kind: 'objection',
  to: OPENS.id,
  stage: 'open',
  id: 'group/busy',
  level: 'must',
  says: 'A group that is open is refused with EBUSY, to the same process and to others, until it is closed; dup, fork and passing descriptors share the one opening.',
  source: `vfio_group_fops_open(), ${MAIN}`,
  errnos: ['EBUSY'],
  when: ({ opened }) => opened,
};

/** A GET_STATUS, and whether its argument can be written. */
interface StatusCall {
  readonly asked: Found<typeof vfioGroupStatus.fields>;
  readonly group: Group;
  readonly writable: boolean;
}

const GET_STATUS = request<GroupFile, StatusCall>({
  id: 'group/get-status',
  level: 'must',
  says: 'GET_STATUS fills in the flags of the group and returns 0; it is always available.',
  source: `${HEADER}: VFIO_GROUP_GET_STATUS`,
  on: 'group',
  request: VFIO_GROUP_GET_STATUS,
  situation: ({ group }, { argument }) => ({
    asked: readStruct(argument, vfioGroupStatus),
    group,
    writable: argument.writable(0, sizeOf(vfioGroupStatus)),
  }),
  stages: ['read', 'arguments', 'reply'],
});

const STATUS_UNREADABLE = objection(GET_STATUS, {
  id: 'group/unreadable-status',
  level: 'must',
  says: 'A GET_STATUS whose argument cannot be read is refused with EFAULT.',
  source: `vfio_group_ioctl_get_status(), ${MAIN}`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const STATUS_ARGSZ = objection(GET_STATUS, {
  id: 'group/status-argsz',
  level: 'must',
  says: 'GET_STATUS with an argsz below 8 is refused with EINVAL; a larger one is accepted and nothing behind the structure is written.',
  source: `${HEADER}: argsz; vfio_group_ioctl_get_status(), ${MAIN}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < sizeOf(vfioGroupStatus),
});

const STATUS_UNWRITABLE = objection(GET_STATUS, {
  id: 'group/unwritable-status',
  level: 'must',
  says: 'A GET_STATUS whose argument cannot be written is refused with EFAULT.',
  source: `vfio_group_ioctl_get_status(), ${MAIN}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

const STATUS_FLAGS = field(GET_STATUS, {
  id: 'group/status-flags',
  level: 'must',
  says: 'A group whose devices are all free for VFIO is VIABLE; it has CONTAINER_SET exactly while it is in a container; argsz stays as it was.',
  source: `${HEADER}: VFIO_GROUP_FLAGS_*; Documentation/driver-api/vfio.rst: VFIO Usage Example`,
  at: () => offsetOf(vfioGroupStatus, 'flags'),
  bytes: ({ group }) => u32Bytes(VFIO_GROUP_FLAGS_VIABLE | (isTaken(group) ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0)),
});

/** A request on a file that knows no such thing. */
interface Unknown extends GroupFile {
  readonly request: bigint;
}

export const UNKNOWN_REQUEST: Objection<Unknown> = {
  kind: 'objection',
  to: OPENS.id,
  stage: 'dispatch',
  id: 'group/unknown-request',
  level: 'must',
  says: 'A request that groups do not know, those of containers and devices among them, is refused with ENOTTY.',
  source: `vfio_group_fops_unl_ioctl(), ${MAIN}`,
  errnos: ['ENOTTY'],
  when: ({ vfio, request: number }) => vfio.law.provision('group', number) === undefined,
};

export const GROUP_CLAUSES = [
  OPENS,
  OPEN_ONCE,
  GET_STATUS,
  STATUS_UNREADABLE,
  STATUS_ARGSZ,
  STATUS_UNWRITABLE,
  STATUS_FLAGS,
  UNKNOWN_REQUEST,
];
