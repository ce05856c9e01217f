import { type Faults, pairs } from '../harness/cases/fault-pairs.ts';
import type { Memory, Scenario } from '../harness/cases/index.ts';
import type { Context } from '../harness/cases/iommufd.ts';
import { attachMockAs } from '../harness/cases/page-tables.ts';
import { attachPasid, checkPasid } from '../harness/cases/pasids.ts';
import {
  allocEventQueue,
  allocHwQueue,
  allocNested,
  allocVdevice,
  allocViommu,
  withViommu,
} from '../harness/cases/viommus.ts';
import type * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import type { Initialiser } from '../harness/uapi/struct.ts';

/* Two faults at once, of the commands for virtual machines: either errno may be the answer, and nothing may be left behind. */

const PAGE = 0x1000n;
const BASE = mock.MOCK_APERTURE.start;
const TOP = (1n << 64n) - 1n;
const NONE = 99;
/** What `withViommu` makes last, and what comes next. */
const [AUTOMATIC, VIOMMU, NEXT] = [4, 6, 7];
/** A second mock device is bound as this. */
const OTHER = 8;

type Fields<T> = Partial<Initialiser<T>>;

interface Ready {
  readonly s: Scenario;
  readonly c: Context;
  readonly memory: Memory;
}

const ready = (s: Scenario): Ready => {
  const c = withViommu(s);
  const memory = s.main.memory(PAGE);
  c.map({ iova: BASE, length: PAGE, vaddr: memory.at() }).returns(0);
  return { s, c, memory };
};

/** That the next object gets the id that the refused one would have had, and that the virtual IOMMU is not in use by it. */
const leftNothing = ({ c }: Ready): void => {
  c.alloc(NEXT);
  c.destroy(VIOMMU).returns(0);
  c.unmap(0n, TOP).returns(0);
};

const VIOMMU_FAULTS: Faults<Fields<typeof commands.iommuViommuAlloc>, Ready> = {
  'viommu/alloc-flags': { errnos: ['EOPNOTSUPP'], request: { flags: 1 } },
  'viommu/alloc-type': { errnos: ['EOPNOTSUPP'], request: { type: 0x7777 } },
  'viommu/alloc-unknown-device': { errnos: ['ENOENT'], request: { dev_id: NONE } },
  'viommu/alloc-unknown-parent': { errnos: ['ENOENT'], request: { hwpt_id: NONE } },
  'viommu/alloc-no-parent': { errnos: ['EINVAL'], request: { hwpt_id: AUTOMATIC } },
  'viommu/alloc-bad-data': { errnos: ['EINVAL'], request: { data_len: 7 } },
};

pairs(VIOMMU_FAULTS, {
  ready,
  ask: ({ c, memory }, request) => allocViommu(c, request, memory.at()),
  left: leftNothing,
});

const VDEVICE_FAULTS: Faults<Fields<typeof commands.iommuVdeviceAlloc>, Ready> = {
  'vdevice/alloc-unknown-viommu': { errnos: ['ENOENT'], request: { viommu_id: NONE } },
  'vdevice/alloc-unknown-device': { errnos: ['ENOENT'], request: { dev_id: NONE } },
  'vdevice/alloc-taken': {
    errnos: ['EEXIST'],
    request: { virt_id: 1n },
    before: ({ c }) => {
      attachMockAs(c, 1, 0).returns(0);
      allocVdevice(c, 1n, { dev_id: OTHER }).returns(0);
    },
  },
};

pairs(VDEVICE_FAULTS, { ready, ask: ({ c }, { virt_id = 2n, ...request }) => allocVdevice(c, virt_id, request) });

const EVENT_QUEUE_FAULTS: Faults<Fields<typeof commands.iommuVeventqAlloc>, Ready> = {
  'veventq/alloc-flags': { errnos: ['EOPNOTSUPP'], request: { flags: 1 } },
  'veventq/alloc-reserved': { errnos: ['EOPNOTSUPP'], request: { __reserved: 1 } },
  'veventq/alloc-default-type': { errnos: ['EOPNOTSUPP'], request: { type: 0 } },
  'veventq/alloc-depth': { errnos: ['EINVAL'], request: { veventq_depth: 0 } },
  'veventq/alloc-unknown-viommu': { errnos: ['ENOENT'], request: { viommu_id: NONE } },
};

pairs(EVENT_QUEUE_FAULTS, {
  ready,
  ask: ({ s, c }, request) => allocEventQueue(s, c, request).said,
  left: leftNothing,
});

const HW_QUEUE_FAULTS: Faults<Fields<typeof commands.iommuHwQueueAlloc>, Ready> = {
  'hw-queue/alloc-flags': { errnos: ['EOPNOTSUPP'], request: { flags: 1 } },
  'hw-queue/alloc-type': { errnos: ['EOPNOTSUPP'], request: { type: 0x7777 } },
  'hw-queue/alloc-empty': { errnos: ['EINVAL'], request: { length: 0n } },
  'hw-queue/alloc-overflow': { errnos: ['EOVERFLOW'], request: { length: TOP } },
  'hw-queue/alloc-unknown-viommu': { errnos: ['ENOENT'], request: { viommu_id: NONE } },
  'hw-queue/alloc-memory': { errnos: ['ENOENT'], request: { nesting_parent_iova: BASE + PAGE } },
  'hw-queue/alloc-index': { errnos: ['EINVAL'], request: { index: 2 } },
};

pairs(HW_QUEUE_FAULTS, {
  ready,
  ask: ({ c }, request) => allocHwQueue(c, { nesting_parent_iova: BASE, length: PAGE, ...request }),
  left: leftNothing,
});

const NESTED_FAULTS: Faults<Fields<typeof commands.iommuHwptAlloc>, Ready> = {
  'hwpt/alloc-unknown-device': { errnos: ['ENOENT'], request: { dev_id: NONE } },
  'hwpt/alloc-flags': { errnos: ['EOPNOTSUPP'], request: { flags: 2 } },
  'hwpt/alloc-data-type': { errnos: ['EOPNOTSUPP'], request: { data_type: 1 } },
  'hwpt/alloc-bad-data': { errnos: ['EINVAL'], request: { data_len: 3 } },
};

pairs(NESTED_FAULTS, { ready, ask: ({ s, c }, request) => allocNested(s, c, request), left: leftNothing });

interface PasidRequest {
  readonly pasid: number;
  readonly target: number;
  readonly device: number;
}

const PASID_FAULTS: Faults<PasidRequest, Ready> = {
  'pasid/attach-no-device': { errnos: ['ENOENT'], request: { device: NONE } },
  'pasid/attach-unknown': { errnos: ['ENOENT'], request: { target: NONE } },
  'pasid/attach-to-device': { errnos: ['EINVAL'], request: { target: 3 } },
  'pasid/attach-unfit': { errnos: ['EINVAL'], request: { target: AUTOMATIC } },
  'pasid/attach-number': { errnos: ['EINVAL'], request: { pasid: 1 << mock.MOCK_PASID_WIDTH } },
};

pairs(PASID_FAULTS, {
  ready,
  ask: ({ c }, { pasid = 1, target = 5, device = 2 }) => {
    const said = attachPasid(c, pasid, target, device);
    checkPasid(c, pasid, 0).returns(0);
    return said;
  },
});
