import { resolve } from 'node:path';
import { EXIT, HostTrouble } from '../trouble.ts';
import { linkLatest } from './files.ts';
import { keptLine, keptMeta } from './kept.ts';
import { openLive } from './live.ts';
import { pointOf } from './points.ts';
import { createProgress, noProgress, type Terminal } from './progress.ts';
import { type CaseRecord, type Interruption, RESULTS_SCHEMA, type RunMeta, type RunRecord } from './record.ts';
import { type RunSink, reporterFor } from './reporter.ts';
import { shownFolder, writeReports } from './results.ts';
import { summaryText } from './summary.ts';
import { exitCodeOf } from './tally.ts';

/** What the caller knows of a run when it begins. */
export type ReportMeta = Omit<RunMeta, 'schema' | 'startedAt'>;

export interface ReportOptions {
  /** Where progress is shown; nowhere if absent. */
  readonly terminal?: Terminal;
  /** Lets `latest`, beside the report's folder, point to it. */
  readonly latest?: boolean;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** The report of one run, from before its first case to after its last. */
export interface Report {
  /** For `new Mocha({ reporter })`; it prints nothing by itself. */
  readonly reporter: Mocha.ReporterConstructor;
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
  const live = openLive(folder, run);
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
      if (interrupted !== undefined) abort();
    },
    began: (name) => {
      progress.began(name);
      live.write({ began: name.id });
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

  return { reporter: reporterFor(sink), interrupt, finish };
};

const isTrouble = ({ verdict }: CaseRecord): boolean => verdict === 'host-lost' || verdict === 'harness-error';

const onlyHostTrouble = (error: unknown): HostTrouble => {
  if (error instanceof HostTrouble) return error;
  throw error;
};
