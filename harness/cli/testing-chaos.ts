/**
 * Chaos: a run of real guests whose kernels are made to panic, and whose harness is killed, at random points that a seed
 * gives; gone on with until it is over. What the report must be like then is checked here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord } from '../report/record.ts';
import { readUnfinished } from '../report/resume.ts';
import { EXIT } from '../trouble.ts';
import { panicsIn, resultsIn } from './testing.ts';
import { checkPanics, checkReport, panickedByLog } from './testing-check.ts';
import { type HijackedQemu, hijackQemu } from './testing-qemu.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/**
 * `hang` stops the guest's processors, `reset` ends its machine at once, without a word of its kernel; `both` kills the harness
 * when it has seen a panic, and has not yet looked what that ended.
 */
export type Blow = 'panic' | 'kill' | 'hang' | 'reset' | 'both';

/** What was done to runs, and what came of it. */
export interface Figures {
  runs: number;
  cases: number;
  /** Guests that panicked while they were at a case, and SIGKILLs of the harness. */
  panics: number;
  kills: number;
  /** Guests that panicked while they were at none: as they booted, or behind the last case. */
  idle: number;
  /** Blows of other kinds. */
  others: number;
  /** Cases that were named as those under which a guest panicked. */
  named: number;
  /** What the reports got wrong: one line each. */
  readonly wrong: string[];
}

export interface ChaosOptions {
  readonly folder: string;
  readonly seed: number;
  /** At least so many of each. */
  readonly panics: number;
  readonly kills: number;
  /** Dealt beside those. */
  readonly others: readonly Blow[];
  /** Options of `run` that choose the cases. */
  readonly asked: readonly string[];
  /** Blows that one run takes at most. */
  readonly perRun: number;
  readonly say: (line: string) => void;
}

/** Numbers from 0 to 1 that a seed gives (mulberry32). */
export const randomFrom = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** Of other kinds than panics and kills, a run is dealt so many. */
const OTHERS_PER_RUN = 2;

/** Runs and disturbs until there were enough blows of each kind. */
export const chaos = async (options: ChaosOptions): Promise<Figures> => {
  const random = randomFrom(options.seed);
  const figures: Figures = { runs: 0, cases: 0, panics: 0, kills: 0, idle: 0, others: 0, named: 0, wrong: [] };
  const qemu = await hijackQemu(options.folder);
  const calm = join(options.folder, 'calm');
  await ended(start(qemu.path, ['run', ...options.asked, '--report', calm]));
  const undisturbed = readResults(calm);
  const others = [...options.others];
  while (figures.panics < options.panics || figures.kills < options.kills || others.length > 0) {
    const blows: Blow[] = [];
    const wanted = { panic: options.panics - figures.panics, kill: options.kills - figures.kills };
    while (blows.length < options.perRun && wanted.panic + wanted.kill > 0) {
      const blow = random() * (wanted.panic + wanted.kill) < wanted.panic ? 'panic' : 'kill';
      wanted[blow]--;
      blows.push(blow);
    }
    for (const other of others.splice(0, OTHERS_PER_RUN)) {
      blows.splice(Math.floor(random() * (blows.length + 1)), 0, other);
    }
    const report = join(options.folder, `run${++figures.runs}`);
    const { done, missed } = await disturb(options, qemu, report, blows, undisturbed.cases.length, random);
    figures.cases += undisturbed.cases.length;
    figures.kills += done.filter((blow) => blow === 'kill' || blow === 'both').length;
    figures.others += done.filter((blow) => blow !== 'kill' && blow !== 'panic').length;
    // Whether a kernel panicked, its console tells.
    const panics = checkPanics(report, qemu.panicked(), figures);
    const hangs = done.filter((blow) => blow === 'hang').length;
    checkReport(report, undisturbed, { most: panics + hangs, isNamed, figures });
    others.push(...missed.filter((blow) => blow !== 'kill' && blow !== 'panic'));
    options.say(`run ${figures.runs}: ${JSON.stringify({ ...figures, wrong: figures.wrong.length })}`);
  }
  return figures;
};

/** One run under blows, gone on with until it is over. Returns those that came, and those that met no guest. */
const disturb = async (
  { asked }: ChaosOptions,
  { path, hit }: HijackedQemu,
  report: string,
  blows: readonly Blow[],
  cases: number,
  random: () => number,
): Promise<{ readonly done: readonly Blow[]; readonly missed: readonly Blow[] }> => {
  const goOn = (): ChildProcess =>
    start(
      path,
      existsSync(join(report, 'results.jsonl')) ? ['run', '--resume', report] : ['run', ...asked, '--report', report],
    );
  let child = goOn();
  const done: Blow[] = [];
  const missed: Blow[] = [];
  for (const [nth, blow] of blows.entries()) {
    const [from, to] = [resultsIn(report), Math.floor((cases * (nth + 1)) / blows.length)];
    const target = from + Math.floor(random() * Math.max(0, to - from));
    const wait = random() * 60;
    child = await reach(child, report, target, goOn);
    await pause(wait);
    const seen = panicsIn(report);
    const isOver = child.exitCode !== null;
    const pid = isOver || blow === 'kill' ? undefined : await hit(blow === 'both' ? 'panic' : blow);
    if (isOver || (blow !== 'kill' && pid === undefined)) {
      missed.push(blow);
      continue;
    }
    done.push(blow);
    if (blow === 'both') while (panicsIn(report) === seen && existsSync(`/proc/${pid}`)) await pause(1);
    if (blow === 'kill' || blow === 'both') {
      child.kill('SIGKILL');
      await ended(child);
      child = goOn();
    }
  }
  await ended(child);
  // A host that was lost for good leaves cases that were not tried.
  for (let tries = 0; !readUnfinished(report).isWhole && tries < 5; tries++) await ended(goOn());
  return { done, missed };
};

/** Waits until a journal holds so many results; a harness that ends in trouble before (its guest died in its boot) is started again. */
export const reach = async (
  child: ChildProcess,
  report: string,
  results: number,
  again: () => ChildProcess,
  count = resultsIn,
): Promise<ChildProcess> => {
  let running = child;
  for (;;) {
    if (running.exitCode === EXIT.hostTrouble) running = again();
    if (running.exitCode !== null || count(report) >= results) return running;
    await pause(5);
  }
};

export const start = (path: string, args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [BIN, ...args], { stdio: 'ignore', env: { ...process.env, PATH: path } });

export const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => void child.once('exit', (code) => resolve(code)));

const isNamed = (one: CaseRecord): boolean => {
  const { verdict, reason = '', kernelLog = [] } = one;
  if (verdict !== 'damaged') return false;
  // Of a panic its console is kept.
  const isPanic = reason.startsWith('the kernel panicked: ') && kernelLog.some((line) => line.includes('Kernel panic'));
  return isPanic || panickedByLog(one) || reason.startsWith('something hangs: ');
};
