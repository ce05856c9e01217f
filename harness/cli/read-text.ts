import { readFile, stat } from 'node:fs/promises';
import type { Program } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import { UsageTrouble } from '../trouble.ts';

/** A file that was named on the command line, as text. Throws UsageTrouble for one that is none, or has more than `most` bytes. */
export const readText = async (file: string, expected: string, most: number): Promise<string> => {
  try {
    const found = await stat(file);
    // Neither a device nor a pipe, which may have no end.
    if (!found.isFile()) throw new UsageTrouble(`${file} is no file: expected ${expected}`);
    if (found.size > most) throw new UsageTrouble(`${file} has ${found.size} bytes, expected at most ${most}`);
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof UsageTrouble) throw cause;
    throw new UsageTrouble(`cannot read ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
};

/** More than a program may have, so that it is the program's reader that says so. */
const MOST_OF_A_PROGRAM = 16 << 20;

/** A program that was named on the command line. Throws UsageTrouble for what is none, with the line. */
export const readProgram = async (file: string): Promise<Program> =>
  parseProgram(await readText(file, 'a program as text', MOST_OF_A_PROGRAM), file);
