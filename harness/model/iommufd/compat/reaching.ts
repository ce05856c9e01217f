import type { Platform } from '../../../program/platform.ts';
import { rule } from '../../clauses.ts';
import type { Law } from '../../law.ts';
import type { Translated } from '../../world/edu.ts';
import { pinnedAt } from '../held.ts';
import { writes } from '../placing.ts';
import type { Area, Ioas } from '../state.ts';

/* What devices of groups that were given /dev/iommu reach. */

const REACHES = rule<(ioas: Ioas, iova: bigint) => Area | undefined>({
  id: 'compat/device-reaches',
  level: 'must',
  says: 'An open device of a group that was given /dev/iommu reaches exactly what is mapped in its IO address space, be it by MAP_DMA or by a command, before it was opened or since: nothing outside, and nothing any more that was unmapped or cut away.',
  source:
    'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_HWPT_PAGING',
  rule: (ioas, iova) => ioas.areas.containing(iova),
});

const WRITES = rule<(area: Area) => boolean>({
  id: 'compat/device-writes',
  level: 'must',
  says: 'A device does not write memory that was mapped on /dev/iommu without WRITE, or copied there without; the memory stays as it was.',
  source: 'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA: writable from device',
  rule: ({ access }) => writes(access),
});

/** The IOMMU as a device meets it that is attached to an IO address space: where an access leads, or `undefined` when it is blocked. */
export const translateIoas = (
  law: Law,
  { pageSizeBytes }: Platform,
  ioas: Ioas,
  iova: bigint,
  access: 'read' | 'write',
): Translated | undefined => {
  const reaches = law.of(REACHES);
  const area = reaches.rule(ioas, iova);
  if (area === undefined || (access === 'write' && !law.of(WRITES).rule(area))) return undefined;
  const pinned = pinnedAt(area, iova - area.start, BigInt(pageSizeBytes));
  return pinned && { pages: pinned.store, page: pinned.page, clause: reaches };
};

export const COMPAT_REACHING_CLAUSES = [REACHES, WRITES];
