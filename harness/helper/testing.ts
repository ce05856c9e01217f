/** For the helper's tests: the binary, and conversations with it in raw text. */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { skipBecause } from '../testing.ts';
import { HostTrouble } from '../trouble.ts';
import { buildHelper } from './build.ts';

export const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url));

/** The helper; the test, or its suite, is skipped on a machine that cannot compile it. */
export const builtOrSkip = (context: Mocha.Context): ReturnType<typeof buildHelper> =>
  buildHelper(CACHE).catch((cause: unknown) => {
    if (!(cause instanceof HostTrouble)) throw cause;
    return skipBecause(context, cause.message);
  });

/** The same, its path. */
export const helperOrSkip = async (context: Mocha.Context): Promise<string> => (await builtOrSkip(context)).path;

/** Whether this process may do what only root may: change its user, drop capabilities. */
export const IS_ROOT = process.geteuid?.() === 0;

interface Deadlines {
  readonly stepMs?: number;
  readonly programMs?: number;
}

/** A program in its frame. */
export const frameOf = (id: number, text: string, { stepMs = 20_000, programMs = 60_000 }: Deadlines = {}): string =>
  `run ${id} ${Buffer.byteLength(text)} ${stepMs} ${programMs}\n${text}`;

/** What the helper said after its greeting, without the lines of the kernel's log, and its exit code. */
interface Said {
  readonly lines: readonly string[];
  readonly log: readonly string[];
  readonly exitCode: number | undefined;
}

/** Gives the helper its whole input at once, and waits until it leaves. */
export const converse = async (path: string, input: string | Uint8Array): Promise<Said> => {
  const options = { input, reject: false, stripFinalNewline: false, timeout: 60_000, maxBuffer: 1 << 28 } as const;
  const { stdout, exitCode } = await execa(path, [], options);
  const [, ...lines] = stdout.split('\n').slice(0, -1);
  const isLog = (line: string): boolean => line.startsWith('log');
  return { lines: lines.filter((line) => !isLog(line)), log: lines.filter(isLog), exitCode };
};

/** The observations of one program, or how it was refused; the end's status stands last when it is not `done`. */
export const observe = async (path: string, text: string, deadlines: Deadlines = {}): Promise<readonly string[]> => {
  const { lines } = await converse(path, `${frameOf(1, text, deadlines)}bye\n`);
  if (lines[0] !== 'begin 1') return lines;
  const status = /^end 1 \d+ (\w+)$/.exec(lines.at(-1) ?? '')?.[1];
  return [...lines.slice(1, -1), ...(status === 'done' ? [] : [status ?? 'no end'])];
};

/** One row of a table: what is shown, a program (a line a step), and what must be observed. */
export type Row = readonly [what: string, program: readonly string[], observed: readonly string[]];

/** Declares a test for each row. */
export const itObserves = (rows: readonly Row[], path: () => string): void => {
  for (const [what, program, observed] of rows) {
    it(what, async () => expectObserved(await observe(path(), program.join('\n')), observed));
  }
};

/** Holds observations against a row; `<any>` stands for anything without a blank. */
const expectObserved = (found: readonly string[], expected: readonly string[]): void => {
  const fits =
    found.length === expected.length &&
    expected.every((line, index) => {
      const pattern = line.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('<any>', '\\S+');
      return new RegExp(`^${pattern.replaceAll('*', '\\*')}$`).test(found[index] ?? '');
    });
  if (!fits) throw new Error(`expected\n  ${expected.join('\n  ')}\nfound\n  ${found.join('\n  ')}`);
};
