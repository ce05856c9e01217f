import {
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  iommuHwptGetDirtyBitmap,
} from '../../uapi/iommufd-commands.ts';
import { type Holds, refusing, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { greatest, least } from '../world/big.ts';
import { areasIn } from './areas.ts';
import { BITS_OF, type Bitmap, blur, bytesFor, fits, KEEPS, set } from './dirty-bitmap.ts';
import { ERRNOS } from './framing.ts';
import { tableWithId } from './set-tracking.ts';
import { type Area, alignmentOf, type Context, type PageTable, type Written } from './state.ts';
import { clear, vagueIn, writtenIn } from './tracking.ts';

/* Which IOVAs devices wrote to through a page table. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_GET_DIRTY_BITMAP';
const RANGE = 'iommufd_check_iova_range(), drivers/iommu/iommufd/io_pagetable.c';
const READ = 'iommu_read_and_clear_dirty(), drivers/iommu/iommufd/io_pagetable.c';
const TWO_TO_THE_64 = 1n << 64n;
/** Bitmaps that are longer are of no memory; only where they are written is looked at. */
const LONGEST = 1n << 30n;

interface GetCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuHwptGetDirtyBitmap.fields>;
  readonly table: PageTable | undefined;
  readonly bitmap: Bitmap;
  /** The first IOVA behind the range. */
  readonly end: bigint;
}

const isPowerOfTwo = (number: bigint): boolean => number > 0n && (number & (number - 1n)) === 0n;

/** Where the mappings of a range end that follow each other without a hole from its start on. */
const contiguousEnd = ({ table, asked, end }: GetCall): bigint => {
  let to = asked.iova;
  for (const area of table === undefined ? [] : areasIn(table.ioas, asked.iova, end)) {
    if (area.start > to) break;
    to = least(area.end, end);
  }
  return to;
};

const writtenOf = ({ table, asked }: GetCall, end: bigint): readonly Written[] =>
  table?.tracking === undefined ? [] : writtenIn(table.tracking, asked.iova, end);

const vagueOf = ({ table, asked }: GetCall, end: bigint): readonly Area[] =>
  table?.tracking === undefined ? [] : vagueIn(table.tracking, asked.iova, end);

const READ_ONCE = rule<(flags: number) => boolean>({
  id: 'hwpt/dirty-read-once',
  level: 'must',
  says: 'What was reported is not reported again until it is written again, unless NO_CLEAR says to leave it; what was not reported, such as the part of an entry outside of the range, is reported the next time.',
  source: `${HEADER}: it will also by default clear any dirty bit metadata set in the IOPTE; IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: Just read the PTEs without clearing any dirty bits metadata`,
  rule: (flags) => (flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) === 0,
});

/** Says why the bytes of the bitmap are as they are, those behind it that a large entry could reach included. */
const explain = ({ context, table, asked, bitmap, end }: GetCall): void => {
  const by = context.law.of(BITS_OF);
  const { ioas } = table ?? {};
  for (const area of ioas === undefined ? [] : areasIn(ioas, asked.iova, end)) {
    const { first, last } = by.rule(bitmap, { start: greatest(area.start, asked.iova), end: area.end });
    const from = BigInt(Math.floor(first / 8));
    const size = least(BigInt(Math.floor(last / 8)) - from + 1n, LONGEST);
    const reached = bitmap.space.reach(bitmap.data + from, size, 'write');
    if (reached > 0n) bitmap.space.explain(bitmap.data + from, Number(reached), by);
  }
};

/** Reports what was written up to an IOVA. */
const report = (call: GetCall, end: bigint): void => {
  const { context, table, asked, bitmap } = call;
  if (table?.tracking === undefined) return;
  const [bits, keeps] = [context.law.of(BITS_OF), context.law.of(KEEPS)];
  explain(call);
  for (const one of writtenOf(call, end)) set(bitmap, bits.rule(bitmap, one), keeps.rule, bits);
  for (const area of vagueOf(call, end)) {
    const range = { start: greatest(area.start, asked.iova), end: least(area.end, end) };
    blur(bitmap, bits.rule(bitmap, range), bits);
  }
  if (context.law.of(READ_ONCE).rule(asked.flags)) clear(table.tracking, asked.iova, end);
};

const GET = request<Context, GetCall>({
  id: 'hwpt/get-dirty-bitmap',
  level: 'must',
  says: 'HWPT_GET_DIRTY_BITMAP sets the bits of what devices wrote in the range through a page table that was made for dirty tracking, and returns 0, whether it is tracked now or was.',
  source: `${HEADER}: Walk the IOMMU pagetables for a given IOVA range to return a bitmap with the dirty IOVAs`,
  on: 'iommufd',
  request: IOMMU_HWPT_GET_DIRTY_BITMAP,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuHwptGetDirtyBitmap);
    const { data, iova, page_size: unit, length } = asked;
    return {
      context,
      asked,
      table: tableWithId(context, asked.hwpt_id),
      bitmap: { space: caller.space, data, iova, unit: unit === 0n ? 1n : unit },
      end: iova + length,
    };
  },
  stages: ['arguments', 'object', 'range', 'bitmap'],
  effect: (call) => report(call, call.end),
});

/** Whether the bits of what was written cannot be set. */
const unwritable = (call: GetCall): Holds => {
  const { context, bitmap, asked, end } = call;
  const bits = context.law.of(BITS_OF);
  if (writtenOf(call, end).some((one) => !fits(bitmap, bits.rule(bitmap, one)))) return true;
  const whole = least(bytesFor(asked.length, bitmap.unit), LONGEST);
  return bitmap.space.reach(bitmap.data, whole, 'write') < whole ? 'perhaps' : false;
};

const refuses = refusing(GET);

const OBJECTIONS = [
  refuses({
    id: 'hwpt/get-dirty-bitmap-flags',
    says: 'HWPT_GET_DIRTY_BITMAP with a flag that is not known, or a reserved field that is not 0, is refused with EOPNOTSUPP.',
    source: `${HEADER}: __reserved: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || asked.__reserved !== 0,
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-unknown',
    says: 'HWPT_GET_DIRTY_BITMAP with an id that no page table of the kernel has (none, an IO address space, a device, a nested page table) is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; iommufd_get_hwpt_paging()`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ table }) => table === undefined,
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-not-made-for-it',
    says: 'HWPT_GET_DIRTY_BITMAP of a page table that was not made with IOMMU_HWPT_ALLOC_DIRTY_TRACKING, such as attaching a device makes, is refused with EOPNOTSUPP.',
    source: `include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC_DIRTY_TRACKING; ${READ}`,
    stage: 'range',
    errnos: ['EOPNOTSUPP'],
    when: ({ table }) => table !== undefined && table.tracking === undefined,
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-overflow',
    says: 'A range that goes beyond 2^64 is refused with EOVERFLOW; so is one of no bytes, but for the one at 0, of which nothing is promised.',
    source: `${ERRNOS}: EOVERFLOW; ${RANGE}`,
    stage: 'range',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { iova, length } }) => {
      if (length === 0n) return iova === 0n ? 'perhaps' : true;
      return iova + length > TWO_TO_THE_64;
    },
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-unaligned',
    says: 'A range that does not begin and end at a multiple of the page size, and of the alignment that IOAS_IOVA_RANGES tells, is refused with EINVAL.',
    source: RANGE,
    stage: 'range',
    errnos: ['EINVAL'],
    when: ({ context, table, asked: { iova, length, page_size } }) => {
      if (table === undefined || page_size === 0n) return false;
      const units = [page_size, alignmentOf(table.ioas, context.platform)];
      return units.some((unit) => iova % unit !== 0n || (iova + length) % unit !== 0n);
    },
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-page-size',
    says: 'A page size of 0, or one that is no power of two, is refused with EINVAL.',
    source: `${HEADER}: page_size: page size granularity of each bit in the bitmap; ${RANGE}`,
    stage: 'range',
    errnos: ['EINVAL'],
    when: ({ asked }) => !isPowerOfTwo(asked.page_size),
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-hole',
    says: 'A range in which not all is mapped may be refused with EINVAL, after what lies before the first hole was reported; when it is not all that was written is reported.',
    source: '__iommu_read_and_clear_dirty(), drivers/iommu/iommufd/io_pagetable.c: iopt_area_contig_done()',
    stage: 'bitmap',
    errnos: ['EINVAL'],
    when: (call) => (contiguousEnd(call) < call.end ? 'perhaps' : false),
    leaves: (call) => report(call, contiguousEnd(call)),
  }),
  refuses({
    id: 'hwpt/get-dirty-bitmap-unwritable',
    says: 'When the bits of what was written cannot be set the call is refused with EFAULT, and nothing is lost: it can be read with another bitmap.',
    source: `${ERRNOS}: EFAULT; iova_bitmap_get(), drivers/iommu/iommufd/iova_bitmap.c`,
    stage: 'bitmap',
    errnos: ['EFAULT'],
    when: unwritable,
  }),
];

export const GET_DIRTY_BITMAP_CLAUSES = [GET, BITS_OF, KEEPS, READ_ONCE, ...OBJECTIONS];
