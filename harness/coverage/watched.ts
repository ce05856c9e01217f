import type { Objection } from '../model/clauses.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { inForce, type Revision } from '../spec/revision.ts';

/** What is asked for one call, and what it looked at. */
export interface Look {
  readonly to: ClauseId;
  readonly situation: unknown;
}

/** Tells which objections a model weighed, and in which situation. */
export interface Watch {
  /** The same revision, in which the objections tell when they are weighed. */
  readonly revision: Revision;
  /** What was looked at since the last time this was asked: once for each request that objections were weighed to. */
  take(): readonly Look[];
}

export const watched = (revision: Revision): Watch => {
  const looks = new Map<ClauseId, unknown>();
  const watch = (one: Objection<unknown>): Objection<unknown> => ({
    ...one,
    when: (situation) => {
      looks.set(one.to, situation);
      return one.when(situation);
    },
  });
  const clauses = [...inForce(revision)].map(([id, clause]) => [id, isObjection(clause) ? watch(clause) : clause]);
  return {
    revision: { id: revision.id, summary: revision.summary, clauses: Object.fromEntries(clauses) },
    take: () => {
      const taken = [...looks].map(([to, situation]) => ({ to, situation }));
      looks.clear();
      return taken;
    },
  };
};

const isObjection = (clause: Clause): clause is Objection<unknown> => 'kind' in clause && clause.kind === 'objection';
