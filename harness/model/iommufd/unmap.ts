import { IOMMU_IOAS_UNMAP, iommuIoasUnmap } from '../../uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import { LETS_GO, meets } from './access/items.ts';
import { areasIn, isHighest, overflows } from './areas.ts';
import { ERRNOS } from './framing.ts';
import { settle } from './pinned.ts';
import type { Area, Context, Ioas } from './state.ts';
import { forget } from './tracking.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_UNMAP';
const SOURCE = 'iommufd_ioas_unmap(), drivers/iommu/iommufd/ioas.c';
const RANGE = 'iopt_unmap_iova_range(), drivers/iommu/iommufd/io_pagetable.c';
const TOP = (1n << 64n) - 1n;

interface UnmapCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuIoasUnmap.fields>;
  readonly ioas: Ioas | undefined;
  readonly writable: boolean;
  readonly all: boolean;
  /** The areas of the range, ascending. */
  areas(): readonly Area[];
}

/** The areas of the range that come before one which it cuts. */
const wholeOnes = (call: UnmapCall): readonly Area[] => {
  const { iova, length } = call.asked;
  const areas = call.areas();
  if (call.all) return areas;
  const cut = areas.findIndex(({ start, end }) => start < iova || end > iova + length);
  return cut < 0 ? areas : areas.slice(0, cut);
};

const cuts = (call: UnmapCall): boolean => wholeOnes(call).length < call.areas().length;

/** Whether what holds memory of the IO address space holds a mapping. */
const isLocked = ({ ioas }: UnmapCall, area: Area): boolean =>
  [...(ioas?.accesses ?? [])].some(
    ({ queue, items }) => queue !== undefined && items.some((item) => meets(item, area)),
  );

const remove = ({ context, ioas }: UnmapCall, areas: readonly Area[]): void => {
  if (ioas === undefined) return;
  for (const area of areas) {
    context.law.of(LETS_GO).rule(ioas, area);
    ioas.areas.delete(area.start);
    forget(ioas, area);
  }
  settle(context);
};

const UNMAP = request<Context, UnmapCall>({
  id: 'ioas/unmap',
  level: 'must',
  says: 'IOAS_UNMAP ends all mappings in the range, be they one or many and with holes between them, and returns 0.',
  source: `${HEADER}: The iova/length must be a superset of a previously mapped range`,
  on: 'iommufd',
  request: IOMMU_IOAS_UNMAP,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuIoasUnmap);
    const ioas = context.objects.get(asked.ioas_id);
    const all = asked.iova === 0n && asked.length === TOP;
    return {
      context,
      asked,
      ioas,
      all,
      writable: argument.writable(0, sizeOf(iommuIoasUnmap)),
      areas: () => {
        if (ioas === undefined) return [];
        return areasIn(ioas, asked.iova, all ? TOP + 1n : asked.iova + asked.length);
      },
    };
  },
  stages: ['object', 'range', 'areas', 'reply'],
  effect: (call) => remove(call, call.areas()),
});

const LENGTH_RETURNED = field(UNMAP, {
  id: 'ioas/unmap-returns-length',
  level: 'must',
  says: 'The field length returns how many bytes were unmapped, holes not counted; nothing else of the argument changes, and nothing at all when the call fails.',
  source: `${HEADER}: return back the bytes unmapped`,
  at: () => offsetOf(iommuIoasUnmap, 'length'),
  bytes: (call) => u64Bytes(call.areas().reduce((sum, { start, end }) => sum + (end - start), 0n)),
});

/** What a range that cuts a mapping leaves of those before it. */
const CUT_LEAVES = rule<(areas: readonly Area[]) => readonly Area[]>({
  id: 'ioas/unmap-up-to-cut',
  level: 'may',
  says: 'Mappings that lie whole in a range before one that it cuts are gone after the refusal.',
  source: RANGE,
  rule: (areas) => areas,
});

const refuses = refusing(UNMAP);

const OBJECTIONS = [
  refuses({
    id: 'ioas/unmap-unknown-ioas',
    says: 'An id that no IO address space has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; ${SOURCE}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ ioas }) => ioas === undefined,
  }),
  refuses({
    id: 'ioas/unmap-overflow',
    says: 'An iova or a length of 2^64-1 (but for everything: 0 and 2^64-1), and a range that goes beyond 2^64, are refused with EOVERFLOW.',
    source: `${ERRNOS}: EOVERFLOW; ${SOURCE}`,
    stage: 'range',
    errnos: ['EOVERFLOW'],
    when: ({ all, asked: { iova, length } }) => !all && (isHighest(iova, length) || overflows(iova, length)),
  }),
  refuses({
    id: 'ioas/unmap-empty',
    says: 'A length of 0 is refused with EINVAL.',
    source: 'iopt_unmap_iova(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'range',
    errnos: ['EINVAL'],
    when: ({ asked: { length } }) => length === 0n,
  }),
  refuses({
    id: 'ioas/unmap-cuts',
    says: 'A range that begins or ends within a mapping is refused with ENOENT, and that mapping stays whole.',
    source: `${HEADER}: Splitting or truncating ranges is not allowed; ${RANGE}`,
    stage: 'areas',
    errnos: ['ENOENT'],
    when: cuts,
    leaves: (call) => remove(call, call.context.law.of(CUT_LEAVES).rule(wholeOnes(call))),
  }),
  refuses({
    id: 'ioas/unmap-locked',
    says: 'A mapping in which a queue of hardware lies cannot be unmapped: a range in which it lies, everything included, is refused with EBUSY; mappings before it may be gone.',
    source: `Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_HW_QUEUE; ${RANGE}: The area is locked by an object that has not been destroyed`,
    stage: 'areas',
    errnos: ['EBUSY'],
    when: (call) => call.areas().some((area) => isLocked(call, area)),
    leaves: (call) => {
      const areas = call.context.law.of(CUT_LEAVES).rule(wholeOnes(call));
      const first = areas.findIndex((area) => isLocked(call, area));
      remove(call, first === -1 ? areas : areas.slice(0, first));
    },
  }),
  refuses({
    id: 'ioas/unmap-nothing',
    says: 'A range in which nothing is mapped is refused with ENOENT; everything (0 and 2^64-1) may be nothing.',
    source: `${ERRNOS}: ENOENT; ${SOURCE}; iopt_unmap_all(): If the IOVAs are empty then unmap all succeeds`,
    stage: 'areas',
    errnos: ['ENOENT'],
    when: (call) => !call.all && call.areas().length === 0,
  }),
  refuses({
    id: 'ioas/unmap-unwritable',
    says: 'When the length cannot be returned the call fails with EFAULT; what it was to unmap is unmapped all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: (call) => remove(call, call.areas()),
  }),
];

export const IOAS_UNMAP_CLAUSES = [UNMAP, LENGTH_RETURNED, CUT_LEAVES, ...OBJECTIONS];
