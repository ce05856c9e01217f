import { rule } from '../../clauses.ts';
import { settle } from '../pinned.ts';
import type { Context, Device, Other } from '../state.ts';
import type { VirtualDevice } from './state.ts';

/* What the end of objects does to the virtual IOMMU that they belong to. */

/** Takes an object that ends out of what it is part of. */
export const leaveViommu = (context: Context, object: Other): void => {
  switch (object.kind) {
    case 'virtual IOMMU':
      object.parent.users--;
      return;
    case 'virtual device':
      object.viommu.devices.delete(object);
      object.viommu.users--;
      object.device.virtual = undefined;
      return;
    case 'event queue':
      object.viommu.eventQueues.delete(object);
      object.viommu.users--;
      return;
    case 'hardware queue':
      for (const [id, one] of context.others) {
        if (one.kind !== 'access' || one.queue !== object) continue;
        context.others.delete(id);
        object.ioas.accesses.delete(one);
      }
      settle(context);
      object.viommu.queues.delete(object.index);
      object.viommu.users--;
      if (object.before !== undefined) object.before.users--;
      return;
    default:
  }
};

/** What becomes of the virtual device of a device that is gone. */
const GOES_WITH_DEVICE = rule<(context: Context, id: number, virtual: VirtualDevice) => void>({
  id: 'vdevice/goes-with-device',
  level: 'must',
  says: 'A device that goes takes its virtual device with it, whose id then names nothing and is not given again until the context is closed.',
  source:
    'include/uapi/linux/iommufd.h: IOMMU_VDEVICE_ALLOC: the virtual device would be forcibly destroyed on physical device destruction, its vdevice_id would be permanently leaked (unremovable & unreusable) until iommu fd closed',
  rule: (context, id, virtual) => {
    leaveViommu(context, virtual);
    context.others.delete(id);
    context.spent.add(id);
  },
});

/** Ends the virtual device of a device that goes. */
export const endVirtual = (context: Context, { virtual }: Device): void => {
  if (virtual === undefined) return;
  const id = [...context.others].find(([, one]) => one === virtual)?.[0];
  if (id !== undefined) context.law.of(GOES_WITH_DEVICE).rule(context, id, virtual);
};

export const VIOMMU_ENDING_CLAUSES = [GOES_WITH_DEVICE];
