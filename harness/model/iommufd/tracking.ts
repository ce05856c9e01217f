import { greatest, least } from '../world/big.ts';
import { IntervalMap } from '../world/interval-map.ts';
import type { Area, Context, Ioas, PageTable, Tracking, Written } from './state.ts';

/* What devices wrote through a page table. An IOMMU marks entries, which may be larger than what was written. */

export const newTracking = (): Tracking => ({ enabled: false, written: new IntervalMap(), vague: new Set() });

/** The largest power of two that a number is a multiple of, at most `most`. */
const alignmentIn = (number: bigint, most: bigint): bigint => (number === 0n ? most : least(number & -number, most));

const powerBelow = (number: bigint): bigint => 1n << BigInt(number.toString(2).length - 1);

/** In what pieces the memory of an area lies, in bytes, and how far the first byte of the area is in its piece. */
const piecesOf = (
  { platform }: Context,
  { largePages }: Ioas,
  { pages, from }: Area,
): { size: bigint; skip: bigint } => {
  const page = BigInt(platform.pageSizeBytes);
  const first = pages.vaddr + from;
  const size = (largePages && pages.kind === 'memory' && pages.owner.space.backingAt(first)?.granule) || page;
  return { size, skip: first % size };
};

/**
 * The entry of a page table that an IOVA lies in. Where the memory is in one piece it is divided into the largest powers of
 * two that its address and its IOVA are aligned to (pt_compute_best_pgsize(), drivers/iommu/generic_pt/pt_iter.h); pages that
 * may be combined but need not lie in one piece make entries that nobody can know.
 */
const entryAt = (context: Context, ioas: Ioas, area: Area, iova: bigint): Written | undefined => {
  const { size, skip } = piecesOf(context, ioas, area);
  const inPiece = (iova - area.start + skip) % size;
  const start = greatest(area.start, iova - inPiece);
  const end = least(area.end, iova - inPiece + size);
  if (ioas.largePages && (start > area.start || end < area.end)) return undefined;
  for (let at = start; ; ) {
    const offset = (at - area.start + skip) % size;
    const length = least(least(alignmentIn(at, size), alignmentIn(offset, size)), powerBelow(end - at));
    if (iova < at + length) return { start: at, end: at + length };
    at += length;
  }
};

/** A device writes a byte. */
export const write = (context: Context, { ioas, tracking }: PageTable, iova: bigint): void => {
  const area = ioas.areas.containing(iova);
  if (tracking === undefined || area === undefined) return;
  const entry = entryAt(context, ioas, area, iova);
  if (entry === undefined) {
    tracking.vague.add(area);
    return;
  }
  for (const { start } of tracking.written.within(entry.start, entry.end)) tracking.written.delete(start);
  tracking.written.insert(entry);
};

/** What of a range was written and not cleared since, ascending, cut to the range. */
export const writtenIn = ({ written }: Tracking, start: bigint, end: bigint): readonly Written[] =>
  written.within(start, end).map((one) => ({
    start: greatest(one.start, start),
    end: least(one.end, end),
  }));

/** The areas of a range of whose bits nothing can be said. */
export const vagueIn = ({ vague }: Tracking, start: bigint, end: bigint): readonly Area[] =>
  [...vague].filter((area) => area.start < end && area.end > start);

/** Nothing of a range counts as written any more; entries that lie in it only in part are cut. */
export const clear = ({ written, vague }: Tracking, start: bigint, end: bigint): void => {
  for (const one of written.within(start, end)) {
    written.delete(one.start);
    if (one.start < start) written.insert({ start: one.start, end: start });
    if (one.end > end) written.insert({ start: end, end: one.end });
  }
  for (const area of vague) if (area.start >= start && area.end <= end) vague.delete(area);
};

/** What is unmapped is forgotten with its entries. */
export const forget = ({ tables }: Ioas, { start, end }: Area): void => {
  for (const { tracking } of tables) if (tracking !== undefined) clear(tracking, start, end);
};
