import type { Revision } from '../spec/revision.ts';
import { UsageTrouble } from '../trouble.ts';
import { CHANGE_DMA_OWNER_POSTED } from './change-dma-owner/posted.ts';
import { CHANGE_DMA_OWNER_REVIEWED } from './change-dma-owner/reviewed.ts';
import { CHANGE_PROCESS_POSTED } from './change-process/posted.ts';
import { CHANGE_PROCESS_RIGHTED } from './change-process/righted.ts';
import { GET_DIRTY_BITMAP_POSTED } from './get-dirty-bitmap/posted.ts';
import { GET_DIRTY_BITMAP_REVIEWED } from './get-dirty-bitmap/reviewed.ts';
import { IOVA_BITMAP_POSTED, IOVA_BITMAP_REVIEWED } from './iova-bitmap.ts';
import { LINUX_6_1 } from './linux-6.1.ts';
import { LINUX_6_12 } from './linux-6.12.ts';
import { LINUX_7_2 } from './linux-7.2.ts';
import { MEDIATE_OPS_POSTED } from './mediate-ops/posted.ts';
import { MEDIATE_OPS_REVIEWED } from './mediate-ops/reviewed.ts';
import { NESTING_CAP_POSTED } from './nesting-cap/posted.ts';
import { NESTING_CAP_REVIEWED } from './nesting-cap/reviewed.ts';

/** Every revision that can be named, bases before what is built on them. */
export const REVISIONS: readonly Revision[] = [
  LINUX_6_1,
  LINUX_6_12,
  LINUX_7_2,
  CHANGE_DMA_OWNER_POSTED,
  CHANGE_DMA_OWNER_REVIEWED,
  CHANGE_PROCESS_POSTED,
  CHANGE_PROCESS_RIGHTED,
  GET_DIRTY_BITMAP_POSTED,
  GET_DIRTY_BITMAP_REVIEWED,
  IOVA_BITMAP_POSTED,
  IOVA_BITMAP_REVIEWED,
  MEDIATE_OPS_POSTED,
  MEDIATE_OPS_REVIEWED,
  NESTING_CAP_POSTED,
  NESTING_CAP_REVIEWED,
];

/** The revision of that name. Throws UsageTrouble when there is none. */
export const revisionNamed = (id: string): Revision => {
  const revision = REVISIONS.find((one) => one.id === id);
  if (revision !== undefined) return revision;
  const names = REVISIONS.map((one) => one.id).join(', ');
  throw new UsageTrouble(`there is no revision ${id}; there are: ${names}`);
};
