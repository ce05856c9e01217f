import { endedAs } from '../report/tally.ts';
import type { ClauseId } from '../spec/clause.ts';
import { inForce } from '../spec/revision.ts';
import type { Column } from './columns.ts';
import type { ClauseCoverage, Endings } from './coverage.ts';

/** Every clause that is in force on some kernel, and how the cases that are named by it ended on each. */
export const clauseCoverage = (columns: readonly Column[]): readonly ClauseCoverage[] => {
  const clauses = columns.map(({ revision }) => inForce(revision));
  const endings = columns.map(endingsByClause);
  const ids = [...new Set(clauses.flatMap((one) => [...one.keys()]))];
  return ids.map((clause) => ({
    clause,
    says: clauses.find((one) => one.has(clause))?.get(clause)?.says ?? '',
    on: columns.map((_, index) => (clauses[index]?.has(clause) === true ? (endings[index]?.get(clause) ?? {}) : null)),
  }));
};

const endingsByClause = ({ cases }: Column): ReadonlyMap<ClauseId, Endings> => {
  const byClause = new Map<ClauseId, Endings>();
  for (const record of cases) {
    const clause = record.clause as ClauseId;
    const before = byClause.get(clause) ?? {};
    const ended = endedAs(record);
    byClause.set(clause, { ...before, [ended]: (before[ended] ?? 0) + 1 });
  }
  return byClause;
};
