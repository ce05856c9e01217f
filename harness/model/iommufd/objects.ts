import { IOMMU_DESTROY, IOMMU_IOAS_ALLOC, iommuDestroy, iommuIoasAlloc } from '../../uapi/iommufd.ts';
import { offsetOf } from '../../uapi/struct.ts';
import { field, objection, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import { NEXT_ID, newId } from './ids.ts';
import { settle } from './pinned.ts';
import { type Context, type Ioas, newIoas, type Other } from './state.ts';
import { end, move } from './tables.ts';
import { endVirtual, leaveViommu } from './viommu/ending.ts';

/* Objects, and the ids that they have. */

const HEADER = 'include/uapi/linux/iommufd.h';
const MAIN = 'drivers/iommu/iommufd/main.c';
const IOAS = 'drivers/iommu/iommufd/ioas.c';

interface AllocCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuIoasAlloc.fields>;
  readonly writable: boolean;
}

const SIZE = 12;

const ALLOC = request<Context, AllocCall>({
  id: 'ioas/alloc',
  level: 'must',
  says: 'IOAS_ALLOC makes an IO address space without mappings, and returns 0.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_IOAS`,
  on: 'iommufd',
  request: IOMMU_IOAS_ALLOC,
  situation: (context, { argument }) => ({
    context,
    asked: readStruct(argument, iommuIoasAlloc, 0, SIZE),
    writable: argument.writable(0, SIZE),
  }),
  stages: ['arguments', 'reply'],
  effect: ({ context }) => void context.objects.set(newId(context), newIoas()),
});

const ALLOCATED_ID = field(ALLOC, {
  id: 'ioas/alloc-id',
  level: 'must',
  says: 'The field out_ioas_id returns the id of the new IO address space; nothing else of the argument changes.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC: out_ioas_id`,
  at: () => offsetOf(iommuIoasAlloc, 'out_ioas_id'),
  bytes: ({ context }) => u32Bytes(newId(context)),
});

const ALLOC_FLAGS = objection(ALLOC, {
  id: 'ioas/alloc-flags',
  level: 'must',
  says: 'IOAS_ALLOC with flags other than 0 is refused with EOPNOTSUPP.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC: flags: Must be 0; EOPNOTSUPP: a known field has a value the kernel does not understand`,
  stage: 'arguments',
  errnos: ['EOPNOTSUPP'],
  when: ({ asked }) => asked.flags !== 0,
});

const ALLOC_UNWRITABLE = objection(ALLOC, {
  id: 'ioas/alloc-unwritable',
  level: 'must',
  says: 'When the id cannot be returned the call fails with EFAULT, and no object is left.',
  source: `iommufd_ioas_alloc_ioctl(), ${IOAS}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

/** Ends an object that is not in use; a mock device lets go of the device, and with it of its page table. */
const endOther = (context: Context, id: number, object: Other): void => {
  if (object.kind === 'page table' || object.kind === 'nested table') {
    end(context, object);
    return;
  }
  context.others.delete(id);
  leaveViommu(context, object);
  if (object.kind !== 'mock') return;
  const device = context.others.get(object.device);
  if (device?.kind !== 'device') return;
  move(context, device, undefined);
  endVirtual(context, device);
  context.others.delete(object.device);
};

/** Whether anything else needs an object. */
const isBusy = (object: Ioas | Other): boolean => {
  if ('areas' in object) return object.tables.size > 0 || object.accesses.size > 0;
  if (object.kind === 'device' || object.kind === 'access') return true;
  return 'users' in object && object.users > 0;
};

interface DestroyCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuDestroy.fields>;
  readonly object: Ioas | Other | undefined;
}

const DESTROY = request<Context, DestroyCall>({
  id: 'iommufd/destroy',
  level: 'must',
  says: 'DESTROY ends the object with that id, an IO address space with all that is mapped in it, and returns 0; its id names nothing any more.',
  source: `${HEADER}: IOMMU_DESTROY: Destroy any object held within iommufd`,
  on: 'iommufd',
  request: IOMMU_DESTROY,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuDestroy);
    return { context, asked, object: context.objects.get(asked.id) ?? context.others.get(asked.id) };
  },
  leavesOpen: ({ context, object }) => {
    const device =
      object !== undefined && 'kind' in object && object.kind === 'mock'
        ? context.others.get(object.device)
        : undefined;
    return device?.kind === 'device' && device.pasids.size > 0
      ? 'a driver must detach all PASIDs before it lets go of its device, and the mock device leaves that to the program'
      : undefined;
  },
  stages: ['object'],
  effect: ({ context, asked }) => {
    const other = context.others.get(asked.id);
    if (other !== undefined) endOther(context, asked.id, other);
    else {
      context.objects.delete(asked.id);
      settle(context);
    }
  },
});

const DESTROY_UNKNOWN = objection(DESTROY, {
  id: 'iommufd/destroy-unknown',
  level: 'must',
  says: 'DESTROY of an id that no object of this context has (0, one that was destroyed, that of another context) is refused with ENOENT.',
  source: `${HEADER}: ENOENT: An ID or IOVA provided does not exist; iommufd_object_remove(), ${MAIN}`,
  stage: 'object',
  errnos: ['ENOENT'],
  when: ({ object }) => object === undefined,
});

const DESTROY_BUSY = objection(DESTROY, {
  id: 'iommufd/destroy-busy',
  level: 'must',
  says: 'DESTROY of what is in use (an IO address space that has a page table or an access, an access whose file is open, a page table to which a device is attached or in which another is nested, a fault queue that page tables have, a queue whose file is open, a virtual IOMMU with anything that belongs to it, a queue of hardware that another needs, a device that its driver holds) is refused with EBUSY, and nothing changes.',
  source: `${HEADER}: IOMMU_DESTROY; iommufd_object_remove(), ${MAIN}: the refcount must be 1`,
  stage: 'object',
  errnos: ['EBUSY'],
  when: ({ object }) => object !== undefined && isBusy(object),
});

export const OBJECT_CLAUSES = [
  NEXT_ID,
  ALLOC,
  ALLOCATED_ID,
  ALLOC_FLAGS,
  ALLOC_UNWRITABLE,
  DESTROY,
  DESTROY_UNKNOWN,
  DESTROY_BUSY,
];
