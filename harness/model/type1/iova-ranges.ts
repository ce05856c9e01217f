import type { IovaRange } from '../../program/platform.ts';
import { rule } from '../clauses.ts';

/** What may be mapped: the aperture without the reserved ranges; ascending, apart from one another, both ends inclusive. */
export const VALID_RANGES = rule<(aperture: IovaRange, reserved: readonly IovaRange[]) => readonly IovaRange[]>({
  id: 'iova/valid-ranges',
  level: 'must',
  says: 'The valid IOVA ranges are what the IOMMU can translate, without the reserved regions of the devices attached to the container (relaxable ones stay valid).',
  source: 'include/uapi/linux/vfio.h: IOVA capability; vfio_iommu_resv_exclude(), drivers/vfio/vfio_iommu_type1.c',
  rule: (aperture, reserved) => reserved.reduce<readonly IovaRange[]>(without, [aperture]),
});

const without = (ranges: readonly IovaRange[], hole: IovaRange): readonly IovaRange[] =>
  ranges.flatMap((range) => {
    if (hole.start > range.end || hole.end < range.start) return [range];
    return [
      { start: range.start, end: hole.start - 1n },
      { start: hole.end + 1n, end: range.end },
    ].filter(({ start, end }) => start <= end);
  });

export const IOVA_CLAUSES = [VALID_RANGES];
