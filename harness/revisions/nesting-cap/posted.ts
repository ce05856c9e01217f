import { capability, header } from '../../model/type1/capabilities.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { capNestingPosted, iommuNestingInfo } from '../../uapi/nesting-cap.ts';
import { encode, offsetOf } from '../../uapi/struct.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { numbers } from '../numbers.ts';
import { describesNesting, nestingInfo, ONE_GROUP, outlivesHardware, POSTED } from './shared.ts';

/** The number that it takes is that of the DMA available capability. */
const ID = 3;

/** The capability behind all others; it is filled without padding. */
export const POSTED_CAPABILITY = capability({
  id: 'nesting-cap/capability',
  level: 'must',
  says: 'While a group is attached to a container of the nesting type, a capability (id 3, version 1) at the end of the chain holds flags, which are 0, and the nesting information from its 12th byte on. When that group leaves and another one is left, the capability stays, and nothing is promised of what the information holds.',
  source: `${POSTED}: vfio_iommu_type1_detach_group() frees the information, and GET_INFO goes on using it`,
  structure: (described) =>
    describesNesting(described) || outlivesHardware(described)
      ? encode(capNestingPosted, { header: header(ID), flags: 0, info: nestingInfo() })
      : undefined,
  vagueFrom: (described) => (outlivesHardware(described) ? offsetOf(capNestingPosted, 'info') : undefined),
});

/** The nesting capability as it was posted, flaws included. */
export const NESTING_CAP_POSTED: Revision = {
  id: 'nesting-cap/posted',
  base: LINUX_6_1,
  summary: 'a capability that describes nested translation, as posted in June 2020',
  clauses: {
    'container/set-iommu-nesting': null,
    ...byId(...ONE_GROUP, POSTED_CAPABILITY),
  },
  structs: [iommuNestingInfo, capNestingPosted],
  numbers: numbers('type1-info capability', 0, { VFIO_IOMMU_TYPE1_INFO_CAP_NESTING: ID }),
};
