import { IOMMU_HWPT_INVALIDATE, iommuHwptInvalidate } from '../../uapi/iommufd-commands.ts';
import {
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
  iommuHwptInvalidateSelftest,
  iommuTestCheckIotlb,
  testOperation,
} from '../../uapi/iommufd-test.ts';
import { decode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, type Objection, objection, type Refusal, refusing, request } from '../clauses.ts';
import type { ByteRule } from '../outcome.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import type { Process } from '../world/process.ts';
import { ERRNOS } from './framing.ts';
import type { Progress } from './invalidate-progress.ts';
import { type Context, type Ioas, type NestedTable, type Other, objectOf } from './state.ts';
import { viommuProgress } from './viommu/invalidate.ts';
import type { Viommu } from './viommu/state.ts';

/* What caches hold of page tables of user space, and how it is made to go. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_INVALIDATE';
const SOURCE = 'iommufd_hwpt_invalidate(), drivers/iommu/iommufd/hw_pagetable.c';
const MOCK = 'mock_domain_cache_invalidate_user(), drivers/iommu/iommufd/selftest.c';
const ENTRY = sizeOf(iommuHwptInvalidateSelftest);
/** Bounds of one call. */
const LONGEST_ENTRY = 4096;
const MOST_ENTRIES = 1 << 19;

interface InvalidateCall {
  readonly caller: Process;
  readonly asked: Found<typeof iommuHwptInvalidate.fields>;
  readonly object: Ioas | Other | undefined;
  readonly table: NestedTable | undefined;
  readonly viommu: Viommu | undefined;
  readonly writable: boolean;
  readonly progress: () => Progress;
}

/** An entry: the entries of the cache that it names, or why it cannot be handled. */
const entryAt = (bytes: Uint8Array | undefined, { cache }: NestedTable): readonly number[] | Progress['trouble'] => {
  if (bytes === undefined) return 'EFAULT';
  const { flags, iotlb_id } = decode(iommuHwptInvalidateSelftest, bytes);
  if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return 'EOPNOTSUPP';
  if (iotlb_id >= cache.length) return 'EINVAL';
  return flags === 0 ? [iotlb_id] : [...cache.keys()];
};

const tableProgress = (caller: Process, asked: InvalidateCall['asked'], table: NestedTable): Progress => {
  const gone: number[] = [];
  const end = (done: number, trouble: Progress['trouble']): Progress => ({
    done,
    trouble,
    carryOut: () => {
      for (const entry of gone) table.cache.splice(entry, 1, 0);
    },
  });
  for (let done = 0; done < asked.entry_num; done++) {
    if (asked.entry_len !== ENTRY) return end(done, 'EINVAL');
    const entry = entryAt(caller.space.read(asked.data_uptr + BigInt(done * ENTRY), ENTRY), table);
    if (entry === undefined || typeof entry === 'string') return end(done, entry);
    gone.push(...entry);
  }
  return end(asked.entry_num, undefined);
};

const progressOf = (
  caller: Process,
  asked: InvalidateCall['asked'],
  { table, viommu }: Pick<InvalidateCall, 'table' | 'viommu'>,
): Progress => {
  if (table !== undefined) return tableProgress(caller, asked, table);
  if (viommu !== undefined) return viommuProgress(caller, asked, viommu);
  return { done: asked.entry_num, trouble: undefined, carryOut: () => undefined };
};

const carryOut = ({ progress }: InvalidateCall): void => progress().carryOut();

const INVALIDATE = request<Context, InvalidateCall>({
  id: 'hwpt/invalidate',
  level: 'must',
  says: 'HWPT_INVALIDATE makes what a cache holds of a nested page table go, or for the devices of a virtual IOMMU, entry by entry, and returns 0; no entries at all only ask whether the type of data is known.',
  source: `${HEADER}: Invalidate iommu cache for user-managed page table; An empty invalidation request array by setting entry_num==0 is allowed`,
  on: 'iommufd',
  request: IOMMU_HWPT_INVALIDATE,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuHwptInvalidate);
    const object = context.objects.get(asked.hwpt_id) ?? context.others.get(asked.hwpt_id);
    const table = object !== undefined && 'kind' in object && object.kind === 'nested table' ? object : undefined;
    const viommu = object !== undefined && 'kind' in object && object.kind === 'virtual IOMMU' ? object : undefined;
    // There may be very many entries: they are gone through once.
    let known: Progress | undefined;
    return {
      caller,
      asked,
      object,
      table,
      viommu,
      writable: argument.writable(0, sizeOf(iommuHwptInvalidate)),
      progress: () => {
        known ??= progressOf(caller, asked, { table, viommu });
        return known;
      },
    };
  },
  stages: ['reply', 'arguments', 'object', 'type', 'entries'],
  effect: carryOut,
});

const DONE = field(INVALIDATE, {
  id: 'hwpt/invalidate-count',
  level: 'must',
  says: 'The field entry_num returns how many entries were handled: all of them, those before the one that is refused, or none.',
  source: `${HEADER}: entry_num: Output the number of requests successfully handled by kernel`,
  at: () => offsetOf(iommuHwptInvalidate, 'entry_num'),
  bytes: ({ progress }) => u32Bytes(progress().done),
});

const counted = (call: InvalidateCall, count: number): readonly ByteRule[] => [
  { at: DONE.at(call), bytes: u32Bytes(count), clause: DONE },
];

const refuses = (stated: Refusal<InvalidateCall>): Objection<InvalidateCall> =>
  refusing(INVALIDATE)({ out: (call) => counted(call, 0), ...stated });

/** Whether there are entries, and bounds that they must keep are not kept. */
const outOfBounds = ({ asked: { entry_num, entry_len, data_uptr } }: InvalidateCall): boolean =>
  entry_num > 0 && (data_uptr === 0n || entry_len === 0 || entry_len > LONGEST_ENTRY || entry_num > MOST_ENTRIES);

const OBJECTIONS = [
  objection(INVALIDATE, {
    id: 'hwpt/invalidate-unwritable',
    level: 'must',
    says: 'When the number of entries cannot be returned the call fails with EFAULT; what it was to do is done all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: (call) => {
      if (call.asked.__reserved === 0 && !outOfBounds(call)) carryOut(call);
    },
  }),
  refuses({
    id: 'hwpt/invalidate-reserved',
    says: 'A reserved field that is not 0 is refused with EOPNOTSUPP.',
    source: `${HEADER}: __reserved: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.__reserved !== 0,
  }),
  refuses({
    id: 'hwpt/invalidate-bounds',
    says: 'Entries without an address or a length, longer than a page, or more than 2^19, are refused with EINVAL.',
    source: `${SOURCE}: Bound entry_num and entry_len so a single call cannot pin the CPU`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: outOfBounds,
  }),
  refuses({
    id: 'hwpt/invalidate-unknown',
    says: 'An id that no object has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ object }) => object === undefined,
  }),
  refuses({
    id: 'hwpt/invalidate-not-nested',
    says: 'An object that is neither a nested page table nor a virtual IOMMU is refused with EINVAL.',
    source: `${HEADER}: hwpt_id: ID of a nested HWPT or a vIOMMU; ${SOURCE}`,
    stage: 'object',
    errnos: ['EINVAL'],
    when: ({ object, table, viommu }) => object !== undefined && table === undefined && viommu === undefined,
  }),
  refuses({
    id: 'hwpt/invalidate-type',
    says: 'A type of data that the IOMMU does not know is refused with EINVAL (EOPNOTSUPP is as good), whether there are entries or not.',
    source: `${HEADER}: It should be a type supported by the hwpt; This can be used to check if the given data_type is supported or not by kernel; ${MOCK}`,
    stage: 'type',
    errnos: ['EINVAL', 'EOPNOTSUPP'],
    when: ({ asked, table, viommu }) =>
      (table !== undefined && asked.data_type !== IOMMU_HWPT_INVALIDATE_DATA_SELFTEST) ||
      (viommu !== undefined && asked.data_type !== IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST),
  }),
  refuses({
    id: 'hwpt/invalidate-bad-entry',
    says: 'An entry that is not as long as its type, not in the cache, or of a virtual id that no device has, is refused with EINVAL, one with a flag that is not known with EOPNOTSUPP, one that cannot be read with EFAULT; those before it are handled. A virtual IOMMU takes longer entries that are 0 behind what it knows (else E2BIG) and shorter ones, and reads all of them before it handles one.',
    source: `${HEADER}: entry_num; ${MOCK}`,
    stage: 'entries',
    errnos: ['EINVAL'],
    errno: ({ progress }) => progress().trouble,
    when: ({ progress }) => progress().trouble !== undefined,
    leaves: carryOut,
    out: (call) => counted(call, call.progress().done),
  }),
];

/** What a call says that finds no memory for its entries. */
const WITHOUT_MEMORY = refuses({
  id: 'hwpt/invalidate-without-memory',
  says: 'A call that finds no memory for what it must note down is refused with ENOMEM, and says that none of its entries was handled.',
  source: `${HEADER}: entry_num: Output the number of requests successfully handled by kernel`,
  stage: 'entries',
  // In kernels with the mock device an object may not be found in place of an allocation that fails.
  errnos: ['ENOMEM', 'ENOENT'],
  when: ({ caller }) => (caller.failsAllocations ? 'perhaps' : false),
});

interface CheckCall {
  readonly asked: Found<typeof iommuTestCheckIotlb.fields>;
  readonly table: NestedTable | undefined;
}

const CHECK = request<Context, CheckCall>({
  id: 'mock/check-cache',
  level: 'must',
  says: 'Asked whether an entry of the mock device’s cache of a nested page table holds a value, the kernel returns 0 when it does.',
  source: 'iommufd_test_md_check_iotlb(), drivers/iommu/iommufd/selftest.c',
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MD_CHECK_IOTLB),
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestCheckIotlb);
    return { asked, table: objectOf(context, asked.id, 'nested table') };
  },
  stages: ['object', 'value'],
});

const CHECK_OBJECTIONS = [
  objection(CHECK, {
    id: 'mock/check-cache-unknown',
    level: 'must',
    says: 'An id that no nested page table has is refused with ENOENT.',
    source: '__get_md_pagetable(), drivers/iommu/iommufd/selftest.c',
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ table }) => table === undefined,
  }),
  objection(CHECK, {
    id: 'mock/check-cache-other',
    level: 'must',
    says: 'Another value, and an entry that there is not, are refused with EINVAL.',
    source: 'iommufd_test_md_check_iotlb(), drivers/iommu/iommufd/selftest.c',
    stage: 'value',
    errnos: ['EINVAL'],
    when: ({ asked, table }) => table !== undefined && table.cache[asked.entry] !== asked.iotlb,
  }),
];

export const INVALIDATE_CLAUSES = [INVALIDATE, DONE, ...OBJECTIONS, WITHOUT_MEMORY, CHECK, ...CHECK_OBJECTIONS];
