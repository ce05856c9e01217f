import { objection, rule } from '../../model/clauses.ts';
import { capability, chainOf, DMA_AVAILABLE, header, IOVA_RANGES, MIGRATION } from '../../model/type1/capabilities.ts';
import { SET_IOMMU_CALL } from '../../model/type1/container.ts';
import { iommuOf, SET_CONTAINER } from '../../model/type1/group-container.ts';
import { CHAIN_AT, GET_INFO_CALL, type InfoCall } from '../../model/type1/info.ts';
import { hasIommu } from '../../model/type1/state.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { capNestingReviewed } from '../../uapi/nesting-cap.ts';
import { encode } from '../../uapi/struct.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { POSTED_CAPABILITY } from './posted.ts';
import { type Attached, attempts, describesNesting, nestingInfo, ONE_GROUP, REVIEWED } from './shared.ts';

const OWN_ID = rule<() => number>({
  id: 'nesting-cap/own-id',
  level: 'must',
  says: 'The capability has an id of its own, 4: 3 is the DMA available capability.',
  source: 'include/uapi/linux/vfio.h of 6.1: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL took 3, after the series was posted',
  rule: () => 4,
});

const INFO_ALIGNED = rule<() => typeof capNestingReviewed>({
  id: 'nesting-cap/info-aligned',
  level: 'must',
  says: 'A reserved word lets info[] begin 16 bytes from the header, so that its own 64-bit fields are aligned and every compiler lays it out alike; the capability is filled with zeros to a multiple of 8 bytes.',
  source: `${REVIEWED}: info[] should start at an 8-byte alignment ... We should add a 4-byte reserved field here to resolve`,
  rule: () => capNestingReviewed,
});

/** A group without an IOMMU counts as well, whichever came first. */
const isHeldByAnother = (attached: Attached): boolean => attached.length > 0 && !attached.some(hasIommu);

const STALE = `${REVIEWED}: This looks prone to a use-after-free ... As does this`;

const NOTHING_STALE = [
  objection(SET_IOMMU_CALL, {
    id: 'nesting-cap/nothing-stale',
    level: 'must',
    says: 'No group holds a container for nesting beyond its IOMMU, which would leave GET_INFO with information that is gone: SET_IOMMU with the nesting type is refused with EINVAL where a group without an IOMMU is there beside another.',
    source: STALE,
    stage: 'hardware',
    errnos: ['EINVAL'],
    when: ({ container, extension }) =>
      extension?.type?.nesting === true && attempts(container.groups).some(isHeldByAnother),
  }),
  objection(SET_CONTAINER, {
    id: 'nesting-cap/nothing-stale-later',
    level: 'must',
    says: 'Neither does one that comes later: SET_CONTAINER is refused with EINVAL by a container for nesting that has a group without an IOMMU.',
    source: STALE,
    stage: 'attach',
    errnos: ['EINVAL'],
    when: (call) =>
      iommuOf(call)?.nesting === true &&
      call.target.kind === 'container' &&
      isHeldByAnother(call.target.container.groups),
  }),
];

const CAPABILITY = capability({
  id: 'nesting-cap/capability',
  level: 'must',
  says: 'While a group with an IOMMU is attached to a container of the nesting type, the second capability of the chain (id 4, version 1) holds flags and a reserved word, which are 0, and the nesting information, whose first word is its size.',
  source: `${REVIEWED}: This should have a lot more description around it`,
  before: DMA_AVAILABLE.id,
  structure: ({ container, iommu }) => {
    if (!describesNesting(iommu, container.groups)) return undefined;
    const bytes = encode(INFO_ALIGNED.rule(), { header: header(OWN_ID.rule()), info: nestingInfo() });
    return Buffer.concat([bytes, new Uint8Array(-bytes.length & 7)]);
  },
});

/**
 * The chain as a kernel with the posted form writes it, packed as 6.1 packs every chain: told apart, so that the flaws of
 * the posted form are named and nothing else.
 */
const asPosted = (call: InfoCall) => {
  const packed = (end: number): number => end;
  const posted = [MIGRATION, DMA_AVAILABLE, IOVA_RANGES, POSTED_CAPABILITY];
  return {
    situation: { ...call, chain: chainOf(call.law, call, CHAIN_AT, packed, posted) },
    breaks: [OWN_ID, INFO_ALIGNED] as const,
  };
};

const GET_INFO: typeof GET_INFO_CALL = {
  ...GET_INFO_CALL,
  deviations: (call) => [
    ...(GET_INFO_CALL.deviations?.(call) ?? []),
    ...(describesNesting(call.iommu, call.container.groups) ? [asPosted(call)] : []),
  ],
};

/** The nesting capability with the points of its review settled. */
export const NESTING_CAP_REVIEWED: Revision = {
  id: 'nesting-cap/reviewed',
  base: LINUX_6_1,
  summary: 'a capability that describes nested translation, as its review of July 2020 asked for',
  clauses: {
    'container/set-iommu-nesting': null,
    ...byId(...ONE_GROUP, ...NOTHING_STALE, GET_INFO, OWN_ID, INFO_ALIGNED, CAPABILITY),
  },
};
