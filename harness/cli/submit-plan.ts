import { chmodSync, existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { makeFolder, writeWhole } from '../report/files.ts';
import { shellWord } from '../report/layout.ts';
import { cellFolder, isSettled, readNote } from '../scale/done.ts';
import type { Plan } from '../scale/plan.ts';
import { arrayOptions, arraysOf, type CellArray, cellScript, mergeScript, nextScript } from '../scale/slurm.ts';
import { EXIT, HostTrouble, UsageTrouble } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** Slurm's own default of MaxArraySize, for a dry run. */
const DEFAULT_ARRAY = 1001;

export interface Submission {
  readonly plan: Plan;
  /** Of the plan's file. */
  readonly path: string;
  readonly out: string;
  readonly attempts: number;
  /** Options for every sbatch. */
  readonly options: readonly string[];
  readonly wait: boolean;
  readonly dryRun: boolean;
}

/** A job as it is submitted. */
interface Job {
  readonly options: readonly string[];
  readonly words: readonly string[];
}

/**
 * Writes the scripts into `slurm` below the folder of the cells and submits the arrays, then the job that waits for all: the merge, or
 * while cells may be tried again one that submits those that ended in trouble. With `wait` that is done here. Throws
 * UsageTrouble when Slurm refuses a job (those before it are cancelled), HostTrouble where there is no Slurm.
 */
export const submitPlan = async (asked: Submission): Promise<number> => {
  const out = resolve(asked.out);
  const report = join(out, 'report');
  if (existsSync(report)) throw new UsageTrouble(`${report} holds the merged report already: name another --out`);
  const mostTasks = asked.dryRun ? DEFAULT_ARRAY : await maxArraySize();
  const paths = { node: process.execPath, bin: BIN, plan: resolve(asked.path), out, report };
  const folder = join(out, 'slurm');
  const job = (name: string, options: readonly string[] = asked.options): Job => ({
    options: [`--job-name=vfio-conform-${name}`, `--output=${folder}/${name}.log`, '--open-mode=append', ...options],
    words: [join(folder, `${name}.sh`)],
  });
  for (let attempts = asked.attempts; ; attempts--) {
    const arrays = arraysOf(asked.plan, (cell) => !isDone(out, asked.plan, cell), mostTasks);
    const jobs = arrays.map(
      (array, at): Job => ({
        options: [...arrayOptions(array, folder), ...asked.options],
        words: [join(folder, 'cell.sh'), join(folder, `array-${at + 1}`)],
      }),
    );
    const isLast = arrays.length === 0 || attempts === 1;
    const after = job(isLast ? 'merge' : 'next');
    if (asked.dryRun) return dryRun(jobs, after);
    writeScripts(folder, {
      'cell.sh': cellScript(paths),
      'merge.sh': mergeScript(paths),
      'next.sh': nextScript(paths, attempts - 1, asked.options, join(folder, 'merge.sh')),
      'ended.sh': '#!/bin/sh\n',
      ...filesOf(arrays),
    });
    const ids = await submitAll(jobs);
    if (asked.wait && !isLast) await submitAfter(ids, job('ended'), true);
    else return submitAfter(ids, after, asked.wait);
  }
};

/** The numbers of the cells of each array, a line each. */
const filesOf = (arrays: readonly CellArray[]): Readonly<Record<string, string>> =>
  Object.fromEntries(arrays.map(({ cells }, at) => [`array-${at + 1}`, cells.map((cell) => `${cell}\n`).join('')]));

const dryRun = (jobs: readonly Job[], after: Job): number => {
  const waits = jobs.length === 0 ? [] : [dependency(jobs.map((_, at) => `JOB${at + 1}`))];
  for (const job of [...jobs, { ...after, options: [...after.options, ...waits] }]) {
    console.log(['sbatch', ...job.options, ...job.words].map(shellWord).join(' '));
  }
  return EXIT.conforms;
};

/** It comes when all tasks have ended, however they did. */
const dependency = (ids: readonly string[]): string => `--dependency=afterany:${ids.join(':')}`;

const isDone = (out: string, plan: Plan, cell: number): boolean => {
  const note = readNote(cellFolder(out, cell));
  if (note !== undefined && note.plan !== plan.id) {
    throw new UsageTrouble(`${cellFolder(out, cell)} is of another plan: name another folder with --out`);
  }
  return note !== undefined && isSettled(note);
};

const writeScripts = (folder: string, files: Readonly<Record<string, string>>): void => {
  makeFolder(folder);
  for (const [name, text] of Object.entries(files)) {
    writeWhole(join(folder, name), [text]);
    if (name.endsWith('.sh')) chmodSync(join(folder, name), 0o755);
  }
};

const nameOf = ({ options }: Job): string => options[0]?.replace('--job-name=vfio-conform-', '') ?? '';

/** Submits all of them or, where Slurm refuses one, none; their ids. */
const submitAll = async (jobs: readonly Job[]): Promise<readonly string[]> => {
  const ids: string[] = [];
  try {
    for (const job of jobs) {
      const { stdout } = await sbatch(job.options, job.words);
      ids.push(stdout.split(';')[0] ?? '');
      console.error(`submitted ${nameOf(job)}: job ${ids.at(-1)}`);
    }
  } catch (cause) {
    if (ids.length > 0) await execa('scancel', ids, { reject: false });
    throw cause;
  }
  return ids;
};

/** Submits what comes after those jobs, and waits for its end if that is wanted: its exit code then. */
const submitAfter = async (ids: readonly string[], after: Job, wait: boolean): Promise<number> => {
  const options = [...after.options, ...(ids.length === 0 ? [] : [dependency(ids)])];
  if (!wait) {
    const { stdout } = await sbatch(options, after.words);
    console.error(`submitted ${nameOf(after)}: job ${stdout}`);
    return EXIT.conforms;
  }
  const { exitCode } = await sbatch([...options, '--wait'], after.words, true);
  if (nameOf(after) === 'merge')
    console.error(`the merge ended with ${exitCode}: ${after.options[1]?.replace('--output=', '')}`);
  return exitCode;
};

/** Runs sbatch. Without `mayFail` (with --wait, it ends as the job does) a refusal is thrown, with what Slurm says. */
const sbatch = async (
  options: readonly string[],
  words: readonly string[],
  mayFail = false,
): Promise<{ readonly stdout: string; readonly exitCode: number }> => {
  const ended = await execa('sbatch', ['--parsable', ...options, ...words], { reject: false, stdin: 'ignore' });
  const { stdout, stderr, exitCode = EXIT.hostTrouble } = ended;
  if (exitCode === 0 || (mayFail && stdout !== '')) return { stdout, exitCode };
  throw new UsageTrouble(`Slurm refuses ${options[0]}: ${firstLine(stderr || ended.shortMessage || '')}`);
};

/** Throws HostTrouble where Slurm is not installed, or its controller does not answer. */
const maxArraySize = async (): Promise<number> => {
  const { exitCode, stdout, stderr, code } = await execa('scontrol', ['show', 'config'], { reject: false });
  if (code === 'ENOENT') throw new HostTrouble('Slurm is not installed here: expected sbatch and scontrol in PATH');
  if (exitCode !== 0) throw new HostTrouble(`Slurm does not answer: ${firstLine(stderr)}`);
  const [, size] = /^MaxArraySize\s*=\s*(\d+)$/m.exec(stdout) ?? [];
  return Math.max(1, Number(size ?? DEFAULT_ARRAY));
};

const firstLine = (text: string): string => (text.split('\n').find((line) => line.trim() !== '') ?? '').slice(0, 300);
