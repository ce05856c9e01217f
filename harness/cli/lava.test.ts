import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { placeOf } from '../export/place.ts';
import { ENDINGS, everything, NASTY, nastyRun } from '../export/testing.ts';
import { openSshd, type TestSshd } from '../hosts/testing-sshd.ts';
import { makeFolder } from '../report/files.ts';
import { keptRun } from '../report/kept.ts';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord, RunRecord } from '../report/record.ts';
import { writeReports } from '../report/results.ts';
import { aRun } from '../report/testing.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';
import { exampleSteps, type JobEnd, type Result, runJob, whyNoLava } from './testing-lava.ts';

const RESULT = {
  conforms: 'pass',
  diverges: 'fail',
  damaged: 'fail',
  unsupported: 'skip',
  'host-lost': 'unknown',
  'harness-error': 'unknown',
} as const satisfies Record<CaseRecord['verdict'], string>;

/** What the dispatcher is to find in a run: its cases in sets of their areas, and what became of the run. */
const expected = (run: RunRecord): readonly (readonly unknown[])[] => [
  ...[...run.cases, ...run.notRun].map((one) => {
    const [set, ...id] = placeOf(one);
    if (!('verdict' in one)) return [set, id.join('.'), 'skip', undefined];
    const result = one.known === undefined ? RESULT[one.verdict] : 'pass';
    return [set, id.join('.'), result, one.durationMs > 0 ? Number(one.durationMs.toFixed(3)) : undefined];
  }),
  ...run.disappeared.map(() => ['known-differences', undefined, 'unknown', undefined]),
  ['harness', 'run.reached-its-end', run.interrupted === undefined ? 'pass' : 'fail', undefined],
];

/** In an order of its own: sets stand together in what LAVA reads. */
const sorted = (rows: readonly (readonly unknown[])[]): readonly string[] =>
  rows.map((row) => JSON.stringify(row)).sort();

const found = (results: readonly Result[]): readonly (readonly unknown[])[] =>
  results.map((one) => [
    one.set,
    // A known difference that did not show has the name that fits LAVA best.
    one.set === 'known-differences' ? undefined : one.case,
    one.result,
    one.measurement,
  ]);

describe('the dispatcher of LAVA', () => {
  let folder: string;
  let sshd: TestSshd;
  const jobId = (name: string): string => `vfio-conform-${process.pid}-${name}`;

  before(async function () {
    const why = await whyNoLava();
    if (why !== undefined) skipBecause(this, why);
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-lava-'));
    sshd = await openSshd();
  });
  after(async () => {
    await sshd?.end();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const endOf = ({ results }: JobEnd): Result | undefined => results.findLast((one) => one.case === 'job');

  it('runs the example, and finds in it what the report says', async () => {
    const report = join(folder, 'report');
    const steps = await exampleSteps('--host none --suite vaddr', report);
    const job = await runJob(sshd, jobId('example'), [{ name: 'vfio-conform', steps }]);
    expect([job.exitCode, endOf(job)?.result]).to.deep.equal([0, 'pass']);
    const run = readResults(report);
    expect(run.cases).to.have.length.greaterThan(10);
    const own = job.results.filter(({ definition }) => definition === '0_vfio-conform');
    expect(sorted(found(own))).to.deep.equal(sorted(expected(run)));
  });

  it('ends the example Incomplete, and tells why, when the run is in trouble', async () => {
    const steps = await exampleSteps('--host local --device ffff:00:00.0', join(folder, 'trouble'));
    const job = await runJob(sshd, jobId('trouble'), [{ name: 'vfio-conform', steps }]);
    expect(job.exitCode).to.equal(1);
    expect(endOf(job)).to.include({
      result: 'fail',
      error_type: 'Test',
      error_msg: `vfio-conform-ended-with-${EXIT.hostTrouble}`,
    });
    expect(
      job.said(0, Number.MAX_SAFE_INTEGER).filter((line) => /there is no PCI device ffff/.test(line)),
    ).to.have.length(1);
  });

  describe('of reports with every ending and every awkward name', () => {
    const awkward = Object.values(NASTY).map(nastyRun);
    const runs: Readonly<Record<string, RunRecord>> = {
      everything,
      awkward: {
        ...nastyRun(NASTY['a signal of LAVA'] ?? ''),
        cases: awkward.flatMap(({ cases }) => cases),
        notRun: awkward.flatMap(({ notRun }) => notRun),
        disappeared: awkward.flatMap(({ disappeared }) => disappeared),
      },
      // More than the dispatcher reads at once, many times over.
      many: aRun(
        Array.from({ length: 300 }, (_, index) => ({
          ...ENDINGS.differs,
          id: `type1/map-overlap: case ${index}`,
          title: `case ${index}`,
          durationMs: index + 0.125,
        })),
      ),
    };
    let job: JobEnd;

    before(async () => {
      const tests = [];
      for (const [name, run] of Object.entries(runs)) {
        const report = join(folder, name);
        makeFolder(report);
        await writeReports(report, keptRun(run));
        const steps = await exampleSteps('', report);
        tests.push({ name, steps: steps.filter((step) => /^(cd|npx vfio-conform export) /.test(step)) });
      }
      job = await runJob(sshd, jobId('reports'), tests);
    });

    it('ends such a job well', () => {
      expect([job.exitCode, endOf(job)?.result]).to.deep.equal([0, 'pass']);
    });

    for (const [index, name] of Object.keys(runs).entries()) {
      it(`finds what the report says: ${name}`, () => {
        const own = job.results.filter(({ definition }) => definition === `${index}_${name}`);
        expect(sorted(found(own))).to.deep.equal(sorted(expected(readResults(join(folder, name)))));
        expect(new Set(own.map((one) => `${one.set} ${one.case}`))).to.have.property('size', own.length);
        expect(job.results.find((one) => one.case === `${index}_${name}`)?.result).to.equal('pass');
      });
    }

    it('has the words of each case in its log before what became of it', () => {
      const ofMany = job.results.filter(({ definition, set }) => definition === '2_many' && set === 'type1');
      expect(ofMany).to.have.length(300);
      for (const [index, { endtc = 0 }] of ofMany.entries()) {
        expect(job.said(0, endtc), String(index)).to.include(
          `npx vfio-conform run --grep 'type1/map-overlap: case ${index}'`,
        );
      }
    });
  });
});
