import { objection } from '../../model/clauses.ts';
import { SET_IOMMU_CALL } from '../../model/type1/container.ts';
import { iommuOf, SET_CONTAINER } from '../../model/type1/group-container.ts';
import { type Container, type Group, hasIommu, type Iommu } from '../../model/type1/state.ts';

/* What both forms of the series state: VFIO_IOMMU_TYPE1_INFO_CAP_NESTING, posted on 24 June 2020. */

export const POSTED = 'Yi L Liu, [PATCH v3 03/14] vfio/type1: Report iommu nesting info to userspace, 24 June 2020';
export const REVIEWED = 'Alex Williamson, re [PATCH v3 03/14], 2 July 2020';

const FORMAT_STAND_IN = 0x6e696473;

/** Size of the stand-in for an IOMMU driver's nesting information, in bytes (module parameter nesting_info_size). */
const INFO_SIZE = 40;
const INFO_HEADER = 16;

/** struct iommu_nesting_info as the ports fill it: four words, then bytes that count up. */
export const nestingInfo = (): Uint8Array => {
  const words = new Uint32Array([INFO_SIZE, FORMAT_STAND_IN, 0, 0]);
  const data = Uint8Array.from({ length: INFO_SIZE - INFO_HEADER }, (_, index) => index);
  return Buffer.concat([new Uint8Array(words.buffer), data]);
};

/** Whether there is something to describe: the IOMMU is for nesting, and a group that has one is attached. */
export const describesNesting = ({ iommu, container }: Nested): boolean =>
  iommu.nesting && container.groups.some(hasIommu);

/** Whether there is nothing to describe any more: the group that has an IOMMU has left, and another one is left. */
export const outlivesHardware = ({ iommu, container }: Nested): boolean =>
  iommu.nesting && iommu.hadHardware && !container.groups.some(hasIommu);

interface Nested {
  readonly iommu: Iommu;
  readonly container: Container;
}

/** Whether SET_IOMMU finds a group with an IOMMU when it comes to another one. It attaches the one that came last first. */
const meetsAnother = (groups: readonly Group[]): boolean => groups.slice(1).some(hasIommu);

export const ONE_GROUP = [
  objection(SET_IOMMU_CALL, {
    id: 'nesting-cap/one-group',
    level: 'must',
    says: 'A container for nesting has one group: SET_IOMMU with the nesting type is refused with EINVAL where there are two, and the container stays without an IOMMU.',
    source: POSTED,
    stage: 'hardware',
    errnos: ['EINVAL'],
    when: ({ container, extension }) => extension?.type?.nesting === true && meetsAnother(container.groups),
  }),
  objection(SET_CONTAINER, {
    id: 'nesting-cap/no-second-group',
    level: 'must',
    says: 'A container for nesting has one group: SET_CONTAINER of a second one is refused with EINVAL once the IOMMU is set, and the first one stays.',
    source: POSTED,
    stage: 'attach',
    errnos: ['EINVAL'],
    when: (call) =>
      iommuOf(call)?.nesting === true &&
      call.target.kind === 'container' &&
      call.target.container.groups.some(hasIommu),
  }),
];
