/** The console of a machine of the hosts file: what a command prints of it until it is ended. */
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { type Console, createConsole } from './console.ts';
import { endWithProcess } from './lifetime.ts';

export interface LabConsole {
  /** What came since it was started anew. */
  shown(): Console;
  /** Forgets what came until now. */
  startAnew(): void;
  /** Resolves when it has been silent for half a second, or has not been for three seconds: it comes late over a network. */
  quiet(): Promise<void>;
  end(): void;
}

/** Between the end of the command and its next start, in milliseconds. */
const PAUSE_MS = 1000;
const QUIET_MS = 500;
const NEVER_QUIET_MS = 3000;

/**
 * Starts the command (a program and its arguments, without a shell), and again whenever it ends: a console may be gone while its
 * machine is off. A console that cannot be read stays empty.
 */
export const openLabConsole = (words: readonly string[], pauseMs = PAUSE_MS): LabConsole => {
  const [program = '', ...args] = words;
  let console = createConsole();
  /** How often something came. */
  let came = 0;
  let end: (() => void) | undefined;
  let again: NodeJS.Timeout | undefined;
  const start = (): void => {
    const child = execa(program, args, {
      // Programs that a person types into leave when there is no more to come: this pipe never says so.
      ...{ stdin: 'pipe', stdout: 'pipe', stderr: 'ignore', buffer: false, reject: false, cleanup: false },
    });
    child.stdout.on('data', (chunk: Uint8Array) => {
      came++;
      console.push(chunk);
    });
    const kill = (): void => void child.kill('SIGKILL');
    const forget = endWithProcess(kill);
    end = kill;
    void child.then(() => {
      forget();
      if (end === kill) again = setTimeout(start, pauseMs).unref();
    });
  };
  start();
  return {
    shown: () => console,
    startAnew: () => {
      console = createConsole();
    },
    quiet: async () => {
      for (let ms = 0, before = -1; came !== before && ms < NEVER_QUIET_MS; ms += QUIET_MS) {
        before = came;
        await pause(QUIET_MS);
      }
    },
    end: () => {
      const last = end;
      end = undefined;
      clearTimeout(again);
      last?.();
    },
  };
};
