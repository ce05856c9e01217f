/** How much of a room may be imported: everything, or its types alone (`import type`, which leaves no trace at run time). */
export type Reach = 'all' | 'types';

export interface Room {
  readonly name: string;
  /** The rooms below that it builds on. The ground, files directly in `harness/`, is open to all. */
  readonly imports: Readonly<Record<string, Reach>>;
  /** What its tests and test support may import besides; these may look upwards, each for the reason given beside it. */
  readonly tests?: Readonly<Record<string, Reach>>;
}

/**
 * The rooms from the bottom upwards, and what each may import: the table of ARCHITECTURE.md as the tests hold it against
 * the code. A room that needs something above it is a question of design, to be settled before a line is added here.
 */
export const ROOMS: readonly Room[] = [
  {
    name: 'uapi',
    imports: {},
    // Compilers are asked about the structs of every revision.
    tests: { revisions: 'all', spec: 'all' },
  },
  { name: 'spec', imports: { uapi: 'types' }, tests: { uapi: 'all' } },
  { name: 'program', imports: { uapi: 'all' } },
  { name: 'wire', imports: { program: 'all' } },
  { name: 'helper', imports: {}, tests: { program: 'all' } },
  {
    name: 'model',
    imports: { program: 'all', spec: 'all', uapi: 'all' },
    // The model takes any revision as a value; its tests need a real one.
    tests: { revisions: 'all' },
  },
  { name: 'lint', imports: { spec: 'all', uapi: 'all' }, tests: { revisions: 'all' } },
  { name: 'revisions', imports: { model: 'all', spec: 'all', uapi: 'all' } },
  { name: 'kernels', imports: {} },
  {
    name: 'hosts',
    imports: { wire: 'all', program: 'all', kernels: 'all', uapi: 'all' },
    // A host is handed the helper as a file; only its tests build one.
    tests: { helper: 'all' },
  },
  { name: 'oracle', imports: { model: 'types', program: 'all', spec: 'types', uapi: 'all' } },
  { name: 'report', imports: {} },
  { name: 'export', imports: { report: 'all' } },
  { name: 'scale', imports: { report: 'all' } },
  {
    name: 'cases',
    imports: {
      hosts: 'types',
      model: 'types',
      oracle: 'all',
      program: 'all',
      report: 'all',
      spec: 'all',
      uapi: 'all',
    },
    // One of them runs a case on the kernel that it stands on, so it puts together what the commands otherwise do.
    tests: { helper: 'all', hosts: 'all', model: 'all' },
  },
  { name: 'suites', imports: { cases: 'all', uapi: 'all' } },
  {
    name: 'diff',
    imports: {
      cases: 'all',
      model: 'all',
      oracle: 'all',
      program: 'all',
      report: 'all',
      spec: 'all',
      uapi: 'all',
    },
    // The two sides are handed to it as values; its tests need real ones, and a browser to look at what it writes.
    tests: { kernels: 'all', revisions: 'all' },
  },
  {
    name: 'coverage',
    imports: { cases: 'all', model: 'all', oracle: 'all', program: 'all', report: 'all', spec: 'all', uapi: 'all' },
    tests: { revisions: 'all' },
  },
  {
    name: 'bench',
    imports: { cases: 'all', hosts: 'types', model: 'all', oracle: 'all', program: 'types', revisions: 'all' },
  },
  {
    name: 'cli',
    imports: {
      bench: 'all',
      cases: 'all',
      coverage: 'all',
      diff: 'all',
      export: 'all',
      helper: 'all',
      hosts: 'all',
      kernels: 'all',
      lint: 'all',
      model: 'all',
      oracle: 'all',
      program: 'all',
      report: 'all',
      revisions: 'all',
      scale: 'all',
      spec: 'all',
      wire: 'all',
    },
  },
];
