/** The console of a machine of the hosts file: what a command prints of it until it is ended. */
import { execa } from 'execa';
import { type Console, createConsole } from './console.ts';
import { endWithProcess } from './lifetime.ts';

export interface LabConsole {
  /** What came since it was started anew. */
  shown(): Console;
  /** Forgets what came until now, and starts the command again if it ended. */
  startAnew(): void;
  end(): void;
}

/** Starts the command (a program and its arguments, without a shell). A console that cannot be read stays empty. */
export const openLabConsole = (words: readonly string[]): LabConsole => {
  const [program = '', ...args] = words;
  let console = createConsole();
  let end: (() => void) | undefined;
  const start = (): void => {
    const child = execa(program, args, {
      ...{ stdin: 'ignore', stdout: 'pipe', stderr: 'ignore', buffer: false, reject: false, cleanup: false },
    });
    child.stdout.on('data', (chunk: Uint8Array) => console.push(chunk));
    const kill = (): void => void child.kill('SIGKILL');
    const forget = endWithProcess(kill);
    end = kill;
    void child.then(() => {
      forget();
      if (end === kill) end = undefined;
    });
  };
  start();
  return {
    shown: () => console,
    startAnew: () => {
      console = createConsole();
      if (end === undefined) start();
    },
    end: () => end?.(),
  };
};
