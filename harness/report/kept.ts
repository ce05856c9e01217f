import { bounded, boundedLine, cleanLine, cleanText } from './clean.ts';
import type { Answer, CaseRecord, NotRun, RunMeta, RunRecord } from './record.ts';

/**
 * The door of the report: whatever comes from suites, hosts and errors is made harmless and held to a size here, before
 * it is kept, so that no view of it needs to. Sizes are UTF-16 units.
 */

const LINE_LIMIT = 4096;
const TEXT_LIMIT = 1024 * 1024;
const LOG_LINES = 1000;
const BROKEN_LIMIT = 64;

/** One harmless line. */
export const keptLine = (text: string): string => boundedLine(cleanLine(boundedLine(text, LINE_LIMIT)), LINE_LIMIT);

/** Harmless text of several lines; too long a one loses its middle, and says so. */
export const keptText = (text: string, limit: number = TEXT_LIMIT): string =>
  bounded(cleanText(bounded(text, limit)), limit);

/** What a kernel said, as it is kept. */
export const keptLog = (lines: readonly string[]): string[] => lines.slice(0, LOG_LINES).map(keptLine);

/** A record as it is kept: these fields, in this order, and no others. */
export const keptRecord = (record: CaseRecord): CaseRecord => ({
  id: keptLine(record.id),
  clause: keptLine(record.clause),
  area: keptLine(record.area),
  title: keptLine(record.title),
  verdict: record.verdict,
  ...(record.reason === undefined ? {} : { reason: keptLine(record.reason) }),
  broken: record.broken.slice(0, BROKEN_LIMIT).map((broken) => ({
    clause: keptLine(broken.clause),
    says: keptLine(broken.says),
    source: keptLine(broken.source),
    call: keptLine(broken.call),
    expected: keptLine(broken.expected),
    observed: keptLine(broken.observed),
  })),
  ...(record.known === undefined
    ? {}
    : { known: { id: keptLine(record.known.id), reason: keptLine(record.known.reason) } }),
  ...(record.answer === undefined ? {} : { answer: keptAnswer(record.answer) }),
  ...(record.repeats === undefined ? {} : { repeats: { ...record.repeats } }),
  durationMs: Number.isFinite(record.durationMs) ? Math.max(0, record.durationMs) : 0,
  program: keptText(record.program),
  observed: keptText(record.observed),
  ...(record.kernelLog === undefined ? {} : { kernelLog: keptLog(record.kernelLog) }),
});

const keptAnswer = ({ asks, mode, column, expected, source, observed }: Answer): Answer => ({
  asks: keptLine(asks),
  mode: keptLine(mode),
  column,
  expected: keptLine(expected),
  source: keptLine(source),
  ...(observed === undefined ? {} : { observed: keptLine(observed) }),
});

/** What is known of a run, as it is kept. */
export const keptMeta = (meta: RunMeta): RunMeta => ({
  schema: meta.schema,
  version: keptLine(meta.version),
  startedAt: keptLine(meta.startedAt),
  revision: keptLine(meta.revision),
  kernel: keptLine(meta.kernel),
  host: {
    name: keptLine(meta.host.name),
    description: keptLine(meta.host.description),
    iommu: keptLine(meta.host.iommu),
  },
  arguments: meta.arguments.map(keptLine),
});

const keptNotRun = ({ id, clause, area, title, reason }: NotRun): NotRun => ({
  id: keptLine(id),
  clause: keptLine(clause),
  area: keptLine(area),
  title: keptLine(title),
  reason: keptLine(reason),
});

/** A whole run as it is kept. */
export const keptRun = (run: RunRecord): RunRecord => ({
  ...keptMeta(run),
  durationMs: run.durationMs,
  ...(run.interrupted === undefined
    ? {}
    : { interrupted: { why: run.interrupted.why, reason: keptLine(run.interrupted.reason) } }),
  disappeared: run.disappeared.map(keptLine),
  cases: run.cases.map(keptRecord),
  notRun: run.notRun.map(keptNotRun),
});
