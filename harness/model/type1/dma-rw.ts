import { type Objection, type Refusal, refusing, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import { copyFromSpace, copyToSpace } from '../world/copying.ts';
import type { PageStore } from '../world/page-store.ts';
import type { Process } from '../world/process.ts';
import type { Iommu, Mapping } from './state.ts';
import { witnessed } from './witness.ts';

/* What a device without an IOMMU asks of its container: to read and write memory in its stead. */

const CHUNK = 'vfio_iommu_type1_dma_rw_chunk(), drivers/vfio/vfio_iommu_type1.c';
const MAX_IOVA = (1n << 64n) - 1n;

/** What reading or writing is about. Addresses and sizes in bytes. */
export interface RwCall {
  readonly law: Law;
  readonly iommu: Iommu;
  readonly pageSize: number;
  readonly caller: Process;
  /** A thread of the kernel asks, which has no memory of its own. */
  readonly byKernelThread: boolean;
  readonly write: boolean;
  readonly iova: bigint;
  readonly size: number;
  /** What is read to, or written from, from its first byte on. */
  readonly buffer: PageStore;
}

/** The part of it that lies in one mapping, or from where on there is none. */
interface Part {
  readonly call: RwCall;
  readonly mapping: Mapping | undefined;
  readonly iova: bigint;
  /** The first byte of the buffer that belongs to it, and how many do. */
  readonly at: number;
  readonly size: number;
}

/** The parts, up to the first IOVA that is not mapped. */
const partsOf = (call: RwCall): readonly Part[] => {
  const parts: Part[] = [];
  for (let at = 0; at < call.size; ) {
    const iova = (call.iova + BigInt(at)) & MAX_IOVA;
    const mapping = call.iommu.mappings.containing(iova);
    const left = BigInt(call.size - at);
    const room = mapping === undefined ? left : mapping.end - iova;
    const size = Number(room < left ? room : left);
    parts.push({ call, mapping, iova, at, size });
    if (mapping === undefined) break;
    at += size;
  }
  return parts;
};

export const TRANSFERS = rule<(call: RwCall) => void>({
  id: 'pin/reads-and-writes',
  level: 'must',
  says: 'Without pinning anything a device has memory read or written that its container maps, in the address space of the owner as it is then, over as many mappings as the range goes through; what the owner has at vaddr is what it sees.',
  source: `vfio_dma_rw(), drivers/vfio/container.c; ${CHUNK}`,
  rule: (call) => {
    for (const part of partsOf(call)) transfer(part);
  },
});

const vaddrOf = ({ iova }: Part, mapping: Mapping): bigint => mapping.vaddr + (iova - mapping.start);

const transfer = (part: Part): void => {
  const { call, mapping, at, size } = part;
  if (mapping === undefined) return;
  const { law, buffer, write } = call;
  const by = law.of(TRANSFERS);
  const memory = { space: mapping.owner.space, vaddr: vaddrOf(part, mapping) };
  if (write) {
    copyToSpace(memory, buffer, at, size, by);
    tell(part, mapping, 'written', size);
  } else copyFromSpace(memory, buffer, at, size, by);
};

/** The pages of which bytes were written. */
const tell = (
  { call: { law, iommu, pageSize }, iova }: Part,
  mapping: Mapping,
  how: 'written' | 'partly written',
  size: number,
): void => {
  if (size === 0) return;
  const [at, page] = [iova - mapping.start, BigInt(pageSize)];
  const first = at / page;
  const count = Number((at + BigInt(size) - 1n) / page - first) + 1;
  witnessed(law, { how, iommu, mapping, first: Number(first), count });
};

const reachOf = (part: Part, mapping: Mapping): bigint =>
  mapping.owner.space.reach(vaddrOf(part, mapping), BigInt(part.size), part.call.write ? 'write' : 'read');

type PartObjection = Objection<Part>;

const partObjection = (stated: Omit<Refusal<Part>, 'stage'>): PartObjection =>
  refusing<Part>(TRANSFERS)({ stage: 'parts', ...stated });

const isForeign = ({ call: { caller, byKernelThread } }: Part, { owner }: Mapping): boolean =>
  !byKernelThread && caller.space !== owner.space;

/** What refuses a part; those before it are transferred. */
export const PART_OBJECTIONS: readonly PartObjection[] = [
  partObjection({
    id: 'pin/rw-unmapped',
    says: 'Reading or writing an IOVA that is in no mapping is refused with EINVAL; what lies before it was transferred.',
    source: CHUNK,
    errnos: ['EINVAL'],
    when: ({ mapping }) => mapping === undefined,
  }),
  partObjection({
    id: 'pin/rw-beyond-access',
    says: 'Writing what was mapped without WRITE, or reading what was mapped without READ, is refused with EPERM, and the memory stays as it was; with WRITE alone it can be written.',
    source: `include/uapi/linux/vfio.h: VFIO_DMA_MAP_FLAG_WRITE: writable from device; ${CHUNK}`,
    errnos: ['EPERM'],
    when: ({ call: { write }, mapping }) => mapping !== undefined && (write ? !mapping.write : !mapping.read),
  }),
  partObjection({
    id: 'pin/rw-owner-gone',
    says: 'Reading or writing a mapping whose owner died, or has another address space since exec, is refused with EPERM.',
    source: `${CHUNK}: mmget_not_zero()`,
    errnos: ['EPERM'],
    when: ({ mapping }) => mapping?.owner.space.alive === false,
  }),
  partObjection({
    id: 'pin/rw-other-process',
    says: 'Reading or writing in the name of a process is refused with EFAULT when the mapping belongs to another one, child or parent included; a thread of the kernel, which has no memory of its own, reaches every mapping.',
    source: `${CHUNK}: current->mm != mm`,
    errnos: ['EFAULT'],
    when: (part) => part.mapping?.owner.space.alive === true && isForeign(part, part.mapping),
  }),
  partObjection({
    id: 'pin/rw-unreachable-memory',
    says: 'Reading or writing memory that the owner itself cannot use that way is refused with EFAULT.',
    source: `${CHUNK}: copy_to_user(), copy_from_user()`,
    errnos: ['EFAULT'],
    when: (part) =>
      part.mapping?.owner.space.alive === true &&
      !isForeign(part, part.mapping) &&
      reachOf(part, part.mapping) < BigInt(part.size),
    leaves: (part) => {
      if (part.mapping !== undefined) transferPartly(part, part.mapping);
    },
  }),
];

/** How far the processor gets before a fault is its own business: up to there bytes may be old or new. */
const transferPartly = (part: Part, mapping: Mapping): void => {
  const { call, at, size } = part;
  const by = call.law.of(TRANSFERS);
  if (!call.write) {
    call.buffer.fill(at, size, undefined, by);
    return;
  }
  const reached = reachOf(part, mapping);
  mapping.owner.space.fill(vaddrOf(part, mapping), reached, undefined, by);
  tell(part, mapping, 'partly written', Number(reached));
};

/** The first part that is refused, if any is; `leave` transfers the parts before it. */
export const refusedPart = (
  call: RwCall,
): { readonly part: Part; readonly objections: readonly PartObjection[]; readonly leave: () => void } | undefined => {
  const parts = partsOf(call);
  const objections = PART_OBJECTIONS.map((one) => call.law.of(one));
  const index = parts.findIndex((part) => objections.some((one) => one.when(part) !== false));
  const part = parts[index];
  if (part === undefined) return undefined;
  return {
    part,
    objections,
    leave: () => {
      for (const done of parts.slice(0, index)) transfer(done);
    },
  };
};

/** What refuses a transfer before anything is looked at. */
export const RW_NOTHING: Objection<RwCall> = {
  kind: 'objection',
  to: TRANSFERS.id,
  stage: 'arguments',
  id: 'pin/rw-nothing',
  level: 'must',
  says: 'Reading or writing no bytes is refused with EINVAL.',
  source: 'vfio_dma_rw(), drivers/vfio/container.c',
  errnos: ['EINVAL'],
  when: ({ size }) => size === 0,
};

export const DMA_RW_CLAUSES = [TRANSFERS, RW_NOTHING, ...PART_OBJECTIONS];
