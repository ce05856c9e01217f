import { IOMMU_IOAS_MAP, iommuIoasMap } from '../../uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import { ERRNOS } from './framing.ts';
import { newPages } from './pinned.ts';
import { carryOut, elsewhere, KNOWN_FLAGS, type Placing, placesOf, placingObjections, writes } from './placing.ts';
import type { Context } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP';
const SOURCE = 'iommufd_ioas_map(), drivers/iommu/iommufd/ioas.c';
const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

const TWO_TO_THE_64 = 1n << 64n;

interface MapCall extends Placing {
  readonly asked: Found<typeof iommuIoasMap.fields>;
}

const MAP = request<Context, MapCall>({
  id: 'ioas/map',
  level: 'must',
  says: 'IOAS_MAP maps memory of the caller at an IOVA and returns 0. While no device is attached nothing is pinned and the memory is not looked at; then all of it is.',
  source: `${HEADER}; iopt_map_user_pages(), ${PAGETABLE}: For non-domain page tables this will only setup a lazy reference`,
  on: 'iommufd',
  request: IOMMU_IOAS_MAP,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuIoasMap);
    const ioas = context.objects.get(asked.ioas_id);
    return {
      context,
      asked,
      ioas,
      writable: argument.writable(0, sizeOf(iommuIoasMap)),
      from: { vaddr: asked.user_va, known: caller.space.alignmentAt(asked.user_va) },
      pages: () => newPages(context, caller, { kind: 'memory', vaddr: asked.user_va, writable: writes(asked.flags) }),
      places() {
        return placesOf(this);
      },
    };
  },
  stages: ['arguments', 'memory', 'place', 'pins', 'reply'],
  others: elsewhere,
  effect: carryOut,
});

const IOVA_RETURNED = field(MAP, {
  id: 'ioas/map-returns-iova',
  level: 'must',
  says: 'The field iova returns where the mapping is; with FIXED_IOVA that is where it was asked for. Nothing else of the argument changes.',
  source: `${HEADER}: iova: IOVA the mapping was placed at`,
  at: () => offsetOf(iommuIoasMap, 'iova'),
  bytes: (call) => u64Bytes(call.places()[0] ?? 0n),
});

const refuses = refusing(MAP);

const OBJECTIONS = [
  refuses({
    id: 'ioas/map-flags',
    says: 'Flags other than FIXED_IOVA, WRITEABLE and READABLE, or a reserved field that is not 0, are refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~KNOWN_FLAGS) !== 0 || asked.__reserved !== 0,
  }),
  refuses({
    id: 'ioas/map-memory-overflow',
    says: 'Memory that ends at 2^64 or goes beyond it is refused with EOVERFLOW.',
    source: 'iopt_alloc_user_pages(), drivers/iommu/iommufd/pages.c: check_add_overflow()',
    stage: 'memory',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { user_va, length } }) => user_va + length >= TWO_TO_THE_64,
  }),
  refuses({
    id: 'ioas/map-unwritable',
    says: 'When the iova cannot be returned the call fails with EFAULT; what it mapped is mapped all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: carryOut,
  }),
  ...placingObjections(MAP, 'ioas/map', SOURCE),
];

export const IOAS_MAP_CLAUSES = [MAP, IOVA_RETURNED, ...OBJECTIONS];
