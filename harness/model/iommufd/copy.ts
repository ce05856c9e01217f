import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_WRITEABLE,
  iommuIoasCopy,
} from '../../uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import { CHOOSES_IOVA, isAligned, isHighest, overflows, partsUpToHole } from './areas.ts';
import { ERRNOS } from './framing.ts';
import { outOfReach, overLimit, settle } from './pinned.ts';
import { ACCESS, elsewhere, KNOWN_FLAGS, type Places } from './placing.ts';
import { isUsable } from './reserved.ts';
import { type Area, type Context, type Ioas, pins } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_COPY';
const SOURCE = 'iommufd_ioas_copy(), drivers/iommu/iommufd/ioas.c';
const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

interface CopyCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuIoasCopy.fields>;
  readonly from: Ioas | undefined;
  readonly to: Ioas | undefined;
  readonly writable: boolean;
  /** The parts of areas that are copied, ascending; nothing when they do not cover the range without a hole. */
  parts(): readonly Area[];
  /** Where it goes, if there is room; several answers where that is not known. */
  places(): Places;
}

const isFixed = ({ asked: { flags } }: CopyCall): boolean => (flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;

const partsOf = (ioas: Ioas, start: bigint, end: bigint): readonly Area[] => {
  const { parts, done } = partsUpToHole(ioas, start, end);
  return done < end ? [] : parts;
};

const carryOut = (call: CopyCall): void => {
  const [to] = call.places();
  if (to === undefined) return;
  for (const { start, end, pages, from } of call.parts()) {
    const at = to + (start - call.asked.src_iova);
    call.to?.areas.insert({ start: at, end: at + (end - start), pages, from, access: call.asked.flags & ACCESS });
  }
  settle(call.context);
};

const COPY = request<Context, CopyCall>({
  id: 'ioas/copy',
  level: 'must',
  says: 'IOAS_COPY maps what is mapped at src_iova of one IO address space in another, or in the same, too, and returns 0; each mapping then ends by itself, and the memory is the one that was mapped, whatever became of the first mapping.',
  source: `${HEADER}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_IOAS`,
  on: 'iommufd',
  request: IOMMU_IOAS_COPY,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuIoasCopy);
    const [from, to] = [context.objects.get(asked.src_ioas_id), context.objects.get(asked.dst_ioas_id)];
    return {
      context,
      asked,
      from,
      to,
      writable: argument.writable(0, sizeOf(iommuIoasCopy)),
      parts: () => (from === undefined ? [] : partsOf(from, asked.src_iova, asked.src_iova + asked.length)),
      places() {
        const [first] = this.parts();
        if (isFixed(this) || to === undefined || first === undefined) return [asked.dst_iova];
        const { pages, from } = first;
        const begins = { vaddr: pages.vaddr + from, known: pages.known };
        return context.law.of(CHOOSES_IOVA).rule(context, to, begins, asked.length);
      },
    };
  },
  stages: ['arguments', 'source', 'target', 'place', 'pins', 'reply'],
  others: elsewhere,
  effect: carryOut,
});

const IOVA_RETURNED = field(COPY, {
  id: 'ioas/copy-returns-iova',
  level: 'must',
  says: 'The field dst_iova returns where the copy is; nothing else of the argument changes.',
  source: `${HEADER}: dst_iova: IOVA the mapping was placed at`,
  at: () => offsetOf(iommuIoasCopy, 'dst_iova'),
  bytes: (call) => u64Bytes(call.places()[0] ?? 0n),
});

const refuses = refusing(COPY);

const OBJECTIONS = [
  refuses({
    id: 'ioas/copy-flags',
    says: 'Flags other than FIXED_IOVA, WRITEABLE and READABLE are refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked: { flags } }) => (flags & ~KNOWN_FLAGS) !== 0,
  }),
  refuses({
    id: 'ioas/copy-needs-access',
    says: 'A copy that can neither be read nor written is refused with EINVAL.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked: { flags } }) => (flags & ACCESS) === 0,
  }),
  refuses({
    id: 'ioas/copy-overflow',
    says: 'A length or an iova of 2^64-1, and a source or a target that goes beyond 2^64, are refused with EOVERFLOW.',
    source: `${ERRNOS}: EOVERFLOW; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { length, dst_iova, src_iova } }) => isHighest(length, dst_iova, src_iova),
  }),
  refuses({
    id: 'ioas/copy-unknown-ioas',
    says: 'An id of the source that no IO address space has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['ENOENT'],
    when: ({ from }) => from === undefined,
  }),
  refuses({
    id: 'ioas/copy-empty',
    says: 'A length of 0 is refused with EINVAL.',
    source: `iopt_get_pages(), ${PAGETABLE}`,
    stage: 'source',
    errnos: ['EINVAL'],
    when: ({ asked: { length } }) => length === 0n,
  }),
  refuses({
    id: 'ioas/copy-source-overflow',
    says: 'A source that goes beyond 2^64 is refused with EOVERFLOW.',
    source: `iopt_get_pages(), ${PAGETABLE}`,
    stage: 'source',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { src_iova, length } }) => overflows(src_iova, length),
  }),
  refuses({
    id: 'ioas/copy-unmapped',
    says: 'A source that is not mapped from its first byte to its last is refused with ENOENT.',
    source: `${HEADER}: The src iova/length must exactly match a range used with IOMMU_IOAS_MAP; iopt_get_pages(), ${PAGETABLE}`,
    stage: 'source',
    errnos: ['ENOENT'],
    when: (call) => {
      const { src_iova, length } = call.asked;
      return length > 0n && !overflows(src_iova, length) && call.parts().length === 0;
    },
  }),
  refuses({
    id: 'ioas/copy-unknown-target',
    says: 'An id of the target that no IO address space has is refused with ENOENT.',
    source: SOURCE,
    stage: 'target',
    errnos: ['ENOENT'],
    when: ({ to }) => to === undefined,
  }),
  refuses({
    id: 'ioas/copy-beyond-access',
    says: 'A copy to be written of memory that was not mapped to be written is refused with EPERM.',
    source: `iopt_insert_area(), ${PAGETABLE}`,
    stage: 'place',
    errnos: ['EPERM'],
    when: (call) =>
      (call.asked.flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0 && call.parts().some(({ pages }) => !pages.writable),
  }),
  refuses({
    id: 'ioas/copy-target-overflow',
    says: 'A target that goes beyond 2^64 is refused with EOVERFLOW.',
    source: `iopt_check_iova(), ${PAGETABLE}`,
    stage: 'place',
    errnos: ['EOVERFLOW'],
    when: (call) => isFixed(call) && overflows(call.asked.dst_iova, call.asked.length),
  }),
  refuses({
    id: 'ioas/copy-unaligned',
    says: 'A target or a length that is no multiple of the alignment of the target, or memory whose offset in its page is not, is refused with EINVAL.',
    source: `iopt_alloc_area_pages(), iopt_check_iova(), ${PAGETABLE}`,
    stage: 'place',
    errnos: ['EINVAL'],
    when: (call) => {
      const { context, to, asked } = call;
      const places = call.parts().map(({ pages, from }) => pages.vaddr + from);
      return to !== undefined && !isAligned(context, to, isFixed(call) ? asked.dst_iova : 0n, asked.length, ...places);
    },
  }),
  refuses({
    id: 'ioas/copy-occupied',
    says: 'With FIXED_IOVA a target in which anything is mapped is refused with EEXIST, be it the source itself.',
    source: `iopt_check_iova(), ${PAGETABLE}`,
    stage: 'place',
    errnos: ['EEXIST'],
    when: (call) => {
      const { to, asked } = call;
      return isFixed(call) && to?.areas.overlapping(asked.dst_iova, asked.dst_iova + asked.length) !== undefined;
    },
  }),
  refuses({
    id: 'ioas/copy-beyond-aperture',
    says: 'With FIXED_IOVA a target that is not within what IOAS_IOVA_RANGES tells is refused with EINVAL.',
    source: `iopt_check_iova(), ${PAGETABLE}`,
    stage: 'place',
    errnos: ['EINVAL'],
    when: (call) => {
      const { to, asked } = call;
      if (to === undefined || !isFixed(call) || overflows(asked.dst_iova, asked.length)) return false;
      return !isUsable(to, { start: asked.dst_iova, end: asked.dst_iova + asked.length - 1n });
    },
  }),
  refuses({
    id: 'ioas/copy-no-memory',
    says: 'A copy to where a device is attached, of memory that is not pinned yet and cannot be any more (it, or its process, is gone), is refused with EFAULT (EINVAL for a file), and nothing is copied or charged.',
    source: 'pfn_reader_user_pin(), drivers/iommu/iommufd/pages.c',
    stage: 'pins',
    errnos: ['EFAULT', 'EINVAL'],
    errno: (call) => (call.parts().some(({ pages }) => pages.kind === 'file') ? undefined : 'EFAULT'),
    when: (call) => call.to !== undefined && pins(call.to) && outOfReach(call.context, call.parts()),
  }),
  refuses({
    id: 'ioas/copy-over-limit',
    says: 'A copy to where a device is attached that would pin more than whom it is charged to may lock is refused with ENOMEM, and nothing is copied or charged.',
    source: 'incr_user_locked_vm(), update_mm_locked_vm(), drivers/iommu/iommufd/pages.c',
    stage: 'pins',
    errnos: ['ENOMEM'],
    when: (call) => call.to !== undefined && pins(call.to) && overLimit(call.context, call.parts()),
  }),
  refuses({
    id: 'ioas/copy-unwritable',
    says: 'When dst_iova cannot be returned the call fails with EFAULT; the copy is there all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: carryOut,
  }),
];

export const IOAS_COPY_CLAUSES = [COPY, IOVA_RETURNED, ...OBJECTIONS];
