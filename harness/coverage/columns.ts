import type { CodeRecord } from '../report/code.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import type { Revision } from '../spec/revision.ts';

/** A run and where it was read from. */
export interface ReadRun {
  readonly path: string;
  readonly run: RunRecord;
  /** What of the kernel's code ran, if it counts that. */
  readonly code?: CodeRecord;
}

/** All that is known of one kernel held against one revision. */
export interface Column {
  readonly kernel: string;
  readonly revision: Revision;
  readonly paths: readonly string[];
  /** A case that ran more than once is told of by the last run. */
  readonly cases: readonly CaseRecord[];
  readonly code: readonly CodeRecord[];
}

/** Runs by kernel and revision, in the order in which they were given. */
export const columnsOf = (runs: readonly ReadRun[], revisionNamed: (id: string) => Revision): readonly Column[] => {
  const groups = new Map<string, ReadRun[]>();
  for (const one of runs) {
    const key = JSON.stringify([one.run.kernel, one.run.revision]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const byId = new Map(group.flatMap(({ run }) => run.cases.map((one) => [one.id, one] as const)));
    return [
      {
        kernel: first.run.kernel,
        revision: revisionNamed(first.run.revision),
        paths: group.map(({ path }) => path),
        cases: [...byId.values()],
        code: group.flatMap(({ code }) => code ?? []),
      },
    ];
  });
};
