import { type Holds, objection } from '../clauses.ts';
import { ownerExceedsLimit } from './accounting.ts';
import { iommuOf, SET_CONTAINER, type SetContainerCall } from './group-container.ts';
import { takenOver } from './hardware-groups.ts';
import { pinOptions } from './pinning.ts';
import { hasIommu, type Mapping } from './state.ts';
import { UNMAP_DMA } from './unmap.ts';

/* What groups with and without an IOMMU forbid each other. */

const HEADER = 'include/uapi/linux/vfio.h';
const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';

export const VADDR_EMULATED = objection(UNMAP_DMA, {
  id: 'vaddr/needs-iommu-groups',
  level: 'must',
  says: 'While a group without an IOMMU is in the container, whose devices may pin at any time, no vaddr can be invalidated: EBUSY, and all stay valid.',
  source: `${HEADER}: VFIO_UPDATE_VADDR: subject to change as groups are added or removed; vfio_dma_do_unmap(), ${DRIVER}: Cannot update vaddr if mdev is present`,
  stage: 'range',
  errnos: ['EBUSY'],
  when: ({ container, invalidates }) => invalidates && !container.groups.every(hasIommu),
});

/** A mapping that the IOMMU of a group that comes does not reach. */
export const OUTSIDE_APERTURE = objection(SET_CONTAINER, {
  id: 'group/mapped-outside-aperture',
  level: 'must',
  says: 'A group whose IOMMU does not reach an IOVA that is mapped in the container already is refused, and the mappings stay: with EINVAL, or as the IOMMU driver has it (EFAULT for VT-d) where no group with an IOMMU was in the container before.',
  source: `vfio_iommu_aper_conflict(), vfio_iommu_replay(), ${DRIVER}; intel_iommu_map(), drivers/iommu/intel/iommu.c`,
  stage: 'attach',
  errnos: ['EINVAL', 'EFAULT'],
  when: (call) => {
    const mappings = iommuOf(call)?.mappings;
    if (mappings === undefined || !hasIommu(call.group)) return false;
    const { start, end } = call.vfio.platform.iommu.aperture;
    return mappings.overlapping(0n, start) !== undefined || mappings.overlapping(end + 1n, 1n << 64n) !== undefined;
  },
});

/** The mappings that a group with an IOMMU would have pinned, with what there is to be pinned. */
const taken = (call: SetContainerCall) => {
  const iommu = iommuOf(call);
  if (iommu === undefined || !hasIommu(call.group)) return [];
  const { law, platform } = call.vfio;
  return [...iommu.mappings].flatMap((mapping) => {
    const found = takenOver(law, mapping, call.caller.space, platform.pageSizeBytes);
    return found === undefined ? [] : [{ mapping, ...found }];
  });
};

/** Pages that nobody had touched yet were made to be pinned, and stay with the process. */
const touch = (call: SetContainerCall): void => {
  for (const { mapping, pages, asked } of taken(call)) {
    call.caller.space.pin(mapping.vaddr, pages, pinOptions(call.vfio.law, mapping.write));
    if (pages < asked) return;
  }
};

const UNREACHABLE = objection(SET_CONTAINER, {
  id: 'pin/iommu-comes-to-unreachable-memory',
  level: 'must',
  says: 'A group with an IOMMU is refused with EFAULT while the memory of a mapping that was made without one cannot be pinned; nothing stays pinned or charged for it.',
  source: `vfio_iommu_replay(), ${DRIVER}`,
  stage: 'attach',
  errnos: ['EFAULT'],
  when: (call) => taken(call).some(({ pages, asked }) => pages < asked),
  leaves: touch,
});

const exceeds = (call: SetContainerCall): Holds => {
  const more = new Map<Mapping['owner']['space'], number>();
  const found: Holds[] = [];
  for (const { mapping, charged } of taken(call)) {
    const { owner } = mapping;
    const pages = (more.get(owner.space) ?? 0) + charged;
    more.set(owner.space, pages);
    found.push(ownerExceedsLimit(call.vfio.law, owner, pages, call.vfio.platform.pageSizeBytes));
  }
  return found.includes(true) ? true : found.includes('perhaps') ? 'perhaps' : false;
};

const LIMIT = objection(SET_CONTAINER, {
  id: 'pin/iommu-comes-beyond-limit',
  level: 'must',
  says: 'A group with an IOMMU is refused with ENOMEM when pinning what is mapped would take an owner beyond its RLIMIT_MEMLOCK; nothing stays charged for it.',
  source: `vfio_iommu_replay(), vfio_pin_pages_remote(), ${DRIVER}`,
  stage: 'attach',
  errnos: ['ENOMEM'],
  when: exceeds,
  leaves: touch,
});

export const HARDWARE_OBJECTIONS = [VADDR_EMULATED, OUTSIDE_APERTURE, UNREACHABLE, LIMIT];
