import { IOMMU_HWPT_DATA_SELFTEST, iommuHwptSelftest } from '../../uapi/iommufd-test.ts';
import { decode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import type { Process } from '../world/process.ts';
import type { NestedTable, PageTable } from './state.ts';
import type { Viommu } from './viommu/state.ts';

/** What a caller says of a page table that it makes. */
export interface TableData {
  readonly type: number;
  /** The value that entries of the mock device's cache have at first. */
  readonly iotlb: number;
  /** Which of the mock device's kinds of page table it is. */
  readonly kind: number;
  /** Why it cannot be taken. */
  readonly trouble: 'EINVAL' | 'EFAULT' | undefined;
}

const SIZE = sizeOf(iommuHwptSelftest);
/** The first version of the mock device's data ended behind its first field. */
const LEAST = offsetOf(iommuHwptSelftest, 'pagetable_type');

/** The mock device's data of a page table, at an address of the caller. */
export const dataOf = (
  { space }: Process,
  asked: { readonly data_type: number; readonly data_len: number; readonly data_uptr: bigint },
): TableData => {
  const type = asked.data_type;
  const none = { type, iotlb: 0, kind: 0 };
  if (type !== IOMMU_HWPT_DATA_SELFTEST) return { ...none, trouble: undefined };
  if (asked.data_len < LEAST || asked.data_len > SIZE) return { ...none, trouble: 'EINVAL' };
  const bytes = space.read(asked.data_uptr, asked.data_len);
  if (bytes === undefined) return { ...none, trouble: 'EFAULT' };
  const whole = new Uint8Array(SIZE);
  whole.set(bytes);
  const { iotlb, pagetable_type: kind } = decode(iommuHwptSelftest, whole);
  return { type, iotlb, kind, trouble: undefined };
};

/** How many entries the mock device's cache has. */
const ENTRIES = 4;

/** A page table of user space, nested in a page table of the kernel. */
export const newNested = (
  parent: PageTable | Viommu,
  { iotlb }: TableData,
  stated: Pick<NestedTable, 'faults' | 'forPasids'>,
): NestedTable => ({
  kind: 'nested table',
  ...(parent.kind === 'page table' ? { parent, viommu: undefined } : { parent: parent.parent, viommu: parent }),
  cache: Array.from({ length: ENTRIES }, () => iotlb),
  ...stated,
  users: 0,
});
