import type { Case } from '../cases/case.ts';
import type { ClauseId } from '../spec/clause.ts';
import { type Revision, structsOf } from '../spec/revision.ts';
import type { AnyStruct } from '../uapi/struct.ts';
import { compareBehaviour } from './behaviour.ts';
import { compareClauses, factsOf } from './clauses.ts';
import { compareKernels } from './kernels.ts';
import { compareNumbers } from './numbers.ts';
import { type Both, DIFF_SCHEMA, type Side, type SideFacts, type SpecDiff } from './spec-diff.ts';
import { compareStructs } from './structs.ts';

export interface DiffOptions {
  /** Version of vfio-conform. */
  readonly version: string;
  /** The programs that go through both models. */
  readonly cases: readonly Case[];
  /** The structs of a revision; those that it states or inherits unless given. */
  readonly structsOf?: (revision: Revision) => readonly AnyStruct[];
}

/** Compares two revisions, two runs, or one of each. Pure: no kernel is asked and nothing is written. */
export const specDiff = (a: Side, b: Side, options: DiffOptions): SpecDiff => {
  const sides: Both<Side> = { a, b };
  const clauses = compareClauses(a.revision, b.revision);
  const declared = (id: ClauseId): boolean => clauses.changes.has(id);
  const { behaviour, programsOf } = compareBehaviour(sides, options.cases, declared);
  const structs = options.structsOf ?? structsOf;
  const kernels = compareKernels(sides);
  return {
    schema: DIFF_SCHEMA,
    version: options.version,
    sides: { a: sideFacts(a), b: sideFacts(b) },
    clauses: {
      changes: [...clauses.changes].map(([id, { change, a: before, b: after }]) => ({
        id,
        change,
        programs: programsOf.get(id) ?? 0,
        ...(before === undefined ? {} : { a: factsOf(before) }),
        ...(after === undefined ? {} : { b: factsOf(after) }),
      })),
      unchanged: clauses.unchanged,
    },
    behaviour,
    numbers: compareNumbers(a.revision, b.revision),
    structs: compareStructs(structs(a.revision), structs(b.revision)),
    ...(kernels === undefined ? {} : { kernels }),
  };
};

const sideFacts = ({ name, revision, run }: Side): SideFacts => ({
  name,
  revision: revision.id,
  summary: revision.summary,
  ...(run === undefined
    ? {}
    : {
        run: {
          kernel: run.kernel,
          host: `${run.host.name} (${run.host.description}; IOMMU: ${run.host.iommu})`,
          startedAt: run.startedAt,
          version: run.version,
          arguments: run.arguments,
          ...(run.interrupted === undefined ? {} : { interrupted: run.interrupted.reason }),
        },
      }),
});
