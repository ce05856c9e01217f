/**
 * The specification is a list of clauses, and a clause is one value: the sentence, where it comes from, and (in the
 * model's rooms, where the narrower types below it live) the function that states the rule. Model, suites, reports and
 * the clause pages are views of that value.
 */

/** Words, stable for ever: `type1/map-overlap`. Never a number, never a position. */
export type ClauseId = `${string}/${string}`;

/** RFC 2119 words: how strongly the source asks for it. */
type Level = 'must' | 'should' | 'may';

export interface Clause {
  readonly id: ClauseId;
  readonly level: Level;
  /** One sentence that a reader can check an observation against. */
  readonly says: string;
  /** Where it stands: header comment, document, mail and its author's point, or (where those are silent) the kernel function. */
  readonly source: string;
  /** It says where things lie, or how much there is in all: what it asks for follows from what lies there. */
  readonly ofPlaces?: true;
}
