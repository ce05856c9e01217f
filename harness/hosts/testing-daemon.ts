/** A daemon of a test's own: what a recipe of docs/ci/hosts speaks with, on 127.0.0.1. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { needProgram } from '../kernels/requirements.ts';

export interface Daemon {
  /** Ends it, and returns when it has ended. */
  end(): Promise<void>;
}

export interface DaemonOptions {
  readonly words: readonly string[];
  /** File that takes what it says. */
  readonly log: string;
  /** Where it runs, and leaves what it keeps. */
  readonly cwd?: string;
  /** Asked again and again until it serves. */
  readonly serves: () => Promise<boolean>;
}

/** Starts one, which ends with this process at the latest. Throws when it ends before it serves. */
export const startDaemon = async ({ words, log, cwd, serves }: DaemonOptions): Promise<Daemon> => {
  const [program = '', ...args] = words;
  const said = openSync(log, 'w', 0o600);
  const child = spawn(
    await needProgram('setpriv'),
    ['--pdeathsig', 'KILL', '--', await needProgram(program), ...args],
    { stdio: ['ignore', said, said], cwd },
  );
  closeSync(said);
  const ended = new Promise((resolve) => void child.once('exit', resolve));
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  while (!(await serves())) {
    if (isOver()) throw new Error(`${program} ended with ${child.exitCode}: ${readFileSync(log, 'utf8')}`);
  }
  return {
    end: async () => {
      if (!isOver()) child.kill('SIGTERM');
      await ended;
    },
  };
};
