import type { Patch, Place } from '../program/step.ts';
import * as commands from '../uapi/iommufd-commands.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { type AnyStruct, encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import type { Context } from './iommufd.ts';
import type { Said } from './scenario.ts';
import { inline } from './vfio.ts';

/* Words for page tables and what was written through them, with the mock device. */

export const DIRTY = commands.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
export const PARENT = commands.IOMMU_HWPT_ALLOC_NEST_PARENT;
export const NO_CLEAR = commands.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;

/** A structure with its size in front, and a pointer in one of its fields. */
const argument = <T extends AnyStruct>(
  type: T,
  fields: Initialiser<T>,
  pointer: string,
  to: Place | undefined,
): ReturnType<typeof inline> => {
  const patch: readonly Patch[] = to === undefined ? [] : [{ kind: 'pointer', at: offsetOf(type, pointer), place: to }];
  return inline(encode(type, { size: sizeOf(type), ...fields }), ...patch);
};

type Fields<T> = Omit<Initialiser<T>, 'size'>;

/** HWPT_ALLOC for a device; of IO address space 1 unless a case says otherwise. */
export const allocTable = ({ command }: Context, fields: Fields<typeof commands.iommuHwptAlloc>, data?: Place): Said =>
  command(commands.IOMMU_HWPT_ALLOC, argument(commands.iommuHwptAlloc, { pt_id: 1, ...fields }, 'data_uptr', data));

/** Attaches a mock device that has flags. */
export const attachMockAs = ({ command }: Context, target: number, flags: number): Said => {
  const type = mock.iommuTestCmd;
  const op = mock.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, id: target, dev_flags: flags })));
};

/** Attaches a mock device to something else. */
export const replaceMock = ({ command }: Context, device: number, target: number): Said => {
  const type = mock.iommuTestReplace;
  const op = mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, id: device, pt_id: target })));
};

export const setTracking = (
  { command }: Context,
  table: number,
  fields: Fields<typeof commands.iommuHwptSetDirtyTracking> = { flags: commands.IOMMU_HWPT_DIRTY_TRACKING_ENABLE },
): Said => {
  const type = commands.iommuHwptSetDirtyTracking;
  return command(
    commands.IOMMU_HWPT_SET_DIRTY_TRACKING,
    inline(encode(type, { size: sizeOf(type), hwpt_id: table, ...fields })),
  );
};

export const getDirty = (
  { command }: Context,
  fields: Fields<typeof commands.iommuHwptGetDirtyBitmap>,
  bitmap?: Place,
): Said =>
  command(commands.IOMMU_HWPT_GET_DIRTY_BITMAP, argument(commands.iommuHwptGetDirtyBitmap, fields, 'data', bitmap));

/** Has the mock device write to pages: `bits` points to a bit for each of `page_size` bytes from `iova` on. */
export const writeThrough = ({ command }: Context, fields: Fields<typeof mock.iommuTestDirty>, bits: Place): Said =>
  command(
    mock.IOMMU_TEST_CMD,
    argument(mock.iommuTestDirty, { op: mock.IOMMU_TEST_OP_DIRTY, ...fields }, 'uptr', bits),
  );

/** Entries of the mock device's cache that are to go: numbers, or flags too. */
export const invalidate = (
  { command }: Context,
  fields: Fields<typeof commands.iommuHwptInvalidate>,
  entries?: Place,
): Said =>
  command(
    commands.IOMMU_HWPT_INVALIDATE,
    argument(
      commands.iommuHwptInvalidate,
      { data_type: mock.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, entry_len: 8, ...fields },
      'data_uptr',
      entries,
    ),
  );

/** Asks whether an entry of the mock device's cache of a nested page table holds a value. */
export const checkCache = ({ command }: Context, table: number, entry: number, iotlb: number): Said => {
  const type = mock.iommuTestCheckIotlb;
  const op = mock.IOMMU_TEST_OP_MD_CHECK_IOTLB;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, id: table, entry, iotlb })));
};
