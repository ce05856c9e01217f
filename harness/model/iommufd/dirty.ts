import {
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommuHwptGetDirtyBitmap,
  iommuHwptSetDirtyTracking,
} from '../../uapi/iommufd-commands.ts';
import { type Objection, objection, type Request, request } from '../clauses.ts';
import { readStruct } from '../type1/argument.ts';
import type { Context, Other } from './state.ts';

/* Dirty tracking, so far of page tables that were not made for it: those that attaching a device makes. */

const HEADER = 'include/uapi/linux/iommufd.h';
const ERRNOS = `${HEADER}: ioctls use a standard meaning for common errnos`;
const TABLES = 'drivers/iommu/iommufd/hw_pagetable.c';

interface TableCall {
  /** A field has a value that is not known. */
  readonly odd: boolean;
  readonly object: Other | undefined;
  /** The range is one that is refused, whatever the table. */
  readonly badRange: boolean;
}

const tableOf = ({ others }: Context, id: number): Other | undefined => {
  const object = others.get(id);
  return object?.kind === 'page table' ? object : undefined;
};

const SET = request<Context, TableCall>({
  id: 'hwpt/set-dirty-tracking',
  level: 'must',
  says: 'HWPT_SET_DIRTY_TRACKING starts and stops dirty tracking of a page table that was made for it; of others it is refused. What is tracked is not stated yet.',
  source: `${HEADER}: IOMMU_HWPT_SET_DIRTY_TRACKING`,
  on: 'iommufd',
  request: IOMMU_HWPT_SET_DIRTY_TRACKING,
  situation: (context, { argument }) => {
    const { flags, hwpt_id } = readStruct(argument, iommuHwptSetDirtyTracking);
    return { odd: (flags & ~1) !== 0, object: tableOf(context, hwpt_id), badRange: false };
  },
  stages: ['arguments', 'object', 'table'],
});

const GET = request<Context, TableCall>({
  id: 'hwpt/get-dirty-bitmap',
  level: 'must',
  says: 'HWPT_GET_DIRTY_BITMAP is for page tables that were made for dirty tracking; of others it is refused. Which bits it sets is not stated yet.',
  source: `${HEADER}: IOMMU_HWPT_GET_DIRTY_BITMAP`,
  on: 'iommufd',
  request: IOMMU_HWPT_GET_DIRTY_BITMAP,
  situation: (context, { argument }) => {
    const { flags, __reserved, hwpt_id, iova, length, page_size } = readStruct(argument, iommuHwptGetDirtyBitmap);
    const unit = page_size === 0n ? 1n : page_size;
    return {
      odd: (flags & ~1) !== 0 || __reserved !== 0,
      object: tableOf(context, hwpt_id),
      badRange: page_size === 0n || length === 0n || iova % unit !== 0n || (iova + length) % unit !== 0n,
    };
  },
  leavesOpen: ({ badRange }) => (badRange ? 'which ranges are refused is not stated yet' : undefined),
  stages: ['arguments', 'object', 'table'],
});

const refusals = (call: Request<Context, TableCall>, name: string): readonly Objection<TableCall>[] => [
  objection(call, {
    id: `${call.id}-flags`,
    level: 'must',
    says: `${name} with a flag that is not known, or a reserved field that is not 0, is refused with EOPNOTSUPP.`,
    source: `${ERRNOS}: EOPNOTSUPP; ${TABLES}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ odd }) => odd,
  }),
  objection(call, {
    id: `${call.id}-unknown`,
    level: 'must',
    says: `${name} with an id that no page table has (none, an IO address space, a device) is refused with ENOENT.`,
    source: `${ERRNOS}: ENOENT; iommufd_get_hwpt_paging()`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ object }) => object === undefined,
  }),
  objection(call, {
    id: `${call.id}-not-made-for-it`,
    level: 'must',
    says: `${name} of a page table that was not made with IOMMU_HWPT_ALLOC_DIRTY_TRACKING, such as attaching a device makes, is refused with EOPNOTSUPP.`,
    source: `${HEADER}: IOMMU_HWPT_ALLOC_DIRTY_TRACKING; iopt_set_dirty_tracking(), iommu_read_and_clear_dirty(), drivers/iommu/iommufd/io_pagetable.c`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: ({ object }) => object !== undefined,
  }),
];

export const DIRTY_TRACKING_CLAUSES = [
  SET,
  GET,
  ...refusals(SET, 'HWPT_SET_DIRTY_TRACKING'),
  ...refusals(GET, 'HWPT_GET_DIRTY_BITMAP'),
];
