import { settle } from '../pinned.ts';
import type { Context, Other } from '../state.ts';
import type { Seat } from './state.ts';

/* How long an opening of /dev/iommu lasts that groups were given. */

/** A queue's hold on its memory ends with the context; what a driver has does not. */
const hasFile = (object: Other): boolean => object.kind === 'access' && object.queue === undefined;

/** Ends a context once nobody has it any more: no descriptor, no group, no access. */
export const endIfLeft = (context: Context): void => {
  const { compat, objects, others } = context;
  if (!compat.closed || compat.groups.size > 0 || [...others.values()].some(hasFile)) return;
  objects.clear();
  settle(context);
};

/** Takes a group from the iommufd that it was given; what is mapped there stays. */
export const leaveIommufd = (group: { iommufd: Seat | undefined }): void => {
  const context = group.iommufd?.context;
  if (context === undefined) return;
  group.iommufd = undefined;
  context.compat.groups.delete(group);
  endIfLeft(context);
};

/** Its last descriptor was closed. */
export const closeIommufd = (context: Context): void => {
  context.compat.closed = true;
  endIfLeft(context);
};
