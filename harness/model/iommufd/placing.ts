import type { ClauseId } from '../../spec/clause.ts';
import { IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from '../../uapi/iommufd.ts';
import { type Objection, type Request, refusing } from '../clauses.ts';
import { type Beginning, CHOOSES_IOVA, isAligned, isHighest, overflows } from './areas.ts';
import { ERRNOS } from './framing.ts';
import { outOfReach, overLimit, settle } from './pinned.ts';
import { isUsable } from './reserved.ts';
import { type Area, type Context, type Ioas, type Pages, pins } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP';
const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

export const ACCESS = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
export const KNOWN_FLAGS = ACCESS | IOMMU_IOAS_MAP_FIXED_IOVA;
const TWO_TO_THE_64 = 1n << 64n;

/** Whether a mapping is to be written. */
export const writes = (flags: number): boolean => (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0;

/** What MAP and MAP_FILE have in common. */
export interface Placing {
  readonly context: Context;
  readonly asked: {
    readonly flags: number;
    readonly ioas_id: number;
    readonly length: bigint;
    readonly iova: bigint;
  };
  readonly ioas: Ioas | undefined;
  readonly writable: boolean;
  /** Where the memory begins: its address, or the offset in the file. */
  readonly from: Beginning;
  /** The memory, as it is mapped. */
  pages(): Pages;
  /** Where it goes, if there is room; several answers where that is not known. */
  places(): Places;
}

export type Places = readonly [bigint | undefined, ...(bigint | undefined)[]];

/** Where a mapping goes. */
export const placesOf = ({ context, ioas, asked, from }: Omit<Placing, 'places' | 'pages'>): Places => {
  if ((asked.flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0 || ioas === undefined) return [asked.iova];
  return context.law.of(CHOOSES_IOVA).rule(context, ioas, from, asked.length);
};

/** The call, had it gone to another of the places. */
export const elsewhere = <S extends { places(): Places }>(call: S): readonly S[] => {
  const [, ...others] = call.places();
  return others.map((place) => ({ ...call, places: () => [place] }));
};

const isFixed = ({ asked: { flags } }: Placing): boolean => (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;

const areaOf = (call: Placing, start: bigint): Area => ({
  start,
  end: start + call.asked.length,
  pages: call.pages(),
  from: 0n,
  access: call.asked.flags & ACCESS,
});

/** Maps. */
export const carryOut = (call: Placing): void => {
  const { ioas } = call;
  const [iova] = call.places();
  if (ioas === undefined || iova === undefined) return;
  ioas.areas.insert(areaOf(call, iova));
  settle(call.context);
};

/** What refuses a mapping wherever the memory comes from; ids begin with `prefix`. */
export const placingObjections = <S extends Placing>(
  call: Request<Context, S>,
  prefix: ClauseId,
  source: string,
): readonly Objection<S>[] => {
  const refuses = refusing(call);
  return [
    refuses({
      id: `${prefix}-needs-access`,
      says: 'A mapping that can neither be read nor written is refused with EINVAL.',
      source,
      stage: 'arguments',
      errnos: ['EINVAL'],
      when: ({ asked: { flags } }) => (flags & ACCESS) === 0,
    }),
    refuses({
      id: `${prefix}-unknown-ioas`,
      says: 'An id that no IO address space has is refused with ENOENT.',
      source: `${ERRNOS}: ENOENT; ${source}`,
      stage: 'arguments',
      errnos: ['ENOENT'],
      when: ({ ioas }) => ioas === undefined,
    }),
    refuses({
      id: `${prefix}-overflow`,
      says: 'An iova or a length of 2^64-1 is refused with EOVERFLOW.',
      source: `${ERRNOS}: EOVERFLOW; ${source}`,
      stage: 'arguments',
      errnos: ['EOVERFLOW'],
      when: ({ asked: { iova, length } }) => isHighest(iova, length),
    }),
    refuses({
      id: `${prefix}-empty`,
      says: 'A length of 0, or one that leaves less than a page below 2^64, is refused with EINVAL.',
      source: 'iopt_alloc_pages(), drivers/iommu/iommufd/pages.c',
      stage: 'memory',
      errnos: ['EINVAL'],
      when: ({ context, asked: { length } }) =>
        length === 0n || length > TWO_TO_THE_64 - 1n - BigInt(context.platform.pageSizeBytes),
    }),
    refuses({
      id: `${prefix}-range-overflow`,
      says: 'A range that goes beyond 2^64 is refused with EOVERFLOW, and so is one of half of it or more whose IOVA is left to the kernel.',
      source: `iopt_check_iova(), iopt_alloc_iova(), ${PAGETABLE}`,
      stage: 'place',
      errnos: ['EOVERFLOW'],
      when: (call) => {
        const { iova, length } = call.asked;
        return isFixed(call) ? overflows(iova, length) : length >= (1n << 63n) - 1n;
      },
    }),
    refuses({
      id: `${prefix}-unaligned`,
      says: 'An iova, a length or a beginning of the memory that is no multiple of the alignment that IOAS_IOVA_RANGES tells is refused with EINVAL.',
      source: `include/uapi/linux/iommufd.h: out_iova_alignment; iopt_check_iova(), iopt_insert_area(), ${PAGETABLE}`,
      stage: 'place',
      errnos: ['EINVAL'],
      when: (call) => {
        const { context, ioas, asked } = call;
        const iova = isFixed(call) ? asked.iova : 0n;
        return ioas !== undefined && !isAligned(context, ioas, iova, asked.length, call.from.vaddr);
      },
    }),
    refuses({
      id: `${prefix}-occupied`,
      says: 'With FIXED_IOVA a range in which anything is mapped is refused with EEXIST, and what is there stays.',
      source: `${HEADER}: the iova range must currently be unused, existing IOVA cannot be replaced`,
      stage: 'place',
      errnos: ['EEXIST'],
      when: (call) => {
        const { ioas, asked } = call;
        return isFixed(call) && ioas?.areas.overlapping(asked.iova, asked.iova + asked.length) !== undefined;
      },
    }),
    refuses({
      id: `${prefix}-no-space`,
      says: 'When no free range is large enough a mapping whose IOVA is left to the kernel is refused with ENOSPC.',
      source: `iopt_alloc_iova(), ${PAGETABLE}`,
      stage: 'place',
      errnos: ['ENOSPC'],
      when: (call) => !isFixed(call) && call.asked.length < (1n << 63n) - 1n && call.places()[0] === undefined,
    }),
    refuses({
      id: `${prefix}-beyond-aperture`,
      says: 'With FIXED_IOVA a range that is not within what IOAS_IOVA_RANGES tells is refused with EINVAL.',
      source: `iopt_check_iova(), ${PAGETABLE}`,
      stage: 'place',
      errnos: ['EINVAL'],
      when: (call) => {
        const { ioas, asked } = call;
        if (ioas === undefined || !isFixed(call) || overflows(asked.iova, asked.length)) return false;
        return !isUsable(ioas, { start: asked.iova, end: asked.iova + asked.length - 1n });
      },
    }),
    refuses({
      id: `${prefix}-no-memory`,
      says: 'While a device is attached a range of which any page cannot be pinned is refused (EFAULT for memory, EINVAL beyond the end of a file), and nothing is mapped or charged.',
      source: 'pfn_reader_user_pin(), drivers/iommu/iommufd/pages.c',
      stage: 'pins',
      errnos: ['EFAULT'],
      errno: (call) => (call.pages().kind === 'file' ? 'EINVAL' : 'EFAULT'),
      when: (call) => call.ioas !== undefined && pins(call.ioas) && outOfReach(call.context, [areaOf(call, 0n)]),
    }),
    refuses({
      id: `${prefix}-over-limit`,
      says: 'While a device is attached a range of more pages than whom they are charged to may still lock is refused with ENOMEM, and nothing is mapped or charged.',
      source: 'incr_user_locked_vm(), update_mm_locked_vm(), drivers/iommu/iommufd/pages.c',
      stage: 'pins',
      errnos: ['ENOMEM'],
      when: (call) => call.ioas !== undefined && pins(call.ioas) && overLimit(call.context, [areaOf(call, 0n)]),
    }),
  ];
};
