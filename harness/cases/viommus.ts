import type { Place } from '../program/step.ts';
import * as commands from '../uapi/iommufd-commands.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { type AnyStruct, encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import { boundCdev } from './cdev.ts';
import { type QueueFile, queueFileOf } from './fault-queues.ts';
import { type Context, openWithMock } from './iommufd.ts';
import { IOMMUFD_MOCK } from './needs.ts';
import { allocTable, PARENT } from './page-tables.ts';
import type { Memory, Said, Scenario } from './scenario.ts';
import { inline } from './vfio.ts';

/* Words for virtual IOMMUs of the mock device, and what belongs to them. */

type Fields<T> = Partial<Initialiser<T>>;

/** A structure with its size in front; it ends where `size` says. */
const bytesOf = <T extends AnyStruct>(type: T, fields: Initialiser<T> & { readonly size?: number }): Uint8Array => {
  const { size = sizeOf(type) } = fields;
  const bytes = encode(type, { ...fields, size });
  return Uint8Array.of(...bytes.subarray(0, size), ...new Uint8Array(Math.max(0, size - bytes.length)));
};

/** IO address space 1 with mock device 2, which is bound as device 3 and attached to page table 4; page table 5, a parent. */
export const withParent = (s: Scenario): Context => {
  const c = openWithMock(s);
  c.alloc(1);
  c.attachMock(1).returns(0);
  allocTable(c, { dev_id: 3, flags: PARENT }).returns(0);
  return c;
};

/** The same, and virtual IOMMU 6. */
export const withViommu = (s: Scenario): Context => {
  const c = withParent(s);
  allocViommu(c).returns(0);
  return c;
};

/**
 * Device 1, which is one of the machine, and IO address space 2, to which mock device 3 is attached, bound as device 4; page
 * table 6, a parent, and virtual IOMMU 7 of the mock device's IOMMU.
 */
export const besideHardware = (s: Scenario): Context => {
  s.needs(IOMMUFD_MOCK);
  const { c } = boundCdev(s);
  c.attachMock(2).returns(0);
  allocTable(c, { dev_id: 4, pt_id: 2, flags: PARENT }).returns(0);
  allocViommu(c, { dev_id: 4, hwpt_id: 6 }).returns(0);
  return c;
};

/** VIOMMU_ALLOC; of device 3 with page table 5 unless a case says otherwise. */
export const allocViommu = (
  { command }: Context,
  fields: Fields<typeof commands.iommuViommuAlloc> = {},
  data?: Place,
): Said => {
  const type = commands.iommuViommuAlloc;
  const bytes = bytesOf(type, { type: mock.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: 3, hwpt_id: 5, ...fields });
  const patches =
    data === undefined ? [] : [{ kind: 'pointer' as const, at: offsetOf(type, 'data_uptr'), place: data }];
  return command(commands.IOMMU_VIOMMU_ALLOC, inline(bytes, ...patches));
};

/** HWPT_ALLOC on virtual IOMMU 6 for device 3, with an initial value for its cache. */
export const allocNested = (
  s: Scenario,
  c: Context,
  fields: Fields<typeof commands.iommuHwptAlloc> = {},
  iotlb = 0x1234,
): Said => {
  const data = s.main.memory(0x1000n);
  data.write(encode(mock.iommuHwptSelftest, { iotlb }));
  const said = { dev_id: 3, pt_id: 6, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 8, ...fields };
  return allocTable(c, said, data.at());
};

/** VDEVICE_ALLOC; of virtual IOMMU 6 for device 3 unless a case says otherwise. */
export const allocVdevice = (
  { command }: Context,
  virt_id: bigint,
  fields: Fields<typeof commands.iommuVdeviceAlloc> = {},
): Said =>
  command(
    commands.IOMMU_VDEVICE_ALLOC,
    inline(bytesOf(commands.iommuVdeviceAlloc, { viommu_id: 6, dev_id: 3, virt_id, ...fields })),
  );

/** VEVENTQ_ALLOC; of virtual IOMMU 6 unless a case says otherwise. */
export const allocEventQueue = (
  s: Scenario,
  { fd }: Context,
  fields: Fields<typeof commands.iommuVeventqAlloc> = {},
): QueueFile => {
  const type = commands.iommuVeventqAlloc;
  const to = s.fresh('events');
  const bytes = bytesOf(type, {
    viommu_id: 6,
    type: mock.IOMMU_VEVENTQ_TYPE_SELFTEST,
    veventq_depth: 2,
    out_veventq_fd: 0xeeee_eeee,
    ...fields,
  });
  const at = BigInt(offsetOf(type, 'out_veventq_fd'));
  const request = commands.IOMMU_VEVENTQ_ALLOC;
  return queueFileOf(to, s.main, s.main.does({ op: 'ioctl', fd, request, arg: inline(bytes), to, at }));
};

/** The mock device has an event; device 3 unless a case says otherwise. */
export const event = ({ command }: Context, dev_id = 3): Said => {
  const type = mock.iommuTestTriggerVevent;
  const op = mock.IOMMU_TEST_OP_TRIGGER_VEVENT;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, dev_id })));
};

/** HW_QUEUE_ALLOC; of virtual IOMMU 6 unless a case says otherwise. */
export const allocHwQueue = ({ command }: Context, fields: Fields<typeof commands.iommuHwQueueAlloc>): Said =>
  command(
    commands.IOMMU_HW_QUEUE_ALLOC,
    inline(bytesOf(commands.iommuHwQueueAlloc, { viommu_id: 6, type: mock.IOMMU_HW_QUEUE_TYPE_SELFTEST, ...fields })),
  );

/** Asks whether an entry of the cache of a device holds a value. */
export const checkDeviceCache = ({ command }: Context, id: number, entry: number, cache: number): Said => {
  const type = mock.iommuTestCheckDevCache;
  const op = mock.IOMMU_TEST_OP_DEV_CHECK_CACHE;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, id, entry, cache })));
};

/** What a virtual IOMMU is given, so long. */
export const dataOf = (s: Scenario, in_data = 0x1122_3344): Memory => {
  const memory = s.main.memory(0x1000n);
  memory.write(encode(mock.iommuViommuSelftest, { in_data }));
  return memory;
};
