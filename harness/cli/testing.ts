import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { EXIT } from '../trouble.ts';

/**
 * Runs the harness and kills it with SIGKILL as soon as its journal holds so many results. Throws when it ends before. What
 * a script of chaos and a test share.
 */
export const killWhen = async (args: readonly string[], report: string, results: number): Promise<void> => {
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000);
  });
  const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  while (resultsIn(report) < results) {
    if (child.exitCode !== null)
      throw new Error(`the harness ended with ${child.exitCode} before it was killed: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  child.kill('SIGKILL');
  await ended;
};

const linesIn = (report: string, form: RegExp): number => {
  const path = join(report, 'results.jsonl');
  return existsSync(path) ? (readFileSync(path, 'utf8').match(form)?.length ?? 0) : 0;
};

/** How many results a journal holds. */
export const resultsIn = (report: string): number => linesIn(report, /^\{"case"/gm);

/** How many panics a journal tells of before what they ended. */
export const panicsIn = (report: string): number => linesIn(report, /^\{"panicked"/gm);

/** What a command ended with. */
interface Ended {
  readonly exitCode?: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** That a command was refused for what it was given: one line says what is wrong, and nothing else is printed. */
export const expectRefusal = ({ exitCode, stdout, stderr }: Ended, message: RegExp): void => {
  expect([exitCode, stdout], stderr).to.deep.equal([EXIT.usage, '']);
  expect(stderr)
    .to.match(/^vfio-conform: [^\n]+$/)
    .and.match(message);
};
