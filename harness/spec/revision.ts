import type { AnyStruct } from '../uapi/struct.ts';
import type { Clause, ClauseId } from './clause.ts';

/**
 * A named state of the interface: a kernel, or a patch as it was posted. It lists only what differs from its base, so
 * that "what changed" is one file. Rivals may share a base.
 */
export interface Revision {
  /** `linux-6.1`, `get-dirty-bitmap/posted`. */
  readonly id: string;
  /** What it is built on; absent for the root of the tree. */
  readonly base?: Revision;
  /** One sentence for a list of revisions. */
  readonly summary: string;
  /** New clauses, modified ones (same id, another value), and withdrawn ones (`null`). */
  readonly clauses: Readonly<Record<ClauseId, Clause | null>>;
  /** Structs that are new, or not what the base has under the same tag; the others are inherited. */
  readonly structs?: readonly AnyStruct[];
  /** Numbers that are taken besides those of the base. */
  readonly numbers?: readonly TakenNumber[];
  /** Requests that had another meaning in the base. What was written for the base and makes one says nothing of this revision. */
  readonly retaken?: readonly bigint[];
}

/**
 * Where a number means something: the file that a request is for (what a container does not know it hands on to its IOMMU
 * driver, type1 or spapr), or the kind of an id.
 */
type NumberSpace =
  | 'container'
  | 'type1'
  | 'spapr'
  | 'group'
  | 'device'
  | 'migration'
  | 'iommufd'
  | 'extension'
  | 'type1-info capability'
  | 'region-info capability'
  | 'device-info capability'
  | 'device feature';

/** A number that has a meaning to the kernel already: no other request, capability or type may take it in the same space. */
export interface TakenNumber {
  readonly space: NumberSpace;
  /** The constant in C. */
  readonly name: string;
  /** Of a request, what `_IO` takes. */
  readonly number: number;
}

/** Clauses under their ids. Throws RangeError when two have the same. */
export const byId = (...clauses: readonly Clause[]): Readonly<Record<ClauseId, Clause>> => {
  const record: Record<ClauseId, Clause> = {};
  for (const clause of clauses) {
    if (clause.id in record) throw new RangeError(`two clauses are called ${clause.id}`);
    record[clause.id] = clause;
  }
  return record;
};

/**
 * The clauses in force in a revision, in the order in which they were first stated. What is inherited is the same object
 * as in the base. Throws RangeError when a revision withdraws what is not there.
 */
export const inForce = (revision: Revision): ReadonlyMap<ClauseId, Clause> => {
  const clauses = new Map(revision.base === undefined ? [] : inForce(revision.base));
  for (const [key, clause] of Object.entries(revision.clauses)) {
    const id = key as ClauseId;
    if (clause !== null) clauses.set(id, clause);
    else if (!clauses.delete(id)) throw new RangeError(`${revision.id} withdraws ${id}, which is not in force`);
  }
  return clauses;
};

/** The structs of a revision, its base's included: one for each tag, in the order in which the tags were first stated. */
export const structsOf = (revision: Revision): readonly AnyStruct[] => {
  const structs = new Map<string, AnyStruct>();
  for (const one of lineOf(revision).flatMap(({ structs: own = [] }) => own)) structs.set(one.name, one);
  return [...structs.values()];
};

/** All numbers that are taken in a revision. */
export const takenNumbers = (revision: Revision): readonly TakenNumber[] =>
  lineOf(revision).flatMap(({ numbers = [] }) => numbers);

/** The requests that took another meaning since a clause was stated. */
export const retakenSince = (revision: Revision, clause: ClauseId): ReadonlySet<bigint> => {
  const since = [...lineOf(revision)].reverse();
  const stated = since.findIndex(({ clauses }) => (clauses[clause] ?? null) !== null);
  return new Set(since.slice(0, Math.max(stated, 0)).flatMap(({ retaken = [] }) => retaken));
};

/** A revision and what it is built on, from the root on. */
export const lineOf = (revision: Revision): readonly Revision[] => [
  ...(revision.base === undefined ? [] : lineOf(revision.base)),
  revision,
];
