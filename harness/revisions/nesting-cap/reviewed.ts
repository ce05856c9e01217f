import { inspection, rule, type StructLayout } from '../../model/clauses.ts';
import { capability, chainOf, DMA_AVAILABLE, header, IOVA_RANGES, MIGRATION } from '../../model/type1/capabilities.ts';
import { CHAIN_AT, GET_INFO_CALL, type InfoCall } from '../../model/type1/info.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { capNestingReviewed, iommuNestingInfo } from '../../uapi/nesting-cap.ts';
import { encode } from '../../uapi/struct.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { numbers } from '../numbers.ts';
import { POSTED_CAPABILITY } from './posted.ts';
import { describesNesting, nestingInfo, ONE_GROUP, outlivesHardware, REVIEWED } from './shared.ts';

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

/** Whether GET_INFO tells of nesting when there is nothing to describe any more. */
const NOTHING_STALE = rule<() => boolean>({
  id: 'nesting-cap/nothing-stale',
  level: 'must',
  says: 'The capability goes with the group that it describes, be the container kept by another one, and there is none until the next one comes: nothing is read of information that is gone.',
  source: `${REVIEWED}: This looks prone to a use-after-free. As does this. Set to NULL since get_info tests the pointer before trying to use it`,
  rule: () => false,
});

const POINTER = 8;

/** The bytes of a structure that no member takes, at its end included. */
const unused = ({ size, members }: StructLayout): number =>
  members.reduce((bytes, member) => bytes - member.size, size);

/** `6 before nesting_info, 6 before device`: where the unused bytes are. */
const holes = ({ size, members }: StructLayout): string =>
  [...members, { name: 'the end', offset: size, size: 0 }]
    .map(({ name, offset }, index) => {
      const before = members[index - 1];
      return { name, bytes: offset - (before === undefined ? 0 : before.offset + before.size) };
    })
    .filter(({ bytes }) => bytes > 0)
    .map(({ name, bytes }) => `${bytes} before ${name}`)
    .join(', ');

const PACKS_THE_STRUCT = inspection({
  id: 'nesting-cap/packs-the-struct',
  level: 'should',
  says: 'The members of struct vfio_iommu are in an order that leaves fewer bytes unused than a pointer takes: the pointer to the information does not stand between bools.',
  source: `${REVIEWED}: placing a pointer in the middle of a section of bools is going to create wasteful holes in the data structure`,
  module: 'vfio_iommu_type1',
  struct: 'vfio_iommu',
  complaint: (layout) =>
    unused(layout) < POINTER
      ? undefined
      : {
          expected: `fewer than ${POINTER} of ${layout.size} bytes unused`,
          observed: `${unused(layout)} of ${layout.size} bytes unused: ${holes(layout)}`,
        },
});

const CAPABILITY = capability({
  id: 'nesting-cap/capability',
  level: 'must',
  says: 'While a group with an IOMMU is attached to a container of the nesting type, the second capability of the chain (id 4, version 1) holds flags and a reserved word, which are 0, and the nesting information, whose first word is its size.',
  source: `${REVIEWED}: This should have a lot more description around it`,
  before: DMA_AVAILABLE.id,
  structure: (described) => {
    if (!describesNesting(described) && !(outlivesHardware(described) && NOTHING_STALE.rule())) return undefined;
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
    breaks: outlivesHardware(call) ? ([NOTHING_STALE] as const) : ([OWN_ID, INFO_ALIGNED] as const),
  };
};

const GET_INFO: typeof GET_INFO_CALL = {
  ...GET_INFO_CALL,
  deviations: (call) => [
    ...(GET_INFO_CALL.deviations?.(call) ?? []),
    ...(describesNesting(call) || outlivesHardware(call) ? [asPosted(call)] : []),
  ],
};

/** The nesting capability with the points of its review settled. */
export const NESTING_CAP_REVIEWED: Revision = {
  id: 'nesting-cap/reviewed',
  base: LINUX_6_1,
  summary: 'a capability that describes nested translation, as its review of July 2020 asked for',
  clauses: {
    'container/set-iommu-nesting': null,
    ...byId(...ONE_GROUP, GET_INFO, OWN_ID, INFO_ALIGNED, NOTHING_STALE, PACKS_THE_STRUCT, CAPABILITY),
  },
  structs: [iommuNestingInfo, capNestingReviewed],
  numbers: numbers('type1-info capability', 0, { VFIO_IOMMU_TYPE1_INFO_CAP_NESTING: OWN_ID.rule() }),
};
