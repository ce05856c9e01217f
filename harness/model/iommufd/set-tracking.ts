import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommuHwptSetDirtyTracking,
} from '../../uapi/iommufd-commands.ts';
import { objection, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { ERRNOS } from './framing.ts';
import { type Context, objectOf, type PageTable } from './state.ts';
import { clear } from './tracking.ts';

/* Whether what devices write through a page table is remembered. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_SET_DIRTY_TRACKING';
const SOURCE = 'iopt_set_dirty_tracking(), drivers/iommu/iommufd/io_pagetable.c';
const BEYOND = 1n << 64n;

interface SetCall {
  readonly asked: Found<typeof iommuHwptSetDirtyTracking.fields>;
  readonly table: PageTable | undefined;
}

/** The page table of the kernel that has an id. */
export const tableWithId = (context: Context, id: number): PageTable | undefined => objectOf(context, id, 'page table');

const SET = request<Context, SetCall>({
  id: 'hwpt/set-dirty-tracking',
  level: 'must',
  says: 'HWPT_SET_DIRTY_TRACKING starts and stops dirty tracking of a page table and returns 0; from each start on what was written before is forgotten, and after a stop what was written can still be read.',
  source: `${HEADER}: Toggle dirty tracking on an HW pagetable; ${SOURCE}: iopt_clear_dirty_data()`,
  on: 'iommufd',
  request: IOMMU_HWPT_SET_DIRTY_TRACKING,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuHwptSetDirtyTracking);
    return { asked, table: tableWithId(context, asked.hwpt_id) };
  },
  stages: ['arguments', 'object', 'table'],
  effect: ({ asked, table }) => {
    if (table?.tracking === undefined) return;
    table.tracking.enabled = (asked.flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
    if (table.tracking.enabled) clear(table.tracking, 0n, BEYOND);
  },
});

const OBJECTIONS = [
  objection(SET, {
    id: 'hwpt/set-dirty-tracking-flags',
    level: 'must',
    says: 'HWPT_SET_DIRTY_TRACKING with a flag that is not known, or a reserved field that is not 0, is refused with EOPNOTSUPP.',
    source: `${HEADER}: __reserved: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0 || asked.__reserved !== 0,
  }),
  objection(SET, {
    id: 'hwpt/set-dirty-tracking-unknown',
    level: 'must',
    says: 'HWPT_SET_DIRTY_TRACKING with an id that no page table of the kernel has (none, an IO address space, a device, a nested page table) is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; iommufd_get_hwpt_paging()`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ table }) => table === undefined,
  }),
  objection(SET, {
    id: 'hwpt/set-dirty-tracking-not-made-for-it',
    level: 'must',
    says: 'HWPT_SET_DIRTY_TRACKING of a page table that was not made with IOMMU_HWPT_ALLOC_DIRTY_TRACKING, such as attaching a device makes, is refused with EOPNOTSUPP.',
    source: `include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC_DIRTY_TRACKING; ${SOURCE}`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: ({ table }) => table !== undefined && table.tracking === undefined,
  }),
];

export const SET_TRACKING_CLAUSES = [SET, ...OBJECTIONS];
