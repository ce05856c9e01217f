import { IOMMU_HW_QUEUE_ALLOC, iommuHwQueueAlloc } from '../../../uapi/iommufd-commands.ts';
import { IOMMU_HW_QUEUE_TYPE_SELFTEST, IOMMU_TEST_HW_QUEUE_MAX } from '../../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import { overflows, partsUpToHole } from '../areas.ts';
import { ERRNOS } from '../framing.ts';
import { newId } from '../ids.ts';
import { settle } from '../pinned.ts';
import { type Access, type Context, type Ioas, objectOf, type Pinned } from '../state.ts';
import { misaligned } from '../tables.ts';
import { isScattered, type PinTrouble, pagesOf, pinTrouble, type Range } from './queue-memory.ts';
import { refusedArguments, refusedViommu } from './refusals.ts';
import type { HardwareQueue, Viommu } from './state.ts';

/* Queues in the memory of a virtual machine that hardware works on by itself. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HW_QUEUE_ALLOC';
const SOURCE = 'iommufd_hw_queue_alloc_ioctl(), drivers/iommu/iommufd/viommu.c';
const PHYS = 'iommufd_hw_queue_alloc_phys(), drivers/iommu/iommufd/viommu.c';
const MOCK = 'mock_hw_queue_init_phys(), drivers/iommu/iommufd/selftest.c';
/** Above this nobody has memory to note all the pages down. */
const MUCH = 1n << 30n;

interface AllocCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuHwQueueAlloc.fields>;
  readonly viommu: Viommu | undefined;
  readonly writable: boolean;
  /** The pages that the memory is in. */
  readonly range: Range;
  /** Why the memory cannot be held. */
  readonly trouble: PinTrouble | undefined;
}

/** An access that may pin pages, and is told nothing: what it pinned stays mapped. */
const newAccess = (ioas: Ioas, items: Pinned[] = [], queue?: HardwareQueue): Access => ({
  kind: 'access',
  ioas,
  pinning: true,
  items,
  next: items.length,
  told: () => undefined,
  ...(queue === undefined ? {} : { queue }),
});

/** The access that holds a queue's memory. */
const holdOf = (queue: HardwareQueue, { start, end }: Range): Access => {
  const { ioas } = queue;
  const { parts } = partsUpToHole(ioas, start, end);
  const access = newAccess(ioas, [{ number: 0, start, end, parts }], queue);
  ioas.accesses.add(access);
  return access;
};

const ALLOC = request<Context, AllocCall>({
  id: 'hw-queue/alloc',
  level: 'must',
  says: 'HW_QUEUE_ALLOC makes a queue of a virtual IOMMU in memory that is mapped in the IO address space of its page table, and returns 0. The virtual IOMMU stays as long, and what is mapped there.',
  source: `${HEADER}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_HW_QUEUE`,
  on: 'iommufd',
  request: IOMMU_HW_QUEUE_ALLOC,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuHwQueueAlloc);
    const viommu = objectOf(context, asked.viommu_id, 'virtual IOMMU');
    const range = pagesOf(context.platform, asked.nesting_parent_iova, asked.length);
    return {
      context,
      asked,
      viommu,
      writable: argument.writable(0, sizeOf(iommuHwQueueAlloc)),
      range,
      trouble: viommu && pinTrouble(viommu.parent.ioas, range),
    };
  },
  stages: ['arguments', 'object', 'type', 'alignment', 'memory', 'index', 'reply'],
  effect: ({ context, asked, viommu, range }) => {
    if (viommu === undefined) return;
    const { ioas } = viommu.parent;
    const before = viommu.queues.get(asked.index - 1);
    const queue: HardwareQueue = { kind: 'hardware queue', viommu, index: asked.index, ioas, users: 0, before };
    context.others.set(newId(context), queue);
    context.others.set(newId(context), holdOf(queue, range));
    settle(context);
    viommu.queues.set(asked.index, queue);
    viommu.users++;
    if (before !== undefined) before.users++;
  },
});

const ID = field(ALLOC, {
  id: 'hw-queue/alloc-id',
  level: 'must',
  says: 'The field out_hw_queue_id returns the id of the new queue; nothing else of the argument changes.',
  source: `${HEADER}: out_hw_queue_id`,
  at: () => offsetOf(iommuHwQueueAlloc, 'out_hw_queue_id'),
  bytes: ({ context }) => u32Bytes(newId(context)),
});

const refuses = refusing(ALLOC);

const ARGUMENTS = [
  ...refusedArguments(ALLOC, { header: HEADER, defaultType: 'IOMMU_HW_QUEUE_TYPE_DEFAULT' }),
  refusedViommu(ALLOC),
  refuses({
    id: 'hw-queue/alloc-empty',
    says: 'A length of 0 is refused with EINVAL.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.length === 0n,
  }),
  refuses({
    id: 'hw-queue/alloc-overflow',
    says: 'Memory that goes beyond 2^64 is refused with EOVERFLOW.',
    source: `${ERRNOS}: EOVERFLOW; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOVERFLOW'],
    when: ({ asked }) => overflows(asked.nesting_parent_iova, asked.length),
  }),
  refuses({
    id: 'hw-queue/alloc-type',
    says: 'A type that the IOMMU does not know is refused with EOPNOTSUPP.',
    source: `${HEADER}: type: One of enum iommu_hw_queue_type; ${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'type',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.type !== IOMMU_HW_QUEUE_TYPE_SELFTEST,
  }),
];

const OBJECTIONS = [
  refuses({
    id: 'hw-queue/alloc-misaligned',
    says: 'While anything is mapped in the IO address space that is not whole pages of the machine a queue is refused with EADDRINUSE, whatever its memory.',
    source: `${PHYS}: iommufd_access_attach_internal(); iopt_add_access(), drivers/iommu/iommufd/io_pagetable.c`,
    stage: 'alignment',
    errnos: ['EADDRINUSE'],
    when: ({ context, viommu }) =>
      viommu !== undefined && misaligned(context, viommu.parent.ioas, { accesses: [newAccess(viommu.parent.ioas)] }),
  }),
  refuses({
    id: 'hw-queue/alloc-memory',
    says: 'Memory of which a page is not mapped is refused with ENOENT, of which one cannot be read with EPERM; nothing is held then.',
    source: `${HEADER}: nesting_parent_iova; ${PHYS}; iommufd_access_pin_pages(), drivers/iommu/iommufd/device.c`,
    stage: 'memory',
    errnos: ['ENOENT'],
    errno: (call) => (call.asked.length >= MUCH ? undefined : call.trouble),
    when: (call) => call.asked.length < MUCH && call.trouble !== undefined,
  }),
  refuses({
    id: 'hw-queue/alloc-much',
    says: 'More memory than there can be is refused as memory that is not mapped (ENOENT), or because its pages cannot be counted (ENOMEM, ERANGE).',
    source: PHYS,
    stage: 'memory',
    errnos: ['ENOENT', 'ENOMEM', 'ERANGE'],
    when: ({ asked, trouble }) => asked.length >= MUCH && trouble !== undefined,
  }),
  refuses({
    id: 'hw-queue/alloc-scattered',
    says: 'Memory whose pages do not lie one behind the other in the machine is refused with EFAULT.',
    source: `${PHYS}: the underlying physical pages of the guest queue must be contiguous`,
    stage: 'memory',
    errnos: ['EFAULT'],
    when: ({ context, viommu, trouble, range }) => {
      if (viommu === undefined || trouble !== undefined) return false;
      return isScattered(context.platform, viommu.parent.ioas, range);
    },
  }),
  refuses({
    id: 'hw-queue/alloc-taken',
    says: 'An index that another queue of the virtual IOMMU has is refused with EEXIST.',
    source: `${HEADER}: A vIOMMU can allocate multiple queues, but it must use a different index per type; ${MOCK}`,
    stage: 'index',
    errnos: ['EEXIST'],
    when: ({ asked, viommu }) => viommu?.queues.has(asked.index) === true,
  }),
  refuses({
    id: 'hw-queue/alloc-index',
    says: 'The mock device has two queues, the second not without the first: an index of 2 and more is refused with EINVAL, the second alone with EIO.',
    source: MOCK,
    stage: 'index',
    errnos: ['EIO'],
    errno: ({ asked }) => (asked.index < IOMMU_TEST_HW_QUEUE_MAX ? 'EIO' : 'EINVAL'),
    when: ({ asked, viommu }) =>
      asked.index >= IOMMU_TEST_HW_QUEUE_MAX || (asked.index > 0 && viommu?.queues.has(asked.index - 1) === false),
  }),
  refuses({
    id: 'hw-queue/alloc-unwritable',
    says: 'When the id cannot be returned the call fails with EFAULT; no object is left, nothing is held, and the index is free.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
];

export const HW_QUEUE_CLAUSES = [ALLOC, ID, ...ARGUMENTS, ...OBJECTIONS];
