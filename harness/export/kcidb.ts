import { createHash } from 'node:crypto';
import { bounded } from '../report/clean.ts';
import { explain, knownText } from '../report/explain.ts';
import { type Point, pointsOf } from '../report/points.ts';
import type { RunRecord } from '../report/record.ts';
import { exitCodeOf } from '../report/tally.ts';
import { caseFolder } from '../report/tree.ts';
import { EXIT, UsageTrouble } from '../trouble.ts';
import { placeOf } from './place.ts';

/**
 * KCIDB's JSON, version 5.3: one checkout, one build, a test for the run and for each case, and the known differences as
 * issues with incidents. A known difference is a FAIL there: that database tells what is known by its issues, not by
 * calling it passed. MISS is trouble with host or harness.
 */

/** A file of a patch series. */
export interface PatchFile {
  readonly name: string;
  /** Of the whole file, in hex. */
  readonly sha256: string;
}

/** What a run does not know of itself. */
export interface KcidbOptions {
  /** Who submits, as the database knows them: `[a-z0-9_]+`. */
  readonly origin: string;
  /** The series that the kernel was built with, in the order of application; absent for a kernel as it is. */
  readonly patches?: readonly PatchFile[];
  /** Where the files of the series can be had; the name of each is put behind it. */
  readonly patchesUrl?: string;
  /** Of the mail that brought the series. */
  readonly messageId?: string;
  /** The commit below the series (40 hex digits), its repository (https), and the name of the tree. */
  readonly commit?: string;
  readonly repository?: string;
  readonly tree?: string;
  /** Where the report's folder can be read. */
  readonly url?: string;
}

type Status = 'FAIL' | 'ERROR' | 'MISS' | 'PASS' | 'SKIP';

/** Longest excerpt of a log; the schema's limit is 16,384 characters. */
const EXCERPT = 15_000;

const STATUS = {
  conforms: 'PASS',
  known: 'FAIL',
  diverges: 'FAIL',
  damaged: 'FAIL',
  unsupported: 'SKIP',
  'host-lost': 'MISS',
  'harness-error': 'MISS',
  'not-run': 'MISS',
  interrupted: 'MISS',
} as const satisfies Record<Point['type'], Status>;

/** The one issue version there is: what is known has no numbered versions here. */
const ISSUE_VERSION = 1;

const hash = (...parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 20);

/** The run as KCIDB's JSON. Throws UsageTrouble for a run without a kernel: there is nothing to tell of one then. */
export const kcidbOf = (run: RunRecord, options: KcidbOptions): string => {
  if (run.kernel === 'none') {
    throw new UsageTrouble(
      'the report is of a run without a kernel (--host none): KCIDB takes results of kernels only',
    );
  }
  const { origin } = options;
  const checkout = checkoutOf(run, options);
  const build = buildOf(run, options, checkout.id);
  const id = `${origin}:${hash(run.startedAt, run.host.name, run.revision, run.kernel, ...run.arguments)}`;
  const common: Common = { id, build_id: build.id, run, options };
  const points = pointsOf(run).filter(({ type }) => type !== 'interrupted');
  return `${JSON.stringify(
    {
      version: { major: 5, minor: 3 },
      checkouts: [checkout],
      builds: [build],
      tests: [wholeRun(common), ...points.map((point) => testOf(common, point))],
      ...findingsOf(common, points),
    },
    null,
    2,
  )}\n`;
};

/** The hash of a series, by KCIDB's rule: sha256 over the sha256 of each file, a line for each. */
const patchsetHash = (patches: readonly PatchFile[]): string =>
  patches.length === 0
    ? ''
    : createHash('sha256')
        .update(patches.map(({ sha256 }) => `${sha256}\n`).join(''))
        .digest('hex');

const checkoutOf = (run: RunRecord, options: KcidbOptions) => {
  const { origin, patches = [], patchesUrl, messageId, commit, repository, tree } = options;
  const series = patchsetHash(patches);
  return {
    id: `${origin}:${hash('checkout', run.kernel, series, commit ?? '')}`,
    origin,
    ...(tree === undefined ? {} : { tree_name: tree }),
    ...(repository === undefined ? {} : { git_repository_url: repository }),
    ...(commit === undefined ? {} : { git_commit_hash: commit }),
    patchset_hash: series,
    ...(patchesUrl === undefined || patches.length === 0
      ? {}
      : { patchset_files: patches.map(({ name }) => ({ name, url: urlOf(patchesUrl, name) })) }),
    ...(messageId === undefined ? {} : { message_id: messageId }),
    comment: `Linux ${run.kernel}`,
    valid: true,
  };
};

const buildOf = (run: RunRecord, { origin }: KcidbOptions, checkout: string) => ({
  id: `${origin}:${hash('build', checkout)}`,
  origin,
  checkout_id: checkout,
  architecture: 'x86_64',
  comment: `Linux ${run.kernel}`,
  status: 'PASS',
});

interface Common {
  /** Of the run's own test; those of cases begin with it. */
  readonly id: string;
  readonly build_id: string;
  readonly run: RunRecord;
  readonly options: KcidbOptions;
}

const shared = ({ build_id, run, options: { origin } }: Common) => ({
  origin,
  build_id,
  environment: {
    comment: run.host.description,
    misc: { platform: run.host.name, iommu: run.host.iommu },
  },
  ...(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(run.startedAt) ? { start_time: run.startedAt } : {}),
});

/** Sub-paths are of letters, digits and dashes, which a URL takes as they are; names of patches may be anything. */
const urlOf = (base: string, ...parts: readonly string[]): string =>
  [base.replace(/\/+$/, ''), ...parts.map(encodeURIComponent)].join('/');

const wholeRun = (common: Common) => {
  const { run, id, options } = common;
  const reason = run.interrupted === undefined ? {} : { log_excerpt: `interrupted: ${run.interrupted.reason}` };
  const statuses: Readonly<Record<number, Status>> = {
    [EXIT.conforms]: 'PASS',
    [EXIT.diverges]: 'FAIL',
    [EXIT.nothingRan]: 'SKIP',
  };
  return {
    id,
    ...shared(common),
    path: 'vfio-conform',
    status: statuses[exitCodeOf(run)] ?? 'MISS',
    duration: run.durationMs / 1000,
    comment: `vfio-conform ${run.version}: ${run.revision} held against Linux ${run.kernel}`,
    ...reason,
    ...(options.url === undefined ? {} : { log_url: urlOf(options.url, 'report.txt') }),
    misc: { revision: run.revision, arguments: run.arguments },
  };
};

const idOf = ({ id }: Common, point: Point): string => `${id}.${placeOf(point).join('.')}`;

const testOf = (common: Common, point: Point) => {
  const { run, options } = common;
  const { record, type } = point;
  return {
    id: idOf(common, point),
    ...shared(common),
    path: ['vfio-conform', ...placeOf(point)].join('.'),
    status: STATUS[type],
    ...(record === undefined ? {} : { duration: record.durationMs / 1000 }),
    comment: point.id,
    ...(type === 'conforms' ? {} : { log_excerpt: bounded(excerptOf(point, run), EXCERPT) }),
    ...(record === undefined || options.url === undefined ? {} : filesOf(options.url, point)),
    misc: { verdict: type, clause: point.clause },
  };
};

const excerptOf = ({ record, type, message }: Point, run: RunRecord): string => {
  if (record === undefined || type === 'unsupported') return message;
  return type === 'known' ? knownText(record) : explain(record, run.arguments, { limit: 4096, fold: false });
};

const filesOf = (url: string, point: Point) => {
  const at = (name: string): string => urlOf(url, ...caseFolder(point).split('/'), name);
  return {
    log_url: at('verdict.json'),
    output_files: ['program.txt', 'observed.txt'].map((name) => ({ name, url: at(name) })),
  };
};

/** Issues, and where they showed or, expected, did not. Neither list is there when it would be empty. */
const findingsOf = (common: Common, points: readonly Point[]) => {
  const { run, options, build_id } = common;
  const { origin } = options;
  const issueOf = (id: string): string => `${origin}:${run.revision}/${id}`;
  const comments = new Map<string, string>();
  const incidents: object[] = [];
  const add = (id: string, where: Readonly<Record<string, string>>, present: boolean): void => {
    const issue = { issue_id: issueOf(id), issue_version: ISSUE_VERSION };
    incidents.push({
      id: `${origin}:${hash(common.id, id, ...Object.values(where))}`,
      origin,
      ...issue,
      ...where,
      present,
    });
  };
  for (const point of points) {
    const { known } = point.record ?? {};
    if (point.type !== 'known' || known === undefined) continue;
    for (const id of known.id.split(', ')) {
      if (!comments.has(id)) comments.set(id, known.reason);
      add(id, { test_id: idOf(common, point) }, true);
    }
  }
  for (const id of run.disappeared) {
    if (!comments.has(id)) comments.set(id, 'a known difference that was expected in this run and did not show');
    add(id, { build_id, test_id: common.id }, false);
  }
  if (incidents.length === 0) return {};
  const issues = [...comments].map(([id, comment]) => ({
    id: issueOf(id),
    version: ISSUE_VERSION,
    origin,
    comment,
    culprit: { code: true, tool: false, harness: false },
    misc: { revision: run.revision },
  }));
  return { issues, incidents };
};
