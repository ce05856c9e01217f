/*
 * Which mediators there are, and who gets a device: as the review left it. The posted form states the same ids otherwise
 * (revisions/mediate-ops/posted.ts).
 */
import type { Errno } from '../../uapi/errno.ts';
import { rule, silence } from '../clauses.ts';
import type { Mediator, Registration } from './state.ts';

const SERIES = 'vfio/pci: introduce mediate ops to intercept vfio-pci ops';
/** Where the posted form stands. */
export const POSTED = `Yan Zhao, [RFC PATCH 1/9] ${SERIES}, 4 December 2019`;
/** The review, and the author's answer to it. */
export const REVIEWED = `Alex Williamson, re [RFC PATCH 1/9] ${SERIES}, 5 December 2019`;
export const ANSWERED = `Yan Zhao, re [RFC PATCH 1/9] ${SERIES}, 6 December 2019`;
const MODULES = `${REVIEWED}: "I don't think the module interactions are well thought out here"`;

/** What is refused to a mediator, if it is. */
type Refuses<S> = (situation: S) => Errno | undefined;

/** Whether there are mediators at all. */
export const MEDIATORS = rule<boolean>({
  id: 'mediate-ops/register',
  level: 'must',
  says: 'A driver can register as a mediator of the devices that vfio-pci has open, and unregister.',
  source: `${POSTED}: "Vendor driver register its vfio_pci_mediate_ops to vfio-pci driver"`,
  rule: true,
});

export const REGISTERS = rule<(list: readonly Registration[], one: Registration) => readonly Registration[]>({
  id: 'mediate-ops/order',
  level: 'must',
  says: 'Mediators are asked in the order in which they were registered, and the first one that takes a device has it.',
  source: `${POSTED}: "if multiple vendor drivers support mediating a device through vfio_pci_mediate_ops, only one will win, depending on their registering sequence"`,
  rule: (list, one) => [...list, one],
});

export const REGISTERED_ONCE = rule<Refuses<boolean>>({
  id: 'mediate-ops/registered-once',
  level: 'must',
  says: 'A mediator that is registered is not registered again: EEXIST.',
  source: `${REVIEWED}: "Check for duplicates?"`,
  rule: (registered) => (registered ? 'EEXIST' : undefined),
});

export const HAS_RELEASE = rule<Refuses<boolean>>({
  id: 'mediate-ops/release-hook',
  level: 'must',
  says: 'A mediator without a release hook, which could never give back what it took, is refused with EINVAL.',
  source: `${POSTED}: "When vfio-pci closes a device, vfio_pci_release() chains into vfio_pci_mediate_ops->release() to close the reference in vendor driver"`,
  rule: (hasRelease) => (hasRelease ? undefined : 'EINVAL'),
});

export const UNREGISTERS = rule<(list: readonly Registration[], mediator: Mediator) => readonly Registration[]>({
  id: 'mediate-ops/unregister',
  level: 'must',
  says: 'A mediator that was unregistered is asked no more, however often it was opened before.',
  source: `${REVIEWED}, of the count that is taken down there: "Whose reference is this removing?"`,
  rule: (list, mediator) => list.filter((one) => one.mediator !== mediator),
});

export const UNREGISTERS_KNOWN = rule<Refuses<boolean>>({
  id: 'mediate-ops/unregister-unknown',
  level: 'must',
  says: 'Unregistering a mediator that is not registered is refused with ENOENT.',
  source: `${REVIEWED}, of unregistering without a result: "This is bad"`,
  rule: (registered) => (registered ? undefined : 'ENOENT'),
});

export const IN_USE = rule<Refuses<number>>({
  id: 'mediate-ops/in-use',
  level: 'must',
  says: 'A mediator that has an open device is not unregistered: EBUSY.',
  source: `${REVIEWED}: "Otherwise we enter a very bad state here and it's trivially accessible by an admin remove the module while in use"`,
  rule: (devices) => (devices > 0 ? 'EBUSY' : undefined),
});

export const BALANCED = rule<(registration: Registration) => void>({
  id: 'mediate-ops/balanced-counts',
  level: 'must',
  says: 'The count of devices that a mediator has goes up when one is opened and down when it is released.',
  source: `${ANSWERED}: "in this RFC, I missed a mentry->refcnt-- after calling mediate_ops->release()"`,
  rule: (registration) => {
    registration.devices--;
  },
});

/** Whether an opening of a device asks for a mediator. */
export const OPENS_ONCE = rule<(openedBefore: number) => boolean>({
  id: 'mediate-ops/open-once',
  level: 'must',
  says: 'A mediator is opened when the first file of a device is, and released when the last one is closed.',
  source: `${POSTED}: vfio_pci_open() and vfio_pci_release(), inside "if (!vdev->refcnt)" and "if (!(--vdev->refcnt))"`,
  rule: (openedBefore) => openedBefore === 0,
});

/** The handle that hooks are given, of the one that the mediator gave. */
export const HANDLE = rule<(given: bigint) => bigint>({
  id: 'mediate-ops/handle',
  level: 'must',
  says: 'A hook is given the handle that the mediator gave when the device was opened, which is wide enough for a pointer.',
  source: `${REVIEWED}: "Wouldn't it seem likely that the ops provider might use this handle as a pointer, so we'd want it to be an opaque void*?"`,
  rule: (given) => given,
});

/** Whether the hooks are called for a region, of those that were declared. */
export const DECLARED = rule<(regions: bigint, region: number) => boolean>({
  id: 'mediate-ops/declared-regions',
  level: 'must',
  says: 'Hooks are called for the regions that the mediator declared when the device was opened, and for no others.',
  source: `${REVIEWED}: "Do we really want to call into ops for every rw or mmap, have the vendor code decode a region, and maybe or maybe not have it handle it?"; ${ANSWERED}: "only call into those non-null hooks"`,
  rule: (regions, region) => ((regions >> BigInt(region)) & 1n) === 1n,
});

/** How many references to a mediator's module are held for each device that it has. */
export const HOLDS_MODULE = rule<number>({
  id: 'mediate-ops/module-held',
  level: 'must',
  says: "A mediator's module is held from before it is opened until after it is released.",
  source: `${REVIEWED}: "we should hold a reference to the module providing these ops for each use of it such that the module cannot be removed while it's in use"`,
  rule: 1,
});

/** Whether the module of a mediator can be unloaded under an open device. */
export const STAYS_LOADED = rule<() => boolean>({
  id: 'mediate-ops/stays-loaded',
  level: 'must',
  says: "Unloading a mediator's module while a device that it mediates is open is refused with EAGAIN, instead of freeing what is in use.",
  source: `${REVIEWED}: "such that the module cannot be removed while it's in use"; ${MODULES}`,
  rule: () => true,
});

/** How many references to vfio-pci mediators hold. */
export const INDEPENDENT = rule<number>({
  id: 'mediate-ops/no-dependency',
  level: 'must',
  says: 'Mediators do not keep vfio-pci from being unloaded.',
  source: `${REVIEWED}: "do you really want i40e to have build and runtime dependencies on vfio-pci? I don't think so."; ${MODULES}`,
  rule: 0,
});

/** What opening a device must not print. In force where the review is settled. */
export const QUIET = silence({
  id: 'mediate-ops/quiet',
  level: 'must',
  says: 'Nothing that a user does with a mediated device is printed to the kernel log.',
  source: `${REVIEWED}: "Generally not advisable to make user accessible printks."`,
  heard: (line) => /;vfio_pci: mediator /.test(line),
});

/** What is said about mediators alone; what is said about calls on a device stands beside them. */
export const MEDIATOR_CLAUSES = [
  MEDIATORS,
  REGISTERS,
  REGISTERED_ONCE,
  HAS_RELEASE,
  UNREGISTERS,
  UNREGISTERS_KNOWN,
  IN_USE,
  BALANCED,
  OPENS_ONCE,
  HANDLE,
  DECLARED,
  HOLDS_MODULE,
  INDEPENDENT,
];
