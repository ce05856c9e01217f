import { keptRun } from '../report/kept.ts';
import type { RunRecord } from '../report/record.ts';
import { ktapOf } from './ktap.ts';

/** What a format may be told beside the run. */
export type ExportOptions = Record<never, never>;

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
} as const satisfies Readonly<Record<string, Format>>;

/** A run in one of the formats. What is in it is made harmless first, wherever the run came from. */
export const exported = ({ of }: Format, run: RunRecord, options: ExportOptions): string => of(keptRun(run), options);
