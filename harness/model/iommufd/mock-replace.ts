import { IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommuTestReplace, testOperation } from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, objection, request } from '../clauses.ts';
import { readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import { attachingObjections, deviceOfMock, strangerObjection, tableOf, unfitObjection } from './mock.ts';
import type { Context, Device, Ioas, NestedTable, Other, PageTable } from './state.ts';
import { idOfTable, type Joining, move, newOf } from './tables.ts';

/* A mock device that goes from one page table to another without a time between. */

const SOURCE =
  'iommufd_test_mock_domain_replace(), drivers/iommu/iommufd/selftest.c; iommufd_device_do_replace(), drivers/iommu/iommufd/device.c';

interface ReplaceCall extends Joining {
  readonly device: Device | undefined;
  readonly target: Ioas | Other | undefined;
  readonly table: PageTable | NestedTable | undefined;
  readonly writable: boolean;
}

const replace = ({ context, device, table }: ReplaceCall): void => {
  if (device !== undefined && table !== undefined) move(context, device, table);
};

const REPLACE = request<Context, ReplaceCall>({
  id: 'mock/replace',
  level: 'must',
  says: 'Replacing what a mock device is attached to returns 0: it has the new page table, the old one is not in use by it any more, and goes when it was made for attaching and this was the last device. The same one again changes nothing.',
  source: SOURCE,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE),
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestReplace);
    const target = context.objects.get(asked.pt_id) ?? context.others.get(asked.pt_id);
    const table = tableOf(target);
    return {
      context,
      device: deviceOfMock(context, asked.id),
      target,
      table,
      writable: argument.writable(0, sizeOf(iommuTestReplace)),
      joins: () => newOf(table),
    };
  },
  stages: ['device', 'object', 'place', 'pins', 'attached', 'fit', 'driver', 'reply'],
  effect: replace,
});

const TABLE_RETURNED = field(REPLACE, {
  id: 'mock/replace-id',
  level: 'must',
  says: 'The field pt_id returns the id of the page table.',
  source: SOURCE,
  at: () => offsetOf(iommuTestReplace, 'pt_id'),
  bytes: ({ context, table }) => u32Bytes(table === undefined ? 0 : idOfTable(context, table)),
});

const OBJECTIONS = [
  objection(REPLACE, {
    id: 'mock/replace-no-device',
    level: 'must',
    says: 'An id that no mock device has is refused with ENOENT.',
    source: 'iommufd_test_get_selftest_obj(), drivers/iommu/iommufd/selftest.c',
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  }),
  objection(REPLACE, {
    id: 'mock/replace-unwritable',
    level: 'must',
    says: 'When the id cannot be returned the call fails with EFAULT; the device has the new page table all the same.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: replace,
  }),
];

const UNATTACHED = objection(REPLACE, {
  id: 'mock/replace-unattached',
  level: 'must',
  says: 'A device that is attached to nothing is refused with EINVAL.',
  source:
    'iommufd_device_replace(), drivers/iommu/iommufd/device.c: This can only be called if iommufd_device_attach() has already succeeded',
  stage: 'attached',
  errnos: ['EINVAL'],
  when: ({ device }) => device !== undefined && device.table === undefined,
});

const NOT_FOR_PASIDS = objection(REPLACE, {
  id: 'mock/replace-not-for-pasids',
  level: 'must',
  says: 'While a PASID of the device is attached, the device cannot be attached to a page table that was not made for PASIDs, such as an IO address space gives: EINVAL.',
  source:
    'include/uapi/linux/iommufd.h: IOMMU_HWPT_ALLOC_PASID: Any domain attached to the non-PASID part of the device must also be flagged; iommufd_hwpt_pasid_compat(), drivers/iommu/iommufd/device.c',
  stage: 'fit',
  errnos: ['EINVAL'],
  when: ({ device, table }) =>
    device !== undefined && table !== undefined && table !== device.table && !table.forPasids && device.pasids.size > 0,
});

export const MOCK_REPLACE_CLAUSES = [
  REPLACE,
  TABLE_RETURNED,
  ...OBJECTIONS,
  ...attachingObjections(REPLACE),
  unfitObjection(REPLACE, 'driver'),
  strangerObjection(REPLACE, 'driver'),
  UNATTACHED,
  NOT_FOR_PASIDS,
];
