import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  vfioDeviceAttachIommufdPt,
} from '../../../uapi/vfio-cdev.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import { ioasOf, meet } from '../reserved.ts';
import type { Ioas, NestedTable, Other, PageTable } from '../state.ts';
import { idOfTable, type Joining, joiningObjections, move, newOf, tableFor } from '../tables.ts';
import { hardwareTable, isHardware } from './hardware.ts';
import type { BoundCdev } from './state.ts';

/* Attaching a device, by its own file, to an IO address space or a page table. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_ATTACH_IOMMUFD_PT';
const SOURCE = 'vfio_df_ioctl_attach_pt(), drivers/vfio/device_cdev.c';
const CHANGE = 'iommufd_device_change_pt(), drivers/iommu/iommufd/device.c';
const RESERVES = 'iopt_table_enforce_dev_resv_regions(), drivers/iommu/iommufd/io_pagetable.c';
const TYPE = vfioDeviceAttachIommufdPt;
const PT_AT = offsetOf(TYPE, 'pt_id');
/** What every caller gives, in bytes. */
const LEAST = offsetOf(TYPE, 'pasid');
const PT_SIZE = 4;

interface AttachCall extends Joining {
  readonly cdev: BoundCdev;
  readonly asked: Found<typeof TYPE.fields>;
  /** The PASID, where one is meant: 0 if it cannot be read. */
  readonly pasid: { readonly readable: boolean; readonly number: number } | undefined;
  readonly target: Ioas | Other | undefined;
  /** The page table that the device gets. */
  readonly table: PageTable | NestedTable | undefined;
  readonly writable: boolean;
}

const ATTACH = request<BoundCdev, AttachCall>({
  id: 'cdev/attach',
  level: 'must',
  says: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT attaches the device to an IO address space or a page table, in place of the one that it had, and returns 0; devices that are attached to one IO address space share a page table, which is made for the first and gone with the last of them.',
  source: `${HEADER}: Associate the device with an address space within the bound iommufd; will replace the currently attached hwpt; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_HWPT_PAGING`,
  on: 'cdev',
  request: VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  situation: (cdev, { argument }) => {
    const { context } = cdev.bound;
    const asked = readStruct(argument, TYPE, 0, LEAST);
    const whole = readStruct(argument, TYPE);
    const target = context.objects.get(asked.pt_id) ?? context.others.get(asked.pt_id);
    const table = tableOf(cdev, target);
    return {
      cdev,
      context,
      asked,
      pasid:
        (asked.flags & VFIO_DEVICE_ATTACH_PASID) === 0 ? undefined : { readable: whole.readable, number: whole.pasid },
      target,
      table,
      writable: argument.writable(PT_AT, PT_SIZE),
      joins: () => newOf(table),
    };
  },
  leavesOpen: ({ context }) => context.unclear,
  stages: ['read', 'size', 'flags', 'pasid', 'object', 'table', 'place', 'pins', 'moves', 'reply'],
  effect: ({ cdev: { bound }, context, pasid, table }) => {
    if (pasid === undefined) move(context, bound.object, table);
    else context.unclear = 'what the PASIDs of a device are attached to is not stated';
  },
});

/** The page table that attaching to an object gives; `undefined` for an object that is neither an IO address space nor a page table. */
const tableOf = (
  { bound: { context } }: BoundCdev,
  target: AttachCall['target'],
): PageTable | NestedTable | undefined => {
  if (target === undefined) return undefined;
  if ('areas' in target) return tableFor(target, hardwareTable(context.platform, target, { automatic: true }));
  return target.kind === 'page table' || target.kind === 'nested table' ? target : undefined;
};

const TABLE_ID = field(ATTACH, {
  id: 'cdev/attach-id',
  level: 'must',
  says: 'The field pt_id returns the id of the page table that the device is attached to; nothing else of the argument changes.',
  source: `${HEADER}: pt_id`,
  at: () => PT_AT,
  bytes: ({ context, table }) => table && u32Bytes(idOfTable(context, table)),
});

const refuses = refusing(ATTACH);

const ARGUMENT_OBJECTIONS = [
  refuses({
    id: 'cdev/attach-unreadable',
    says: 'A VFIO_DEVICE_ATTACH_IOMMUFD_PT whose argument cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ asked }) => !asked.readable,
  }),
  refuses({
    id: 'cdev/attach-argsz',
    says: 'An argsz that does not reach to the end of pt_id, or with VFIO_DEVICE_ATTACH_PASID to that of pasid, is refused with EINVAL.',
    source: `${HEADER}: argsz; ${SOURCE}`,
    stage: 'size',
    errnos: ['EINVAL'],
    when: ({ asked, pasid }) => asked.argsz < (pasid === undefined ? LEAST : sizeOf(TYPE)),
  }),
  refuses({
    id: 'cdev/attach-flags',
    says: 'Flags other than VFIO_DEVICE_ATTACH_PASID are refused with EINVAL.',
    source: `${HEADER}: flags`,
    stage: 'flags',
    errnos: ['EINVAL'],
    when: ({ asked }) => (asked.flags & ~VFIO_DEVICE_ATTACH_PASID) !== 0,
  }),
  refuses({
    id: 'cdev/attach-unreadable-pasid',
    says: 'With VFIO_DEVICE_ATTACH_PASID a pasid that cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'pasid',
    errnos: ['EFAULT'],
    when: ({ pasid }) => pasid?.readable === false,
  }),
];

const isAttached = ({ cdev }: AttachCall): boolean => cdev.bound.object.table !== undefined;

/** Whether anything is mapped in the IO address space, or allowed to be chosen from, where the device has a reserved region. */
const reachesReserved = ({ cdev, table }: AttachCall): boolean => {
  const ioas = ioasOf(table);
  if (ioas === undefined || ioas === ioasOf(cdev.bound.object.table)) return false;
  return cdev.group.platform.reserved.some(
    (region) =>
      ioas.areas.overlapping(region.start, region.end + 1n) !== undefined ||
      ioas.allowed.some((range) => meet(range, region)),
  );
};

const TARGET_OBJECTIONS = [
  refuses({
    id: 'cdev/attach-unknown',
    says: 'Attaching to an id that no object of the context has is refused with ENOENT, and the device stays attached where it was.',
    source: `include/uapi/linux/iommufd.h: ENOENT: An ID or IOVA provided does not exist; ${CHANGE}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ target }) => target === undefined,
  }),
  refuses({
    id: 'cdev/attach-to-device',
    says: 'Attaching to an object that is neither an IO address space nor a page table is refused with EINVAL, and the device stays attached where it was.',
    source: CHANGE,
    stage: 'object',
    errnos: ['EINVAL'],
    when: ({ target, table }) => target !== undefined && table === undefined,
  }),
  refuses({
    id: 'cdev/attach-unfit',
    says: 'Attaching to a page table of another IOMMU is refused with EINVAL.',
    source: '__iommu_attach_group(), drivers/iommu/iommu.c: domain->owner',
    stage: 'table',
    errnos: ['EINVAL'],
    when: ({ context, table }) => table !== undefined && !isHardware(context.platform, table),
  }),
  refuses({
    id: 'cdev/attach-without-pasids',
    says: 'A PASID of a device that has none, 0 among them, is refused with EINVAL (above 2^31-1 with ENOSPC), and what is attached stays.',
    source:
      'include/uapi/linux/iommufd.h: out_max_pasid_log2: 0 means no PASID support; iommufd_hwpt_pasid_compat(), drivers/iommu/iommufd/device.c; vfio_iommufd_physical_pasid_attach_ioas(), drivers/vfio/iommufd.c: ida_alloc_range()',
    stage: 'table',
    errnos: ['EINVAL', 'ENOSPC'],
    errno: ({ pasid }) => ((pasid?.number ?? 0) > 0x7fff_ffff ? 'ENOSPC' : 'EINVAL'),
    when: ({ pasid, cdev }) => pasid !== undefined && (cdev.device.edu === undefined ? 'perhaps' : true),
  }),
  refuses({
    id: 'cdev/attach-reserved-mapped',
    says: 'An IO address space in which anything is mapped, or allowed to be chosen from, where the device has a reserved region is refused with EADDRINUSE, and the device stays attached where it was.',
    source: `include/uapi/linux/iommufd.h: IOMMU_IOAS_ALLOW_IOVAS: When an allowed range is specified any narrowing will be refused; ${RESERVES}`,
    stage: 'place',
    errnos: ['EADDRINUSE'],
    when: (call) => !isAttached(call) && reachesReserved(call),
  }),
  refuses({
    id: 'cdev/replace-reserved-mapped',
    says: 'The same holds for a device that is attached already: then all that is mapped is pinned before that is seen.',
    source:
      'iommufd_group_do_replace_reserved_iova(), iommufd_device_auto_get_domain(), drivers/iommu/iommufd/device.c',
    stage: 'moves',
    errnos: ['EADDRINUSE'],
    when: (call) => isAttached(call) && reachesReserved(call),
  }),
  refuses({
    id: 'cdev/attach-unwritable',
    says: 'When pt_id cannot be returned the call fails with EFAULT, and the device is attached to nothing, whatever it was attached to before.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: ({ cdev: { bound } }) => move(bound.context, bound.object, undefined),
  }),
];

export const ATTACH_CLAUSES = [
  ATTACH,
  TABLE_ID,
  ...ARGUMENT_OBJECTIONS,
  ...TARGET_OBJECTIONS,
  ...joiningObjections(ATTACH, ATTACH.id),
];
