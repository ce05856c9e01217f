import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { convert } from 'xmlbuilder2';
import { z } from 'zod';
import { HostTrouble } from '../trouble.ts';
import { writeWhole } from './files.ts';
import { junitXml } from './junit-xml.ts';
import { type PointOutcome, pointsOf } from './points.ts';
import type { RunRecord } from './record.ts';

/**
 * From TAP to JUnit in two stages that check each other: tap-junit converts run.tap; what it made of every point must agree
 * with the results before the full file, with everything that TAP cannot carry, is written.
 */

/** Far above what a minute-long conversion needs. */
const CONVERSION_MS = 120_000;

/** Runs tap-junit on a TAP file and returns its XML. Throws HostTrouble when it fails. */
export const convertTap = async (tapPath: string): Promise<string> => {
  const result = await execa(process.execPath, [tapJunitPath()], {
    inputFile: tapPath,
    reject: false,
    timeout: CONVERSION_MS,
    stripFinalNewline: true,
  });
  // Its exit status says nothing when it writes to standard output, but for a crash.
  if (result.failed) {
    throw new HostTrouble(`tap-junit failed on ${tapPath}: ${result.stderr.split('\n')[0] || result.shortMessage}`);
  }
  return result.stdout;
};

const tapJunitPath = (): string => {
  const manifest = createRequire(import.meta.url).resolve('tap-junit/package.json');
  const { bin } = z
    .object({ bin: z.object({ 'tap-junit': z.string() }) })
    .parse(JSON.parse(readFileSync(manifest, 'utf8')));
  return join(dirname(manifest), bin['tap-junit']);
};

const listOf = <Item extends z.ZodType>(item: Item) =>
  z.union([z.array(item), item.transform((one) => [one])]).optional();

const Converted = z.object({
  testsuites: z.object({
    '@tests': z.coerce.number(),
    '@failures': z.coerce.number(),
    testsuite: z.object({
      '@skipped': z.coerce.number(),
      testcase: listOf(
        z.object({ '@id': z.coerce.number(), failure: z.unknown().optional(), skipped: z.unknown().optional() }),
      ),
    }),
  }),
});

/** What TAP can tell apart: `not ok` is `failed` whoever is to blame. */
const inTap = (outcome: PointOutcome): 'passed' | 'failed' | 'skipped' => (outcome === 'errored' ? 'failed' : outcome);

/**
 * What tap-junit's XML and the results disagree about, in one line: the counts, the ids in their order, or the verdict of a
 * point; `undefined` when they agree.
 */
export const disagreement = (xml: string, run: RunRecord): string | undefined => {
  const parsed = Converted.safeParse(parseXml(xml));
  if (!parsed.success) return `its XML is not of the form that is expected: ${parsed.error.issues[0]?.path.join('/')}`;
  const { testsuites } = parsed.data;
  const points = pointsOf(run).map(({ id, outcome }) => ({ id, outcome: inTap(outcome) }));
  const number = (outcome: string): number => points.filter((point) => point.outcome === outcome).length;
  const counts = [
    ['tests', testsuites['@tests'], points.length],
    ['failures', testsuites['@failures'], number('failed')],
    ['skipped tests', testsuites.testsuite['@skipped'], number('skipped')],
    ['test cases', testsuites.testsuite.testcase?.length ?? 0, points.length],
  ] as const;
  for (const [what, found, expected] of counts) {
    if (found !== expected) return `it counts ${found} ${what}, the results hold ${expected}`;
  }
  for (const [index, testcase] of (testsuites.testsuite.testcase ?? []).entries()) {
    const { id, outcome } = points[index] ?? { id: 'nothing', outcome: 'passed' };
    if (testcase['@id'] !== index + 1) return `it has point ${testcase['@id']} where point ${index + 1} stands`;
    const found = testcase.failure !== undefined ? 'failed' : testcase.skipped !== undefined ? 'skipped' : 'passed';
    if (found !== outcome) return `it says that point ${index + 1} ${found}, the results say ${outcome} (${id})`;
  }
  return undefined;
};

const parseXml = (xml: string): unknown => {
  try {
    return convert(xml, { format: 'object' });
  } catch {
    return undefined;
  }
};

/**
 * Writes junit.xml beside run.tap. Throws HostTrouble, and writes nothing, when tap-junit fails or disagrees with the
 * results.
 */
export const writeJunit = async (reportFolder: string, run: RunRecord): Promise<void> => {
  const path = join(reportFolder, 'junit.xml');
  const wrong = disagreement(await convertTap(join(reportFolder, 'run.tap')), run);
  if (wrong !== undefined)
    throw new HostTrouble(`${path} was not written: tap-junit read run.tap differently: ${wrong}`);
  writeWhole(path, [junitXml(run), '\n']);
};
