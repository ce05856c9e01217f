import {
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_CREATE_ACCESS,
  iommuTestCreateAccess,
  iommuTestReplaceIoas,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, type Objection, objection, type Request, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import type { IoctlCall } from '../../world/kernel-file.ts';
import { ERRNOS } from '../framing.ts';
import { newId } from '../ids.ts';
import type { Access, Context, Ioas, Pinned } from '../state.ts';
import { misaligned } from '../tables.ts';
import { type AccessCall, accessFile, accessIn, notAnAccess, whyVague } from './file.ts';
import { letGo, moveAccess } from './items.ts';

/* Accesses that are made, and that go from one IO address space to another. */

const SOURCE = 'iommufd_test_create_access(), drivers/iommu/iommufd/selftest.c';
const DEVICE = 'drivers/iommu/iommufd/device.c';

/** An access that is to be in an IO address space. */
export interface Joining {
  readonly context: Context;
  readonly ioas: Ioas | undefined;
  readonly access: Access | undefined;
}

/** What keeps an access out of an IO address space; ids begin with the call's, which has the stages `object` and `place`. */
export const accessObjections = <F, S extends Joining>(call: Request<F, S>): readonly Objection<S>[] => [
  objection(call, {
    id: `${call.id}-unknown-ioas`,
    level: 'must',
    says: 'An id that no IO address space has is refused with ENOENT, and nothing changes.',
    source: `${ERRNOS}: ENOENT; iommufd_access_change_ioas_id(), ${DEVICE}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ ioas }) => ioas === undefined,
  }),
  objection(call, {
    id: `${call.id}-misaligned`,
    level: 'must',
    says: 'An access that pins pages is refused with EADDRINUSE by an IO address space in which anything is mapped that does not consist of whole pages, and nothing changes; one that only reads and writes is not.',
    source:
      'iommufd_access_create(): needs_pin_pages; iopt_add_access(), iopt_check_iova_alignment(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'place',
    errnos: ['EADDRINUSE'],
    when: ({ context, ioas, access }) =>
      ioas !== undefined && access !== undefined && misaligned(context, ioas, { accesses: [access] }),
  }),
];

/** An access of the mock device, which lets go of whatever it pinned when it is told that any of it ends. */
const mockAccess = (pinning: boolean): Access => {
  const items: Pinned[] = [];
  return { kind: 'access', ioas: undefined, told: (range) => letGo(items, range), pinning, items, next: 0 };
};

interface CreateCall extends Joining {
  readonly asked: Found<typeof iommuTestCreateAccess.fields>;
  readonly writable: boolean;
  readonly install: IoctlCall['install'];
}

const CREATE = request<Context, CreateCall>({
  id: 'access/create',
  level: 'must',
  says: 'An access in the kernel to an IO address space is an object; it keeps the IO address space and the context in use until its file is closed, and then lets go of all that it pinned.',
  source: `${SOURCE}; iommufd_access_create(), iommufd_access_destroy(), ${DEVICE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_CREATE_ACCESS),
  situation: (context, { argument, install }) => {
    const asked = readStruct(argument, iommuTestCreateAccess);
    const ioas = context.objects.get(asked.id);
    const pinning = (asked.flags & MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0;
    return {
      context,
      asked,
      ioas,
      access: mockAccess(pinning),
      writable: argument.writable(0, sizeOf(iommuTestCreateAccess)),
      install,
    };
  },
  stages: ['arguments', 'object', 'place', 'reply'],
  effect: ({ context, ioas, access, install }) => {
    if (ioas === undefined || access === undefined) return;
    context.others.set(newId(context), access);
    moveAccess(context, access, ioas);
    install(accessFile(context, access));
  },
});

const DESCRIPTOR = field(CREATE, {
  id: 'access/create-descriptor',
  level: 'must',
  says: 'The field out_access_fd returns a descriptor of the access; nothing else of the argument changes.',
  source: SOURCE,
  at: () => offsetOf(iommuTestCreateAccess, 'out_access_fd'),
  bytes: () => 4,
});

const CREATE_OBJECTIONS = [
  objection(CREATE, {
    id: 'access/create-flags',
    level: 'must',
    says: 'A flag that is not known is refused with EOPNOTSUPP.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0,
  }),
  ...accessObjections(CREATE),
  objection(CREATE, {
    id: 'access/create-unwritable',
    level: 'must',
    says: 'When the descriptor cannot be returned the call fails with EFAULT, and no access is left.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
];

interface ReplaceCall extends AccessCall, Joining {}

const REPLACE = request<Context, ReplaceCall>({
  id: 'access/replace',
  level: 'must',
  says: 'Replacing the IO address space of an access returns 0: it lets go of all that it pinned in the one before, which it keeps in use no longer, and reaches what is mapped in the new one. The same one again changes nothing.',
  source: `iommufd_access_replace(), iommufd_access_change_ioas(), ${DEVICE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_ACCESS_REPLACE_IOAS),
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestReplaceIoas);
    const call = accessIn(argument, asked.id);
    const owner = call.opened?.context ?? context;
    return { ...call, context: owner, access: call.opened?.access, ioas: owner.objects.get(asked.ioas_id) };
  },
  leavesOpen: whyVague,
  stages: ['descriptor', 'object', 'place'],
  effect: ({ context, access, ioas }) => {
    if (access !== undefined) moveAccess(context, access, ioas);
  },
});

export const ACCESS_CREATE_CLAUSES = [
  CREATE,
  DESCRIPTOR,
  ...CREATE_OBJECTIONS,
  REPLACE,
  notAnAccess(REPLACE),
  ...accessObjections(REPLACE),
];
