import { IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from '../../../uapi/iommufd.ts';
import { rule } from '../../clauses.ts';
import type { Translated } from '../../world/edu.ts';
import { pinnedAt } from '../held.ts';
import { ioasOf } from '../reserved.ts';
import type { Area, Context, Device } from '../state.ts';

/* What a device reaches that is bound by its own file. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP';

/** The mapping behind an IOVA. */
const REACHES = rule<(device: Device, iova: bigint) => Area | undefined>({
  id: 'cdev/reaches-mappings',
  level: 'must',
  says: 'A device reaches exactly what is mapped in the IO address space that it is attached to: nothing while it is not, and nothing any more after what took it away returned (unmapping, detaching, attaching to another).',
  source:
    'include/uapi/linux/vfio.h: VFIO_DEVICE_DETACH_IOMMUFD_PT: should be in a blocking DMA state; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_IOAS',
  rule: ({ table }, iova) => ioasOf(table)?.areas.containing(iova),
});

/** Whether a device may reach a mapping so. */
const NEEDS_ACCESS = rule<(area: Area, access: 'read' | 'write') => boolean>({
  id: 'cdev/dma-needs-access',
  level: 'must',
  says: 'A device reads what was mapped READABLE, and writes what was mapped WRITEABLE; memory that it may not write stays as it was, and what it may not read it does not see.',
  source: `${HEADER}: IOMMU_IOAS_MAP_READABLE: DMA is allowed to read from this mapping; IOMMU_IOAS_MAP_WRITEABLE`,
  rule: ({ access }, wanted) =>
    (access & (wanted === 'read' ? IOMMU_IOAS_MAP_READABLE : IOMMU_IOAS_MAP_WRITEABLE)) !== 0,
});

/** Where a page of a mapping is, by how far into the mapping it is in bytes. */
const KEEPS_PAGES = rule<(area: Area, within: bigint, pageSize: bigint) => Omit<Translated, 'clause'> | undefined>({
  id: 'cdev/keeps-pages',
  level: 'must',
  says: 'A device reaches the pages that stood at user_va when they were pinned, whatever becomes of user_va and of the process, and sees what is written there; a memfd need not be mapped at all.',
  source:
    'Documentation/userspace-api/iommufd.rst: struct iopt_pages; iopt_map_user_pages(): pin_user_pages(FOLL_LONGTERM)',
  rule: (area, within, pageSize) => {
    const pinned = pinnedAt(area, within, pageSize);
    return pinned && { pages: pinned.store, page: pinned.page };
  },
});

/** The IOMMU as a device that is bound meets it: where an access leads, or `undefined` when it is blocked. */
export const reach = (
  { law, platform }: Context,
  device: Device,
  iova: bigint,
  access: 'read' | 'write',
): Translated | undefined => {
  const clause = law.of(REACHES);
  const area = clause.rule(device, iova);
  if (area === undefined || !law.of(NEEDS_ACCESS).rule(area, access)) return undefined;
  const place = law.of(KEEPS_PAGES).rule(area, iova - area.start, BigInt(platform.pageSizeBytes));
  return place && { ...place, clause };
};

export const DMA_CLAUSES = [REACHES, NEEDS_ACCESS, KEEPS_PAGES];
