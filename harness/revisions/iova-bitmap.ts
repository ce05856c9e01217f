import { POSTED_IOVA_BITMAP_CLAUSES } from '../model/iova-bitmap/posted.ts';
import { byId, type Revision } from '../spec/revision.ts';
import { LINUX_6_1 } from './linux-6.1.ts';

/** The iterator that was posted, flaws included: it takes the place of the form that 6.1 has. */
export const IOVA_BITMAP_POSTED: Revision = {
  id: 'iova-bitmap/posted',
  base: LINUX_6_1,
  summary: "an iterator over a user's bitmap, as posted in July 2022",
  clauses: byId(...POSTED_IOVA_BITMAP_CLAUSES),
};

/** What its review asked for is what landed in 6.1: nothing changes. */
export const IOVA_BITMAP_REVIEWED: Revision = {
  id: 'iova-bitmap/reviewed',
  base: LINUX_6_1,
  summary: "windows over a user's bitmap, as the review asked for and as they landed in 6.1",
  clauses: {},
};
