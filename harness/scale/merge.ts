import { durationText } from '../report/layout.ts';
import type { CaseName, CaseRecord, Interruption, RunRecord } from '../report/record.ts';
import { HostTrouble } from '../trouble.ts';

/** One part of a run: what a cell reported, or that it never came to a report. */
export interface Part {
  /** `cell 3 (map on spr1)`. */
  readonly name: string;
  readonly run?: RunRecord;
}

/**
 * The parts of one run (one kernel, one revision, one class of hosts) as if it had never been divided: cases in the order of the
 * parts, interrupted when any part was; `undefined` when no part came to a report. Throws HostTrouble when parts ran on different
 * kernels: what they found is of no one kernel.
 */
export const mergeParts = (className: string, parts: readonly Part[]): RunRecord | undefined => {
  const runs = parts.flatMap(({ run }) => (run === undefined ? [] : [run]));
  const [first] = runs;
  if (first === undefined) return undefined;
  for (const field of ['kernel', 'revision', 'version'] as const) {
    const found = distinct(runs.map((run) => run[field]));
    if (found.length > 1) {
      throw new HostTrouble(`the cells on ${className} differ in their ${field}: ${found.join(', ')}`);
    }
  }
  const cases = uniquelyNamed(runs.flatMap((run) => run.cases));
  const notRun = uniquelyNamed(
    runs.flatMap((run) => run.notRun),
    cases,
  );
  const interrupted = interruptionOf(parts);
  return {
    schema: first.schema,
    version: first.version,
    startedAt: runs.map((run) => run.startedAt).sort()[0] ?? first.startedAt,
    revision: first.revision,
    kernel: first.kernel,
    host: hostOf(className, runs, first),
    arguments: first.arguments,
    durationMs: runs.reduce((sum, run) => sum + run.durationMs, 0),
    ...(interrupted === undefined ? {} : { interrupted }),
    disappeared: disappearedFrom(runs, cases),
    cases,
    notRun,
  };
};

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)];

/** Texts told before the rest is only counted. */
const MOST_TOLD = 8;

const joined = (texts: readonly string[]): string =>
  [...texts.slice(0, MOST_TOLD), ...(texts.length > MOST_TOLD ? [`${texts.length - MOST_TOLD} more`] : [])].join('; ');

const hostOf = (className: string, runs: readonly RunRecord[], first: RunRecord): RunRecord['host'] => {
  const names = distinct(runs.map((run) => run.host.name));
  if (names.length === 1 && distinct(runs.map((run) => JSON.stringify(run.host))).length === 1) return first.host;
  return {
    name: names.length === 1 ? first.host.name : className,
    description: joined(distinct(runs.map(({ host }) => `${host.name}: ${host.description}`))),
    iommu: joined(distinct(runs.map(({ host }) => host.iommu))),
  };
};

/** What a difference's own cases may show in one part counts for all: it is gone only where no part shows it. */
const disappearedFrom = (runs: readonly RunRecord[], cases: readonly CaseRecord[]): string[] => {
  const shown = new Set(cases.flatMap(({ known }) => known?.id.split(', ') ?? []));
  return distinct(runs.flatMap((run) => run.disappeared)).filter((id) => !shown.has(id));
};

/** A name that two suites give is told apart as within one run: `title (2)`. */
const uniquelyNamed = <Named extends CaseName>(items: readonly Named[], after: readonly CaseName[] = []): Named[] => {
  const taken = new Set(after.map(({ id }) => id));
  return items.map((item) => {
    let { title } = item;
    for (let copy = 2; taken.has(`${item.clause}: ${title}`); copy++) title = `${item.title} (${copy})`;
    const id = `${item.clause}: ${title}`;
    taken.add(id);
    return title === item.title ? item : { ...item, id, title };
  });
};

const interruptionOf = (parts: readonly Part[]): Interruption | undefined => {
  const all = parts.flatMap(({ name, run }): readonly Interruption[] => {
    if (run === undefined) return [{ why: 'trouble', reason: `${name} came to no report` }];
    const { interrupted } = run;
    if (interrupted === undefined) return [];
    return [{ why: interrupted.why, reason: `${name}: ${interrupted.reason}, after ${durationText(run.durationMs)}` }];
  });
  const [first] = all;
  if (first === undefined) return undefined;
  return { why: first.why, reason: all.length === 1 ? first.reason : `${first.reason} (and ${all.length - 1} more)` };
};
