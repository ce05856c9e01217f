import type { Outcome } from '../model/outcome.ts';
import { WORLD_CLAUSES } from '../model/world/clauses.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { conforming } from './outcomes.ts';
import type { Intent } from './spec-diff.ts';
import type { Parting } from './walk.ts';

/*
 * Which differences are intended. A revision declares what it means to change by its list of clauses: a clause is
 * *declared* when it is new, stated anew or withdrawn between the two sides. By that alone:
 *
 * 1. The results differ: intended when every clause behind what one side alone allows is declared. One side is enough,
 *    because a call is refused by a clause and succeeds for lack of one: a new refusal is declared by the side that has
 *    it, a withdrawn one by the side that had it. A side that allows nothing of its own speaks with all that it allows.
 * 2. The bytes of a reply differ: intended when, for each of the pieces, the clause of one side is declared.
 *    Pieces that are the same on both sides and only lie elsewhere, and what says where they lie, are moved by those that are
 *    declared: they are intended with them.
 * 3. Only one side defines the call: intended when every clause of that side's answer is declared.
 * 4. Clauses of the world (what memory reads, what is charged, which descriptors are open) are instruments: they show
 *    what an earlier call did. A difference that shows in them alone is intended when an earlier call of the program
 *    was answered under a declared clause.
 *
 * Everything else is unintended, also when it follows from something that is declared: a maintainer has to hear of it
 * because no clause of the revision says so. The sentence says what it may follow from.
 */

const INSTRUMENTS: ReadonlySet<ClauseId> = new Set(WORLD_CLAUSES.map(({ id }) => id));

type Declared = (clause: ClauseId) => boolean;

/** Whether a parting is intended, and why; calls are named by their lines in the program. */
export const intentOf = (parting: Parting, declared: Declared, lineOf: (step: number) => number): Intent => {
  const sides = sidesOf(parting);
  const explained = (clauses: readonly Clause[]): boolean =>
    clauses.length > 0 && clauses.every(({ id }) => declared(id));
  if (sides.every(({ a, b }) => explained(a) || explained(b))) {
    const named = unique(sides.flatMap(({ a, b }) => [...(explained(a) ? a : []), ...(explained(b) ? b : [])]));
    return { intended: true, why: `declared by ${named.join(', ')}` };
  }
  const [cause] = parting.earlier;
  if (cause !== undefined && sides.every(({ a, b }) => [...a, ...b].every(({ id }) => INSTRUMENTS.has(id)))) {
    return {
      intended: true,
      why: `shows what line ${lineOf(cause.step)} did, under ${cause.clause}, which is declared`,
    };
  }
  const mover = moverOf(parting, declared);
  if (mover !== undefined) {
    return { intended: true, why: `declared by ${mover}; the rest is the same on both sides and only lies elsewhere` };
  }
  const undeclared = sides.filter(({ a, b }) => !explained(a) && !explained(b));
  const named = unique(undeclared.flatMap(({ a, b }) => [...a, ...b]).filter(({ id }) => !declared(id)));
  const follows = cause === undefined ? '' : `; it may follow from line ${lineOf(cause.step)}, under ${cause.clause}`;
  return { intended: false, why: `not declared to change: ${named.join(', ') || 'the call'}${follows}` };
};

/** The declared clause that moves all the rest of a reply; none where the rest is not the same on both sides. */
const moverOf = ({ difference }: Parting, declared: Declared): ClauseId | undefined => {
  if (difference.kind !== 'bytes') return undefined;
  const clauses = difference.bytes.flatMap(({ a, b }) => [a.clause, b.clause]);
  const mover = clauses.find(({ id }) => declared(id));
  if (mover === undefined) return undefined;
  const stays = clauses.every(({ id, ofPlaces }) => {
    if (declared(id) || ofPlaces === true) return true;
    return saidBy(id, difference.of) === saidBy(id, difference.to);
  });
  return stays ? mover.id : undefined;
};

/** All that a clause says of a reply, in order, wherever it lies. */
const saidBy = (id: ClauseId, { out }: Outcome): string =>
  out === undefined || out === 'anything'
    ? ''
    : [...out]
        .filter(({ clause }) => clause.id === id)
        .sort((x, y) => x.at - y.at)
        .map(({ bytes }) => (typeof bytes === 'number' ? `${bytes} bytes` : Buffer.from(bytes).toString('hex')))
        .join(' ');

/** The clauses that speak for each side, for each part of a difference. */
const sidesOf = ({ difference, answers }: Parting): readonly { a: readonly Clause[]; b: readonly Clause[] }[] => {
  switch (difference.kind) {
    case 'specified': {
      const clauses = clausesOf(conforming(answers[difference.by]));
      return [difference.by === 'a' ? { a: clauses, b: [] } : { a: [], b: clauses }];
    }
    case 'bytes':
      return difference.bytes.map(({ a, b }) => ({ a: [a.clause], b: [b.clause] }));
    case 'results': {
      const { onlyA, onlyB } = difference;
      return [
        {
          a: clausesOf(onlyA.length > 0 ? onlyA : conforming(answers.a)),
          b: clausesOf(onlyB.length > 0 ? onlyB : conforming(answers.b)),
        },
      ];
    }
  }
};

const clausesOf = (outcomes: readonly Outcome[]): readonly Clause[] => outcomes.flatMap(({ clauses }) => clauses);

const unique = (clauses: readonly Clause[]): readonly ClauseId[] => [...new Set(clauses.map(({ id }) => id))];

/** The clauses that each side has for the difference: what a reader is told stands behind it. */
export const clausesBehind = (parting: Parting): { readonly a: readonly Clause[]; readonly b: readonly Clause[] } => {
  const sides = sidesOf(parting);
  const distinct = (clauses: readonly Clause[]): readonly Clause[] => [
    ...new Map(clauses.map((clause) => [clause.id, clause])).values(),
  ];
  return { a: distinct(sides.flatMap(({ a }) => a)), b: distinct(sides.flatMap(({ b }) => b)) };
};
