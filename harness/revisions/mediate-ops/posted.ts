import {
  BALANCED,
  DECLARED,
  HANDLE,
  HAS_RELEASE,
  HOLDS_MODULE,
  IN_USE,
  INDEPENDENT,
  POSTED,
  REGISTERED_ONCE,
  REGISTERS,
  UNREGISTERS,
  UNREGISTERS_KNOWN,
} from '../../model/mediate-ops/clauses.ts';
import { MAPPING_CHECKED } from '../../model/mediate-ops/hooks.ts';
import { lastDecline, offer } from '../../model/mediate-ops/opening.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { DECLINED, MEDIATE_OPS_CLAUSES } from './shared.ts';

const order: typeof REGISTERS = {
  ...REGISTERS,
  says: 'The mediator that was registered last is asked first, and the first one that takes a device has it.',
  source: `${POSTED}: list_add() in vfio_pci_register_mediate_ops()`,
  rule: (list, one) => [one, ...list],
};

const registeredOnce: typeof REGISTERED_ONCE = {
  ...REGISTERED_ONCE,
  says: 'A mediator can be registered any number of times, and is in the list as often.',
  source: `${POSTED}: vfio_pci_register_mediate_ops()`,
  rule: () => undefined,
};

const releaseHook: typeof HAS_RELEASE = {
  ...HAS_RELEASE,
  says: 'A mediator need not have a release hook; one without keeps its device when it is closed.',
  source: `${POSTED}: "if (vdev->mediate_ops && vdev->mediate_ops->release)" in vfio_pci_release()`,
  rule: () => undefined,
};

const unregister: typeof UNREGISTERS = {
  ...UNREGISTERS,
  says: 'Unregistering takes one off the count of each entry of a mediator, and only an entry whose count is 0 then is in the list no more.',
  source: `${POSTED}: vfio_pci_unregister_mediate_ops()`,
  rule: (list, mediator) => {
    const mine = list.filter((one) => one.mediator === mediator);
    for (const one of mine) one.devices--;
    return list.filter((one) => one.mediator !== mediator || one.devices !== 0);
  },
};

const unknown: typeof UNREGISTERS_KNOWN = {
  ...UNREGISTERS_KNOWN,
  says: 'Unregistering has no result, be the mediator registered or not.',
  source: `${POSTED}: void vfio_pci_unregister_mediate_ops()`,
  rule: () => undefined,
};

const inUse: typeof IN_USE = {
  ...IN_USE,
  says: 'A mediator that has an open device can be unregistered, and goes on to be called.',
  source: `${POSTED}: void vfio_pci_unregister_mediate_ops()`,
  rule: () => undefined,
};

const balanced: typeof BALANCED = {
  ...BALANCED,
  says: 'The count of a mediator goes up when a device is opened and stays when it is released.',
  source: `${POSTED}: mentry->refcnt++ in vfio_pci_open(), and nothing in vfio_pci_release()`,
  rule: () => undefined,
};

const handle: typeof HANDLE = {
  ...HANDLE,
  says: 'A handle has 32 bits, without a sign when it is given and with one when a hook is given it.',
  source: `${POSTED}: u32 *handle of open(), int handle of all other hooks`,
  rule: (given) => BigInt.asUintN(64, BigInt.asIntN(32, given)),
};

const declared: typeof DECLARED = {
  ...DECLARED,
  says: 'Hooks are called for every region.',
  source: `${POSTED}: struct vfio_pci_mediate_ops`,
  rule: () => true,
};

const held: typeof HOLDS_MODULE = {
  ...HOLDS_MODULE,
  says: "Nothing holds a mediator's module; that is left to the mediator.",
  source: `${POSTED}: struct vfio_pci_mediate_ops, which does not tell whose it is`,
  rule: 0,
};

const dependency: typeof INDEPENDENT = {
  ...INDEPENDENT,
  says: 'The module of a mediator keeps vfio-pci, whose functions it calls, from being unloaded.',
  source: `${POSTED}: EXPORT_SYMBOL(vfio_pci_register_mediate_ops) in vfio_pci.c`,
  rule: 1,
};

const mappingChecked: typeof MAPPING_CHECKED = {
  ...MAPPING_CHECKED,
  says: 'A mediator is asked about a mapping before anything of it is checked.',
  source: `${POSTED}: vfio_pci_mmap()`,
  rule: () => true,
};

const declined: typeof DECLINED = {
  ...DECLINED,
  says: 'Opening a device that no mediator takes fails with the errno of the one that was asked last, if there is any.',
  source: `${POSTED}: ret of mediate_ops->open() is that of vfio_pci_open()`,
  when: (call) => lastDecline(call) !== undefined,
  errno: lastDecline,
  leaves: ({ vfio, device }) => {
    if (device !== undefined) offer(vfio, device);
  },
};

/** Mediators as they were posted, flaws included. */
export const MEDIATE_OPS_POSTED: Revision = {
  id: 'mediate-ops/posted',
  base: LINUX_6_1,
  summary: 'drivers that mediate access to vfio-pci devices, as posted in December 2019',
  clauses: {
    ...byId(...MEDIATE_OPS_CLAUSES),
    ...byId(
      ...[order, registeredOnce, releaseHook, unregister, unknown, inUse, balanced],
      ...[handle, declared, held, dependency, mappingChecked, declined],
    ),
  },
};
