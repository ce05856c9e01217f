import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, writeWhole } from '../report/files.ts';
import { groupBy } from '../report/group.ts';
import { checkIsFree } from '../report/live.ts';
import { type Column, exitCodeOfAll, matrixText, writeMatrix } from '../report/matrix.ts';
import { readResults } from '../report/read-results.ts';
import type { RunRecord } from '../report/record.ts';
import { shownFolder } from '../report/results.ts';
import { summaryText } from '../report/summary.ts';
import { exitCodeOf } from '../report/tally.ts';
import { slug } from '../report/tree.ts';
import { writeRun } from '../report/write-run.ts';
import { complete, type Ran } from '../scale/complete.ts';
import type { Done } from '../scale/done.ts';
import { mergeParts, type Part } from '../scale/merge.ts';
import type { Plan } from '../scale/plan.ts';
import { EXIT, HostTrouble, UsageTrouble } from '../trouble.ts';

/** Cases told of under each heading of a summary. */
const MOST_TOLD = 10;

/** What one kernel did on one class of hosts. */
interface Merged extends Column {
  readonly folder: string;
}

/** Writes the report of a plan whose cells are all there; returns its exit code. Throws UsageTrouble, HostTrouble. */
export const mergeCells = async (plan: Plan, done: readonly Done[], folder: string): Promise<number> => {
  checkIsFree(folder);
  if (existsSync(join(folder, CELLS))) {
    throw new UsageTrouble(`${folder} holds a merged report: remove it, or name another folder with --report`);
  }
  const ran = complete(plan, done);
  const groups = [...groupBy(ran, columnName)];
  makeFolder(folder);
  const merged: Merged[] = [];
  const codes: number[] = [];
  for (const [name, cells] of groups) {
    const place = groups.length === 1 ? folder : join(folder, slug(name));
    const run = await column(name, cells, place, groups.length > 1);
    codes.push(run === undefined ? EXIT.hostTrouble : exitCodeOf(run));
    if (run !== undefined) merged.push({ name, run, folder: place });
  }
  writeWhole(join(folder, CELLS), ran.map(cellLine));
  tell(merged, groups.length, folder);
  return exitCodeOfAll(codes);
};

/** One column, written. What keeps it from being one is said, and does not keep the others from theirs. */
const column = async (
  name: string,
  cells: readonly Ran[],
  place: string,
  isOneOfMany: boolean,
): Promise<RunRecord | undefined> => {
  const run = mergedOrSaid(name, cells);
  if (run === undefined) return undefined;
  // Five files for each case that simply conforms would be millions; the cells have them.
  await writeRun(place, run, ({ verdict }) => isOneOfMany && (verdict === 'conforms' || verdict === 'unsupported'));
  // What is long is on disk; a campaign of many columns would not fit into memory.
  return { ...run, cases: run.cases.map((one) => ({ ...one, program: '', observed: '', kernelLog: [] })) };
};

const mergedOrSaid = (name: string, cells: readonly Ran[]): RunRecord | undefined => {
  try {
    const run = mergeParts(cells[0]?.cell.class ?? name, cells.map(partOf));
    if (run === undefined) console.error(`${name}: none of its ${cells.length} cells came to a report`);
    return run;
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    console.error(`${name}: ${cause.message}`);
    return undefined;
  }
};

/** How each cell ended, beside the report. */
const CELLS = 'cells.jsonl';

const cellLine = ({ cell, note }: Ran): string => {
  const { on, attempt, startedAt, durationMs, exitCode } = note;
  return `${JSON.stringify({ ...cell, on, attempt, startedAt, durationMs, exitCode })}\n`;
};

/** `6.1 on vtd`; with the revision where it is not the kernel's own in the plan. */
const columnName = ({ cell }: Ran): string => {
  const { kernel, revision } = cell;
  const model = revision === kernel || revision === `linux-${kernel}` ? '' : ` held against ${revision}`;
  return `${kernel}${model} on ${cell.class}`;
};

/** A cell's report is there unless it ended before it had a host. */
const partOf = ({ cell, note, folder }: Ran): Part => {
  const name = `cell ${cell.cell} (${cell.suite} on ${note.on})`;
  return existsSync(join(folder, 'results.json')) ? { name, run: readResults(folder) } : { name };
};

const tell = (merged: readonly Merged[], columns: number, folder: string): void => {
  const [only] = merged;
  if (only === undefined) return;
  if (columns === 1) {
    console.log(summaryText(only.run, { folder: shownFolder(folder), most: MOST_TOLD, trouble: undefined }));
    return;
  }
  writeMatrix(folder, merged);
  console.log(matrixText(merged));
  for (const one of merged) console.log(`${one.name}: ${shownFolder(one.folder)}`);
};
