import { settle } from '../pinned.ts';
import type { Context } from '../state.ts';
import type { Seat } from './state.ts';

/* How long an opening of /dev/iommu lasts that groups were given. */

const end = (context: Context): void => {
  context.objects.clear();
  settle(context);
};

/** Takes a group from the iommufd that it was given; what is mapped there stays. */
export const leaveIommufd = (group: { iommufd: Seat | undefined }): void => {
  const context = group.iommufd?.context;
  if (context === undefined) return;
  group.iommufd = undefined;
  context.compat.groups.delete(group);
  if (context.compat.closed && context.compat.groups.size === 0) end(context);
};

/** Its last descriptor was closed. */
export const closeIommufd = (context: Context): void => {
  context.compat.closed = true;
  if (context.compat.groups.size === 0) end(context);
};
