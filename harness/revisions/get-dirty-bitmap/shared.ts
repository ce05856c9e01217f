import type { ClauseId } from '../../spec/clause.ts';
import { inForce } from '../../spec/revision.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { BASE, numbers } from '../numbers.ts';

/* What both forms of the series state: VFIO_IOMMU_GET_DIRTY_BITMAP, posted on 10 April 2018. */

export const POSTED = 'Yulei Zhang, [RFC PATCH] vfio: Implement new Ioctl VFIO_IOMMU_GET_DIRTY_BITMAP, 10 April 2018';
const REVIEW = 'Alex Williamson, re [RFC PATCH] vfio: Implement new Ioctl VFIO_IOMMU_GET_DIRTY_BITMAP, 10 April 2018';
export const UNBOUNDED = `${REVIEW}: a kernel allocation based on a user provided field with no limit or bounds checking`;
export const CONFLATES = `${REVIEW}: This seems to conflate the vendor driver working data set with the dirty data set`;
export const CONVENTION = `${REVIEW}: This does not follow the vfio standard calling convention of argsz and flags`;

/** The number that both forms take. */
export const NUMBERS = numbers('type1', BASE, { VFIO_IOMMU_GET_DIRTY_BITMAP: 17 });

/** What an unmapping says of dirty pages where they are never logged. */
const STAYS: ReadonlySet<string> = new Set([
  'unmap/bitmap-argsz',
  'unmap/unreadable-bitmap-argument',
  'unmap/bitmap-while-not-tracking',
]);

/** The number is that of DIRTY_PAGES: what 6.1 says of it, and of unmapping while dirty pages are logged, is withdrawn. */
export const WITHDRAWN: Readonly<Record<ClauseId, null>> = Object.fromEntries(
  [...inForce(LINUX_6_1).keys()]
    .filter((id) => /^(dirty\/|pin\/dirty-|unmap\/.*bitmap)/.test(id) && !STAYS.has(id))
    .map((id) => [id, null]),
);
