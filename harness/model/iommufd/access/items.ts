import { rule } from '../../clauses.ts';
import type { Access, Area, Ioas } from '../state.ts';

/* What accesses pinned, and when they let go of it. */

/** Has an access let go of what lies, if only partly, in [start, end). */
export const letGo = ({ items }: Access, { start, end }: Pick<Area, 'start' | 'end'>): void => {
  const left = items.filter((item) => item.end <= start || end <= item.start);
  items.splice(0, items.length, ...left);
};

/** What becomes of pins when a mapping goes. */
export const LETS_GO = rule<(ioas: Ioas, area: Area) => void>({
  id: 'access/unmap-lets-go',
  level: 'must',
  says: 'Unmapping what accesses have pinned succeeds: each is told, lets go of all that it pinned with any of it, also where that reaches into other mappings, and keeps the rest.',
  source:
    'iommufd_access_notify_unmap(), drivers/iommu/iommufd/device.c: After this function returns there should be no users attached to the pages; iommufd_test_access_unmap(), drivers/iommu/iommufd/selftest.c',
  rule: ({ accesses }, area) => {
    for (const access of accesses) letGo(access, area);
  },
});
