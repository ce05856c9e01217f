import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { type Column, exitCodeOfAll, matrixText, writeMatrix } from '../report/matrix.ts';
import { readResults } from '../report/read-results.ts';
import { UsageTrouble } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** A run of one kernel among several, and how it ended. */
interface Ended {
  readonly name: string;
  readonly folder: string;
  readonly exitCode: number;
}

/**
 * Runs the suites on several kernels, each in a process of its own (suites can be loaded once in a process only), as many
 * side by side as asked for, and puts the reports side by side. `args` are the options that all of them share.
 */
export const runMatrix = async (
  names: readonly string[],
  folder: string,
  args: readonly string[],
  atOnce: number,
): Promise<number> => {
  await mkdir(folder, { recursive: true });
  const waiting = [...names.entries()];
  const ended: Ended[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, name] = next;
      ended[index] = await runOne(name, join(folder, folderOf(name)), args);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, names.length) }, work));
  const columns = ended.flatMap(columnOf);
  if (columns.length > 0) {
    writeMatrix(folder, columns);
    console.log(matrixText(columns));
    console.log(`Reports: ${folder}`);
  }
  return exitCodeOfAll(ended.map(({ exitCode }) => exitCode));
};

const folderOf = (name: string): string => name.replaceAll('/', '-');

/** Lines of several runs would be one heap: each says which kernel it speaks of. */
const runOne = async (name: string, folder: string, args: readonly string[]): Promise<Ended> => {
  const words = [BIN, 'run', '--kernel', name, '--report', folder, ...args];
  const child = execa(process.execPath, words, {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: [
      'pipe',
      function* (line: unknown) {
        yield `${name}: ${String(line)}`;
      },
      'inherit',
    ],
  });
  const { exitCode = 75 } = await child;
  return { name, folder, exitCode };
};

/** A run that never came to a report has no column; its trouble was said on the terminal, and is in the exit code. */
const columnOf = ({ name, folder }: Ended): readonly Column[] => {
  try {
    return [{ name, run: readResults(folder) }];
  } catch (cause) {
    if (!(cause instanceof UsageTrouble)) throw cause;
    return [];
  }
};
