import { type Objection, type Refusal, type Request, refusing, request, rule } from '../../model/clauses.ts';
import type { Law } from '../../model/law.ts';
import { type Found, readStruct } from '../../model/type1/argument.ts';
import { bitmapBytes, setBits } from '../../model/type1/dirty-bitmap.ts';
import type { IommuFile } from '../../model/type1/files.ts';
import type { Iommu, Mapping, Pin } from '../../model/type1/state.ts';
import { type Use, witness } from '../../model/type1/witness.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { getDirtyBitmapReviewed, VFIO_IOMMU_GET_DIRTY_BITMAP } from '../../uapi/get-dirty-bitmap.ts';
import { sizeOf } from '../../uapi/struct.ts';
import { VFIO_IOMMU_DIRTY_PAGES } from '../../uapi/vfio.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { CONFLATES, CONVENTION, NUMBERS, UNBOUNDED, WITHDRAWN } from './shared.ts';

/** Where the bitmap begins in the argument, in bytes. */
const BITMAP_AT = sizeOf(getDirtyBitmapReviewed);
const MAX_PAGES = 0x7fff_ffffn;
const TWO_TO_THE_64 = 1n << 64n;

/** The dirty pages of each mapping, counted from its first; they go with it. */
const dirtyPages = new WeakMap<Mapping, Set<number>>();
/** Pages that are pinned to be written, maybe among others: until nobody pins them. */
const writablePins = new WeakSet<Pin>();

/** What a GET_DIRTY_BITMAP is about. Addresses and sizes in bytes. */
interface GetCall {
  readonly law: Law;
  readonly asked: Found<typeof getDirtyBitmapReviewed.fields>;
  readonly iommu: Iommu;
  readonly pageSize: bigint;
  readonly writable: (offset: number, size: number) => boolean;
}

/** A dirty page: its mapping, its index there, and its distance from the first page that was asked for. */
interface DirtyPage {
  readonly mapping: Mapping;
  readonly index: number;
  readonly bit: number;
}

const dirtyOf = ({ asked: { start_addr: start, page_nr: pages }, iommu, pageSize }: GetCall): readonly DirtyPage[] =>
  [...iommu.mappings].flatMap((mapping) =>
    [...(dirtyPages.get(mapping) ?? [])].flatMap((index) => {
      const bit = (mapping.start + BigInt(index) * pageSize - start) / pageSize;
      return mapping.start + BigInt(index) * pageSize >= start && bit < pages
        ? [{ mapping, index, bit: Number(bit) }]
        : [];
    }),
  );

const MARKS = witness({
  id: 'get-dirty-bitmap/dirty-when-written',
  level: 'must',
  says: 'Bit n is set when the page that is n pages behind start_addr became dirty since it was reported: it was pinned to be written, or written for a device, be it unpinned again; what is pinned to be read only, or not at all, is not dirty.',
  source: CONFLATES,
  sees: (use) => {
    if (!dirties(use)) return;
    const pages = dirtyPages.get(use.mapping) ?? new Set();
    dirtyPages.set(use.mapping, pages);
    for (let page = use.first; page < use.first + use.count; page++) pages.add(page);
    if (use.how === 'pinned') writablePins.add(use.pin);
  },
});

const dirties = (use: Use): boolean => (use.how === 'pinned' ? use.write : use.how === 'written');

/** Whether a page that was reported stays dirty. */
const STAYS_DIRTY = rule<(page: DirtyPage) => boolean>({
  id: 'get-dirty-bitmap/dirty-while-pinned',
  level: 'must',
  says: 'A page is clean after it was reported, unless it is still pinned to be written: then it is dirty at every call.',
  source: CONFLATES,
  rule: ({ mapping, index }) => {
    const pin = mapping.pins.get(index);
    return pin !== undefined && writablePins.has(pin);
  },
});

const report = (call: GetCall): void => {
  const clause = call.law.of(STAYS_DIRTY);
  for (const page of dirtyOf(call)) if (!clause.rule(page)) dirtyPages.get(page.mapping)?.delete(page.index);
};

/** How many bytes are written. */
const EXACT_SIZE = rule<(pages: bigint) => number>({
  id: 'get-dirty-bitmap/exact-size',
  level: 'must',
  says: 'As many words of 64 bits are written as the pages need, and nothing else: the structure and what lies behind the bitmap stay as they were.',
  source: `${UNBOUNDED}; bitmap_sz of the posted form is one word too many`,
  rule: (pages) => Number(bitmapBytes(pages)),
});

const GET: Request<IommuFile, GetCall> = request<IommuFile, GetCall>({
  id: 'get-dirty-bitmap/gets',
  level: 'must',
  says: 'GET_DIRTY_BITMAP writes a bit for each of page_nr pages from start_addr on behind the structure, and returns 0.',
  source: `${CONVENTION}; ${CONFLATES}`,
  on: 'iommu',
  request: VFIO_IOMMU_GET_DIRTY_BITMAP,
  situation: ({ vfio, iommu }, { argument }) => ({
    law: vfio.law,
    asked: readStruct(argument, getDirtyBitmapReviewed, 0, BITMAP_AT),
    iommu,
    pageSize: BigInt(vfio.platform.pageSizeBytes),
    writable: (offset, size) => argument.writable(offset, size),
  }),
  stages: ['read', 'arguments', 'bitmap'],
  effect: report,
  reply: (call) => {
    const bytes = new Uint8Array(call.law.of(EXACT_SIZE).rule(call.asked.page_nr));
    for (const { bit } of dirtyOf(call)) setBits(bytes, bit, 1);
    return [{ at: BITMAP_AT, bytes, clause: call.law.of(MARKS) }];
  },
  untouched: EXACT_SIZE,
});

const refuses = (
  stated: Omit<Refusal<GetCall>, 'errnos' | 'stage'> & { readonly stage?: string },
): Objection<GetCall> => refusing(GET)({ errnos: ['EINVAL'], stage: 'arguments', ...stated });

const OBJECTIONS = [
  {
    ...refuses({
      id: 'get-dirty-bitmap/unreadable-argument',
      says: 'An argument whose first 24 bytes cannot be read is refused with EFAULT.',
      source: CONVENTION,
      stage: 'read',
      when: ({ asked }) => !asked.readable,
    }),
    errnos: ['EFAULT'] as const,
  },
  refuses({
    id: 'get-dirty-bitmap/argsz',
    says: 'An argsz that has no room for the structure and the bitmap of page_nr pages is refused with EINVAL; a larger one is accepted.',
    source: CONVENTION,
    when: ({ asked: { argsz, page_nr } }) =>
      argsz < BITMAP_AT || (page_nr <= MAX_PAGES && BigInt(argsz - BITMAP_AT) < bitmapBytes(page_nr)),
  }),
  refuses({
    id: 'get-dirty-bitmap/flags',
    says: 'Flags other than 0 are refused with EINVAL.',
    source: CONVENTION,
    when: ({ asked: { flags } }) => flags !== 0,
  }),
  refuses({
    id: 'get-dirty-bitmap/unaligned',
    says: 'A start_addr that is no multiple of the page size is refused with EINVAL.',
    source: UNBOUNDED,
    when: ({ asked: { start_addr }, pageSize }) => start_addr % pageSize !== 0n,
  }),
  refuses({
    id: 'get-dirty-bitmap/no-pages',
    says: 'No pages are refused with EINVAL.',
    source: UNBOUNDED,
    when: ({ asked: { page_nr } }) => page_nr === 0n,
  }),
  refuses({
    id: 'get-dirty-bitmap/page-limit',
    says: 'More than 2^31 - 1 pages are refused with EINVAL, before anything is allocated for them.',
    source: UNBOUNDED,
    when: ({ asked: { page_nr } }) => page_nr > MAX_PAGES,
  }),
  refuses({
    id: 'get-dirty-bitmap/wraps',
    says: 'Pages that go beyond 2^64 are refused with EINVAL; the last page is none of them.',
    source: UNBOUNDED,
    when: ({ asked: { start_addr, page_nr }, pageSize }) =>
      page_nr <= MAX_PAGES && start_addr + page_nr * pageSize > TWO_TO_THE_64,
  }),
  {
    ...refuses({
      id: 'get-dirty-bitmap/unwritable-bitmap',
      says: 'When the bitmap cannot be written the call is refused with EFAULT, and all pages are as dirty as they were.',
      source: `${UNBOUNDED}; ${CONFLATES}`,
      stage: 'bitmap',
      when: ({ law, asked, writable }) => !writable(BITMAP_AT, law.of(EXACT_SIZE).rule(asked.page_nr)),
    }),
    errnos: ['EFAULT'] as const,
  },
];

/** The dirty bitmap with the points of its review settled. */
export const GET_DIRTY_BITMAP_REVIEWED: Revision = {
  id: 'get-dirty-bitmap/reviewed',
  base: LINUX_6_1,
  summary: 'a call that tells which pages are dirty, with bounds, argsz and flags',
  clauses: { ...WITHDRAWN, ...byId(GET, MARKS, STAYS_DIRTY, EXACT_SIZE, ...OBJECTIONS) },
  structs: [getDirtyBitmapReviewed],
  numbers: NUMBERS,
  retaken: [VFIO_IOMMU_DIRTY_PAGES],
};
