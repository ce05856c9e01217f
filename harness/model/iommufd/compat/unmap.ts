import { CUT_FIRST_HALF, CUT_WITHIN_PAGE, refusal, UNMAP_BEYOND } from '../../../spec/five-modes/index.ts';
import { offsetOf } from '../../../uapi/struct.ts';
import { VFIO_DMA_UNMAP_FLAG_ALL, VFIO_IOMMU_UNMAP_DMA, vfioIommuType1DmaUnmap } from '../../../uapi/vfio.ts';
import { field, refusing, request, rule } from '../../clauses.ts';
import type { ByteRule } from '../../outcome.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u64Bytes } from '../../type1/bytes.ts';
import { isPinned, LETS_GO } from '../access/items.ts';
import { areasIn, overflows } from '../areas.ts';
import { settle } from '../pinned.ts';
import { type Area, alignmentOf, type Context, type Ioas } from '../state.ts';
import { compatIoasOf } from './state.ts';

/* UNMAP_DMA on /dev/iommu. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_UNMAP_DMA';
const SOURCE = 'iommufd_vfio_unmap_dma(), drivers/iommu/iommufd/vfio_compat.c';
const RANGE = 'iopt_unmap_iova_range(), drivers/iommu/iommufd/io_pagetable.c';
const SIZE = 24;
const TWO_TO_THE_64 = 1n << 64n;

interface UnmapCall {
  readonly context: Context;
  readonly asked: Found<typeof vfioIommuType1DmaUnmap.fields>;
  readonly ioas: Ioas | undefined;
  readonly writable: boolean;
  readonly all: boolean;
  /** Mappings may be cut: type1 was set. */
  readonly cuts: boolean;
  /** What goes, ascending; where a mapping is cut, its part. */
  parts(): readonly Area[];
}

const CUTS = rule<(ioas: Ioas) => boolean>({
  id: 'compat/unmap-cuts',
  level: 'must',
  says: 'On /dev/iommu as type1 UNMAP_DMA unmaps exactly the range: a mapping that it cuts keeps what lies outside of it.',
  source: `iommufd_vfio_set_iommu(): Then we can safely unmap within any range; ${SOURCE}`,
  rule: ({ largePages }) => !largePages,
});

/** The part of an area that lies in [start, end). */
const partOf = (area: Area, start: bigint, end: bigint): Area => {
  const first = area.start > start ? area.start : start;
  return {
    ...area,
    start: first,
    end: area.end < end ? area.end : end,
    from: area.from + (first - area.start),
  };
};

const endOf = ({ all, asked: { iova, size } }: Pick<UnmapCall, 'all' | 'asked'>): bigint =>
  all ? TWO_TO_THE_64 : iova + size;

const isWhole = ({ start, end }: Area, call: UnmapCall): boolean => start >= call.asked.iova && end <= endOf(call);

/** The mappings that go before one that may not be cut. */
const goes = (call: UnmapCall, areas: readonly Area[]): readonly Area[] => {
  if (call.cuts) return areas.map((area) => partOf(area, call.asked.iova, endOf(call)));
  const cut = areas.findIndex((area) => !isWhole(area, call));
  return cut < 0 ? areas : areas.slice(0, cut);
};

const areasOf = (call: Pick<UnmapCall, 'ioas' | 'all' | 'asked'>): readonly Area[] =>
  call.ioas === undefined ? [] : areasIn(call.ioas, call.asked.iova, endOf(call));

/** Divides the area in which an IOVA lies, there. */
const divide = ({ areas }: Ioas, at: bigint): void => {
  const area = areas.containing(at);
  if (area === undefined || area.start === at) return;
  areas.delete(area.start);
  areas.insert(partOf(area, area.start, at));
  areas.insert(partOf(area, at, area.end));
};

/** Whether an IOVA lies within an area of which an access has pinned anything. */
const isHeld = (ioas: Ioas, at: bigint): boolean => {
  const area = ioas.areas.containing(at);
  return area !== undefined && area.start !== at && isPinned(ioas, area);
};

/** Divides the area at the end of the range, unless an access has pinned of it. */
const divideAtEnd = ({ ioas, asked }: UnmapCall): void => {
  const end = BigInt.asUintN(64, asked.iova + asked.size);
  if (ioas !== undefined && !isHeld(ioas, end)) divide(ioas, end);
};

const divideAtEnds = (call: UnmapCall): void => {
  const { ioas, asked, cuts, all } = call;
  if (ioas === undefined || !cuts || all) return;
  divide(ioas, asked.iova);
  divide(ioas, BigInt.asUintN(64, asked.iova + asked.size));
};

const carryOut = (call: UnmapCall): void => {
  const { context, ioas } = call;
  const parts = call.parts();
  divideAtEnds(call);
  for (const part of parts) {
    if (ioas !== undefined) context.law.of(LETS_GO).rule(ioas, part);
    ioas?.areas.delete(part.start);
  }
  settle(context);
};

const UNMAP_DMA = request<Context, UnmapCall>({
  id: 'compat/unmap',
  level: 'must',
  says: 'UNMAP_DMA on /dev/iommu ends all mappings in the range, be they one or many and with holes between them, or all that there are with ALL, and returns 0; nothing mapped there is no error.',
  source: `${HEADER}; ${RANGE}: If there are no mapped entries then success`,
  on: 'iommufd',
  request: VFIO_IOMMU_UNMAP_DMA,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, vfioIommuType1DmaUnmap, 0, SIZE);
    const ioas = compatIoasOf(context)?.ioas;
    return {
      context,
      asked,
      ioas,
      writable: argument.writable(0, SIZE),
      all: (asked.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0,
      cuts: ioas !== undefined && context.law.of(CUTS).rule(ioas),
      parts() {
        return goes(this, areasOf(this));
      },
    };
  },
  stages: ['read', 'arguments', 'object', 'all', 'cut', 'range', 'areas', 'reply'],
  effect: carryOut,
});

const SIZE_RETURNED = field(UNMAP_DMA, {
  id: 'compat/unmap-returns-size',
  level: 'must',
  says: 'On /dev/iommu the field size returns how many bytes UNMAP_DMA unmapped, holes not counted, 0 if there was nothing; nothing else of the argument changes.',
  source: `${HEADER}: The actual unmapped size is returned in the size field`,
  at: () => offsetOf(vfioIommuType1DmaUnmap, 'size'),
  bytes: (call) => u64Bytes(sizeOf(call.parts())),
});

const sizeOf = (areas: readonly Area[]): bigint => areas.reduce((sum, { start, end }) => sum + (end - start), 0n);

const SIZE_WHEN_REFUSED = rule<(unmapped: readonly Area[]) => bigint>({
  id: 'compat/unmap-size-when-refused',
  level: 'may',
  says: 'On /dev/iommu an UNMAP_DMA that is refused for its range or for a mapping that it cuts returns in size, too, how many bytes it unmapped until then.',
  source: SOURCE,
  rule: sizeOf,
});

const sizeWhenRefused =
  (unmapped: (call: UnmapCall) => readonly Area[]) =>
  (call: UnmapCall): readonly ByteRule[] => {
    const clause = call.context.law.of(SIZE_WHEN_REFUSED);
    return [{ at: SIZE_RETURNED.at(call), bytes: u64Bytes(clause.rule(unmapped(call))), clause }];
  };

const refuses = refusing(UNMAP_DMA);

/** Whether type1 would have to cut a mapping where no page ends. */
const cutsWithinPage = (call: UnmapCall): boolean => {
  const { ioas, asked, cuts, all, context } = call;
  if (ioas === undefined || !cuts || all) return false;
  const unit = alignmentOf(ioas, context.platform);
  return [asked.iova, BigInt.asUintN(64, asked.iova + asked.size)].some((at) => {
    const area = ioas.areas.containing(at);
    return at % unit !== 0n && area !== undefined && area.start !== at;
  });
};

const OBJECTIONS = [
  refuses({
    id: 'compat/unmap-unreadable',
    says: 'UNMAP_DMA on /dev/iommu with an argument that cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ asked }) => !asked.readable,
  }),
  refuses({
    id: 'compat/unmap-argsz',
    says: 'UNMAP_DMA on /dev/iommu with an argsz below 24 is refused with EINVAL.',
    source: `include/uapi/linux/vfio.h: argsz; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.argsz < SIZE,
  }),
  refuses({
    id: 'compat/unmap-flags',
    says: 'UNMAP_DMA on /dev/iommu with flags other than ALL, GET_DIRTY_BITMAP and VADDR among them, is refused with EINVAL.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => (asked.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0,
  }),
  refuses({
    id: 'compat/unmap-without-group',
    says: 'UNMAP_DMA on /dev/iommu before a group was given it is refused with ENODEV.',
    source: `get_compat_ioas(), ${SOURCE}`,
    stage: 'object',
    errnos: ['ENODEV'],
    when: ({ ioas }) => ioas === undefined,
  }),
  refuses({
    id: 'compat/unmap-all-with-range',
    says: 'UNMAP_DMA on /dev/iommu with ALL and an iova or a size other than 0 is refused with EINVAL.',
    source: `${HEADER}: iova and size must be 0`,
    stage: 'all',
    errnos: ['EINVAL'],
    when: ({ all, asked: { iova, size } }) => all && (iova !== 0n || size !== 0n),
  }),
  refuses({
    id: 'compat/unmap-cuts-within-page',
    says: 'UNMAP_DMA on /dev/iommu as type1 that would cut a mapping where no page ends is refused with EINVAL.',
    source: 'iopt_area_split(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'cut',
    errnos: refusal(CUT_WITHIN_PAGE, 'compat-v1'),
    when: cutsWithinPage,
  }),
  refuses({
    id: 'compat/unmap-cuts-pinned',
    says: 'UNMAP_DMA on /dev/iommu as type1 that would cut a mapping of which a device without an IOMMU has pinned anything, be it elsewhere in the mapping, is refused with EINVAL, and what is pinned stays.',
    source:
      "iopt_area_split(), drivers/iommu/iommufd/io_pagetable.c: Splitting is not permitted if an access exists, we don't track enough information to split existing accesses",
    stage: 'cut',
    errnos: ['EINVAL'],
    when: ({ ioas, asked: { iova, size }, cuts, all }) =>
      ioas !== undefined && cuts && !all && (isHeld(ioas, iova) || isHeld(ioas, BigInt.asUintN(64, iova + size))),
    leaves: divideAtEnd,
  }),
  refuses({
    id: 'compat/unmap-empty',
    says: 'UNMAP_DMA on /dev/iommu with a size of 0 and without ALL is refused with EINVAL.',
    source: 'iopt_unmap_iova(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'range',
    errnos: ['EINVAL'],
    when: ({ all, asked: { size } }) => !all && size === 0n,
    leaves: divideAtEnds,
  }),
  refuses({
    id: 'compat/unmap-overflow',
    says: 'UNMAP_DMA on /dev/iommu of a range that goes beyond 2^64 is refused with EOVERFLOW.',
    source: 'iopt_unmap_iova(), drivers/iommu/iommufd/io_pagetable.c: check_add_overflow()',
    stage: 'range',
    errnos: refusal(UNMAP_BEYOND, 'compat-v2'),
    when: ({ all, asked: { iova, size } }) => !all && overflows(iova, size),
    out: sizeWhenRefused(() => []),
    leaves: divideAtEnds,
  }),
  refuses({
    id: 'compat/unmap-v2-cuts',
    says: 'UNMAP_DMA on /dev/iommu as type1 v2 of a range that begins or ends within a mapping is refused with ENOENT, and that mapping stays whole; mappings before it are gone.',
    source: `${RANGE}; iommufd_vfio_set_iommu(): The difference between TYPE1 and TYPE1v2 is the ability to unmap in the middle of mapped ranges`,
    stage: 'areas',
    errnos: refusal(CUT_FIRST_HALF, 'compat-v2'),
    when: (call) => !call.cuts && areasOf(call).length > call.parts().length,
    out: sizeWhenRefused((call) => call.parts()),
    leaves: carryOut,
  }),
  refuses({
    id: 'compat/unmap-unwritable',
    says: 'When UNMAP_DMA on /dev/iommu cannot return the size it fails with EFAULT; what it was to unmap is unmapped all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: carryOut,
  }),
];

export const COMPAT_UNMAP_CLAUSES = [UNMAP_DMA, CUTS, SIZE_RETURNED, SIZE_WHEN_REFUSED, ...OBJECTIONS];
