import {
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  iommuTestCmd,
  MOCK_APERTURE,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_PAGE_SIZE,
  MOCK_PASID_WIDTH,
  testOperation,
} from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { type Field, field, type Objection, objection, type Request, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import { NEXT_ID } from './ids.ts';
import {
  type Context,
  type Device,
  type Ioas,
  type NestedTable,
  newDevice,
  type Other,
  objectOf,
  type PageTable,
} from './state.ts';
import { idOfTable, type Joining, joiningObjections, move, newOf, tableFor } from './tables.ts';

/* The mock device: what a test attaches to an IO address space or a page table where there is no hardware. */

const SOURCE = 'iommufd_test_mock_domain(), drivers/iommu/iommufd/selftest.c';
const CHANGE = 'iommufd_device_change_pt(), drivers/iommu/iommufd/device.c';
const DEVICE_FLAGS = MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_PASID;

/** A page table of the mock device's IOMMU. */
export const mockTable = (ioas: Ioas, stated: Partial<PageTable> = {}): PageTable => ({
  kind: 'page table',
  ioas,
  automatic: false,
  parent: false,
  aperture: MOCK_APERTURE,
  pageSize: MOCK_PAGE_SIZE,
  tracking: undefined,
  forPasids: false,
  faults: undefined,
  users: 0,
  ...stated,
});

/** What a device is to be attached to. */
type Target = Ioas | Other | undefined;

/** The page table that attaching to it gives. */
export const tableOf = (target: Target): PageTable | NestedTable | undefined => {
  if (target === undefined) return undefined;
  if ('areas' in target) return tableFor(target, mockTable(target, { automatic: true }));
  return target.kind === 'page table' || target.kind === 'nested table' ? target : undefined;
};

/** The device that a mock device is bound as. */
export const deviceOfMock = (context: Context, id: number): Device | undefined => {
  const mock = objectOf(context, id, 'mock');
  return mock && objectOf(context, mock.device, 'device');
};

/** Whether a device cannot work with a page table: one that is made for dirty tracking, which its IOMMU cannot do. */
const unfit = ({ iommu }: Pick<Device, 'iommu'>, table: PageTable | NestedTable | undefined): boolean =>
  table?.kind === 'page table' && table.tracking !== undefined && !iommu.dirtyTracking;

interface AttachCall extends Joining {
  readonly asked: Found<typeof iommuTestCmd.fields>;
  readonly device: Device;
  readonly target: Target;
  readonly table: PageTable | NestedTable | undefined;
  readonly writable: boolean;
  /** The ids of the mock device, of the device it is bound as, and of the page table. */
  ids(): { readonly mock: number; readonly device: number; readonly table: number };
}

const situation = (context: Context, asked: AttachCall['asked'], writable: boolean): AttachCall => {
  const there = context.objects.get(asked.id) ?? context.others.get(asked.id);
  const dirtyTracking = (asked.dev_flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0;
  const pasidBits = (asked.dev_flags & MOCK_FLAGS_DEVICE_PASID) === 0 ? 0 : MOCK_PASID_WIDTH;
  const device = newDevice({ iommu: { dirtyTracking, nesting: true, pasidBits } });
  // It is bound before it is attached: its own id is that of an object already.
  const target = there ?? (asked.id === idsFor(context, undefined).device ? device : undefined);
  const table = tableOf(target);
  return {
    context,
    asked,
    target,
    table,
    writable,
    device,
    joins: () => newOf(table),
    ids: () => idsFor(context, table),
  };
};

const idsFor = (context: Context, table: AttachCall['table']): ReturnType<AttachCall['ids']> => {
  const { law, objects, spent } = context;
  const next = (...taken: readonly number[]): number =>
    law.of(NEXT_ID).rule({ objects, spent, others: new Set([...context.others.keys(), ...taken]) });
  const mock = next();
  const device = next(mock);
  return { mock, device, table: table === undefined ? 0 : idOfTable(context, table, [mock, device]) };
};

const attach = ({ context, device, table, ids }: AttachCall): void => {
  if (table === undefined) return;
  const { mock, device: id } = ids();
  context.others.set(mock, { kind: 'mock', device: id });
  context.others.set(id, device);
  move(context, device, table);
};

const STAGES = ['device', 'object', 'place', 'pins', 'reply'];

const ATTACH = request<Context, AttachCall>({
  id: 'mock/attach',
  level: 'must',
  says: 'Attaching a mock device to an IO address space or a page table returns 0; devices that were attached to one IO address space share a page table.',
  source: `${SOURCE}; iommufd_device_auto_get_domain(), drivers/iommu/iommufd/device.c`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MOCK_DOMAIN),
  situation: (context, { argument }) =>
    situation(
      context,
      { ...readStruct(argument, iommuTestCmd), dev_flags: 0 },
      argument.writable(0, sizeOf(iommuTestCmd)),
    ),
  stages: STAGES,
  effect: attach,
});

const ATTACH_AS = request<Context, AttachCall>({
  id: 'mock/attach-with-flags',
  level: 'must',
  says: 'The same with flags says what the mock device and its IOMMU can do.',
  source: SOURCE,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS),
  situation: (context, { argument }) =>
    situation(context, readStruct(argument, iommuTestCmd), argument.writable(0, sizeOf(iommuTestCmd))),
  stages: STAGES,
  effect: attach,
});

const idsReturned = (call: Request<Context, AttachCall>): Field<AttachCall> =>
  field(call, {
    id: `${call.id}-ids`,
    level: 'may',
    says: 'Attaching a mock device returns the ids of three objects: the mock device, the device that it is bound as, and the page table.',
    source: SOURCE,
    at: () => offsetOf(iommuTestCmd, 'out_stdev_id'),
    bytes: ({ ids }) => {
      const { mock, device, table } = ids();
      return Uint8Array.of(...u32Bytes(mock), ...u32Bytes(table), ...u32Bytes(device));
    },
  });

/** What refuses to attach a device, whoever asks. */
export const attachingObjections = <S extends Joining & Pick<AttachCall, 'target' | 'table'>>(
  call: Request<Context, S>,
): readonly Objection<S>[] => [
  objection(call, {
    id: `${call.id}-unknown`,
    level: 'must',
    says: 'Attaching to an id that no object has is refused with ENOENT, and no object is left.',
    source: CHANGE,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ target }) => target === undefined,
  }),
  objection(call, {
    id: `${call.id}-to-device`,
    level: 'must',
    says: 'Attaching to an object that is neither an IO address space nor a page table, the device itself included, is refused with EINVAL, and no object is left.',
    source: CHANGE,
    stage: 'object',
    errnos: ['EINVAL'],
    when: ({ target, table }) => target !== undefined && table === undefined,
  }),
  ...joiningObjections(call, call.id),
];

/** What refuses a device whose IOMMU can less than others. */
export const unfitObjection = <S extends Pick<AttachCall, 'table'> & { readonly device: Device | undefined }>(
  call: Request<Context, S>,
  stage = 'object',
): Objection<S> =>
  objection(call, {
    id: `${call.id}-unfit`,
    level: 'must',
    says: 'Attaching to a page table with which the device cannot work, such as one for dirty tracking when its IOMMU has none, is refused with EINVAL.',
    source: `mock_domain_nop_attach(), drivers/iommu/iommufd/selftest.c; ${CHANGE}: EINVAL means the domain is incompatible with the device`,
    stage,
    errnos: ['EINVAL'],
    when: ({ device, table }) => device !== undefined && unfit(device, table),
  });

/** What refuses a device that a virtual IOMMU does not know. */
export const strangerObjection = <S extends Pick<AttachCall, 'table'> & { readonly device: Device | undefined }>(
  call: Request<Context, S>,
  stage = 'object',
): Objection<S> =>
  objection(call, {
    id: `${call.id}-no-virtual-device`,
    level: 'must',
    says: 'Attaching a device to a page table nested in a virtual IOMMU is refused with ENOENT when it has no virtual device there.',
    source:
      'iommufd_viommu_get_vdev_id(), drivers/iommu/iommufd/driver.c; mock_domain_nop_attach(), drivers/iommu/iommufd/selftest.c',
    stage,
    errnos: ['ENOENT'],
    when: ({ device, table }) => {
      const viommu = table?.kind === 'nested table' ? table.viommu : undefined;
      return (
        device !== undefined && viommu !== undefined && device.virtual?.viommu !== viommu && device.table !== table
      );
    },
  });

const unwritable = (call: Request<Context, AttachCall>): Objection<AttachCall> =>
  objection(call, {
    id: `${call.id}-unwritable`,
    level: 'must',
    says: 'When the ids cannot be returned the call fails with EFAULT, and no object is left.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  });

const ODD_DEVICE = objection(ATTACH_AS, {
  id: 'mock/attach-with-flags-unknown-flag',
  level: 'must',
  says: 'A device with a flag that is not known is refused with EINVAL.',
  source: 'mock_dev_create(), drivers/iommu/iommufd/selftest.c',
  stage: 'device',
  errnos: ['EINVAL'],
  when: ({ asked }) => (asked.dev_flags & ~DEVICE_FLAGS) !== 0,
});

export const MOCK_CLAUSES = [
  ATTACH,
  idsReturned(ATTACH),
  ...attachingObjections(ATTACH),
  strangerObjection(ATTACH),
  unwritable(ATTACH),
  ATTACH_AS,
  idsReturned(ATTACH_AS),
  ...attachingObjections(ATTACH_AS),
  unfitObjection(ATTACH_AS),
  strangerObjection(ATTACH_AS),
  unwritable(ATTACH_AS),
  ODD_DEVICE,
];
