import type { Errno } from '../../../uapi/errno.ts';
import {
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  iommuTestCheckMap,
  iommuTestCheckRefs,
  iommuTestMemoryLimit,
  iommuTestReserve,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import type { Process } from '../../world/process.ts';
import { overflows } from '../areas.ts';
import { type Pinned, pinnedAt } from '../held.ts';
import { type Context, type Ioas, objectOf, type PageTable } from '../state.ts';
import { isSame, pageAt, type Where } from './places.ts';

/* What tests may ask of the mock device: which memory a page table leads to, and how often pages are pinned. */

const SELFTEST = 'drivers/iommu/iommufd/selftest.c';
const CHECK_PA = `iommufd_test_md_check_pa(), ${SELFTEST}`;
const CHECK_REFS = `iommufd_test_md_check_refs(), ${SELFTEST}`;

interface CheckCall {
  readonly context: Context;
  readonly caller: Process;
}

interface MapCall extends CheckCall {
  readonly asked: Found<typeof iommuTestCheckMap.fields>;
  readonly table: PageTable | undefined;
}

/** The page that an IOVA leads to, and how far into it. */
const placeOf = ({ platform }: Context, { ioas }: PageTable, iova: bigint): Pinned | undefined => {
  const area = ioas.areas.containing(iova);
  return area && pinnedAt(area, iova - area.start, BigInt(platform.pageSizeBytes));
};

/** The first thing that is wrong with where a page table leads. */
const wrong = ({ context, caller, asked, table }: MapCall): Errno | undefined => {
  if (table === undefined) return undefined;
  const page = BigInt(context.platform.pageSizeBytes);
  for (let at = 0n; at < asked.length; at += table.pageSize) {
    const vaddr = asked.uptr + at;
    if (caller.space.reach(vaddr, 1n, 'read') === 0n) return 'EFAULT';
    const place = placeOf(context, table, asked.iova + at);
    if (!isSame(place, pageAt(context, caller.space, vaddr)) || place?.within !== vaddr % page) return 'EINVAL';
  }
  return undefined;
};

const CHECKS_MAP = request<Context, MapCall>({
  id: 'mock/check-map',
  level: 'must',
  says: 'A page table leads from each IOVA to the memory that is mapped there: asked whether it leads to the pages that the caller has from an address on, the mock device answers 0.',
  source: `${CHECK_PA}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_HWPT_PAGING`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MD_CHECK_MAP),
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuTestCheckMap);
    return { context, caller, asked, table: objectOf(context, asked.id, 'page table') };
  },
  stages: ['object', 'arguments', 'memory'],
});

const MAP_OBJECTIONS = [
  objection(CHECKS_MAP, {
    id: 'mock/check-map-unknown',
    level: 'must',
    says: 'An id that no page table of the kernel has is refused with ENOENT.',
    source: CHECK_PA,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ table }) => table === undefined,
  }),
  objection(CHECKS_MAP, {
    id: 'mock/check-map-unaligned',
    level: 'must',
    says: 'An iova, a length or an address that is no multiple of the smallest page of the page table is refused with EINVAL.',
    source: CHECK_PA,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ table, asked: { iova, length, uptr } }) =>
      table !== undefined && [iova, length, uptr].some((number) => number % table.pageSize !== 0n),
  }),
  objection(CHECKS_MAP, {
    id: 'mock/check-map-elsewhere',
    level: 'must',
    says: 'A page table that leads to other memory anywhere in the range, or nowhere, is told by EINVAL; by EFAULT where the caller has no memory itself.',
    source: CHECK_PA,
    stage: 'memory',
    errnos: ['EINVAL'],
    errno: wrong,
    when: (call) => wrong(call) !== undefined,
  }),
];

interface RefsCall extends CheckCall {
  readonly asked: Found<typeof iommuTestCheckRefs.fields>;
}

/** How many memories of a context a page is pinned in. */
const timesPinned = ({ charged }: Context, where: Where): number =>
  [...charged].filter(({ held }) =>
    [...held].some(
      ({ store, page, start, end }) =>
        store === where.store && page <= where.page && where.page < page + Number(end - start),
    ),
  ).length;

const miscounted = ({ context, caller, asked: { uptr, length, refs } }: RefsCall): Errno | undefined => {
  const page = BigInt(context.platform.pageSizeBytes);
  for (let at = 0n; at < length; at += page) {
    const where = pageAt(context, caller.space, uptr + at);
    if (where === undefined) return 'EFAULT';
    if (timesPinned(context, where) !== refs) return 'EIO';
  }
  return undefined;
};

const CHECKS_REFS = request<Context, RefsCall>({
  id: 'mock/check-pins',
  level: 'must',
  says: 'A page is pinned once for each memory that was mapped with it, however many mappings, copies, page tables and accesses have that: asked whether all pages from an address on are pinned so many times, the mock device answers 0.',
  source: `${CHECK_REFS}; Documentation/userspace-api/iommufd.rst: struct iopt_pages: each iopt_pages holds a page once`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MD_CHECK_REFS),
  situation: (context, { caller, argument }) => ({ context, caller, asked: readStruct(argument, iommuTestCheckRefs) }),
  stages: ['arguments', 'memory'],
});

const REFS_OBJECTIONS = [
  objection(CHECKS_REFS, {
    id: 'mock/check-pins-unaligned',
    level: 'must',
    says: 'An address or a length that is no multiple of the page size is refused with EINVAL.',
    source: CHECK_REFS,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ context, asked: { length, uptr } }) =>
      [length, uptr].some((number) => number % BigInt(context.platform.pageSizeBytes) !== 0n),
  }),
  objection(CHECKS_REFS, {
    id: 'mock/check-pins-other',
    level: 'must',
    says: 'A page that is pinned another number of times is told by EIO, and by EFAULT where there is none.',
    source: CHECK_REFS,
    stage: 'memory',
    errnos: ['EIO'],
    errno: miscounted,
    when: (call) => miscounted(call) !== undefined,
  }),
];

/** What collecting one page takes, in bytes: its number and how many follow it. */
const LEAST_MEMORY = 12;

const LIMITS = request<Context, { readonly limit: number }>({
  id: 'mock/limit-memory',
  level: 'must',
  says: 'The memory that pages are collected in can be limited, for all contexts, and nothing but that comes of it: mapping, pinning and reading give the same.',
  source: `iommufd_test(), ${SELFTEST}: IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT; temp_kmalloc(), drivers/iommu/iommufd/pages.c: this is only a performance optimization`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT),
  situation: (_, { argument }) => readStruct(argument, iommuTestMemoryLimit),
  stages: ['arguments'],
});

const LIMIT_TOO_SMALL = objection(LIMITS, {
  id: 'mock/limit-memory-too-small',
  level: 'must',
  says: 'A limit below what one page takes is refused with EINVAL.',
  source: `iommufd_test(), ${SELFTEST}: can not be less than elmsz`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ limit }) => limit < LEAST_MEMORY,
});

interface ReserveCall {
  readonly asked: Found<typeof iommuTestReserve.fields>;
  readonly ioas: Ioas | undefined;
}

const RESERVE_SOURCE = `iommufd_test_add_reserved(), ${SELFTEST}; iopt_reserve_iova(), drivers/iommu/iommufd/io_pagetable.c`;

const RESERVES = request<Context, ReserveCall>({
  id: 'mock/reserve',
  level: 'must',
  says: 'A test can have IOVAs of an IO address space reserved, as devices have; nothing can be mapped there any more.',
  source: RESERVE_SOURCE,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_ADD_RESERVED),
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestReserve);
    return { asked, ioas: context.objects.get(asked.id) };
  },
  stages: ['arguments', 'object', 'place'],
  effect: ({ ioas, asked: { start, length } }) => {
    const before = ioas?.reserved.get('test') ?? [];
    ioas?.reserved.set('test', [...before, { start, end: start + length - 1n }]);
  },
});

const RESERVE_OBJECTIONS = [
  objection(RESERVES, {
    id: 'mock/reserve-empty',
    level: 'must',
    says: 'A length of 0 is refused with EINVAL.',
    source: RESERVE_SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.length === 0n,
  }),
  objection(RESERVES, {
    id: 'mock/reserve-overflow',
    level: 'must',
    says: 'A range that goes beyond 2^64 is refused with EOVERFLOW.',
    source: RESERVE_SOURCE,
    stage: 'arguments',
    errnos: ['EOVERFLOW'],
    when: ({ asked }) => overflows(asked.start, asked.length),
  }),
  objection(RESERVES, {
    id: 'mock/reserve-unknown',
    level: 'must',
    says: 'An id that no IO address space has is refused with ENOENT.',
    source: RESERVE_SOURCE,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ ioas }) => ioas === undefined,
  }),
  objection(RESERVES, {
    id: 'mock/reserve-in-use',
    level: 'must',
    says: 'IOVAs of which any is mapped, or allowed to be chosen, are refused with EADDRINUSE.',
    source: RESERVE_SOURCE,
    stage: 'place',
    errnos: ['EADDRINUSE'],
    when: ({ ioas, asked: { start, length } }) =>
      ioas !== undefined &&
      (ioas.areas.overlapping(start, start + length) !== undefined ||
        ioas.allowed.some((range) => range.start < start + length && start <= range.end)),
  }),
];

export const MOCK_CHECK_CLAUSES = [
  CHECKS_MAP,
  ...MAP_OBJECTIONS,
  CHECKS_REFS,
  ...REFS_OBJECTIONS,
  LIMITS,
  LIMIT_TOO_SMALL,
  RESERVES,
  ...RESERVE_OBJECTIONS,
];
