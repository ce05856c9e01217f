import { keptRun } from '../report/kept.ts';
import type { RunRecord } from '../report/record.ts';
import { type KcidbOptions, kcidbOf } from './kcidb.ts';
import { ktapOf } from './ktap.ts';
import { lavaOf } from './lava.ts';
import { tmtOf } from './tmt.ts';

/** What a format may be told beside the run. */
export interface ExportOptions {
  readonly kcidb: KcidbOptions;
  /** The report's folder as seen from where the text will be kept; empty if that is in the folder. */
  readonly folder: string;
}

/** A form that a report can be written in for another system. */
interface Format {
  /** What it is for, in a few words. */
  readonly says: string;
  /** The text, from nothing but the run and the options. */
  readonly of: (run: RunRecord, options: ExportOptions) => string;
}

/** The formats, by the name that the command takes. */
export const FORMATS = {
  ktap: { says: "KTAP 1, for kselftest's runner and its readers", of: ktapOf },
  kcidb: { says: "JSON of KernelCI's common database, version 5.3", of: (run, { kcidb }) => kcidbOf(run, kcidb) },
  lava: { says: 'signals for the console of a LAVA job', of: lavaOf },
  tmt: { says: 'results.yaml of a tmt test whose result is custom', of: tmtOf },
} as const satisfies Readonly<Record<string, Format>>;

/** A run in one of the formats. What is in it is made harmless first, wherever the run came from. Throws UsageTrouble. */
export const exported = ({ of }: Format, run: RunRecord, options: ExportOptions): string => of(keptRun(run), options);
