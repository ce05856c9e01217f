import { rule } from '../../clauses.ts';
import { settle } from '../pinned.ts';
import type { Access, Area, Context, Ioas, Pinned } from '../state.ts';

/* What accesses pinned, and when they let go of it. */

type Range = Pick<Area, 'start' | 'end'>;

/** Whether two ranges have anything in common. */
export const meets = (one: Range, other: Range): boolean => one.start < other.end && other.start < one.end;

/** Takes what lies, if only partly, in [start, end) from what is pinned. */
export const letGo = (items: Pinned[], range: Range): void => {
  const left = items.filter((item) => !meets(item, range));
  items.splice(0, items.length, ...left);
};

/** Whether any access has pinned anything of a mapping. */
export const isPinned = ({ accesses }: Ioas, area: Range): boolean =>
  [...accesses].some(({ items }) => items.some((item) => meets(item, area)));

/** What becomes of pins when a mapping goes. */
export const LETS_GO = rule<(ioas: Ioas, area: Area) => void>({
  id: 'access/unmap-lets-go',
  level: 'must',
  says: 'Unmapping what an access has pinned succeeds: all accesses are told, and let go of all that they pinned with any of it, also where that reaches into other mappings, and keep the rest. Of a mapping without pins nobody is told.',
  source:
    'iommufd_access_notify_unmap(), drivers/iommu/iommufd/device.c: After this function returns there should be no users attached to the pages; iopt_unmap_iova_range(), drivers/iommu/iommufd/io_pagetable.c',
  rule: (ioas, area) => {
    if (!isPinned(ioas, area)) return;
    for (const access of ioas.accesses) access.told(area);
  },
});

/** What an access is told ends when it leaves an IO address space: the last byte there is not. */
const EVERYTHING = { start: 0n, end: (1n << 64n) - 1n };

/** Attaches an access to an IO address space in place of the one that it has, or to none. */
export const moveAccess = (context: Context, access: Access, ioas: Ioas | undefined): void => {
  const before = access.ioas;
  if (before === ioas) return;
  ioas?.accesses.add(access);
  if (before !== undefined) access.told(EVERYTHING);
  before?.accesses.delete(access);
  access.ioas = ioas;
  settle(context);
};
