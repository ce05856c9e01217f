import { type Holds, type Objection, type Refusal, refusing, rule } from '../../clauses.ts';
import { GET_DEVICE, type GetDeviceCall } from '../../type1/device-open.ts';
import type { Emulated } from '../../type1/emulated-state.ts';
import type { SetContainerCall } from '../../type1/group-container.ts';
import { hasIommu, smallestPage, type Vfio, type Device as VfioDevice } from '../../type1/state.ts';
import { emulatedAccess, memoryOfAccess } from '../access/emulated.ts';
import { moveAccess } from '../access/items.ts';
import { hardwareOf, hardwareTable, isHardware } from '../cdev/hardware.ts';
import { newId } from '../ids.ts';
import { outOfReach, overLimit } from '../pinned.ts';
import { isUsable } from '../reserved.ts';
import { alignmentOf, type Context, type Device, type Ioas, newDevice, newIoas, type PageTable } from '../state.ts';
import { isNew, misaligned, move, tableFor } from '../tables.ts';
import { translateIoas } from './reaching.ts';
import { compatIoasOf, ioasOf } from './state.ts';

/* Groups that are given /dev/iommu in place of a container, and their devices. */

const DEVICE = 'drivers/iommu/iommufd/device.c';
const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

/** The IO address space that a group gets. */
const JOINS = rule<(context: Context) => Ioas>({
  id: 'compat/group-ioas',
  level: 'must',
  says: 'A group that is given /dev/iommu gets the IO address space that VFIO_IOAS tells, or, where there is none, a new one, which VFIO_IOAS tells then; its devices come to that one, whatever VFIO_IOAS sets or clears later.',
  source:
    'include/uapi/linux/iommufd.h: IOMMU_VFIO_IOAS: From then on VFIO will continue to use that ioas and is not effected by this ioctl',
  rule: (context) => {
    const known = compatIoasOf(context);
    if (known !== undefined) return known.ioas;
    const ioas = newIoas();
    context.objects.set(newId(context), ioas);
    context.compat.ioas = ioas;
    return ioas;
  },
});

/** The group of an iommufd takes the IO address space that is there, or makes one. */
export const joinIommufd = ({ vfio, group, target }: SetContainerCall): void => {
  if (target.kind !== 'iommufd') return;
  const { context } = target;
  const ioas = vfio.law.of(JOINS).rule(context);
  group.iommufd = { context, ioas };
  context.compat.groups.add(group);
};

/** What the first opening of a device attaches to what. */
interface Opening {
  readonly context: Context;
  readonly ioas: Ioas;
  /** The device as an object of the context. */
  readonly object: Device;
  readonly table: PageTable;
}

/** The IO address space that the first opening of a device would attach it to. */
export const targetOf = ({ group, device }: GetDeviceCall): Ioas | undefined =>
  device === undefined || device.opened > 0 || group.iommufd === undefined ? undefined : ioasOf(group.iommufd);

const openingOf = (call: GetDeviceCall): Opening | undefined => {
  const { vfio, group, device } = call;
  const ioas = targetOf(call);
  if (ioas === undefined || device === undefined || group.iommufd === undefined || !hasIommu(group)) return undefined;
  return {
    context: group.iommufd.context,
    ioas,
    object: newDevice(hardwareOf({ device, group })),
    table: tableFor(ioas, hardwareTable(vfio.platform, ioas, { automatic: true })),
  };
};

/** Attaches a device that is opened first. */
const attach = ({ law, platform }: Vfio, { context, ioas, object, table }: Opening, device: VfioDevice): void => {
  const id = newId(context);
  context.others.set(id, object);
  move(context, object, table);
  device.reach = (iova, access) => translateIoas(law, platform, ioas, iova, access);
  device.detach = () => {
    device.reach = undefined;
    device.detach = undefined;
    context.others.delete(id);
    move(context, object, undefined);
  };
};

/** Gives a device without an IOMMU that is opened first its access. */
const attachEmulated = (context: Context, ioas: Ioas, device: VfioDevice, emulated: Emulated): void => {
  const id = newId(context);
  const access = emulatedAccess(context, emulated);
  context.others.set(id, access);
  moveAccess(context, access, ioas);
  device.memory = memoryOfAccess(context, access, emulated);
  device.detach = () => {
    device.memory = undefined;
    device.detach = undefined;
    context.others.delete(id);
    moveAccess(context, access, undefined);
  };
};

/** What GET_DEVICE_FD does beside opening the device: called before the device counts as open. */
export const attachAtOpening = (call: GetDeviceCall): (() => void) => {
  const { vfio, device, group } = call;
  const opening = openingOf(call);
  const ioas = targetOf(call);
  return () => {
    if (device === undefined) return;
    if (opening !== undefined) attach(vfio, opening, device);
    const context = group.iommufd?.context;
    if (device.emulated !== undefined && ioas !== undefined && context !== undefined)
      attachEmulated(context, ioas, device, device.emulated);
  };
};

/** Whether a device would be beside a mock device, with which it can share nothing. */
export const isBesideMock = (call: GetDeviceCall): boolean =>
  hasIommu(call.group) &&
  [...(targetOf(call)?.tables ?? [])].some((table) => table.automatic && !isHardware(call.vfio.platform, table));

/** The stage of GET_DEVICE_FD in which a device is attached. */
export const ATTACH_STAGE = 'attach';

const refuses = (stated: Omit<Refusal<GetDeviceCall>, 'stage'>): Objection<GetDeviceCall> =>
  refusing(GET_DEVICE)({ stage: ATTACH_STAGE, ...stated });

/** Looks at what is mapped where a device would be attached for the first time. */
const atFirst = (call: GetDeviceCall, look: (opening: Opening) => Holds): Holds => {
  const opening = openingOf(call);
  return opening !== undefined && look(opening);
};

/** Whether anything is mapped of which a device without an IOMMU could not pin whole pages. */
const isTooFine = (call: GetDeviceCall): boolean => {
  const ioas = targetOf(call);
  const { context } = call.group.iommufd ?? {};
  const emulated = call.device?.emulated;
  if (ioas === undefined || context === undefined || emulated === undefined) return false;
  return misaligned(context, ioas, { accesses: [emulatedAccess(context, emulated)] });
};

/** Whether something is mapped, or to be chosen from, that a device and its page table do not reach. */
const outside = ({ ioas, object, table }: Opening): boolean => {
  const joined = {
    ...ioas,
    tables: new Set([...ioas.tables, table]),
    reserved: new Map([...ioas.reserved, [object, object.hardware?.group.reserved ?? []]]),
  };
  const mapped = [...ioas.areas].map(({ start, end }) => ({ start, end: end - 1n }));
  return [...mapped, ...ioas.allowed].some((range) => !isUsable(joined, range));
};

const OBJECTIONS = [
  refuses({
    id: 'compat/open-without-ioas',
    says: 'A device of a group that was given /dev/iommu is refused with ENODEV once its IO address space was destroyed.',
    source: `iommufd_vfio_compat_ioas_get_id(), drivers/iommu/iommufd/vfio_compat.c`,
    errnos: ['ENODEV'],
    when: (call) => call.group.iommufd !== undefined && call.device?.opened === 0 && targetOf(call) === undefined,
  }),
  refuses({
    id: 'compat/open-unsafe-interrupts',
    says: 'A device of a group that was given /dev/iommu is refused with EPERM where devices could forge interrupts, unless the administrator allowed that.',
    source: `iommufd_device_bind(), ${DEVICE}`,
    errnos: ['EPERM'],
    when: (call) => targetOf(call) !== undefined && hasIommu(call.group) && !call.vfio.platform.iommu.isolatesMsi,
  }),
  refuses({
    id: 'compat/open-mapped-outside',
    says: 'A device is refused with EADDRINUSE while anything is mapped in its IO address space, or set by IOAS_ALLOW_IOVAS, that it cannot reach: beyond what its IOMMU translates, or in a reserved region.',
    source: `iopt_reserve_iova(), ${PAGETABLE}`,
    errnos: ['EADDRINUSE'],
    when: (call) => atFirst(call, outside),
  }),
  refuses({
    id: 'compat/open-unaligned',
    says: 'A device is refused with EADDRINUSE while an area is mapped in its IO address space whose IOVA, length or memory is no multiple of the smallest page of its IOMMU, or of the processor when it has none.',
    source: `iopt_check_iova_alignment(), ${PAGETABLE}`,
    errnos: ['EADDRINUSE'],
    when: (call) =>
      isTooFine(call) ||
      atFirst(call, ({ ioas, context: { platform } }) => {
        const page = smallestPage(platform);
        if (alignmentOf(ioas, platform) >= page) return false;
        return [...ioas.areas].some(({ start, end, pages, from }) =>
          [start, end, pages.vaddr + from].some((number) => number % page !== 0n),
        );
      }),
  }),
  refuses({
    id: 'compat/open-no-memory',
    says: 'A device is refused with EFAULT while any page of what is mapped in its IO address space cannot be pinned, and nothing stays pinned or charged for it.',
    source: `iopt_fill_domain(), ${PAGETABLE}`,
    errnos: ['EFAULT'],
    when: (call) => atFirst(call, ({ ioas, context, table }) => isNew(table) && outOfReach(context, [...ioas.areas])),
  }),
  refuses({
    id: 'compat/open-over-limit',
    says: 'A device is refused with ENOMEM while more is mapped in its IO address space than whom it is charged to may lock, and nothing stays pinned or charged for it.',
    source: `iopt_fill_domain(), ${PAGETABLE}`,
    errnos: ['ENOMEM'],
    when: (call) =>
      atFirst(call, ({ ioas, context, table }) => (isNew(table) ? overLimit(context, [...ioas.areas]) : false)),
  }),
];

export const COMPAT_GROUP_CLAUSES = [JOINS, ...OBJECTIONS];
