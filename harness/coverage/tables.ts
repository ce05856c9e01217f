import { WORST_FIRST } from '../report/matrix.ts';
import type { Ended } from '../report/tally.ts';
import { codeTables } from './code-tables.ts';
import type { ClauseCoverage, Coverage, Endings, Fault, FaultPair, IoctlCoverage, Results } from './coverage.ts';
import { letterOf } from './letters.ts';

/** A part of the page: a heading, what is to be known before reading, and a table. */
export interface Table {
  readonly part: Part;
  readonly title: string;
  readonly notes: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The parts of the page, as `--part` names them. */
export const PARTS = ['clauses', 'ioctls', 'faults', 'code'] as const;
export type Part = (typeof PARTS)[number];

/** The tables of the parts that are asked for, in order; text and Markdown show the same. */
export const tablesOf = (coverage: Coverage, parts: readonly Part[]): readonly Table[] => [
  kernelTable(coverage),
  ...[
    clauseTable(coverage),
    ioctlTable(coverage),
    stageTable(coverage),
    faultTable(coverage),
    ...codeTables(coverage),
  ].filter(({ part }) => parts.includes(part)),
];

const letters = ({ kernels }: Coverage): readonly string[] => kernels.map((_, index) => letterOf(index));

const kernelTable = ({ kernels }: Coverage): Table => ({
  part: 'clauses',
  title: 'Kernels',
  notes: [],
  head: ['', 'kernel', 'model', 'cases'],
  rows: kernels.map(({ kernel, revision, cases }, index) => [letterOf(index), kernel, revision, `${cases}`]),
});

const endingsText = (endings: Endings | null): string => {
  if (endings === null) return '-';
  const told = WORST_FIRST.flatMap(([ended, word]) =>
    endings[ended] === undefined ? [] : [`${word} ${endings[ended]}`],
  );
  return told.length === 0 ? 'no case' : told.join(' ');
};

/** No case of it was judged on any kernel where it is in force. */
const isUnjudged = ({ on }: ClauseCoverage): boolean =>
  on.every((one) => one === null || Object.keys(one).every((ended) => UNJUDGED.has(ended)));
const UNJUDGED: ReadonlySet<string> = new Set(['unsupported', 'host-lost', 'harness-error'] satisfies Ended[]);

const clauseTable = (coverage: Coverage): Table => {
  const { clauses } = coverage;
  const unjudged = clauses.filter(isUnjudged);
  return {
    part: 'clauses',
    title: 'Clauses',
    notes: [
      `${clauses.length} clauses in force, ${clauses.length - unjudged.length} with a case that was judged on one of these kernels.`,
      'Cases that are named by the clause, by how they ended; -: not in force in the model of that kernel.',
    ],
    head: ['clause', ...letters(coverage)],
    rows: clauses.map(({ clause, on }) => [clause, ...on.map(endingsText)]),
  };
};

/** Success first, then errnos by name. */
const resultsText = (results: Results): string => {
  const entries = Object.entries(results).sort(([a], [b]) => (a === '0' ? -1 : b === '0' ? 1 : a < b ? -1 : 1));
  return entries.length === 0
    ? '-'
    : entries.map(([errno, times]) => `${errno === '0' ? 'ok' : errno} ${times}`).join(' ');
};

/** Errnos that a clause states and no kernel was made to return. */
const neverSeen = ({ stated, seen }: IoctlCoverage): string =>
  stated.filter((errno) => seen.every((results) => results[errno] === undefined)).join(' ');

const ioctlTable = (coverage: Coverage): Table => ({
  part: 'ioctls',
  title: 'What ioctls returned',
  notes: [
    'How often each kernel was made to return what, by all calls of the suites; -: never called.',
    'Missing: errnos that a clause states for the ioctl itself and that none of these kernels returned.',
  ],
  head: ['file', 'ioctl', ...letters(coverage), 'missing'],
  rows: coverage.ioctls.map((one) => [one.file, one.name, ...one.seen.map(resultsText), neverSeen(one)]),
});

const stageTable = ({ ioctls }: Coverage): Table => ({
  part: 'faults',
  title: 'In which order refusals are looked at',
  notes: ['Stages of the model, in order. Within a stage nothing is promised: any errno of it may come first.'],
  head: ['file', 'ioctl', 'stages'],
  rows: ioctls
    .filter(({ stages }) => stages.some(({ errnos }) => errnos.length > 0))
    .map(({ file, name, stages }) => [
      file,
      name,
      stages
        .filter(({ errnos }) => errnos.length > 0)
        .map(({ stage, errnos }) => `${stage}: ${errnos.join(' ')}`)
        .join('; '),
    ]),
});

const faultText = ({ clause, errnos }: Fault): string => `${clause} (${errnos.join(' or ')})`;

const faultTable = (coverage: Coverage): Table => ({
  part: 'faults',
  title: 'Two faults at once',
  notes: [
    'Calls in which two refusals with different errnos hold together, and what each kernel returned. then: the model has the first looked at first; or: it leaves the order open.',
    ...coverage.kernels.flatMap(({ notFollowed }, index) =>
      notFollowed === 0
        ? []
        : [`${letterOf(index)}: ${notFollowed} cases are left out from where the model cannot follow.`],
    ),
  ],
  head: ['ioctl', 'one fault', '', 'the other', ...letters(coverage)],
  rows: [...coverage.faults]
    .sort(byName)
    .map(({ name, faults: [one, other], order, seen }) => [
      name,
      faultText(one),
      order === 'first' ? 'then' : 'or',
      faultText(other),
      ...seen.map(resultsText),
    ]),
});

const byName = (a: FaultPair, b: FaultPair): number => {
  const key = ({ file, name, faults }: FaultPair): string =>
    [file, name, ...faults.map(({ clause }) => clause)].join(' ');
  return key(a) < key(b) ? -1 : 1;
};
