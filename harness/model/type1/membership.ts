import { rule } from '../clauses.ts';
import { leaveIommufd } from '../iommufd/compat/membership.ts';
import type { Law } from '../law.ts';
import type { Process } from '../world/process.ts';
import { release, takeOver } from './hardware-groups.ts';
import { VALID_RANGES } from './iova-ranges.ts';
import { endMapping } from './mappings.ts';
import { type Container, type Group, hasIommu, type Vfio } from './state.ts';

/* Groups in containers: what happens when one comes, and when one leaves. */

const DETACH = 'vfio_group_detach_container(), drivers/vfio/container.c';

/** Whether a container with so many groups keeps its IOMMU. */
const LAST_GROUP_LEAVES = rule<(groups: number) => boolean>({
  id: 'container/last-group-leaves',
  level: 'must',
  says: 'When the last group leaves a container all of its state is lost: mappings, charges, dirty logging and the IOMMU itself, so that it is as it was when it was opened; while a group is left everything stays.',
  source: `include/uapi/linux/vfio.h: VFIO_GROUP_UNSET_CONTAINER; ${DETACH}`,
  rule: (groups) => groups > 0,
});

/** Whether a group leaves its container when its own file is closed. */
const CLOSING_GROUP_LEAVES = rule<(group: Group) => boolean>({
  id: 'group/close',
  level: 'must',
  says: 'Closing the last descriptor of a group takes it out of its container, and it may be opened again; while a descriptor or a mapping of one of its devices is left it stays in and stays busy.',
  source: 'vfio_group_fops_release(), vfio_device_assign_container(), drivers/vfio/vfio_main.c and container.c',
  rule: ({ devices }) => devices.every(({ opened }) => opened === 0),
});

/** Whether closing a container's last descriptor ends what its groups have in it. */
const CLOSING_CONTAINER_ENDS = rule<(container: Container) => boolean>({
  id: 'container/close',
  level: 'must',
  says: 'Closing the last descriptor of a container ends nothing while groups are in it: mappings, charges and device access last until the last group leaves.',
  source: 'drivers/vfio/container.c: comment on container objects; vfio_fops_release()',
  rule: ({ groups }) => groups.length === 0,
});

const EVERYTHING = { start: 0n, end: 0xffff_ffff_ffff_ffffn };

/**
 * The ranges that are valid for the groups of a container. Where no group has an IOMMU all are valid: none are told if
 * none ever had one, and a single range once the last that had one left.
 */
export const rangesFor = ({ law, platform }: Vfio, groups: readonly Group[], hadHardware = false) => {
  if (!groups.some(hasIommu)) return hadHardware ? [EVERYTHING] : [];
  const reserved = groups.flatMap((group) => group.platform.reserved);
  return law.of(VALID_RANGES).rule(platform.iommu.aperture, reserved);
};

/** Puts a group into a container; objections were heard before. */
export const join = (vfio: Vfio, container: Container, group: Group, caller: Process): void => {
  container.groups.push(group);
  group.container = container;
  const { iommu } = container;
  if (iommu === undefined) return;
  iommu.ranges = rangesFor(vfio, container.groups, iommu.hadHardware);
  if (!hasIommu(group)) return;
  iommu.hadHardware = true;
  takeOver(vfio.law, iommu, caller.space, vfio.platform.pageSizeBytes);
};

/** Takes a group out of its container, or out of what it was given in its place. */
export const leave = (vfio: Vfio, group: Group): void => {
  leaveIommufd(group);
  const { container } = group;
  if (container === undefined) return;
  group.container = undefined;
  container.groups.splice(container.groups.indexOf(group), 1);
  const { iommu } = container;
  if (!vfio.law.of(LAST_GROUP_LEAVES).rule(container.groups.length)) reset(vfio.law, container);
  else if (iommu !== undefined) {
    iommu.ranges = rangesFor(vfio, container.groups, iommu.hadHardware);
    if (hasIommu(group)) release(vfio.law, iommu, !container.groups.some(hasIommu));
  }
};

/** Ends everything that a container's IOMMU holds. */
const reset = (law: Law, container: Container): void => {
  const { iommu } = container;
  if (iommu === undefined) return;
  for (const mapping of [...iommu.mappings]) endMapping(law, iommu, mapping);
  container.iommu = undefined;
};

/** The group's own file was closed for good. */
export const closeGroup = (vfio: Vfio, group: Group): void => {
  group.closed = true;
  finishGroup(vfio, group);
};

/** A file of a device was closed for good. */
export const closeDevice = (vfio: Vfio, group: Group): void => {
  if (group.closed) finishGroup(vfio, group);
};

const finishGroup = (vfio: Vfio, group: Group): void => {
  if (!vfio.law.of(CLOSING_GROUP_LEAVES).rule(group)) return;
  leave(vfio, group);
  group.opened = false;
  group.closed = false;
};

/** The container's file was closed for good. */
export const closeContainer = (vfio: Vfio, container: Container): void => {
  if (vfio.law.of(CLOSING_CONTAINER_ENDS).rule(container)) reset(vfio.law, container);
};

export const MEMBERSHIP_CLAUSES = [LAST_GROUP_LEAVES, CLOSING_CONTAINER_ENDS, CLOSING_GROUP_LEAVES];
