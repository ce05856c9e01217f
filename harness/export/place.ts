import type { CaseName } from '../report/record.ts';
import { caseFolder } from '../report/tree.ts';

/**
 * Where a case stands in the trees of other systems: its area, its clause, its title, each a name for the file system, and
 * so letters, digits and dashes alone; two cases of one run never meet.
 */
export const placeOf = (name: CaseName): readonly string[] => caseFolder(name).split('/').slice(1);
