import type { Clause } from '../../spec/clause.ts';
import { type Holds, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { byteOf } from '../world/page-store.ts';
import { bitmapBytes, type DirtyPages, type Span, type Stretch, stretches } from './dirty-bitmap.ts';
import { MARKED_PAGES } from './pin-dirty.ts';
import type { Mapping } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_DIRTY_PAGES';
const UPDATE = 'update_user_bitmap(), drivers/vfio/vfio_iommu_type1.c';

/** The largest bitmap that may be asked for, in bytes: 2^31 pages (DIRTY_BITMAP_SIZE_MAX). */
export const MAX_BITMAP_BYTES = 1n << 28n;

/** The addresses that no process of x86-64 has: with four levels of page tables from the first on, with five from the second. */
const USER_END = { fourLevels: (1n << 47n) - 0x1000n, fiveLevels: (1n << 56n) - 0x1000n };

/** Where bits are delivered: whose memory, where in it, which IOVA has bit 0, and how many bytes a bit stands for. */
export interface Delivery {
  readonly law: Law;
  readonly space: AddressSpace;
  readonly data: bigint;
  readonly base: bigint;
  readonly unit: bigint;
}

/** Which pages of a mapping are dirty; pages of the bitmap's size, counted from the mapping's first. */
const DIRTY_PAGES = rule<(mapping: Mapping, pages: number) => readonly DirtyPages[]>({
  id: 'dirty/every-page',
  level: 'must',
  says: 'While dirty pages are logged every page of a mapping is dirty, at every reading, because the devices that reach it cannot tell which pages they write; mappings made since START are no exception.',
  source: `${HEADER}: pages that are dirtied or potentially dirtied; ${UPDATE}: num_non_pinned_groups`,
  rule: (_, pages) => [{ first: 0, count: pages }],
});

/** The bit of a page: its distance from the start of the range in pages. */
const BIT_POSITION = rule<(iova: bigint, base: bigint, unit: bigint) => number>({
  id: 'dirty/bit-positions',
  level: 'must',
  says: 'Bit n of a bitmap stands for the n-th page from the start of the requested range, whatever mapping it belongs to; bit n lies in byte n/8 as its bit n%8.',
  source: `${HEADER}: one bit per page consecutively starting from iova offset`,
  rule: (iova, base, unit) => Number((iova - base) / unit),
});

/** The words that are written. */
const WRITTEN_WORDS = rule<(spans: readonly Span[]) => readonly Stretch[]>({
  id: 'dirty/written-words',
  level: 'must',
  says: 'Only the 64-bit words of the bitmap that hold a page of a mapping are written, with the bits of all mappings in them; words before, between and behind them stay as they were.',
  source: UPDATE,
  rule: stretches,
});

/** What becomes of a byte of a written word, given what it was and its dirty pages; `undefined` when that is not promised. */
const HOLES = rule<(before: number, dirty: number) => number | undefined>({
  id: 'dirty/holes',
  level: 'must',
  says: 'Bits of pages in no mapping stay 0, at every reading, when the memory for the bitmap was zeroed as the caller must see to; what becomes of other bits that it left set in words that are written is not promised.',
  source: `${HEADER}: The user must provide a zeroed memory area; A bit set indicates that the page at that offset from iova is dirty`,
  rule: (before, dirty) => ((before & ~dirty) === 0 ? dirty : undefined),
});

/** Whether a bitmap can be in user memory at all. */
export const outsideUserSpace = (data: bigint, size: bigint): Holds => {
  const end = data + size;
  if (end > USER_END.fiveLevels) return true;
  return end > USER_END.fourLevels ? 'perhaps' : false;
};

/** Whether a bitmap of so many bytes is too small for a range: one bit a page, in whole words, and never nothing. */
export const tooSmall = (bytes: bigint, range: bigint, unit: bigint): boolean =>
  bytes === 0n || bytes < bitmapBytes(range / unit);

/** How many pages of the bitmap a mapping has. */
export const pagesIn = ({ start, end }: Mapping, unit: bigint): number => Number((end - start) / unit);

const spanOf = ({ law, base, unit }: Delivery, mapping: Mapping): Span => {
  const bits = pagesIn(mapping, unit);
  const firstBit = law.of(BIT_POSITION).rule(mapping.start, base, unit);
  if (mapping.iommuMapped) return { firstBit, bits, dirty: law.of(DIRTY_PAGES).rule(mapping, bits) };
  const marked = law.of(MARKED_PAGES);
  return { firstBit, bits, dirty: marked.rule(mapping, bits), clean: mapping.dirty.clean ?? marked };
};

const stretchesOf = (delivery: Delivery, mappings: readonly Mapping[]): readonly Stretch[] =>
  delivery.law.of(WRITTEN_WORDS).rule(mappings.map((mapping) => spanOf(delivery, mapping)));

/** Whether the bits of some mappings can all be written where they belong; without effect. */
export const deliverable = (delivery: Delivery, mappings: readonly Mapping[]): boolean =>
  stretchesOf(delivery, mappings).every((stretch) => fits(delivery, stretch));

const fits = ({ space, data }: Delivery, { at, bytes }: Stretch): boolean =>
  space.reach(data + BigInt(at), BigInt(bytes.length), 'write') >= BigInt(bytes.length);

/** Writes the bits of some mappings, as far as they can be written. */
export const deliver = (delivery: Delivery, mappings: readonly Mapping[]): void => {
  const spans = mappings.map((mapping) => spanOf(delivery, mapping));
  for (const stretch of delivery.law.of(WRITTEN_WORDS).rule(spans)) write(delivery, stretch);
  for (const span of spans) explain(delivery, span);
};

/**
 * Writes the bits of the mappings up to the first one whose bits cannot all be written; of its bits it writes what goes.
 * Returns the mappings before it, and which one that is.
 */
export const deliverUntilFault = (
  delivery: Delivery,
  mappings: readonly Mapping[],
): { readonly reported: readonly Mapping[]; readonly failing: Mapping | undefined } => {
  const index = mappings.findIndex((mapping) => !deliverable(delivery, [mapping]));
  deliver(delivery, index < 0 ? mappings : mappings.slice(0, index + 1));
  return { reported: index < 0 ? mappings : mappings.slice(0, index), failing: mappings[index] };
};

/** Says of the bits of a mapping why they are set or not, where it is more than that all pages are dirty. */
const explain = ({ space, data }: Delivery, { firstBit, bits, dirty, clean }: Span): void => {
  const bytesOf = (first: number, count: number, by: Clause | undefined): void => {
    if (by === undefined) return;
    const from = Math.floor((firstBit + first) / 8);
    space.explain(data + BigInt(from), Math.ceil((firstBit + first + count) / 8) - from, by);
  };
  bytesOf(0, bits, clean);
  for (const { first, count, by } of dirty) bytesOf(first, count, by);
};

const write = ({ law, space, data }: Delivery, { at, bytes, holes }: Stretch): void => {
  const address = data + BigInt(at);
  const by = law.of(holes ? HOLES : BIT_POSITION);
  const open = openBytes(law, space, address, bytes);
  space.write(address, bytes, by);
  for (const { from, to } of open) space.fill(address + BigInt(from), BigInt(to - from), undefined, by);
};

/** The ranges of bytes of which nothing is promised, because the caller left bits set that are no dirty pages. */
const openBytes = (
  law: Law,
  space: AddressSpace,
  address: bigint,
  bytes: Uint8Array,
): readonly { readonly from: number; readonly to: number }[] => {
  const holes = law.of(HOLES);
  const open: { from: number; to: number }[] = [];
  let end = 0;
  space.visitBytes(address, BigInt(bytes.length), (piece) => {
    const start = end;
    end += piece.size;
    // Zeroed memory is what callers give, and then there is nothing to look for.
    if ('byte' in piece && piece.byte === 0) return;
    for (let offset = 0; offset < piece.size; offset++) {
      const before = byteOf(piece, offset);
      const at = start + offset;
      if (before !== undefined && holes.rule(before, bytes[at] ?? 0) !== undefined) continue;
      const last = open.at(-1);
      if (last?.to === at) last.to++;
      else open.push({ from: at, to: at + 1 });
    }
  });
  return open;
};

export const DIRTY_PAGE_CLAUSES = [DIRTY_PAGES, BIT_POSITION, WRITTEN_WORDS, HOLES];
