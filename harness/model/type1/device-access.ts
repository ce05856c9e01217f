import type { Platform } from '../../program/platform.ts';
import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Run } from '../world/address-space.ts';
import type { Translated } from '../world/edu.ts';
import type { Group, Mapping } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA';

/** The mapping behind an IOVA, for the devices of a group. */
const REACHES_MAPPINGS = rule<(group: Group, iova: bigint) => Mapping | undefined>({
  id: 'device/reaches-mappings',
  level: 'must',
  says: 'The devices of all groups of a container reach exactly what is mapped in it, at the IOVA where it is mapped: nothing outside of mappings, and nothing any more after the unmapping returned.',
  source: `${HEADER}; Documentation/driver-api/vfio.rst: Groups, Devices, and IOMMUs`,
  rule: ({ container }, iova) => container?.iommu?.mappings.containing(iova),
});

/** Whether a device may write through a mapping. */
const WRITE_NEEDS_WRITE = rule<(mapping: Mapping) => boolean>({
  id: 'device/write-needs-write',
  level: 'must',
  says: 'A device does not write memory that was mapped without WRITE; the memory stays as it was.',
  source: `${HEADER}: writable from device`,
  rule: ({ write }) => write,
});

/** IOMMUs whose driver grants writing without reading. That of VT-d makes every mapping readable (__domain_mapping(), drivers/iommu/intel/iommu.c), and so do the others. */
const WRITE_ONLY_HARDWARE: ReadonlySet<Platform['iommu']['kind']> = new Set(['amd', 'virtio']);

/** Whether a device may read through a mapping. */
export const READ_NEEDS_READ = rule<(mapping: Mapping, platform: Platform) => boolean>({
  id: 'device/read-needs-read',
  level: 'should',
  says: 'A device does not read memory that was mapped without READ, where the IOMMU grants the one without the other (AMD and virtio do; with VT-d every mapping can be read).',
  source: `${HEADER}: readable from device; __domain_mapping(), drivers/iommu/intel/iommu.c`,
  rule: ({ read }, { iommu }) => read || !WRITE_ONLY_HARDWARE.has(iommu.kind),
});

/** Where a page of a run is: in the memory that was pinned, which stays where it was. */
type Place = Pick<Translated, 'pages' | 'page'>;

/** The page of a mapping that is so many pages behind its start. */
const PINNED_PAGES = rule<(mapping: Mapping, page: number) => { readonly run: Run; readonly page: number } | undefined>(
  {
    id: 'device/keeps-pages',
    level: 'must',
    says: 'Devices reach the pages that stood at vaddr when the mapping was made, whatever becomes of vaddr and of the process: unmapped there, given a new vaddr, or its process gone.',
    source:
      'vfio_pin_pages_remote(), drivers/vfio/vfio_iommu_type1.c; include/uapi/linux/vfio.h: DMA to already-mapped pages continues',
    rule: ({ runs }, page) => {
      let left = page;
      for (const run of runs) {
        if (left < run.count) return { run, page: run.first + left };
        left -= run.count;
      }
      return undefined;
    },
  },
);

/** Where a device finds the content of a page that was pinned; `page` is its index among the run's pages. */
const SEES_WRITES = rule<(run: Run, page: number) => Place>({
  id: 'device/sees-later-writes',
  level: 'must',
  says: 'A device reads what the process has at vaddr, also what it wrote there after the mapping was made, and also into private memory that nobody had written before.',
  source: `${HEADER}: Map process virtual addresses to IO virtual addresses`,
  rule: (run, page) => {
    // For memory that was mapped for reading only, before anybody wrote it, the page of zeros is pinned; the process's own pages stand under the same indexes.
    const store = run.kind === 'zero' ? run.object?.storeAt(page).store : undefined;
    return { pages: store ?? run.pages, page };
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
  const pinned = law.of(PINNED_PAGES).rule(mapping, Number((iova - mapping.start) / BigInt(platform.pageSizeBytes)));
  return pinned && { ...law.of(SEES_WRITES).rule(pinned.run, pinned.page), clause: reaches };
};

export const DEVICE_ACCESS_CLAUSES = [REACHES_MAPPINGS, WRITE_NEEDS_WRITE, READ_NEEDS_READ, PINNED_PAGES, SEES_WRITES];
