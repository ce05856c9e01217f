import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Mocha from 'mocha';
import { type Finished, openReport, type Report, type ReportMeta, type ReportOptions } from './index.ts';
import { type CaseRecord, RESULTS_SCHEMA, type RunRecord } from './record.ts';
import { parseXml, type XmlElement } from './testing-xml.ts';

/** Made-up records and runs for the tests of this room. */

export const META: ReportMeta = {
  version: '0.1.0',
  revision: 'linux-6.1',
  kernel: '6.1.0-28-amd64',
  host: { name: 'vm', description: 'QEMU 7.2 tcg, two edu devices', iommu: 'intel, 39 bits' },
  arguments: [],
};

/** Half past noon on a day of no importance. */
export const NOON = Date.UTC(2026, 0, 2, 12, 30, 0);

/** The record of a case that conforms, unless told otherwise. */
export const aRecord = (title: string, differs: Partial<CaseRecord> = {}): CaseRecord => ({
  id: `type1/map-overlap: ${title}`,
  clause: 'type1/map-overlap',
  area: 'type1',
  title,
  verdict: 'conforms',
  broken: [],
  durationMs: 1.5,
  program: 'main open container /dev/vfio/vfio\n',
  observed: '0 3 0\n',
  ...differs,
});

export const BROKEN: CaseRecord['broken'][number] = {
  clause: 'type1/map-overlap',
  says: 'A mapping must not overlap one that stands.',
  source: 'drivers/vfio/vfio_iommu_type1.c: vfio_dma_do_map',
  call: 'main ioctl container 0x3b71 [20000000,03000000]',
  expected: 'EEXIST',
  observed: '0',
};

export const aDifference = (title: string, differs: Partial<CaseRecord> = {}): CaseRecord =>
  aRecord(title, {
    verdict: 'diverges',
    reason: `${BROKEN.call}: expected EEXIST, observed 0`,
    broken: [BROKEN],
    ...differs,
  });

export const KNOWN = { id: 'map-overlap-quirk', reason: 'The kernel lets this pass, and always has.' };

export const aRun = (cases: readonly CaseRecord[], differs: Partial<RunRecord> = {}): RunRecord => ({
  schema: RESULTS_SCHEMA,
  startedAt: new Date(NOON).toISOString(),
  ...META,
  durationMs: 42_000,
  disappeared: [],
  cases: [...cases],
  notRun: [],
  ...differs,
});

/** Gives a test a folder of its own, and removes it afterwards. */
export const inFolder = async <Result>(act: (folder: string) => Promise<Result>): Promise<Result> => {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-conform-report-'));
  try {
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Builds suites in the clause `type1/map-overlap`, unless it goes elsewhere from the root. */
export type BuildSuites = (clause: Mocha.Suite, root: Mocha.Suite, report: Report) => void;

/** Runs suites with real Mocha under our reporter, up to the finished report. */
export const runSuites = async (
  folder: string,
  build: BuildSuites,
  options: ReportOptions = {},
  end: Parameters<Report['finish']>[0] = {},
  configure: (mocha: Mocha) => void = () => undefined,
): Promise<Finished> => {
  const report = openReport(folder, META, options);
  const mocha = new Mocha({ reporter: report.reporter });
  configure(mocha);
  build(Mocha.Suite.create(mocha.suite, 'type1/map-overlap'), mocha.suite, report);
  await new Promise<void>((done) => {
    const runner = mocha.run(() => {
      runner.dispose();
      done();
    });
  });
  return report.finish(end);
};

/** Adds a test to a suite. */
export const addTest = (suite: Mocha.Suite, title: string, run?: Mocha.AsyncFunc): Mocha.Test => {
  const test = new Mocha.Test(title, run);
  suite.addTest(test);
  return test;
};

/** One test case of a JUnit file, as a reader sees it. */
interface ReadCase {
  readonly suite: string;
  readonly classname: string | null;
  readonly name: string | null;
  readonly time: string | null;
  readonly outcome: 'passed' | 'failure' | 'error' | 'skipped';
  readonly type: string | null;
  readonly message: string | null;
  readonly text: string;
  readonly out: string;
}

export interface ReadJunit {
  readonly totals: Readonly<Record<'tests' | 'failures' | 'errors', string | null>>;
  readonly suites: readonly { readonly name: string | null; readonly properties: ReadonlyMap<string, string> }[];
  readonly cases: readonly ReadCase[];
}

/** Reads junit.xml back, from a report's folder. */
export const readJunit = (folder: string): ReadJunit => parseJunit(readFileSync(join(folder, 'junit.xml'), 'utf8'));

export const parseJunit = (xml: string): ReadJunit => {
  const root = parseXml(xml);
  const suites = root.children.filter(({ name }) => name === 'testsuite');
  const total = (name: string): string | null => root.attributes.get(name) ?? null;
  return {
    totals: { tests: total('tests'), failures: total('failures'), errors: total('errors') },
    suites: suites.map((suite) => ({
      name: suite.attributes.get('name') ?? null,
      properties: new Map(
        (suite.children[0]?.children ?? []).map(({ attributes }) => [
          attributes.get('name') ?? '',
          attributes.get('value') ?? '',
        ]),
      ),
    })),
    cases: suites.flatMap((suite) =>
      suite.children
        .filter(({ name }) => name === 'testcase')
        .map((one) => readCase(suite.attributes.get('name') ?? '', one)),
    ),
  };
};

const OUTCOMES = ['failure', 'error', 'skipped'] as const;

const readCase = (suite: string, { attributes, children }: XmlElement): ReadCase => {
  const ended = children.find(({ name }) => OUTCOMES.some((outcome) => outcome === name));
  return {
    suite,
    classname: attributes.get('classname') ?? null,
    name: attributes.get('name') ?? null,
    time: attributes.get('time') ?? null,
    outcome: OUTCOMES.find((outcome) => outcome === ended?.name) ?? 'passed',
    type: ended?.attributes.get('type') ?? null,
    message: ended?.attributes.get('message') ?? null,
    text: ended?.text ?? '',
    out: children.find(({ name }) => name === 'system-out')?.text ?? '',
  };
};
