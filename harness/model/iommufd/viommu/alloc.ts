import { IOMMU_VIOMMU_ALLOC, iommuViommuAlloc } from '../../../uapi/iommufd-commands.ts';
import { IOMMU_VIOMMU_TYPE_SELFTEST } from '../../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { IoctlCall } from '../../world/kernel-file.ts';
import type { Process } from '../../world/process.ts';
import { ERRNOS } from '../framing.ts';
import { newId } from '../ids.ts';
import { type Context, type Device, objectOf, type PageTable } from '../state.ts';
import { newMemory, type ViommuData, viommuDataOf, writeData } from './memory.ts';
import { refusedArguments, refusedDevice, refusedReserved } from './refusals.ts';
import type { ViommuMemory } from './state.ts';

/* Virtual IOMMUs. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_VIOMMU_ALLOC';
const SOURCE = 'iommufd_viommu_alloc_ioctl(), drivers/iommu/iommufd/viommu.c';
const MOCK = 'mock_viommu_init(), drivers/iommu/iommufd/selftest.c';

interface AllocCall {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: Found<typeof iommuViommuAlloc.fields>;
  readonly device: Device | undefined;
  readonly parent: PageTable | undefined;
  readonly data: ViommuData;
  readonly memory: ViommuMemory | undefined;
  readonly writable: boolean;
}

const situation = (context: Context, { caller, argument }: IoctlCall): AllocCall => {
  const size = Math.min(readStruct(argument, iommuViommuAlloc, 0, 4).size, sizeOf(iommuViommuAlloc));
  const asked = readStruct(argument, iommuViommuAlloc, 0, size);
  const data = viommuDataOf(caller, asked);
  return {
    context,
    caller,
    asked,
    device: objectOf(context, asked.dev_id, 'device'),
    parent: objectOf(context, asked.hwpt_id, 'page table'),
    data,
    memory: newMemory(context, data),
    writable: argument.writable(0, size),
  };
};

const ALLOC = request<Context, AllocCall>({
  id: 'viommu/alloc',
  level: 'must',
  says: 'VIOMMU_ALLOC makes a virtual IOMMU of the IOMMU of a device, with a page table that was made as a parent, and returns 0. The page table stays as long.',
  source: `${HEADER}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_VIOMMU`,
  on: 'iommufd',
  request: IOMMU_VIOMMU_ALLOC,
  situation,
  stages: ['arguments', 'device', 'type', 'object', 'parent', 'data', 'reply'],
  effect: (call) => {
    const { context, parent, memory } = call;
    if (parent === undefined) return;
    writeData(call);
    parent.users++;
    context.others.set(newId(context), {
      kind: 'virtual IOMMU',
      parent,
      users: 0,
      devices: new Set(),
      eventQueues: new Set(),
      queues: new Map(),
      memory,
    });
  },
});

const ID = field(ALLOC, {
  id: 'viommu/alloc-id',
  level: 'must',
  says: 'The field out_viommu_id returns the id of the new virtual IOMMU; nothing else of the argument changes.',
  source: `${HEADER}: out_viommu_id`,
  at: () => offsetOf(iommuViommuAlloc, 'out_viommu_id'),
  bytes: ({ context }) => u32Bytes(newId(context)),
});

const refuses = refusing(ALLOC);

const OBJECTIONS = [
  ...refusedArguments(ALLOC, { header: HEADER, defaultType: 'IOMMU_VIOMMU_TYPE_DEFAULT' }),
  refusedReserved(ALLOC, { header: HEADER }),
  refusedDevice(ALLOC),
  refuses({
    id: 'viommu/alloc-type',
    says: 'A type that the IOMMU of the device does not know is refused with EOPNOTSUPP.',
    source: `${HEADER}: type: Must be defined in enum iommu_viommu_type; ${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'type',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked, device }) => asked.type !== IOMMU_VIOMMU_TYPE_SELFTEST || device?.hardware !== undefined,
  }),
  refuses({
    id: 'viommu/alloc-unknown-parent',
    says: 'A hwpt_id that no page table of the kernel has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; ${SOURCE}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ parent }) => parent === undefined,
  }),
  refuses({
    id: 'viommu/alloc-no-parent',
    says: 'A page table that was not made as a parent is refused with EINVAL.',
    source: `${HEADER}: hwpt_id: ID of a nesting parent HWPT to associate to; ${SOURCE}`,
    stage: 'parent',
    errnos: ['EINVAL'],
    when: ({ parent }) => parent?.parent === false,
  }),
  refuses({
    id: 'viommu/alloc-bad-data',
    says: 'Data that is shorter or longer than its type can be is refused with EINVAL, data that cannot be read or written with EFAULT; no object is left.',
    source: `${MOCK}; __iommu_copy_struct_from_user(), __iommu_copy_struct_to_user(), include/linux/iommu.h`,
    stage: 'data',
    errnos: ['EFAULT'],
    errno: ({ data }) => data.trouble,
    when: ({ data }) => data.trouble !== undefined,
  }),
  refuses({
    id: 'viommu/alloc-unwritable',
    says: 'When the id cannot be returned the call fails with EFAULT, and no object is left.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: writeData,
  }),
];

export const VIOMMU_ALLOC_CLAUSES = [ALLOC, ID, ...OBJECTIONS];
