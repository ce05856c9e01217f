import type { Clause, ClauseId } from '../spec/clause.ts';
import { inForce, type Revision } from '../spec/revision.ts';
import type { Field, Objection, Receiver, Request } from './clauses.ts';

/** A request with what is said about it: its objections by stage, and the fields of its reply. */
export interface Provision<F, S> {
  readonly request: Request<F, S>;
  /** By stage, in the order of the request's stages. */
  readonly objections: readonly (readonly Objection<S>[])[];
  readonly fields: readonly Field<S>[];
}

/** The clauses in force in one revision, arranged for use. The model consults nothing else. */
export interface Law {
  readonly revision: Revision;
  readonly clauses: ReadonlyMap<ClauseId, Clause>;
  /** The clause in force under the id of the one given. Throws RangeError when it was withdrawn. */
  of<C extends Clause>(stated: C): C;
  /** All clauses of one kind, in the order in which they were first stated. */
  all<C extends Clause & { readonly kind: string }>(kind: C['kind']): readonly C[];
  /** What is said about a request number on a file, if it is defined. */
  provision(on: Receiver, request: bigint): Provision<unknown, unknown> | undefined;
}

const laws = new WeakMap<Revision, Law>();

/** The law of a revision; arranged once. Throws RangeError when clauses do not fit together. */
export const lawOf = (revision: Revision): Law => {
  const known = laws.get(revision) ?? arrange(revision);
  laws.set(revision, known);
  return known;
};

type Kinded = Clause & { readonly kind: string };

const arrange = (revision: Revision): Law => {
  const clauses = inForce(revision);
  const byKind = new Map<string, Kinded[]>();
  for (const clause of clauses.values()) {
    if (!isKinded(clause)) throw new RangeError(`${clause.id} is of no kind that the model knows`);
    byKind.set(clause.kind, [...(byKind.get(clause.kind) ?? []), clause]);
  }
  // The kinds are told apart by `kind`; what a request's clauses look at is settled by the functions that make them.
  const all = <C extends Kinded>(kind: C['kind']): readonly C[] => (byKind.get(kind) ?? []) as unknown as readonly C[];
  const of = <C extends Clause>(stated: C): C => {
    const clause = clauses.get(stated.id);
    if (clause === undefined) throw new RangeError(`${stated.id} is not in force in ${revision.id}`);
    // A modified clause keeps its id, and with it its kind and what its function takes.
    return clause as C;
  };
  const provisions: Record<Receiver, Map<bigint, Provision<unknown, unknown>>> = {
    container: new Map(),
    iommu: new Map(),
    group: new Map(),
    device: new Map(),
    iommufd: new Map(),
    cdev: new Map(),
    emulated: new Map(),
  };
  for (const request of all<Request<unknown, unknown>>('request')) {
    provisions[request.on].set(
      request.request,
      provide(request, all<Objection<unknown>>('objection'), all<Field<unknown>>('field'), of),
    );
  }
  for (const part of [...all<Objection<unknown>>('objection'), ...all<Field<unknown>>('field')]) {
    const of = part.kind === 'objection' ? part.to : part.of;
    if (clauses.get(of) === undefined) throw new RangeError(`${part.id} speaks of ${of}, which is not in force`);
  }
  return {
    revision,
    clauses,
    all,
    of,
    provision: (on, request) => provisions[on].get(request),
  };
};

const isKinded = (clause: Clause): clause is Kinded => 'kind' in clause;

const provide = (
  request: Request<unknown, unknown>,
  objections: readonly Objection<unknown>[],
  fields: readonly Field<unknown>[],
  of: Law['of'],
): Provision<unknown, unknown> => {
  const mine = objections.filter(({ to }) => to === request.id);
  const lost = mine.find(({ stage }) => !request.stages.includes(stage));
  if (lost !== undefined) throw new RangeError(`${lost.id}: ${request.id} has no stage ${lost.stage}`);
  const untouched = request.untouched && of(request.untouched);
  return {
    request: untouched === undefined ? request : { ...request, untouched },
    objections: request.stages.map((stage) => mine.filter((one) => one.stage === stage)),
    fields: fields.filter(({ of }) => of === request.id),
  };
};
