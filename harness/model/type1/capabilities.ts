import type { Platform } from '../../program/platform.ts';
import type { Clause, ClauseId } from '../../spec/clause.ts';
import { encode } from '../../uapi/struct.ts';
import {
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfioIommuType1InfoCapIovaRange,
  vfioIommuType1InfoCapMigration,
  vfioIommuType1InfoDmaAvail,
} from '../../uapi/vfio.ts';
import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { ByteRule } from '../outcome.ts';
import { u32Bytes } from './bytes.ts';
import { MAX_BITMAP_BYTES } from './dirty-pages.ts';
import { type Container, type Iommu, smallestPage } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';

/** What capabilities describe. */
export interface Described {
  readonly platform: Platform;
  readonly container: Container;
  readonly iommu: Iommu;
}

/** A capability of GET_INFO. The chain holds them in the order in which their clauses were stated. */
export interface Capability extends Clause {
  readonly kind: 'capability';
  /**
   * The capability's structure, its header's `next` zero; or `undefined` when it is not reported. Its size need not be a
   * multiple of anything: where the next one begins is for the layout to say.
   */
  readonly structure: (described: Described) => Uint8Array | undefined;
  /** From which byte of the structure on nothing is promised of what it holds, if from any. */
  readonly vagueFrom?: (described: Described) => number | undefined;
  /** The capability that it stands before, where that is not for the order of statement to say. */
  readonly before?: ClauseId;
}

export const capability = (stated: Omit<Capability, 'kind'>): Capability => ({ kind: 'capability', ...stated });

export const header = (id: number) => ({ id, version: 1, next: 0 });

export const MIGRATION = capability({
  id: 'info/migration-capability',
  level: 'must',
  says: 'The migration capability (id 2, version 1) says that dirty pages of the smallest page size can be logged, in bitmaps of at most 256 MiB; its flags are 0.',
  source: `${HEADER}: migration capability; vfio_iommu_migration_build_caps(), ${DRIVER}`,
  structure: ({ platform }) =>
    encode(vfioIommuType1InfoCapMigration, {
      header: header(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION),
      flags: 0,
      pgsize_bitmap: smallestPage(platform),
      max_dirty_bitmap_size: MAX_BITMAP_BYTES,
    }),
});

export const DMA_AVAILABLE = capability({
  id: 'info/dma-available-capability',
  level: 'must',
  says: 'The DMA available capability (id 3, version 1) says how many more mappings the container takes now.',
  source: `${HEADER}: DMA available capability`,
  structure: ({ iommu }) =>
    encode(vfioIommuType1InfoDmaAvail, { header: header(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL), avail: iommu.available }),
});

export const IOVA_RANGES = capability({
  id: 'info/iova-range-capability',
  level: 'must',
  says: 'The IOVA range capability (id 1, version 1) lists the valid IOVA ranges in ascending order, both ends inclusive, and is absent when there are none.',
  source: `${HEADER}: IOVA capability; vfio_iommu_iova_build_caps(), ${DRIVER}`,
  structure: ({ iommu: { ranges } }) =>
    ranges.length === 0
      ? undefined
      : encode(vfioIommuType1InfoCapIovaRange, {
          header: header(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE),
          nr_iovas: ranges.length,
          iova_ranges: ranges,
        }),
});

/** Where the next capability begins, given where the one before it ends; offsets from the start of the argument. */
export type LayOut = (end: number) => number;

/** How the chain is laid out: first as it should be, then ways that are known and can be followed. */
export const LAYOUTS = rule<() => readonly [LayOut, ...LayOut[]]>({
  id: 'info/capability-alignment',
  ofPlaces: true,
  level: 'should',
  says: 'Each capability begins at a multiple of 8 bytes, so that its 64-bit fields lie where the C structure has them.',
  source: `${HEADER}: the capability structures hold __u64 fields, which C aligns to 8 bytes`,
  rule: () => [(end) => Math.ceil(end / 8) * 8, (end) => end],
});

/** The `next` field of a capability, given where the following one begins. */
export const CHAIN_LINKS = rule<(following: number | undefined) => Uint8Array>({
  id: 'info/capability-chain',
  ofPlaces: true,
  level: 'must',
  says: 'The next field of each capability is the offset of the following one from the start of the argument; the last one has 0.',
  source: `${HEADER}: vfio_info_cap_header`,
  rule: (following) => u32Bytes(following ?? 0),
});

/** A chain as it would be written: its size in bytes with the padding in it, and its bytes as rules. */
export interface Chain {
  readonly size: number;
  readonly rules: readonly ByteRule[];
}

/** Offset and size of `next` in a header, in bytes. */
const NEXT = { at: 4, end: 8 };

/** The capabilities that are in force, in the order of the chain. */
const inOrder = (law: Law): readonly Capability[] => {
  const ordered: Capability[] = [];
  for (const one of law.all<Capability>('capability')) {
    const at = ordered.findIndex(({ id }) => id === one.before);
    ordered.splice(at < 0 ? ordered.length : at, 0, one);
  }
  return ordered;
};

/** Lays out capabilities from `start` on: those in force, unless others are given. */
export const chainOf = (
  law: Law,
  described: Described,
  start: number,
  layOut: LayOut,
  capabilities: readonly Capability[] = inOrder(law),
): Chain => {
  const structures = capabilities.flatMap((clause) => {
    const bytes = clause.structure(described);
    return bytes === undefined ? [] : [{ clause, bytes, sure: clause.vagueFrom?.(described) ?? bytes.length }];
  });
  const links = law.of(CHAIN_LINKS);
  const alignment = law.of(LAYOUTS);
  const rules: ByteRule[] = [];
  let at = start;
  for (const [index, { clause, bytes, sure }] of structures.entries()) {
    const end = at + bytes.length;
    const next = layOut(end);
    const following = index + 1 < structures.length ? next : undefined;
    rules.push(
      { at, bytes: bytes.subarray(0, NEXT.at), clause },
      { at: at + NEXT.at, bytes: links.rule(following), clause: links },
      { at: at + NEXT.end, bytes: bytes.subarray(NEXT.end, sure), clause },
    );
    if (sure < bytes.length) rules.push({ at: at + sure, bytes: bytes.length - sure, clause });
    if (next > end) rules.push({ at: end, bytes: new Uint8Array(next - end), clause: alignment });
    at = next;
  }
  return { size: at - start, rules };
};

export const CAPABILITY_CLAUSES = [MIGRATION, DMA_AVAILABLE, IOVA_RANGES];
