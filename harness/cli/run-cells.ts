import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { writeWhole } from '../report/files.ts';
import { readResults } from '../report/read-results.ts';
import { reportText } from '../report/report-text.ts';
import { JOURNAL, rebuild, shownFolder } from '../report/results.ts';
import { summaryText } from '../report/summary.ts';
import { exitCodeOf } from '../report/tally.ts';
import { classNamed, hostOptions, hostsOf } from '../scale/classes.ts';
import { type CellNote, cellExit, cellFolder, isSettled, readNote, settle } from '../scale/done.ts';
import { type Cell, cellOf, type Plan } from '../scale/plan.ts';
import { EXIT, UsageTrouble } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
/** Cases told of under each heading of a summary. */
const MOST_TOLD = 10;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Cells of a plan that this process is to run. */
export interface CellsRequest {
  readonly plan: Plan;
  readonly cells: readonly number[];
  /** Folder of the results. */
  readonly out: string;
  /** A host of the class, for classes that have several. */
  readonly on: string | undefined;
}

/**
 * Runs cells one after the other, each in a process of its own (suites can be loaded once in a process only). A finding in any
 * of them makes 1, otherwise trouble in any makes 75. After a signal the cell that runs ends its report, and no other begins.
 * Throws UsageTrouble before anything is run.
 */
export const runCells = async ({ plan, cells, out, on }: CellsRequest): Promise<number> => {
  const asked = cells.map((number) => withOptions(plan, cellOf(plan, number), on));
  const codes: number[] = [];
  const signals = forwarded();
  try {
    for (const one of asked) {
      if (signals.told()) codes.push(EXIT.hostTrouble);
      else codes.push(await runCell(plan, one, out, signals));
    }
  } finally {
    signals.clear();
  }
  for (const code of [EXIT.diverges, EXIT.usage, EXIT.hostTrouble]) if (codes.includes(code)) return code;
  return EXIT.conforms;
};

interface Asked {
  readonly cell: Cell;
  readonly on: string;
  readonly options: readonly string[];
}

const withOptions = (plan: Plan, cell: Cell, on: string | undefined): Asked => {
  const hosts = classNamed(plan.classes, cell.class);
  const { kernel, revision, suite } = cell;
  return {
    cell,
    on: on ?? hostsOf(hosts)[0]?.name ?? hostname(),
    options: ['--kernel', kernel, '--revision', revision, ...hostOptions(hosts, on), '--suite', suite, ...plan.options],
  };
};

const runCell = async (plan: Plan, { cell, on, options }: Asked, out: string, signals: Signals): Promise<number> => {
  const name = `cell ${cell.cell} of ${plan.cells}: ${cell.suite} of ${cell.kernel} on ${cell.class}`;
  const earlier = readNote(cellFolder(out, cell.cell));
  if (earlier !== undefined && earlier.plan !== plan.id) {
    throw new UsageTrouble(`${cellFolder(out, cell.cell)} is of another plan: name another folder with --out`);
  }
  if (earlier !== undefined && isSettled(earlier)) {
    console.error(`${name}: was run before, exit code ${earlier.exitCode}`);
    return cellExit(earlier);
  }
  console.error(name);
  const attempt = join(out, `.attempt-${cell.cell}-${randomBytes(6).toString('hex')}`);
  const startedAt = Date.now();
  const ended = await signals.run(['run', ...options, '--report', attempt]);
  const exitCode = isCutOff(attempt) ? exitCodeOf(await rebuild(attempt)) : ended;
  if (exitCode === EXIT.usage) {
    rmSync(attempt, { recursive: true, force: true });
    return EXIT.usage;
  }
  const note: CellNote = {
    schema: 'vfio-conform/cell/1',
    plan: plan.id,
    cell: cell.cell,
    on,
    attempt: (earlier?.attempt ?? 0) + 1,
    startedAt: new Date(startedAt).toISOString(),
    durationMs: Date.now() - startedAt,
    exitCode,
  };
  const place = cellFolder(out, cell.cell);
  if (existsSync(join(attempt, 'results.json'))) calledBy(attempt, shownFolder(resolve(place)));
  settle(attempt, out, note);
  return cellExit(note);
};

/** Whether the run was killed before it wrote its report: its journal tells what it had found until then. */
const isCutOff = (attempt: string): boolean =>
  existsSync(join(attempt, JOURNAL)) && !existsSync(join(attempt, 'results.json'));

/** The report was written elsewhere than where it will stand: it names its place, and so does the summary that is shown. */
const calledBy = (attempt: string, place: string): void => {
  const run = readResults(attempt);
  writeWhole(join(attempt, 'report.txt'), reportText(run, place));
  console.log(summaryText(run, { folder: place, most: MOST_TOLD }));
};

type Signals = ReturnType<typeof forwarded>;

/** Hands signals on to the process that runs, so that it ends its report and its guest. */
const forwarded = () => {
  let child: { kill(signal: NodeJS.Signals): unknown } | undefined;
  let signalled = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    signalled = true;
    child?.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    told: (): boolean => signalled,
    /** Runs vfio-conform; returns its exit code, 75 if it has none. */
    run: async (words: readonly string[]): Promise<number> => {
      const running = execa(process.execPath, [BIN, ...words], {
        reject: false,
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'inherit',
      });
      child = running;
      const { exitCode = EXIT.hostTrouble } = await running;
      child = undefined;
      return exitCode;
    },
    clear: (): void => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
};
