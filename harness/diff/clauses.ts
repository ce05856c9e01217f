import type { Clause, ClauseId } from '../spec/clause.ts';
import { inForce, type Revision } from '../spec/revision.ts';
import type { Change, ClauseFacts } from './spec-diff.ts';

/** The clauses of two revisions: which are not the same object in both, and which are. */
export interface ClauseComparison {
  readonly changes: ReadonlyMap<ClauseId, { readonly change: Change; readonly a?: Clause; readonly b?: Clause }>;
  readonly unchanged: readonly ClauseId[];
}

/**
 * Compares what is in force. What a revision inherits is the same object, so a clause of the same id that is another
 * object was stated anew: the revision says that it means to change it.
 */
export const compareClauses = (a: Revision, b: Revision): ClauseComparison => {
  const [before, after] = [inForce(a), inForce(b)];
  const changes = new Map<ClauseId, { change: Change; a?: Clause; b?: Clause }>();
  const unchanged: ClauseId[] = [];
  for (const [id, clause] of before) {
    const other = after.get(id);
    if (other === clause) unchanged.push(id);
    else if (other === undefined) changes.set(id, { change: 'removed', a: clause });
    else changes.set(id, { change: 'changed', a: clause, b: other });
  }
  for (const [id, clause] of after) if (!before.has(id)) changes.set(id, { change: 'added', b: clause });
  return { changes, unchanged };
};

/** A clause as it is told of, without its functions. */
export const factsOf = ({ id, level, says, source }: Clause): ClauseFacts => ({ id, level, says, source });
