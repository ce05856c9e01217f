import { objection, request, rule } from '../../model/clauses.ts';
import type { Law } from '../../model/law.ts';
import { type Found, readStruct } from '../../model/type1/argument.ts';
import { setBits } from '../../model/type1/dirty-bitmap.ts';
import type { IommuFile } from '../../model/type1/files.ts';
import type { Iommu } from '../../model/type1/state.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { getDirtyBitmapPosted, VFIO_IOMMU_GET_DIRTY_BITMAP } from '../../uapi/get-dirty-bitmap.ts';
import { sizeOf } from '../../uapi/struct.ts';
import { VFIO_IOMMU_DIRTY_PAGES } from '../../uapi/vfio.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { NUMBERS, POSTED, WITHDRAWN } from './shared.ts';

/** Where the bitmap begins in the argument, in bytes. */
const BITMAP_AT = sizeOf(getDirtyBitmapPosted);
const WORD_BITS = 64n;
/** More pages than this are as good as too many: memory for them may not be there, and each of them is looked up. */
const MANY_PAGES = 1n << 24n;

/** What a GET_DIRTY_BITMAP is about. Addresses and sizes in bytes. */
interface GetCall {
  readonly law: Law;
  readonly asked: Found<typeof getDirtyBitmapPosted.fields>;
  readonly iommu: Iommu;
  readonly pageSize: bigint;
  readonly writable: (offset: number, size: number) => boolean;
}

/** The bytes that are written for so many pages. */
const WRITTEN_BYTES = rule<(pages: bigint) => number>({
  id: 'get-dirty-bitmap/one-word-more',
  level: 'must',
  says: 'Whole words of 64 bits are written, and one more than the pages need: for no pages one word.',
  source: `${POSTED}: bitmap_sz = (BITS_TO_LONGS(d.page_nr) + 1) * sizeof(unsigned long)`,
  rule: (pages) => Number((pages + WORD_BITS - 1n) / WORD_BITS + 1n) * 8,
});

/** The pages, counted from the first one asked for, whose bits are set. */
const PINNED_PAGES = rule<(call: GetCall) => readonly number[]>({
  id: 'get-dirty-bitmap/pinned-pages',
  level: 'must',
  says: 'Bit n is set when the page that is n pages behind start_addr lies in a mapping and is pinned by a device that VFIO pins pages for, whatever it does with it; for a start_addr within a page no bit is.',
  source: `${POSTED}: need copy the memory that has been pinned in iommu container; vfio_find_vpfn(dma, iova)`,
  rule: ({ asked: { start_addr: start, page_nr: pages }, iommu, pageSize }) =>
    [...iommu.mappings].flatMap(({ start: mapped, pins }) =>
      [...pins.keys()].flatMap((index) => {
        const distance = BigInt.asUintN(64, mapped + BigInt(index) * pageSize - start);
        return distance % pageSize === 0n && distance / pageSize < pages ? [Number(distance / pageSize)] : [];
      }),
    ),
});

const bytesOf = ({ law, asked }: GetCall): number => law.of(WRITTEN_BYTES).rule(asked.page_nr);

const bitmapOf = (call: GetCall): Uint8Array => {
  const bytes = new Uint8Array(bytesOf(call));
  for (const page of call.law.of(PINNED_PAGES).rule(call)) setBits(bytes, page, 1);
  return bytes;
};

const GET = request<IommuFile, GetCall>({
  id: 'get-dirty-bitmap/gets-pinned',
  level: 'must',
  says: 'GET_DIRTY_BITMAP writes a bit for each of page_nr pages from start_addr on behind its argument, which stays as it was, and returns 0.',
  source: `${POSTED}: Return: 0 on success, -errno on failure`,
  on: 'iommu',
  request: VFIO_IOMMU_GET_DIRTY_BITMAP,
  situation: ({ vfio, iommu }, { argument }) => {
    const asked = readStruct(argument, getDirtyBitmapPosted, 0, BITMAP_AT);
    return {
      law: vfio.law,
      asked,
      iommu,
      pageSize: BigInt(vfio.platform.pageSizeBytes),
      writable: (offset, size) => argument.writable(offset, size),
    };
  },
  leavesOpen: ({ asked: { page_nr } }) =>
    page_nr > MANY_PAGES
      ? 'the posted form takes any number of pages, and the time and memory that they need'
      : undefined,
  stages: ['read', 'bitmap'],
  reply: (call) => {
    const bytes = bitmapOf(call);
    const needed = bytes.length - 8;
    const { law } = call;
    return [
      { at: BITMAP_AT, bytes: bytes.subarray(0, needed), clause: law.of(PINNED_PAGES) },
      { at: BITMAP_AT + needed, bytes: bytes.subarray(needed), clause: law.of(WRITTEN_BYTES) },
    ];
  },
});

const UNREADABLE = objection(GET, {
  id: 'get-dirty-bitmap/unreadable-argument',
  level: 'must',
  says: 'An argument whose first 16 bytes cannot be read is refused with EFAULT.',
  source: `${POSTED}: copy_from_user(&d, (void __user *)arg, minsz)`,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const UNWRITABLE = objection(GET, {
  id: 'get-dirty-bitmap/unwritable-words',
  level: 'must',
  says: 'When the bitmap, its last word included, cannot be written behind the argument the call is refused with EFAULT.',
  source: `${POSTED}: copy_to_user((void __user *)arg + minsz, bitmap, bitmap_sz)`,
  stage: 'bitmap',
  errnos: ['EFAULT'],
  when: (call) => !call.writable(BITMAP_AT, bytesOf(call)),
});

/** The dirty bitmap as it was posted, flaws included. */
export const GET_DIRTY_BITMAP_POSTED: Revision = {
  id: 'get-dirty-bitmap/posted',
  base: LINUX_6_1,
  summary: 'a call that tells which pages are pinned, as posted in April 2018',
  clauses: { ...WITHDRAWN, ...byId(GET, WRITTEN_BYTES, PINNED_PAGES, UNREADABLE, UNWRITABLE) },
  structs: [getDirtyBitmapPosted],
  numbers: NUMBERS,
  retaken: [VFIO_IOMMU_DIRTY_PAGES],
};
