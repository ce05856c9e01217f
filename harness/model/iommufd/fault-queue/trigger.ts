import { IOMMU_TEST_OP_TRIGGER_IOPF, iommuTestTriggerIopf, testOperation } from '../../../uapi/iommufd-test.ts';
import { objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { type Context, type Device, objectOf } from '../state.ts';
import type { FaultQueue } from './state.ts';

/* The mock device has a page fault. */

const SOURCE = 'iommufd_test_trigger_iopf(), drivers/iommu/iommufd/selftest.c';
const HANDLER = 'find_fault_handler(), drivers/iommu/io-pgfault.c';

interface TriggerCall {
  readonly asked: Found<typeof iommuTestTriggerIopf.fields>;
  readonly device: Device | undefined;
  /** The queue that it goes to, and by which attachment. */
  readonly to: { readonly queue: FaultQueue; readonly attachment: number } | undefined;
}

/** Where a fault goes: by the attachment of its PASID; where that has none, by the nested page table whose PASID table user space keeps. */
const destination = (device: Device | undefined, pasid: number): TriggerCall['to'] => {
  const own = pasid === 0 ? device?.table : device?.pasids.get(pasid);
  const attachment = own === undefined ? 0 : pasid;
  const nested = device?.table?.kind === 'nested table' ? device.table : undefined;
  const queue = (own ?? nested)?.faults;
  return queue && { queue, attachment };
};

const TRIGGER = request<Context, TriggerCall>({
  id: 'fault-queue/delivers',
  level: 'must',
  says: 'A fault of a device goes to the fault queue of the page table that it is attached to, or its PASID; one with a PASID that is attached to nothing to that of a nested page table. Where there is no fault queue the kernel answers it, and user space does not see it.',
  source: `include/uapi/linux/iommufd.h: IOMMU_HWPT_FAULT_ID_VALID; ${HANDLER}; ${SOURCE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_TRIGGER_IOPF),
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestTriggerIopf);
    const device = objectOf(context, asked.dev_id, 'device');
    return { asked, device, to: destination(device, asked.pasid) };
  },
  stages: ['device'],
  effect: ({ asked, device, to }) => {
    if (device === undefined || to === undefined) return;
    const { dev_id, pasid, grpid, perm, addr } = asked;
    to.queue.waiting.push({
      device,
      deviceId: dev_id,
      attachment: to.attachment,
      pasid,
      group: grpid,
      perm,
      addr,
      readAt: 0,
    });
  },
});

const UNKNOWN = objection(TRIGGER, {
  id: 'mock/fault-no-device',
  level: 'must',
  says: 'An id that no device has is refused with ENOENT.',
  source: SOURCE,
  stage: 'device',
  errnos: ['ENOENT'],
  when: ({ device }) => device === undefined,
});

const NO_MOCK = objection(TRIGGER, {
  id: 'mock/fault-of-hardware',
  level: 'must',
  says: 'A device that is no mock device is refused with EINVAL.',
  source: SOURCE,
  stage: 'device',
  errnos: ['EINVAL'],
  when: ({ device }) => device?.hardware !== undefined,
});

export const FAULT_TRIGGER_CLAUSES = [TRIGGER, UNKNOWN, NO_MOCK];
