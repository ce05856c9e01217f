import {
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  iommuTestCheckDevCache,
  iommuViommuInvalidateSelftest,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { decode, sizeOf } from '../../../uapi/struct.ts';
import { objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import type { Process } from '../../world/process.ts';
import type { Progress } from '../invalidate-progress.ts';
import type { Context, Device } from '../state.ts';
import type { Viommu } from './state.ts';

/* What caches hold for the devices of a virtual IOMMU, and how it is made to go. */

const SIZE = sizeOf(iommuViommuInvalidateSelftest);

/** The entries as the kernel takes them in: all of them, or none. */
const entriesOf = (
  { space }: Process,
  asked: { readonly entry_num: number; readonly entry_len: number; readonly data_uptr: bigint },
): readonly Uint8Array[] | 'EFAULT' | 'E2BIG' => {
  const entries: Uint8Array[] = [];
  for (let one = 0; one < asked.entry_num; one++) {
    const bytes = space.read(asked.data_uptr + BigInt(one) * BigInt(asked.entry_len), asked.entry_len);
    if (bytes === undefined) return 'EFAULT';
    if (bytes.subarray(SIZE).some((byte) => byte !== 0)) return 'E2BIG';
    const whole = new Uint8Array(SIZE);
    whole.set(bytes.subarray(0, SIZE));
    entries.push(whole);
  }
  return entries;
};

/** What becomes of the entries of an invalidation by a virtual IOMMU: they name devices by their virtual ids. */
export const viommuProgress = (caller: Process, asked: Parameters<typeof entriesOf>[1], viommu: Viommu): Progress => {
  const entries = entriesOf(caller, asked);
  if (typeof entries === 'string') return { done: 0, trouble: entries, carryOut: () => undefined };
  const gone: { readonly cache: number[]; readonly entries: readonly number[] }[] = [];
  const end = (done: number, trouble: Progress['trouble']): Progress => ({
    done,
    trouble,
    carryOut: () => {
      for (const { cache, entries: numbers } of gone) for (const one of numbers) cache.splice(one, 1, 0);
    },
  });
  for (const [done, bytes] of entries.entries()) {
    const { flags, vdev_id, cache_id } = decode(iommuViommuInvalidateSelftest, bytes);
    if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return end(done, 'EOPNOTSUPP');
    const cache = [...viommu.devices].find(({ virtId }) => virtId === BigInt(vdev_id))?.device.cache;
    if (cache === undefined || cache_id >= cache.length) return end(done, 'EINVAL');
    gone.push({ cache, entries: flags === 0 ? [cache_id] : [...cache.keys()] });
  }
  return end(entries.length, undefined);
};

interface CheckCall {
  readonly asked: Found<typeof iommuTestCheckDevCache.fields>;
  readonly device: Device | undefined;
}

const SOURCE = 'iommufd_test_dev_check_cache(), drivers/iommu/iommufd/selftest.c';

const CHECK = request<Context, CheckCall>({
  id: 'mock/check-device-cache',
  level: 'must',
  says: 'Asked whether an entry of the cache of a mock device holds a value, the kernel returns 0 when it does.',
  source: SOURCE,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_DEV_CHECK_CACHE),
  situation: ({ others }, { argument }) => {
    const asked = readStruct(argument, iommuTestCheckDevCache);
    const object = others.get(asked.id);
    return { asked, device: object?.kind === 'device' ? object : undefined };
  },
  leavesOpen: ({ device }) => (device?.hardware === undefined ? undefined : 'the mock device only has such a cache'),
  stages: ['device', 'value'],
});

const OBJECTIONS = [
  objection(CHECK, {
    id: 'mock/check-device-cache-unknown',
    level: 'must',
    says: 'An id that no device has is refused with ENOENT.',
    source: SOURCE,
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  }),
  objection(CHECK, {
    id: 'mock/check-device-cache-other',
    level: 'must',
    says: 'Another value, and an entry that there is not, are refused with EINVAL.',
    source: SOURCE,
    stage: 'value',
    errnos: ['EINVAL'],
    when: ({ asked, device }) => device?.cache[asked.entry] !== asked.cache,
  }),
];

export const VIOMMU_INVALIDATE_CLAUSES = [CHECK, ...OBJECTIONS];
