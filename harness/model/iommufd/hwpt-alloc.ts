import * as uapi from '../../uapi/iommufd-commands.ts';
import { IOMMU_HWPT_DATA_SELFTEST } from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import type { UserArgument } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { hardwareTable } from './cdev/hardware.ts';
import type { FaultQueue } from './fault-queue/state.ts';
import { ERRNOS } from './framing.ts';
import { mockTable } from './mock.ts';
import { dataOf, newNested, type TableData } from './nested.ts';
import {
  type Context,
  type Device,
  type Ioas,
  type NestedTable,
  type Other,
  objectOf,
  type PageTable,
} from './state.ts';
import { idOfTable, type Joining, join, joiningObjections } from './tables.ts';
import { newTracking } from './tracking.ts';

/* Page tables that user space makes: the kernel's, of an IO address space, and its own, nested in one of those. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC';
const TABLES = 'drivers/iommu/iommufd/hw_pagetable.c';
const PAGING = `iommufd_hwpt_paging_alloc(), ${TABLES}`;
const NESTED = `iommufd_hwpt_nested_alloc(), ${TABLES}`;
const ALLOC_SOURCE = `iommufd_hwpt_alloc(), ${TABLES}`;

const IN_IOAS =
  uapi.IOMMU_HWPT_ALLOC_NEST_PARENT |
  uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  uapi.IOMMU_HWPT_FAULT_ID_VALID |
  uapi.IOMMU_HWPT_ALLOC_PASID;
const IN_TABLE = uapi.IOMMU_HWPT_FAULT_ID_VALID | uapi.IOMMU_HWPT_ALLOC_PASID;

interface AllocCall extends Joining {
  readonly asked: Found<typeof uapi.iommuHwptAlloc.fields>;
  readonly device: Device | undefined;
  /** What the page table is connected to. */
  readonly parent: Ioas | Other | undefined;
  readonly data: TableData;
  /** The queue that its faults are to go to. */
  readonly faults: FaultQueue | undefined;
  readonly writable: boolean;
  /** What is made, when nothing refuses it. */
  readonly made: PageTable | NestedTable | undefined;
}

const has = ({ asked }: AllocCall, flag: number): boolean => (asked.flags & flag) !== 0;
const isIoas = (parent: AllocCall['parent']): parent is Ioas => parent !== undefined && 'areas' in parent;
const inIoas = ({ parent }: AllocCall): boolean => isIoas(parent);
const inTable = ({ parent }: AllocCall): boolean =>
  parent !== undefined && !isIoas(parent) && (parent.kind === 'page table' || parent.kind === 'virtual IOMMU');
const inViommu = ({ parent }: AllocCall): boolean =>
  parent !== undefined && !isIoas(parent) && parent.kind === 'virtual IOMMU';

const makes = (
  { platform }: Context,
  device: Device | undefined,
  parent: AllocCall['parent'],
  { flags }: AllocCall['asked'],
  data: TableData,
  faults: FaultQueue | undefined,
): PageTable | NestedTable | undefined => {
  if (parent === undefined) return undefined;
  const forPasids = (flags & uapi.IOMMU_HWPT_ALLOC_PASID) !== 0;
  if (!isIoas(parent))
    return parent.kind === 'page table' || parent.kind === 'virtual IOMMU'
      ? newNested(parent, data, { faults, forPasids })
      : undefined;
  const tracks = (flags & uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  const stated = {
    parent: (flags & uapi.IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0,
    tracking: tracks ? newTracking() : undefined,
    forPasids,
    faults,
  };
  return device?.hardware === undefined ? mockTable(parent, stated) : hardwareTable(platform, parent, stated);
};

/** The structure as far as the caller says that it goes; what is behind is 0. */
const askedOf = (argument: UserArgument): { readonly asked: AllocCall['asked']; readonly size: number } => {
  const type = uapi.iommuHwptAlloc;
  const whole = sizeOf(type);
  const size = Math.min(readStruct(argument, type, 0, 4).size, whole);
  return { asked: readStruct(argument, type, 0, size), size };
};

const situation = (context: Context, caller: Process, argument: UserArgument): AllocCall => {
  const { asked, size } = askedOf(argument);
  const { objects, others } = context;
  const device = objectOf(context, asked.dev_id, 'device');
  const parent = objects.get(asked.pt_id) ?? others.get(asked.pt_id);
  const data = dataOf(caller, asked);
  const hasQueue = (asked.flags & uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0;
  const faults = hasQueue ? objectOf(context, asked.fault_id, 'fault queue') : undefined;
  const made = makes(context, device, parent, asked, data, faults);
  return {
    context,
    asked,
    device,
    parent,
    data,
    faults,
    writable: argument.writable(0, size),
    made,
    joins: () => (made?.kind === 'page table' ? made : undefined),
  };
};

const ALLOC = request<Context, AllocCall>({
  id: 'hwpt/alloc',
  level: 'must',
  says: 'HWPT_ALLOC makes a page table: of an IO address space, with all that is mapped in it, or nested in a page table that was made as a parent, or in a virtual IOMMU; it returns 0. A page table so made stays until it is destroyed.',
  source: HEADER,
  on: 'iommufd',
  request: uapi.IOMMU_HWPT_ALLOC,
  situation: (context, { caller, argument }) => situation(context, caller, argument),
  leavesOpen: (call) => {
    if (inIoas(call) && call.data.type === IOMMU_HWPT_DATA_SELFTEST && call.data.kind !== 0)
      return 'what other kinds of page tables the mock device has is not stated';
    if (call.device?.hardware !== undefined && inTable(call) && !inViommu(call))
      return "page tables nested in those of hardware, or of another device's IOMMU, are not stated";
    if (call.device?.hardware !== undefined && has(call, uapi.IOMMU_HWPT_FAULT_ID_VALID))
      return 'which hardware can report page faults is not stated';
    return undefined;
  },
  stages: ['reserved', 'device', 'object', 'table', 'data', 'place', 'pins', 'fault', 'reply'],
  effect: ({ context, made, faults }) => {
    if (faults !== undefined) faults.users++;
    if (made?.kind === 'page table') join(context, made);
    else if (made !== undefined) {
      context.others.set(idOfTable(context, made), made);
      (made.viommu ?? made.parent).users++;
    }
  },
});

const ID_RETURNED = field(ALLOC, {
  id: 'hwpt/alloc-id',
  level: 'must',
  says: 'The field out_hwpt_id returns the id of the new page table; nothing else of the argument changes.',
  source: `${HEADER}: out_hwpt_id`,
  at: () => offsetOf(uapi.iommuHwptAlloc, 'out_hwpt_id'),
  bytes: ({ context, made }) => u32Bytes(made === undefined ? 0 : idOfTable(context, made)),
});

const refuses = refusing(ALLOC);

const OBJECTIONS = [
  refuses({
    id: 'hwpt/alloc-reserved',
    says: 'A reserved field that is not 0 is refused with EOPNOTSUPP.',
    source: `${HEADER}: __reserved: Must be 0; __reserved2: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
    stage: 'reserved',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.__reserved !== 0 || asked.__reserved2 !== 0,
  }),
  refuses({
    id: 'hwpt/alloc-data-without-type',
    says: 'Data of the type NONE, and a type without data, are refused with EINVAL.',
    source: `${HEADER}: If the data_type is set to IOMMU_HWPT_DATA_NONE, data_len and data_uptr should be zero. Otherwise, both must be given`,
    stage: 'reserved',
    errnos: ['EINVAL'],
    when: ({ asked }) => (asked.data_type === uapi.IOMMU_HWPT_DATA_NONE) !== (asked.data_len === 0),
  }),
  refuses({
    id: 'hwpt/alloc-unknown-device',
    says: 'A dev_id that no device has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; ${ALLOC_SOURCE}`,
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  }),
  refuses({
    id: 'hwpt/alloc-unknown-parent',
    says: 'A pt_id that no object has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT: An ID or IOVA provided does not exist`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ parent }) => parent === undefined,
  }),
  refuses({
    id: 'hwpt/alloc-not-connectable',
    says: 'A pt_id of an object that is neither an IO address space nor a page table of the kernel nor a virtual IOMMU is refused with EINVAL.',
    source: `${HEADER}: pt_id: The IOAS or HWPT or vIOMMU to connect this HWPT to; ${ALLOC_SOURCE}`,
    stage: 'object',
    errnos: ['EINVAL'],
    when: (call) => call.parent !== undefined && !inIoas(call) && !inTable(call),
  }),
  refuses({
    id: 'hwpt/alloc-other-iommu',
    says: 'A page table nested in a virtual IOMMU is refused with EINVAL for a device behind another IOMMU.',
    source: `${HEADER}: pt_id; ${ALLOC_SOURCE}`,
    stage: 'object',
    errnos: ['EINVAL'],
    when: (call) => inViommu(call) && call.device?.hardware !== undefined,
  }),
  refuses({
    id: 'hwpt/alloc-flags',
    says: 'Flags that are not known are refused with EOPNOTSUPP, and so are those of a parent or for dirty tracking for a nested page table, and a fault queue for a parent.',
    source: `${ERRNOS}: EOPNOTSUPP; ${PAGING}; ${NESTED}`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: (call) => {
      if (inTable(call)) return (call.asked.flags & ~IN_TABLE) !== 0;
      if ((call.asked.flags & ~IN_IOAS) !== 0) return true;
      return has(call, uapi.IOMMU_HWPT_FAULT_ID_VALID) && has(call, uapi.IOMMU_HWPT_ALLOC_NEST_PARENT);
    },
  }),
  refuses({
    id: 'hwpt/alloc-no-dirty-tracking',
    says: 'A page table for dirty tracking is refused with EOPNOTSUPP when the IOMMU of the device cannot do it.',
    source: `include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC_DIRTY_TRACKING: Dirty tracking support for device IOMMU is enforced on device attachment; ${PAGING}`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: (call) =>
      inIoas(call) && has(call, uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && call.device?.iommu.dirtyTracking === false,
  }),
  refuses({
    id: 'hwpt/alloc-no-nesting',
    says: 'A page table as a parent is refused with EOPNOTSUPP when the IOMMU of the device cannot nest.',
    source: `${ERRNOS}: EOPNOTSUPP; intel_iommu_domain_alloc_second_stage(), drivers/iommu/intel/iommu.c: nested_supported()`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: (call) =>
      inIoas(call) && has(call, uapi.IOMMU_HWPT_ALLOC_NEST_PARENT) && call.device?.iommu.nesting === false,
  }),
  refuses({
    id: 'hwpt/alloc-without-data',
    says: 'A page table nested in another without data is refused with EOPNOTSUPP.',
    source: `${HEADER}: the data_type must be set to a pre-defined type; ${NESTED}`,
    stage: 'table',
    errnos: ['EOPNOTSUPP'],
    when: (call) => inTable(call) && call.asked.data_len === 0,
  }),
  refuses({
    id: 'hwpt/alloc-no-parent',
    says: 'A page table cannot be nested in one that was not made as a parent, such as attaching a device makes: EINVAL.',
    source: `${HEADER}: a parent HWPT via pt_id, in which the parent HWPT must be allocated previously; ${NESTED}`,
    stage: 'table',
    errnos: ['EINVAL'],
    when: ({ parent }) => parent !== undefined && !isIoas(parent) && parent.kind === 'page table' && !parent.parent,
  }),
  refuses({
    id: 'hwpt/alloc-data-type',
    says: 'A type of data that the IOMMU does not know is refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; mock_domain_alloc_paging_flags(), mock_domain_alloc_nested(), drivers/iommu/iommufd/selftest.c; intel_iommu_domain_alloc_paging_flags(), drivers/iommu/intel/iommu.c`,
    stage: 'data',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked, device }) =>
      asked.data_len > 0 && (asked.data_type !== IOMMU_HWPT_DATA_SELFTEST || device?.hardware !== undefined),
  }),
  refuses({
    id: 'hwpt/alloc-bad-data',
    says: 'Data that is shorter or longer than its type can be is refused with EINVAL, and data that cannot be read with EFAULT.',
    source: '__iommu_copy_struct_from_user(), include/linux/iommu.h',
    stage: 'data',
    errnos: ['EFAULT'],
    errno: ({ data }) => data.trouble,
    when: ({ asked, data, device }) =>
      device?.hardware === undefined && asked.data_type === IOMMU_HWPT_DATA_SELFTEST && data.trouble !== undefined,
  }),
  ...joiningObjections(ALLOC, ALLOC.id),
  refuses({
    id: 'hwpt/alloc-unknown-fault-queue',
    says: 'A fault_id that no fault queue has is refused with ENOENT, and no object is left.',
    source: `${HEADER}: fault_id; iommufd_get_fault()`,
    stage: 'fault',
    errnos: ['ENOENT'],
    when: (call) => has(call, uapi.IOMMU_HWPT_FAULT_ID_VALID) && call.faults === undefined,
  }),
  refuses({
    id: 'hwpt/alloc-unwritable',
    says: 'When the id cannot be returned the call fails with EFAULT, and no object is left.',
    source: ALLOC_SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
];

export const HWPT_ALLOC_CLAUSES = [ALLOC, ID_RETURNED, ...OBJECTIONS];
