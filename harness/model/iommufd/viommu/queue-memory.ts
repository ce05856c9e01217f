import type { Platform } from '../../../program/platform.ts';
import { IOMMU_IOAS_MAP_READABLE } from '../../../uapi/iommufd.ts';
import type { Area, Ioas } from '../state.ts';

/* Memory of an IO address space that is held as pages of the machine. */

/** A range of IOVAs; `end` is the first behind it. */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Why pages cannot be held. */
export type PinTrouble = 'ENOENT' | 'EPERM';

/** The whole pages that a range is in. */
export const pagesOf = ({ pageSizeBytes }: Platform, iova: bigint, length: bigint): Range => {
  const page = BigInt(pageSizeBytes);
  const start = iova - (iova % page);
  return { start, end: iova + length + ((page - ((iova + length) % page)) % page) };
};

/** Why the pages of a range cannot be held, as it shows first when they are gone through one after the other. */
export const pinTrouble = (ioas: Ioas, { start, end }: Range): PinTrouble | undefined => {
  for (let at = start; at < end; ) {
    const area = ioas.areas.containing(at);
    if (area === undefined) return 'ENOENT';
    if ((area.access & IOMMU_IOAS_MAP_READABLE) === 0) return 'EPERM';
    at = area.end;
  }
  return undefined;
};

/** More pages are not gone through one by one. */
const MOST_PAGES = 64;

/**
 * Whether the pages of a range, all of which can be held, do not lie one behind the other in the machine: surely so where one
 * page stands behind itself; where else two pages lie is for the kernel to choose.
 */
export const isScattered = ({ pageSizeBytes }: Platform, ioas: Ioas, { start, end }: Range): boolean | 'perhaps' => {
  const page = BigInt(pageSizeBytes);
  if (end - start <= page) return false;
  let before: { readonly pages: Area['pages']; readonly address: bigint } | undefined;
  for (let at = start, count = 0; at < end && count < MOST_PAGES; at += page, count++) {
    const area = ioas.areas.containing(at);
    if (area === undefined) return 'perhaps';
    const { pages, from } = area;
    const address = pages.vaddr + from + (at - area.start);
    if (pages.kind === 'memory' && before?.address === address && isOfOne(pages, before.pages)) return true;
    before = { pages, address };
  }
  return 'perhaps';
};

const isOfOne = (one: Area['pages'], other: Area['pages']): boolean =>
  other.kind === 'memory' && one.owner.space === other.owner.space;
