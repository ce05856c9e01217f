import type { Clause } from '../../spec/clause.ts';
import { OFFERED, STARTS_PINNED, UNREACHABLE } from './landed.ts';

/*
 * What the form that landed came to be when it went from VFIO to IOMMUFD: nothing is pinned before it is set. The comments
 * at iova_bitmap_alloc() and struct iova_bitmap still tell of the first pages and of windows; the code has neither.
 */

const FILE = 'drivers/iommu/iommufd/iova_bitmap.c';

const startsPinned: typeof STARTS_PINNED = {
  ...STARTS_PINNED,
  says: 'Making the bitmap pins nothing, and does not look whether it is there.',
  source: `${FILE}: iova_bitmap_alloc(), which leaves pinning to iova_bitmap_set()`,
  rule: false,
};

const offered: typeof OFFERED = {
  ...OFFERED,
  says: 'The callback is called once, for the whole range. What of the bitmap a set range needs is pinned when it is set, and stays pinned until a range is set that is not in it.',
  source: `${FILE}: iova_bitmap_for_each(), and iova_bitmap_set() with iova_bitmap_advance_to()`,
  rule: 'range',
};

const unreachable: typeof UNREACHABLE = {
  ...UNREACHABLE,
  says: 'A walk that has to set something in a bitmap page that is not there or cannot be written fails with EFAULT.',
  source: `${FILE}: iova_bitmap_for_each(), "an error on failure either upon iteration or when the callback returns an error"`,
};

/** What Linux 6.12 states otherwise than 6.1. */
export const LATER_IOVA_BITMAP_CLAUSES: readonly Clause[] = [startsPinned, offered, unreachable];
