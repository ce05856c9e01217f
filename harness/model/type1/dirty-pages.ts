import { type Holds, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { bitmapBytes, type DirtyPages, merged, type Span, type Stretch, stretches } from './dirty-bitmap.ts';
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
export const DIRTY_PAGES = rule<(mapping: Mapping, pages: number) => readonly DirtyPages[]>({
  id: 'dirty/every-page',
  level: 'must',
  says: 'While dirty pages are logged every page of a mapping is dirty, at every reading, because the devices that reach it cannot tell which pages they write; mappings made since START are no exception.',
  source: `${HEADER}: pages that are dirtied or potentially dirtied; ${UPDATE}: num_non_pinned_groups`,
  rule: (_, pages) => [{ first: 0, count: pages }],
});

/** The bit of a page: its distance from the start of the range in pages. */
export const BIT_POSITION = rule<(iova: bigint, base: bigint, unit: bigint) => number>({
  id: 'dirty/bit-positions',
  level: 'must',
  says: 'Bit n of a bitmap stands for the n-th page from the start of the requested range, whatever mapping it belongs to; bit n lies in byte n/8 as its bit n%8.',
  source: `${HEADER}: one bit per page consecutively starting from iova offset`,
  rule: (iova, base, unit) => Number((iova - base) / unit),
});

/** The words that are written. */
export const WRITTEN_WORDS = rule<(spans: readonly Span[]) => readonly Stretch[]>({
  id: 'dirty/written-words',
  level: 'must',
  says: 'Only the 64-bit words that hold a page of a mapping are written; in them the bits of all mappings stand together, bits below the first are kept, and bits behind the last are cleared.',
  source: UPDATE,
  rule: stretches,
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

const spanOf = ({ law, base, unit }: Delivery, mapping: Mapping): Span => {
  const bits = Number((mapping.end - mapping.start) / unit);
  return {
    firstBit: law.of(BIT_POSITION).rule(mapping.start, base, unit),
    bits,
    dirty: law.of(DIRTY_PAGES).rule(mapping, bits),
  };
};

const stretchesOf = (delivery: Delivery, mappings: readonly Mapping[]): readonly Stretch[] =>
  delivery.law.of(WRITTEN_WORDS).rule(mappings.map((mapping) => spanOf(delivery, mapping)));

/** Whether the bits of some mappings can all be written where they belong; without effect. */
export const deliverable = (delivery: Delivery, mappings: readonly Mapping[]): boolean =>
  stretchesOf(delivery, mappings).every((stretch) => fits(delivery, stretch));

const fits = ({ space, data }: Delivery, { at, keep, bytes }: Stretch): boolean => {
  const address = data + BigInt(at);
  const size = BigInt(bytes.length);
  return (keep === 0 || space.reach(address, 8n, 'read') >= 8n) && space.reach(address, size, 'write') >= size;
};

/** Writes the bits of some mappings, all of which can be. */
export const deliver = (delivery: Delivery, mappings: readonly Mapping[]): void => {
  for (const stretch of stretchesOf(delivery, mappings)) write(delivery, stretch);
};

/**
 * Writes the bits of mapping after mapping until it comes to one whose bits cannot be written; of those it writes what
 * goes. Returns the mappings whose bits all stand.
 */
export const deliverUntilFault = (delivery: Delivery, mappings: readonly Mapping[]): readonly Mapping[] => {
  const failing = mappings.findIndex((mapping) => {
    const mine = stretchesOf(delivery, [mapping]);
    const good = mine.every((stretch) => fits(delivery, stretch));
    for (const stretch of mine) write(delivery, stretch);
    return !good;
  });
  return failing < 0 ? mappings : mappings.slice(0, failing);
};

const write = ({ law, space, data }: Delivery, stretch: Stretch): void => {
  const address = data + BigInt(stretch.at);
  const before = stretch.keep === 0 ? undefined : space.read(address, 8);
  if (stretch.keep > 0 && before === undefined) return;
  space.write(address, before === undefined ? stretch.bytes : merged(stretch, before), law.of(BIT_POSITION));
};

export const DIRTY_PAGE_CLAUSES = [DIRTY_PAGES, BIT_POSITION, WRITTEN_WORDS];
