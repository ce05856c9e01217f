import { QUIET, STAYS_LOADED } from '../../model/mediate-ops/clauses.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { MEDIATE_OPS_CLAUSES } from './shared.ts';

/** Mediators with the points of the review settled. */
export const MEDIATE_OPS_REVIEWED: Revision = {
  id: 'mediate-ops/reviewed',
  base: LINUX_6_1,
  summary: 'drivers that mediate access to vfio-pci devices, as the review of December 2019 asked for',
  clauses: byId(...MEDIATE_OPS_CLAUSES, QUIET, STAYS_LOADED),
};
