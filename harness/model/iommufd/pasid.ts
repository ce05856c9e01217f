import {
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_PASID_RESERVED,
  iommuTestPasid,
  testOperation,
} from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { type Field, field, type Objection, objection, type Request, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { ENDS_WITH_ATTACHMENT } from './fault-queue/ending.ts';
import { attachingObjections, deviceOfMock, tableOf } from './mock.ts';
import type { Context, Device, Ioas, NestedTable, Other, PageTable } from './state.ts';
import { idOfTable, type Joining, move, newOf } from './tables.ts';

/* PASIDs of a device, each with a page table of its own. PASID 0 is the device itself. */

const FLAG = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC_PASID';
const DEVICE = 'drivers/iommu/iommufd/device.c';
const SELFTEST = 'drivers/iommu/iommufd/selftest.c';
const NO_PASID = 0;

interface PasidCall extends Joining {
  readonly asked: Found<typeof iommuTestPasid.fields>;
  readonly device: Device | undefined;
  readonly target: Ioas | Other | undefined;
  readonly table: PageTable | NestedTable | undefined;
  /** What it is attached to so far. */
  readonly before: PageTable | NestedTable | undefined;
  readonly writable: boolean;
}

const attachedTo = (device: Device | undefined, pasid: number): PasidCall['before'] =>
  pasid === NO_PASID ? device?.table : device?.pasids.get(pasid);

const situation = (context: Context, { argument }: IoctlCall): PasidCall => {
  const asked = readStruct(argument, iommuTestPasid);
  const device = deviceOfMock(context, asked.id);
  const target = context.objects.get(asked.pt_id) ?? context.others.get(asked.pt_id);
  const table = tableOf(target);
  return {
    context,
    asked,
    device,
    target,
    table,
    before: attachedTo(device, asked.pasid),
    writable: argument.writable(0, sizeOf(iommuTestPasid)),
    joins: () => newOf(table),
  };
};

/** Gives a PASID a page table, or takes that from it. */
const moveTo = (
  { context, device, asked: { pasid }, before }: PasidCall,
  table: PageTable | NestedTable | undefined,
): void => {
  if (device === undefined || before === table) return;
  if (pasid === NO_PASID) {
    move(context, device, table);
    return;
  }
  if (table !== undefined) {
    table.users++;
    device.pasids.set(pasid, table);
  } else device.pasids.delete(pasid);
  if (pasid === IOMMU_TEST_PASID_RESERVED) device.refusesNext = table !== undefined;
  if (before === undefined) return;
  before.users--;
  if (before.faults !== undefined) context.law.of(ENDS_WITH_ATTACHMENT).rule(before.faults, device, pasid);
};

const ATTACH = request<Context, PasidCall>({
  id: 'pasid/attach',
  level: 'must',
  says: 'A PASID of a device can be attached to a page table that was made for PASIDs, and is then in use; returns 0.',
  source: `${FLAG}: The domain can be attached to any PASID on the device; iommufd_device_attach(), ${DEVICE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_PASID_ATTACH),
  situation,
  stages: ['device', 'object', 'taken', 'fit', 'place', 'pins', 'reply'],
  effect: (call) => moveTo(call, call.table),
});

const REPLACE = request<Context, PasidCall>({
  id: 'pasid/replace',
  level: 'must',
  says: 'A PASID that is attached can be attached to another page table without a time between; the same one again changes nothing. Returns 0.',
  source: `${FLAG}; iommufd_device_replace(), ${DEVICE}: If it fails then no change is made to the attachment`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_PASID_REPLACE),
  situation,
  stages: ['device', 'object', 'place', 'pins', 'fit', 'mock', 'reply'],
  effect: (call) => moveTo(call, call.table),
});

const DETACH = request<Context, PasidCall>({
  id: 'pasid/detach',
  level: 'must',
  says: 'A PASID that is detached has no page table any more, and may be attached again; detaching one that is attached to nothing does nothing. Returns 0.',
  source: `iommufd_device_detach(), ${DEVICE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_PASID_DETACH),
  situation,
  stages: ['device'],
  effect: (call) => moveTo(call, undefined),
});

const idReturned = (call: Request<Context, PasidCall>): Field<PasidCall> =>
  field(call, {
    id: `${call.id}-id`,
    level: 'must',
    says: 'The field pt_id returns the id of the page table.',
    source: `iommufd_device_attach(), iommufd_device_replace(), ${DEVICE}`,
    at: () => offsetOf(iommuTestPasid, 'pt_id'),
    bytes: ({ context, table }) => u32Bytes(table === undefined ? 0 : idOfTable(context, table)),
  });

const noDevice = (call: Request<Context, PasidCall>): Objection<PasidCall> =>
  objection(call, {
    id: `${call.id}-no-device`,
    level: 'must',
    says: 'An id that no mock device has is refused with ENOENT.',
    source: `iommufd_test_get_selftest_obj(), ${SELFTEST}`,
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  });

/** What keeps a page table and a PASID apart. */
const unfit = ({ device, asked: { pasid }, table, before }: PasidCall): boolean => {
  if (device === undefined || table === undefined || table === before) return false;
  if (pasid === NO_PASID) return !table.forPasids && device.pasids.size > 0;
  return !table.forPasids || device.table?.forPasids === false;
};

const unfitObjection = (call: Request<Context, PasidCall>): Objection<PasidCall> =>
  objection(call, {
    id: `${call.id}-unfit`,
    level: 'must',
    says: 'A PASID cannot be attached to a page table that was not made for PASIDs, such as an IO address space gives, nor while the device itself is attached to one: EINVAL. Nor can the device be, while a PASID is attached.',
    source: `${FLAG}: Any domain attached to the non-PASID part of the device must also be flagged, otherwise attaching a PASID will blocked; iommufd_hwpt_pasid_compat(), ${DEVICE}`,
    stage: 'fit',
    errnos: ['EINVAL'],
    when: unfit,
  });

const NUMBER = objection(ATTACH, {
  id: 'pasid/attach-number',
  level: 'must',
  says: 'A PASID that the device cannot have is refused with EINVAL: beyond its bits, or any where it has none.',
  source: 'iommu_attach_device_pasid(), drivers/iommu/iommu.c',
  stage: 'fit',
  errnos: ['EINVAL'],
  when: ({ device, asked: { pasid } }) => pasid !== NO_PASID && pasid >= 2 ** (device?.iommu.pasidBits ?? 0),
});

const REFUSED = objection(REPLACE, {
  id: 'pasid/replace-refused',
  level: 'must',
  says: 'A page table that the IOMMU refuses (with PASID 1024 the mock device refuses each second one, with ENOMEM) leaves the PASID as it was.',
  source: `iommufd_device_replace(), ${DEVICE}: If it fails then no change is made to the attachment; mock_domain_set_dev_pasid_nop(), ${SELFTEST}`,
  stage: 'mock',
  errnos: ['ENOMEM'],
  when: ({ device, asked: { pasid }, table, before }) =>
    pasid === IOMMU_TEST_PASID_RESERVED && table !== before && device?.refusesNext === true,
  leaves: ({ device }) => {
    if (device !== undefined) device.refusesNext = false;
  },
});

const TAKEN = objection(ATTACH, {
  id: 'pasid/attach-twice',
  level: 'must',
  says: 'A PASID that is attached is refused with EBUSY, to whatever page table.',
  source: `iommufd_hw_pagetable_attach(), ${DEVICE}`,
  stage: 'taken',
  errnos: ['EBUSY'],
  when: ({ before }) => before !== undefined,
});

const NOT_ATTACHED = objection(REPLACE, {
  id: 'pasid/replace-unattached',
  level: 'must',
  says: 'A PASID that is attached to nothing is refused with EINVAL.',
  source: `iommufd_device_do_replace(), ${DEVICE}`,
  stage: 'fit',
  errnos: ['EINVAL'],
  when: ({ before }) => before === undefined,
});

const UNWRITABLE = [
  objection(ATTACH, {
    id: 'pasid/attach-unwritable',
    level: 'must',
    says: 'When the call cannot return what it was attached to it fails with EFAULT, and the PASID is detached.',
    source: `iommufd_test_pasid_attach(), ${SELFTEST}`,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
  objection(REPLACE, {
    id: 'pasid/replace-unwritable',
    level: 'must',
    says: 'When the call cannot return what it was attached to it fails with EFAULT; the PASID has the new page table all the same.',
    source: `iommufd_test_pasid_replace(), ${SELFTEST}`,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: (call) => moveTo(call, call.table),
  }),
];

const CHECK = request<Context, PasidCall>({
  id: 'pasid/check',
  level: 'must',
  says: 'Asked whether a PASID is attached to a page table (0: to none), the kernel returns 0 when it is.',
  source: `iommufd_test_pasid_check_hwpt(), ${SELFTEST}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_PASID_CHECK_HWPT),
  situation,
  stages: ['device', 'object', 'value'],
});

const CHECK_OBJECTIONS = [
  objection(CHECK, {
    id: 'pasid/check-unknown',
    level: 'must',
    says: 'An id that no object has is refused with ENOENT.',
    source: `iommufd_get_hwpt(), ${SELFTEST}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ asked, target }) => asked.pt_id !== 0 && target === undefined,
  }),
  objection(CHECK, {
    id: 'pasid/check-other',
    level: 'must',
    says: 'Anything but what the PASID is attached to, page table or not, is refused with EINVAL.',
    source: `iommufd_test_pasid_check_hwpt(), ${SELFTEST}`,
    stage: 'value',
    errnos: ['EINVAL'],
    when: ({ target, before }) => target !== before,
  }),
];

export const PASID_CLAUSES = [
  ATTACH,
  idReturned(ATTACH),
  noDevice(ATTACH),
  ...attachingObjections(ATTACH),
  TAKEN,
  unfitObjection(ATTACH),
  NUMBER,
  REPLACE,
  idReturned(REPLACE),
  noDevice(REPLACE),
  ...attachingObjections(REPLACE),
  NOT_ATTACHED,
  unfitObjection(REPLACE),
  REFUSED,
  ...UNWRITABLE,
  DETACH,
  noDevice(DETACH),
  CHECK,
  noDevice(CHECK),
  ...CHECK_OBJECTIONS,
];
