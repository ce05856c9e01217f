import type { Clause, ClauseId } from '../spec/clause.ts';
import { inForce, type Revision } from '../spec/revision.ts';

/** Tells which of some rules a model has looked up. */
export interface Trace {
  /** The same revision, in which the rules tell when they are looked up. */
  readonly revision: Revision;
  /** The rules that were looked up since the last time this was asked. */
  take(): readonly ClauseId[];
}

/**
 * Watches the declared rules of a revision. A rule is stated once and looked up wherever it is needed, so unlike a refusal
 * or a field it is not named by the outcome that it shapes; a reader still wants to know that it had a hand in it.
 */
export const traced = (revision: Revision, declared: (clause: ClauseId) => boolean): Trace => {
  const seen = new Set<ClauseId>();
  const clauses = [...inForce(revision)].map(([id, clause]) => [
    id,
    declared(id) && isRule(clause) ? watched(clause, () => void seen.add(id)) : clause,
  ]);
  return {
    revision: { id: revision.id, summary: revision.summary, clauses: Object.fromEntries(clauses) },
    take: () => {
      const taken = [...seen];
      seen.clear();
      return taken;
    },
  };
};

const isRule = (clause: Clause): clause is Clause & { readonly rule: unknown } => 'rule' in clause;

const watched = (clause: Clause & { readonly rule: unknown }, look: () => void): Clause => ({
  ...clause,
  get rule() {
    look();
    return clause.rule;
  },
});
