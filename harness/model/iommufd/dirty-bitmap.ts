import type { Clause } from '../../spec/clause.ts';
import { rule } from '../clauses.ts';
import { setBits } from '../type1/dirty-bitmap.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { byteOf } from '../world/page-store.ts';
import type { Written } from './state.ts';

/* How what was written comes into a bitmap. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_HWPT_GET_DIRTY_BITMAP';

/** Where bits go: whose memory, where in it, which IOVA has bit 0, and how many bytes a bit stands for. */
export interface Bitmap {
  readonly space: AddressSpace;
  readonly data: bigint;
  readonly iova: bigint;
  readonly unit: bigint;
}

/** Neighbouring bits, both ends inclusive. */
interface Bits {
  readonly first: number;
  readonly last: number;
}

/** Which bits stand for a range of IOVAs. */
export const BITS_OF = rule<(bitmap: Bitmap, range: Written) => Bits>({
  id: 'hwpt/dirty-bits',
  level: 'must',
  says: 'Bit n of the bitmap stands for the n-th page_size bytes from iova on, whatever mapping they belong to, and is set when any of them was written; bit n lies in byte n/8 as its bit n%8. No other bit is set.',
  source: `${HEADER}: iova: base IOVA of the bitmap first bit; page_size: page size granularity of each bit in the bitmap; Walk the IOMMU pagetables for a given IOVA range to return a bitmap with the dirty IOVAs`,
  rule: ({ iova, unit }, { start, end }) => ({
    first: Number((start - iova) / unit),
    last: Number((end - 1n - iova) / unit),
  }),
});

/** What becomes of a byte of the bitmap, given what it was and the bits to be set. */
export const KEEPS = rule<(before: number, dirty: number) => number>({
  id: 'hwpt/dirty-bits-kept',
  level: 'must',
  says: 'Bits that the caller left set in the bitmap stay set: bits are added.',
  source: `${HEADER}: data: bitmap where to set the dirty bits; iova_bitmap_set(), drivers/iommu/iommufd/iova_bitmap.c`,
  rule: (before, dirty) => before | dirty,
});

const bytesOf = ({ data }: Bitmap, { first, last }: Bits): { address: bigint; size: number; skip: number } => {
  const from = Math.floor(first / 8);
  return { address: data + BigInt(from), size: Math.floor(last / 8) - from + 1, skip: first - from * 8 };
};

/** How many bytes a bitmap has for a range. */
export const bytesFor = (length: bigint, unit: bigint): bigint => ((length + unit - 1n) / unit + 7n) / 8n;

/** Whether the bits of a range can be written. */
export const fits = (bitmap: Bitmap, bits: Bits): boolean => {
  const { address, size } = bytesOf(bitmap, bits);
  return bitmap.space.reach(address, BigInt(size), 'write') >= BigInt(size);
};

/** Sets bits, for commits. */
export const set = (bitmap: Bitmap, bits: Bits, keeps: typeof KEEPS.rule, by: Clause): void => {
  const { address, size, skip } = bytesOf(bitmap, bits);
  const bytes = new Uint8Array(size);
  setBits(bytes, skip, bits.last - bits.first + 1);
  let at = 0;
  const unknown: number[] = [];
  bitmap.space.visitBytes(address, BigInt(size), (piece) => {
    for (let offset = 0; offset < piece.size; offset++, at++) {
      const dirty = bytes[at] ?? 0;
      const before = byteOf(piece, offset);
      if (before === undefined && dirty !== 0xff) unknown.push(at);
      bytes[at] = keeps(before ?? 0, dirty);
    }
  });
  bitmap.space.write(address, bytes, by);
  for (const index of unknown) bitmap.space.fill(address + BigInt(index), 1n, undefined, by);
};

/** Says that nothing can be said of the bits of a range, for commits. */
export const blur = (bitmap: Bitmap, bits: Bits, by: Clause): void => {
  const { address, size } = bytesOf(bitmap, bits);
  bitmap.space.fill(address, BigInt(size), undefined, by);
};
