import { IOMMU_TEST_CMD, IOMMU_TEST_OP_MOCK_DOMAIN, iommuTestCmd } from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, objection, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import { NEXT_ID } from './objects.ts';
import type { Context, Ioas } from './state.ts';

/* The mock device: what a test attaches to an IO address space where there is no hardware. */

const SOURCE = 'iommufd_test_mock_domain(), drivers/iommu/iommufd/selftest.c';

interface AttachCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuTestCmd.fields>;
  readonly ioas: Ioas | undefined;
  /** The ids of the mock device, of the device it is bound as, and of the page table. */
  ids(): { readonly mock: number; readonly device: number; readonly table: number };
}

const ATTACH = request<Context, AttachCall>({
  id: 'mock/attach',
  level: 'must',
  says: 'Attaching a mock device to an IO address space returns 0; devices of one IO address space share a page table.',
  source: `${SOURCE}; iommufd_device_auto_get_domain(), drivers/iommu/iommufd/device.c`,
  on: 'iommufd',
  request: IOMMU_TEST_CMD,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestCmd, 0, sizeOf(iommuTestCmd));
    const ioas = context.objects.get(asked.id);
    return { context, asked, ioas, ids: () => idsFor(context, ioas) };
  },
  leavesOpen: ({ context, asked, ioas }) => {
    if (asked.op !== IOMMU_TEST_OP_MOCK_DOMAIN) return 'of the test command only the mock device is stated';
    if (context.others.get(asked.id)?.kind === 'page table') return 'attaching to a page table is not stated yet';
    if (ioas?.attached?.reach !== undefined) return 'a mock device beside a device is not stated';
    if (ioas === undefined || ioas.attached !== undefined) return undefined;
    return ioas.allowed.length > 0 || ioas.areas[Symbol.iterator]().next().done !== true
      ? 'attaching to an IO address space that is in use is not stated yet'
      : undefined;
  },
  stages: ['object'],
  effect: ({ context: { others }, ioas, ids }) => {
    if (ioas === undefined) return;
    const { mock, device, table } = ids();
    others.set(mock, { kind: 'mock', ioas, parts: [device] });
    others.set(device, { kind: 'device', ioas, parts: [] });
    if (ioas.attached !== undefined) {
      ioas.attached.devices++;
      return;
    }
    others.set(table, { kind: 'page table', ioas, parts: [] });
    ioas.attached = { table, devices: 1 };
  },
});

const idsFor = (context: Context, ioas: Ioas | undefined): ReturnType<AttachCall['ids']> => {
  const { objects } = context;
  const others = new Map<number, unknown>(context.others);
  const next = (): number => {
    const id = context.law.of(NEXT_ID).rule({ objects, others });
    others.set(id, undefined);
    return id;
  };
  return { mock: next(), device: next(), table: ioas?.attached?.table ?? next() };
};

const MOCK_ID = field(ATTACH, {
  id: 'mock/attach-ids',
  level: 'may',
  says: 'Attaching a mock device returns the ids of three objects: the mock device, the device that it is bound as, and the page table.',
  source: SOURCE,
  at: () => offsetOf(iommuTestCmd, 'out_stdev_id'),
  bytes: ({ ids }) => {
    const { mock, device, table } = ids();
    return Uint8Array.of(...u32Bytes(mock), ...u32Bytes(table), ...u32Bytes(device));
  },
});

const UNKNOWN_IOAS = objection(ATTACH, {
  id: 'mock/attach-unknown',
  level: 'must',
  says: 'Attaching to an id that no object has is refused with ENOENT, and no object is left.',
  source: 'iommufd_device_change_pt(), drivers/iommu/iommufd/device.c',
  stage: 'object',
  errnos: ['ENOENT'],
  when: ({ context, asked, ioas }) => ioas === undefined && !context.others.has(asked.id),
});

const NOT_ATTACHABLE = objection(ATTACH, {
  id: 'mock/attach-to-device',
  level: 'must',
  says: 'Attaching to an object that is neither an IO address space nor a page table is refused with EINVAL, and no object is left.',
  source: 'iommufd_device_change_pt(), drivers/iommu/iommufd/device.c',
  stage: 'object',
  errnos: ['EINVAL'],
  when: ({ context, asked }) => context.others.has(asked.id),
});

export const MOCK_CLAUSES = [ATTACH, MOCK_ID, UNKNOWN_IOAS, NOT_ATTACHABLE];
