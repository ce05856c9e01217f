import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { makeFolder, writeWhole } from '../report/files.ts';
import { EXIT, HostTrouble, UsageTrouble } from '../trouble.ts';

/** What is kept of a cell that was run: the folder of its report, and a note in it. */

const NOTE = 'cell.json';

/** How a cell ended. */
export const CellNote = z.strictObject({
  schema: z.literal('vfio-conform/cell/1'),
  /** Id of the plan. */
  plan: z.string().max(100),
  cell: z.int().min(1),
  /** The host that it ran on: one of its class, else the machine's name. */
  on: z.string().max(200),
  /** From 1; earlier ones ended in trouble. */
  attempt: z.int().min(1),
  startedAt: z.string().max(100),
  durationMs: z.number().min(0),
  /** As `run` has it. */
  exitCode: z.int().min(0).max(255),
});
export type CellNote = z.infer<typeof CellNote>;

/** A cell's folder and its note. */
export interface Done {
  readonly folder: string;
  readonly note: CellNote;
}

/** Whether a cell needs no other attempt: the kernel was judged, or there was nothing to judge. */
export const isSettled = ({ exitCode }: CellNote): boolean =>
  exitCode === EXIT.conforms || exitCode === EXIT.diverges || exitCode === EXIT.nothingRan;

/** What `cell` exits with: 0 and 1 as `run`, 75 for what may be tried again. */
export const cellExit = (note: CellNote): number => {
  if (!isSettled(note)) return EXIT.hostTrouble;
  return note.exitCode === EXIT.diverges ? EXIT.diverges : EXIT.conforms;
};

const PREFIX = 'cell-';

/** The folder of a cell. */
export const cellFolder = (out: string, cell: number): string => join(out, `${PREFIX}${String(cell).padStart(6, '0')}`);

/** The note in a cell's folder; `undefined` when there is no folder. Throws UsageTrouble for one that holds something else. */
export const readNote = (folder: string): CellNote | undefined => {
  if (!existsSync(folder)) return undefined;
  const path = join(folder, NOTE);
  const result = CellNote.safeParse(jsonOf(path));
  if (result.success) return result.data;
  throw new UsageTrouble(`${path} is no note of a cell: expected one object of vfio-conform/cell/1`);
};

const jsonOf = (path: string): unknown => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
};

/**
 * Puts the folder of an attempt, with its note, in the cell's place at once: whoever looks sees a whole cell or none. An earlier
 * attempt goes to `attempts`. Throws HostTrouble when another process has just ended the same cell.
 */
export const settle = (attempt: string, out: string, note: CellNote): void => {
  makeFolder(attempt);
  writeWhole(join(attempt, NOTE), [`${JSON.stringify(note, null, 2)}\n`]);
  const place = cellFolder(out, note.cell);
  const earlier = readNote(place);
  if (earlier !== undefined) {
    const aside = join(out, 'attempts', `${basename(place)}.${earlier.attempt}`);
    makeFolder(dirname(aside));
    move(place, aside);
  }
  move(attempt, place);
};

const move = (from: string, to: string): void => {
  try {
    renameSync(from, to);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HostTrouble(`cannot put ${from} in its place, perhaps another process ran the same cell: ${why}`, {
      cause,
    });
  }
};

/** All cells that stand in some folders, by folder and number. Throws UsageTrouble. */
export const allDone = (folders: readonly string[]): readonly Done[] =>
  folders.flatMap((folder) => {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new UsageTrouble(`there is no folder ${folder}: expected one that holds cells`);
    }
    return readdirSync(folder)
      .filter((name) => name.startsWith(PREFIX))
      .sort()
      .flatMap((name): readonly Done[] => {
        const note = readNote(join(folder, name));
        return note === undefined ? [] : [{ folder: join(folder, name), note }];
      });
  });
