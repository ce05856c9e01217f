import { type Holds, type Objection, objection, rule } from '../../clauses.ts';
import { GET_DEVICE, type GetDeviceCall } from '../../type1/device-open.ts';
import type { SetContainerCall } from '../../type1/group-container.ts';
import { VALID_RANGES } from '../../type1/iova-ranges.ts';
import { type Device, type Group, smallestPage, type Vfio } from '../../type1/state.ts';
import { NEXT_ID } from '../objects.ts';
import { outOfReach, overLimit, settle } from '../pinned.ts';
import { type Attached, alignmentOf, type Context, type Ioas, newIoas } from '../state.ts';
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
    context.objects.set(context.law.of(NEXT_ID).rule(context), ioas);
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

/** The IO address space that the first opening of a device would attach it to. */
export const targetOf = ({ group, device }: GetDeviceCall): Ioas | undefined =>
  device === undefined || device.opened > 0 || group.iommufd === undefined ? undefined : ioasOf(group.iommufd);

/** What hardware translates, when a group's devices come to an IO address space. */
const reachOf = ({ law, platform }: Vfio, groups: readonly Group[]): NonNullable<Attached['reach']> => ({
  ranges: law.of(VALID_RANGES).rule(
    platform.iommu.aperture,
    groups.flatMap((group) => group.platform.reserved),
  ),
  page: smallestPage(platform),
});

/** The groups that have a device at an IO address space. */
const groupsAt = ({ groups }: Vfio, ioas: Ioas): readonly Group[] =>
  groups.filter(({ devices }) => devices.some(({ attachment }) => attachment?.ioas === ioas));

/** Attaches a device that is opened first. */
const attach = (vfio: Vfio, context: Context, device: Device, ioas: Ioas): void => {
  const { law } = vfio;
  const next = (): number => law.of(NEXT_ID).rule(context);
  const own = next();
  context.others.set(own, { kind: 'device', ioas, parts: [] });
  if (ioas.attached === undefined) {
    const table = next();
    context.others.set(table, { kind: 'page table', ioas, parts: [] });
    ioas.attached = { table, devices: 0 };
  }
  ioas.attached.devices++;
  const reach = (): void => {
    if (ioas.attached !== undefined) ioas.attached.reach = reachOf(vfio, groupsAt(vfio, ioas));
  };
  const end = (): void => {
    device.attachment = undefined;
    context.others.delete(own);
    detach(context, ioas);
    reach();
  };
  device.attachment = { ioas, end };
  reach();
  settle(context);
};

const detach = (context: Context, ioas: Ioas): void => {
  const { attached } = ioas;
  if (attached === undefined) return;
  attached.devices--;
  if (attached.devices > 0) return;
  context.others.delete(attached.table);
  ioas.attached = undefined;
  settle(context);
};

/** What GET_DEVICE_FD does beside opening the device: called before the device counts as open. */
export const attachAtOpening = (call: GetDeviceCall): (() => void) => {
  const ioas = targetOf(call);
  const { vfio, group, device } = call;
  if (ioas === undefined || device === undefined || group.iommufd === undefined) return () => undefined;
  const { context } = group.iommufd;
  return () => attach(vfio, context, device, ioas);
};

/** The stage of GET_DEVICE_FD in which a device is attached. */
export const ATTACH_STAGE = 'attach';

type Stated = Omit<Objection<GetDeviceCall>, 'kind' | 'to' | 'level' | 'stage'>;
const refuses = (stated: Stated): Objection<GetDeviceCall> =>
  objection(GET_DEVICE, { level: 'must', stage: ATTACH_STAGE, ...stated });

/** Looks at what is mapped where a device would be attached for the first time. */
const atFirst = (call: GetDeviceCall, look: (ioas: Ioas, context: Context) => Holds): Holds => {
  const ioas = targetOf(call);
  const context = call.group.iommufd?.context;
  return ioas !== undefined && context !== undefined && look(ioas, context);
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
    when: (call) => targetOf(call) !== undefined && !call.vfio.platform.iommu.isolatesMsi,
  }),
  refuses({
    id: 'compat/open-mapped-outside',
    says: 'A device is refused with EADDRINUSE while anything is mapped in its IO address space, or set by IOAS_ALLOW_IOVAS, that it cannot reach: beyond what its IOMMU translates, or in a reserved region.',
    source: `iopt_reserve_iova(), ${PAGETABLE}`,
    errnos: ['EADDRINUSE'],
    when: (call) =>
      atFirst(call, ({ areas, allowed }) => {
        const { ranges } = reachOf(call.vfio, [call.group]);
        const mapped = [...areas].map(({ start, end }) => ({ start, end: end - 1n }));
        return [...mapped, ...allowed].some(
          ({ start, end }) => !ranges.some((one) => start >= one.start && end <= one.end),
        );
      }),
  }),
  refuses({
    id: 'compat/open-unaligned',
    says: 'A device is refused with EADDRINUSE while an area is mapped in its IO address space whose IOVA, length or memory is no multiple of the smallest page of its IOMMU.',
    source: `iopt_check_iova_alignment(), ${PAGETABLE}`,
    errnos: ['EADDRINUSE'],
    when: (call) =>
      atFirst(call, (ioas, { platform }) => {
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
    when: (call) =>
      atFirst(call, (ioas, context) => ioas.attached === undefined && outOfReach(context, [...ioas.areas])),
  }),
  refuses({
    id: 'compat/open-over-limit',
    says: 'A device is refused with ENOMEM while more is mapped in its IO address space than whom it is charged to may lock, and nothing stays pinned or charged for it.',
    source: `iopt_fill_domain(), ${PAGETABLE}`,
    errnos: ['ENOMEM'],
    when: (call) =>
      atFirst(call, (ioas, context) => (ioas.attached === undefined ? overLimit(context, [...ioas.areas]) : false)),
  }),
];

export const COMPAT_GROUP_CLAUSES = [JOINS, ...OBJECTIONS];
