import type { Platform } from '../../program/platform.ts';
import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Translated } from '../world/edu.ts';
import type { Group, Mapping } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA';

/** The mapping behind an IOVA, for the devices of a group. */
export const REACHES_MAPPINGS = rule<(group: Group, iova: bigint) => Mapping | undefined>({
  id: 'device/reaches-mappings',
  level: 'must',
  says: 'The devices of all groups of a container reach exactly what is mapped in it, at the IOVA where it is mapped: nothing outside of mappings, and nothing any more after the unmapping returned.',
  source: `${HEADER}; Documentation/driver-api/vfio.rst: Groups, Devices, and IOMMUs`,
  rule: ({ container }, iova) => container?.iommu?.mappings.containing(iova),
});

/** Whether a device may write through a mapping. */
export const WRITE_NEEDS_WRITE = rule<(mapping: Mapping) => boolean>({
  id: 'device/write-needs-write',
  level: 'must',
  says: 'A device does not write memory that was mapped without WRITE; the memory stays as it was.',
  source: `${HEADER}: writable from device`,
  rule: ({ write }) => write,
});

/** IOMMUs that tell writing from reading; with others every mapping can be read. */
const WRITE_ONLY_HARDWARE: ReadonlySet<Platform['iommu']['kind']> = new Set(['intel', 'amd', 'virtio']);

/** Whether a device may read through a mapping. */
export const READ_NEEDS_READ = rule<(mapping: Mapping, platform: Platform) => boolean>({
  id: 'device/read-needs-read',
  level: 'should',
  says: 'A device does not read memory that was mapped without READ, where the IOMMU can grant the one without the other (second-stage tables of VT-d can).',
  source: `${HEADER}: readable from device; Intel VT-d specification, second-stage paging entries`,
  rule: ({ read }, { iommu }) => read || !WRITE_ONLY_HARDWARE.has(iommu.kind),
});

/** The page of a mapping that an IOVA lies in: pages were pinned when the mapping was made, and stay. */
export const PINNED_PAGES = rule<(mapping: Mapping, page: number) => Pick<Translated, 'pages' | 'page'> | undefined>({
  id: 'device/keeps-pages',
  level: 'must',
  says: 'Devices reach the pages that stood at vaddr when the mapping was made, whatever becomes of vaddr and of the process: unmapped there, given a new vaddr, or its process gone.',
  source:
    'vfio_pin_pages_remote(), drivers/vfio/vfio_iommu_type1.c; include/uapi/linux/vfio.h: DMA to already-mapped pages continues',
  rule: ({ runs }, page) => {
    let left = page;
    for (const { pages, first, count } of runs) {
      if (left < count) return { pages, page: first + left };
      left -= count;
    }
    return undefined;
  },
});

/** The IOMMU as a device of a group meets it: where an access leads, or `undefined` when it is blocked. */
export const translate = (
  law: Law,
  platform: Platform,
  group: Group,
  iova: bigint,
  access: 'read' | 'write',
): Translated | undefined => {
  const reaches = law.of(REACHES_MAPPINGS);
  const mapping = reaches.rule(group, iova);
  if (mapping === undefined) return undefined;
  const allowed =
    access === 'write' ? law.of(WRITE_NEEDS_WRITE).rule(mapping) : law.of(READ_NEEDS_READ).rule(mapping, platform);
  if (!allowed) return undefined;
  const page = law.of(PINNED_PAGES).rule(mapping, Number((iova - mapping.start) / BigInt(platform.pageSizeBytes)));
  return page === undefined ? undefined : { ...page, clause: reaches };
};

export const DEVICE_ACCESS_CLAUSES = [REACHES_MAPPINGS, WRITE_NEEDS_WRITE, READ_NEEDS_READ, PINNED_PAGES];
