import { resolve } from 'node:path';
import { EXIT, HostTrouble } from '../trouble.ts';
import { linkLatest } from './files.ts';
import { keptLine, keptLog, keptMeta } from './kept.ts';
import { openLive } from './live.ts';
import { pointOf } from './points.ts';
import { createProgress, noProgress, type Terminal } from './progress.ts';
import {
  type CaseName,
  type CaseRecord,
  type Interruption,
  RESULTS_SCHEMA,
  type RunMeta,
  type RunRecord,
} from './record.ts';
import { type RunSink, reporterFor } from './reporter.ts';
import { rebuild, shownFolder, writeReports } from './results.ts';
import type { Unfinished } from './resume.ts';
import { summaryText } from './summary.ts';
import { exitCodeOf } from './tally.ts';

/** What the caller knows of a run when it begins. */
export type ReportMeta = Omit<RunMeta, 'schema' | 'startedAt'>;

export interface ReportOptions {
  /** Where progress is shown; nowhere if absent. */
  readonly terminal?: Terminal;
  /** Lets `latest`, beside the report's folder, point to it. */
  readonly latest?: boolean;
  /** The options that the run was given, but for the folder of its report: what it could be resumed with. */
  readonly asked?: readonly string[];
  /** Goes on with the run that the folder holds. */
  readonly unfinished?: Unfinished;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** The report of one run, from before its first case to after its last. */
export interface Report {
  /** For `new Mocha({ reporter })`; it prints nothing by itself. */
  readonly reporter: Mocha.ReporterConstructor;
  /**
   * Says that the programs of these cases go to a host next, and returns when that is on disk. `boot` tells one boot of its
   * machine from another.
   */
  sent(ids: readonly string[], host: string, boot: string): void;
  /** Says that a kernel panics under this case, and its last words, and returns when that is on disk. */
  panicked(id: string, host: string, console: readonly string[]): void;
  /**
   * Says that the run ends early: the running case is the last one, and what goes wrong from here on is the
   * interruption's doing, not the host's. The first interruption counts.
   */
  interrupt(interruption: Interruption): void;
  /** Writes everything. Called once, whether or not Mocha came to its end; never throws for a disk that is full. */
  finish(end?: { readonly interrupted?: Interruption; readonly disappeared?: readonly string[] }): Promise<Finished>;
}

export interface Finished {
  readonly record: RunRecord;
  /** See exitCodeOf; 75 when the report could not be written, whatever it would have said. */
  readonly exitCode: number;
  /** The last summary, to be printed as it is. It names the trouble, if there was any. */
  readonly summary: string;
  /** What kept the report from being written whole. */
  readonly trouble?: HostTrouble;
}

/**
 * The report of a run that came to its end, made again from its journal: nothing of it runs. For a folder whose other files
 * the harness was killed over.
 */
export const finishAgain = async (dir: string): Promise<Finished> => {
  const folder = resolve(dir);
  const record = await rebuild(folder);
  const summary = summaryText(record, { folder: shownFolder(folder), most: MOST_TOLD });
  return { record, exitCode: exitCodeOf(record), summary };
};

/** Cases told of under each heading of the last summary. */
const MOST_TOLD = 10;

/**
 * Begins a report in a folder, which is made. Throws UsageTrouble when the folder holds a report already, HostTrouble when
 * it cannot be written: before anything was run.
 */
export const openReport = (dir: string, meta: ReportMeta, options: ReportOptions = {}): Report => {
  const folder = resolve(dir);
  const now = options.now ?? Date.now;
  const startedAt = now();
  const run = keptMeta({ ...meta, schema: RESULTS_SCHEMA, startedAt: new Date(startedAt).toISOString() });
  const { unfinished } = options;
  const live = openLive(folder, run, options.asked ?? [], unfinished);
  if (options.latest === true) linkLatest(folder);
  const progress = options.terminal === undefined ? noProgress : createProgress(options.terminal, now);

  let interrupted: Interruption | undefined;
  let abort = (): void => undefined;
  const interrupt = (interruption: Interruption): void => {
    interrupted ??= { ...interruption, reason: keptLine(interruption.reason) };
    abort();
  };
  /** A report that cannot be written any more ends the run: what is not kept was not found. */
  const afterWriting = (): void => {
    if (live.trouble !== undefined) interrupt({ why: 'trouble', reason: live.trouble.message });
  };

  const sink: RunSink = {
    planned: (names, stop) => {
      abort = stop;
      progress.planned(names.length);
      live.planned(names);
      afterWriting();
      if (unfinished?.planned !== undefined && !sameIds(unfinished.planned, names)) {
        interrupt({ why: 'trouble', reason: 'the suites are not those that the run began with: run them anew' });
      }
      if (interrupted !== undefined) abort();
    },
    began: (name) => {
      progress.began(name);
      if (unfinished?.settled.has(name.id) === true) return;
      live.note({ began: name.id });
      afterWriting();
    },
    ended: (record) => {
      if (interrupted !== undefined && isTrouble(record)) return;
      progress.ended(pointOf(record));
      live.ended(record);
      afterWriting();
    },
    leftOut: ({ id }, reason) => {
      live.write({ notRun: { id, reason } });
      afterWriting();
    },
  };

  const finish: Report['finish'] = async (end = {}) => {
    if (end.interrupted !== undefined) interrupt(end.interrupted);
    progress.close();
    live.write({
      end: {
        durationMs: now() - startedAt,
        disappeared: (end.disappeared ?? []).map(keptLine),
        ...(interrupted === undefined ? {} : { interrupted }),
      },
    });
    const record = live.close();
    const written = await writeReports(folder, record, live.written).catch(onlyHostTrouble);
    const trouble = live.trouble ?? written;
    const summary = summaryText(record, { folder: shownFolder(folder), most: MOST_TOLD, trouble: trouble?.message });
    if (trouble === undefined) return { record, exitCode: exitCodeOf(record), summary };
    return { record, exitCode: EXIT.hostTrouble, summary, trouble };
  };

  const sent: Report['sent'] = (ids, host, boot) => {
    live.write({ sent: { ids: ids.map(keptLine), host: keptLine(host), boot } });
    afterWriting();
  };
  const panicked: Report['panicked'] = (id, host, console) => {
    live.write({ panicked: { id: keptLine(id), host: keptLine(host), console: keptLog(console) } });
    afterWriting();
  };

  return { reporter: reporterFor(sink), sent, panicked, interrupt, finish };
};

const sameIds = (some: readonly CaseName[], others: readonly CaseName[]): boolean =>
  some.length === others.length && some.every(({ id }, index) => id === others[index]?.id);

const isTrouble = ({ verdict }: CaseRecord): boolean => verdict === 'host-lost' || verdict === 'harness-error';

const onlyHostTrouble = (error: unknown): HostTrouble => {
  if (error instanceof HostTrouble) return error;
  throw error;
};
