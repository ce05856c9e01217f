import type { Revision } from '../spec/revision.ts';
import { clauseCoverage } from './clauses.ts';
import { codeCoverage } from './code.ts';
import { columnsOf, type ReadRun } from './columns.ts';
import { COVERAGE_SCHEMA, type Coverage } from './coverage.ts';
import { faultCoverage } from './faults.ts';
import { ioctlCoverage } from './ioctls.ts';
import type { Explanation } from './rest.ts';

export interface CoverageOptions {
  readonly version: string;
  readonly revisionNamed: (id: string) => Revision;
  /** What is known of why some of a kernel's code is not reached, by `uname -r`. */
  readonly restOf: (kernel: string) => readonly Explanation[];
}

/** What runs of the suites reached, by clause, by ioctl, by two faults at once, and in the kernels' own code. */
export const coverageOf = (runs: readonly ReadRun[], options: CoverageOptions): Coverage => {
  const columns = columnsOf(runs, options.revisionNamed);
  const faults = faultCoverage(columns);
  return {
    schema: COVERAGE_SCHEMA,
    version: options.version,
    kernels: columns.map(({ kernel, revision, paths, cases }, index) => ({
      kernel,
      revision: revision.id,
      reports: paths,
      cases: cases.length,
      notFollowed: faults.notFollowed[index] ?? 0,
    })),
    clauses: clauseCoverage(columns),
    ioctls: ioctlCoverage(columns),
    faults: faults.pairs,
    code: codeCoverage(columns, options.restOf),
  };
};
