import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageTrouble } from '../trouble.ts';
import { keptLine, keptRun } from './kept.ts';
import { RESULTS_SCHEMA, RunRecord } from './record.ts';
import { JOURNAL } from './results.ts';

/** No report of ours comes near; a larger file is something else. */
const MOST_BYTES = 400 << 20;

/**
 * The run that a report's folder (or its results.json) holds, made harmless as when it was kept. Nothing is written. Throws
 * UsageTrouble, in one line, for a folder that holds no whole report and for a file that is not ours.
 */
export const readResults = (path: string): RunRecord => {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isFolder ? join(path, 'results.json') : path;
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw new UsageTrouble(missingText(path, isFolder));
  if (size > MOST_BYTES)
    throw new UsageTrouble(`${file} is too large: expected at most ${MOST_BYTES} bytes, found ${size}`);
  const parsed = RunRecord.safeParse(jsonOf(file));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? 'the file' : issue.path.join('.');
    throw new UsageTrouble(`${file} is not a whole report: expected ${RESULTS_SCHEMA}; ${where}: ${issue?.message}`);
  }
  return keptRun(parsed.data);
};

const missingText = (path: string, isFolder: boolean): string => {
  if (!isFolder) return `there is no report ${path}: expected a report's folder or its results.json`;
  const begun = statSync(join(path, JOURNAL), { throwIfNoEntry: false }) !== undefined;
  if (!begun) return `${path} is not a report's folder: expected results.json in it, found none`;
  return `${path} is half-written: expected results.json, found only ${JOURNAL}; the run goes on, or was killed (what it found stays there); choose a run that has ended`;
};

const jsonOf = (file: string): unknown => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new UsageTrouble(`${file} cannot be read as JSON, it may be half-written: ${keptLine(why ?? '')}`, { cause });
  }
};
