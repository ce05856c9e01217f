import { create } from 'xmlbuilder2';
import type { XMLBuilder } from 'xmlbuilder2/lib/interfaces.js';
import { explain, knownText } from './explain.ts';
import { groupBy } from './group.ts';
import { type Point, pointsOf } from './points.ts';
import type { RunRecord } from './record.ts';

/**
 * The JUnit file, in the one dialect that Jenkins (both plugins), GitLab, GitHub's reporters and Buildkite all read: one
 * suite for each area; `failure` when the kernel differs, `error` when host or harness failed; message and text both.
 * A case is named by its whole id, so that it can be found again from any list that shows names alone.
 */

/** All explanations together stay near this many UTF-16 units: GitLab drops files above 30 MB. */
const TEXT_BUDGET = 12_000_000;
const TEXT_LIMIT = 16_384;
/** An explanation holds up to three long texts: program, observation, kernel log. */
const TEXTS_A_CASE = 3;

/** An element: attributes in their order, and either text or children. */
interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly content?: string | readonly Element[];
}

/** The XML of a run. The points are numbered as in run.tap. */
export const junitXml = (run: RunRecord): string => {
  const points = pointsOf(run);
  const told = points.filter(({ outcome }) => outcome === 'failed' || outcome === 'errored').length;
  const limit = Math.max(256, Math.min(TEXT_LIMIT, Math.floor(TEXT_BUDGET / TEXTS_A_CASE / Math.max(1, told))));
  const areas = groupBy(points, ({ area }) => area);
  // The schemas know no `skipped` on the outermost element.
  const { skipped: _, ...totals } = counts(points);
  return written({
    name: 'testsuites',
    attributes: { name: 'vfio-conform', ...totals },
    content: [...areas].map(([area, inArea]) => suite(run, area, inArea, limit)),
  });
};

const suite = (run: RunRecord, area: string, points: readonly Point[], limit: number): Element => ({
  name: 'testsuite',
  attributes: {
    name: area,
    ...counts(points),
    // Without a zone, as the older schemas want it; it is UTC.
    timestamp: run.startedAt.slice(0, 19),
    hostname: run.host.name,
  },
  content: [
    {
      name: 'properties',
      attributes: {},
      content: properties(run).map(([name, value]) => ({ name: 'property', attributes: { name, value } })),
    },
    ...points.map((point) => testcase(run, point, limit)),
  ],
});

const counts = (points: readonly Point[]) => {
  const number = (outcome: Point['outcome']): number => points.filter((point) => point.outcome === outcome).length;
  return {
    tests: points.length,
    failures: number('failed'),
    errors: number('errored'),
    skipped: number('skipped'),
    time: seconds(points.reduce((sum, { durationMs }) => sum + durationMs, 0)),
  };
};

const seconds = (ms: number): string => (ms / 1000).toFixed(6);

const properties = (run: RunRecord): readonly (readonly [string, string])[] => [
  ['vfio-conform.version', run.version],
  ['vfio-conform.revision', run.revision],
  ['vfio-conform.kernel', run.kernel],
  ['vfio-conform.host', run.host.name],
  ['vfio-conform.host.description', run.host.description],
  ['vfio-conform.iommu', run.host.iommu],
  ['vfio-conform.arguments', run.arguments.join(' ')],
  ...(run.interrupted === undefined ? [] : ([['vfio-conform.interrupted', run.interrupted.reason]] as const)),
  ...run.disappeared.map((id) => ['vfio-conform.known-difference.did-not-show', id] as const),
];

const testcase = (run: RunRecord, point: Point, limit: number): Element => ({
  name: 'testcase',
  attributes: { classname: `vfio-conform.${point.area}`, name: point.id, time: seconds(point.durationMs) },
  content: told(run, point, limit),
});

/** What stands inside a test case; nothing when it conforms. */
const told = (run: RunRecord, { outcome, type, message, record }: Point, limit: number): readonly Element[] => {
  const text = record === undefined ? message : explain(record, run.arguments, { limit, fold: false });
  switch (outcome) {
    case 'skipped':
      return [{ name: 'skipped', attributes: { message }, content: message }];
    case 'failed':
      return [{ name: 'failure', attributes: { type, message }, content: text }];
    case 'errored':
      return [{ name: 'error', attributes: { type, message }, content: text }];
    case 'passed':
      if (type !== 'known' || record === undefined) return [];
      return [{ name: 'system-out', attributes: {}, content: harmless(knownText(record)) }];
  }
};

/** CI servers attach files that a line of this form names; what a host says must not choose them. */
const harmless = (text: string): string => text.replaceAll('[[ATTACHMENT|', '[[ATTACHMENT\\x7c');

const written = (root: Element): string => {
  const document = create({ version: '1.0', encoding: 'UTF-8' });
  append(document, root);
  return document.end({ prettyPrint: true, wellFormed: true });
};

const append = (parent: XMLBuilder, { name, attributes, content }: Element): void => {
  const element = parent.ele(name);
  for (const [key, value] of Object.entries(attributes)) element.att(key, escaped(String(value)));
  if (typeof content === 'string') element.txt(escaped(content));
  else for (const child of content ?? []) append(element, child);
};

/**
 * xmlbuilder2 leaves an ampersand as it is where an entity could begin (`&foo;`, and what comes out is no XML), and `&amp;`
 * too: given that, it writes what was meant. (Given an object, it would decode entities as well; so it is given none.)
 */
const escaped = (text: string): string => text.replaceAll('&', '&amp;');
