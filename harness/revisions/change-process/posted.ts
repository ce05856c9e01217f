import { CHANGE_OVER_LIMIT, type CHANGE_PROCESS } from '../../model/iommufd/change-process.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { LINUX_7_2 } from '../linux-7.2.ts';
import { SKETCH, SKETCHED, SKETCHED_REQUEST } from './shared.ts';

const CHANGES: typeof CHANGE_PROCESS = {
  ...SKETCHED_REQUEST,
  says: 'IOAS_CHANGE_PROCESS takes all objects of the context but its IO address spaces, and locks, walks and ends them as if they were such; what comes of it nobody can say. In a context that has IO address spaces only it changes nothing.',
  leavesOpen: ({ context }) =>
    context.others.size > 0 ? 'objects that are no IO address spaces are locked and walked as such' : undefined,
  forgets: ({ context }) => {
    context.unclear = 'objects that are no IO address spaces were locked and walked as such';
  },
};

const COUNTS: typeof CHANGE_OVER_LIMIT = {
  ...CHANGE_OVER_LIMIT,
  says: 'IOAS_CHANGE_PROCESS is refused with ENOMEM, whatever is mapped: what is to be charged is added to counters that nothing set, and the pattern that they hold in this build is more than anybody may lock.',
  source: `${SKETCH}: all_npinned of iommufd_ioas_change_process()`,
  when: () => true,
};

/** The change of process as it was sketched, errors included. */
export const CHANGE_PROCESS_POSTED: Revision = {
  id: 'change-process/posted',
  base: LINUX_7_2,
  summary: 'IOMMU_IOAS_CHANGE_PROCESS as it was sketched in December 2022',
  clauses: { ...SKETCHED.clauses, ...byId(CHANGES, COUNTS) },
  structs: SKETCHED.structs,
};
