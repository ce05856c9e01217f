import { iommuViommuSelftest } from '../../../uapi/iommufd-test.ts';
import { decode, encode, offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { rule } from '../../clauses.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { FileBacking, KernelFile, MapRequest } from '../../world/kernel-file.ts';
import { MemoryObject } from '../../world/memory-object.ts';
import { HeldFile } from '../../world/open-file.ts';
import type { Process } from '../../world/process.ts';
import type { Context, Other } from '../state.ts';
import type { Viommu, ViommuMemory } from './state.ts';

/* Memory of a virtual IOMMU that programs map; and the mock device's data, which tells where it is. */

const MAIN = 'iommufd_fops_mmap(), drivers/iommu/iommufd/main.c';
const SIZE = sizeOf(iommuViommuSelftest);
/** The data may end behind this field. */
const LEAST = offsetOf(iommuViommuSelftest, 'out_mmap_offset');
/** How many pages the mock device's virtual IOMMUs have. */
const PAGES = 2n;

/** What a caller says of a virtual IOMMU that it makes. */
export interface ViommuData {
  readonly length: number;
  readonly inData: number;
  readonly trouble: 'EINVAL' | 'EFAULT' | undefined;
}

/** The mock device's data of a virtual IOMMU, at an address of the caller. */
export const viommuDataOf = (
  { space }: Process,
  { data_len: length, data_uptr }: { readonly data_len: number; readonly data_uptr: bigint },
): ViommuData => {
  const none = { length, inData: 0 };
  if (length === 0) return { ...none, trouble: undefined };
  if (length < LEAST || length > SIZE) return { ...none, trouble: 'EINVAL' };
  const bytes = space.read(data_uptr, length);
  if (bytes === undefined || space.reach(data_uptr, BigInt(length), 'write') < length)
    return { ...none, trouble: 'EFAULT' };
  const whole = new Uint8Array(SIZE);
  whole.set(bytes);
  return { length, inData: decode(iommuViommuSelftest, whole).in_data, trouble: undefined };
};

const TELLS = rule<(data: ViommuData, memory: ViommuMemory) => Uint8Array>({
  id: 'viommu/data',
  level: 'must',
  says: "The data of a mock device's virtual IOMMU returns what it was given, and offset and length for mmap of its memory, as far as the data go.",
  source: 'drivers/iommu/iommufd/iommufd_test.h: struct iommu_viommu_selftest',
  rule: ({ inData, length }, { offset, size }) =>
    encode(iommuViommuSelftest, {
      in_data: inData,
      out_data: inData,
      out_mmap_offset: offset,
      out_mmap_length: size,
    }).subarray(0, length),
});

/** Puts what is told where the caller wants it. */
export const writeData = (call: {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: { readonly data_uptr: bigint };
  readonly data: ViommuData;
  readonly memory: ViommuMemory | undefined;
}): void => {
  if (call.memory === undefined) return;
  const clause = call.context.law.of(TELLS);
  call.caller.space.write(call.asked.data_uptr, clause.rule(call.data, call.memory), clause);
};

const isViommu = (object: Other): object is Viommu => object.kind === 'virtual IOMMU';
const memoriesOf = ({ others }: Context): readonly { readonly viommu: Viommu; readonly memory: ViommuMemory }[] =>
  [...others.values()]
    .filter(isViommu)
    .flatMap((viommu) => (viommu.memory === undefined ? [] : [{ viommu, memory: viommu.memory }]));

const NEXT_OFFSET = rule<(context: Context, size: bigint) => bigint>({
  id: 'viommu/mmap-offset',
  level: 'may',
  says: 'Offsets for mmap begin at one page, and the lowest is given that has room.',
  source: '_iommufd_alloc_mmap(), drivers/iommu/iommufd/driver.c: mtree_alloc_range()',
  rule: (context, size) => {
    let offset = BigInt(context.platform.pageSizeBytes);
    for (const { memory } of memoriesOf(context).toSorted((a, b) => Number(a.memory.offset - b.memory.offset))) {
      if (offset + size <= memory.offset) return offset;
      offset = memory.offset + memory.size;
    }
    return offset;
  },
});

/** The memory that a virtual IOMMU gets: two pages, of which the first begins with what it was given; none without data. */
export const newMemory = (context: Context, { length, inData, trouble }: ViommuData): ViommuMemory | undefined => {
  if (length === 0 || trouble !== undefined) return undefined;
  const { pageSizeBytes } = context.platform;
  const size = PAGES * BigInt(pageSizeBytes);
  const object = new MemoryObject(pageSizeBytes, Number(size));
  const shows = context.law.of(SHOWS);
  object.storeAt(0).store.write(0, shows.rule(inData), shows);
  return { offset: context.law.of(NEXT_OFFSET).rule(context, size), size, object };
};

const SHOWS = rule<(inData: number) => Uint8Array>({
  id: 'viommu/mmap',
  level: 'must',
  says: 'Mapping /dev/iommu with the offset and the length that a virtual IOMMU tells shows its memory, which begins with what the mock device was given, to all who map it; while it is mapped anywhere the virtual IOMMU is in use.',
  source: `include/uapi/linux/iommufd.h: struct iommu_viommu_tegra241_cmdqv; ${MAIN}; iommufd_vma_ops`,
  rule: u32Bytes,
});

const NOT_SHARED = rule<(request: MapRequest) => boolean>({
  id: 'viommu/mmap-private',
  level: 'must',
  says: 'A private mapping of /dev/iommu is refused with EINVAL.',
  source: MAIN,
  rule: ({ share }) => share !== 'shared',
});

const NOTHING_THERE = rule<(request: MapRequest, memory: ViommuMemory | undefined) => boolean>({
  id: 'viommu/mmap-nothing',
  level: 'must',
  says: 'Mapping /dev/iommu is refused with ENXIO where no virtual IOMMU has memory, and where offset and length are not exactly those of one.',
  source: `${MAIN}: only allow the exact immap thing to be mapped`,
  rule: ({ offset, size }, memory) => memory === undefined || memory.offset !== offset || memory.size !== size,
});

/** What mmap of /dev/iommu shows. */
export const backingOf = (context: Context, request: MapRequest): FileBacking => {
  const { law } = context;
  const [isPrivate, nothing] = [law.of(NOT_SHARED), law.of(NOTHING_THERE)];
  if (isPrivate.rule(request)) return { kind: 'refused', errno: 'EINVAL', clauses: [isPrivate] };
  const found = memoriesOf(context).find(({ memory }) => memory.offset === request.offset);
  if (found === undefined || nothing.rule(request, found.memory))
    return { kind: 'refused', errno: 'ENXIO', clauses: [nothing] };
  return { kind: 'memory', object: found.memory.object, from: 0n, ...heldBy(found.viommu, request) };
};

/** Has a mapping hold the virtual IOMMU, beside the file of its context. */
const heldBy = (
  viommu: Viommu,
  { opened }: MapRequest,
): Pick<Extract<FileBacking, { kind: 'memory' }>, 'held' | 'done'> => {
  const mapping: KernelFile = {
    kind: 'mapping of a virtual IOMMU',
    release: () => {
      viommu.users--;
      opened.drop();
    },
  };
  return {
    held: new HeldFile(mapping, 'rw'),
    done: () => {
      viommu.users++;
      opened.hold();
    },
  };
};

export const VIOMMU_MEMORY_CLAUSES = [TELLS, NEXT_OFFSET, SHOWS, NOT_SHARED, NOTHING_THERE];
