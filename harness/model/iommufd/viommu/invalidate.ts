import {
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  iommuTestCheckDevCache,
  iommuViommuInvalidateSelftest,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { sizeOf } from '../../../uapi/struct.ts';
import { objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import type { Process } from '../../world/process.ts';
import type { Progress } from '../invalidate-progress.ts';
import { type Context, type Device, objectOf } from '../state.ts';
import type { Viommu } from './state.ts';

/* What caches hold for the devices of a virtual IOMMU, and how it is made to go. */

const SIZE = sizeOf(iommuViommuInvalidateSelftest);

interface Asked {
  readonly entry_num: number;
  readonly entry_len: number;
  readonly data_uptr: bigint;
}

/** An entry: flags, virtual id, number in the cache. */
type Entry = readonly [flags: number, device: number, entry: number];

/** The entries as the kernel takes them in: all of them, or none. There may be very many. */
const entriesOf = (
  { space }: Process,
  { entry_num, entry_len, data_uptr }: Asked,
): readonly Entry[] | 'EFAULT' | 'E2BIG' => {
  // Up to the first that cannot be read they are looked at one after the other.
  const reach = Number(space.reach(data_uptr, BigInt(entry_num) * BigInt(entry_len), 'read'));
  const bytes = space.read(data_uptr, reach) ?? new Uint8Array();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  for (let at = 0; entries.length < entry_num; at += entry_len) {
    if (at + entry_len > reach) return 'EFAULT';
    if (entry_len > SIZE && bytes.subarray(at + SIZE, at + entry_len).some((byte) => byte !== 0)) return 'E2BIG';
    const word = (index: number): number => wordAt(view, at, index * 4, entry_len);
    entries.push([word(0), word(1), word(2)]);
  }
  return entries;
};

/** A word of an entry; what is behind its end is 0. */
const wordAt = (view: DataView, entry: number, offset: number, length: number): number => {
  if (offset + 4 <= length) return view.getUint32(entry + offset, true);
  let word = 0;
  for (let byte = length - 1; byte >= offset; byte--) word = word * 256 + view.getUint8(entry + byte);
  return word;
};

/** What becomes of the entries of an invalidation by a virtual IOMMU: they name devices by their virtual ids. */
export const viommuProgress = (caller: Process, asked: Asked, viommu: Viommu): Progress => {
  const entries = entriesOf(caller, asked);
  if (typeof entries === 'string') return { done: 0, trouble: entries, carryOut: () => undefined };
  const caches = new Map([...viommu.devices].map(({ virtId, device }) => [virtId, device.cache]));
  const gone = new Map<number[], Set<number>>();
  const end = (done: number, trouble: Progress['trouble']): Progress => ({
    done,
    trouble,
    carryOut: () => {
      for (const [cache, numbers] of gone) for (const one of numbers) cache.splice(one, 1, 0);
    },
  });
  for (const [done, [flags, device, number]] of entries.entries()) {
    if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return end(done, 'EOPNOTSUPP');
    const cache = caches.get(BigInt(device));
    if (cache === undefined || number >= cache.length) return end(done, 'EINVAL');
    const numbers = gone.get(cache) ?? new Set();
    for (const one of flags === 0 ? [number] : cache.keys()) numbers.add(one);
    gone.set(cache, numbers);
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
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuTestCheckDevCache);
    return { asked, device: objectOf(context, asked.id, 'device') };
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
