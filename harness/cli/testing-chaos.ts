/**
 * Chaos: a run of real guests whose kernels are made to panic, and whose harness is killed, at random points that a seed
 * gives; gone on with until it is over. What the report must be like then is checked here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { needProgram } from '../kernels/requirements.ts';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord } from '../report/record.ts';
import { readUnfinished } from '../report/resume.ts';
import { EXIT } from '../trouble.ts';
import { resultsIn } from './testing.ts';
import { checkReport } from './testing-check.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** `hang` stops the guest's processors, `reset` ends its machine at once, without a word of its kernel. */
export type Blow = 'panic' | 'kill' | 'hang' | 'reset';

/** What was done to runs, and what came of it. */
export interface Figures {
  runs: number;
  cases: number;
  /** Panics that a guest was told of, and SIGKILLs of the harness. */
  panics: number;
  kills: number;
  /** Guests that hung, and that were reset. */
  others: number;
  /** Cases that were named as those under which a guest panicked or hung. */
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
  /** Dealt beside those, at most one to a run. */
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

/** Runs and disturbs until there were enough blows of each kind. */
export const chaos = async (options: ChaosOptions): Promise<Figures> => {
  const random = randomFrom(options.seed);
  const figures: Figures = { runs: 0, cases: 0, panics: 0, kills: 0, others: 0, named: 0, wrong: [] };
  const path = `${await hijackQemu(options.folder)}:${process.env['PATH']}`;
  const calm = join(options.folder, 'calm');
  await ended(start(path, ['run', ...options.asked, '--report', calm]));
  const undisturbed = readResults(calm);
  const others = [...options.others];
  while (figures.panics < options.panics || figures.kills < options.kills || others.length > 0) {
    const blows: Blow[] = [];
    for (let left = options.perRun; left > 0; left--) {
      const wanted = { panic: options.panics - figures.panics, kill: options.kills - figures.kills, hang: 0, reset: 0 };
      for (const kind of blows) wanted[kind]--;
      if (wanted.panic + wanted.kill <= 0) break;
      const panics = Math.max(0, wanted.panic);
      blows.push(random() * (panics + Math.max(0, wanted.kill)) < panics ? 'panic' : 'kill');
    }
    const other = others.shift();
    if (other !== undefined) blows.splice(Math.floor(random() * (blows.length + 1)), 0, other);
    const report = join(options.folder, `run${++figures.runs}`);
    const dealt = figures.others;
    const most = await disturb(options, path, report, blows, undisturbed.cases.length, random, figures);
    figures.named += checkReport(report, undisturbed, { most, isNamed, figures });
    // No guest ran at that time.
    if (other !== undefined && figures.others === dealt) others.push(other);
    options.say(`run ${figures.runs}: ${JSON.stringify({ ...figures, wrong: figures.wrong.length })}`);
  }
  return figures;
};

/** One run under blows, gone on with until it is over. Returns how many panics and hangs it took. */
const disturb = async (
  { asked, folder }: ChaosOptions,
  path: string,
  report: string,
  blows: readonly Blow[],
  cases: number,
  random: () => number,
  figures: Figures,
): Promise<number> => {
  const goOn = (): ChildProcess =>
    start(
      path,
      existsSync(join(report, 'results.jsonl')) ? ['run', '--resume', report] : ['run', ...asked, '--report', report],
    );
  let child = goOn();
  let named = 0;
  for (const [nth, blow] of blows.entries()) {
    const [from, to] = [resultsIn(report), Math.floor((cases * (nth + 1)) / blows.length)];
    const target = from + Math.floor(random() * Math.max(0, to - from));
    const wait = random() * 60;
    child = await reach(child, report, target, goOn);
    await pause(wait);
    if (child.exitCode !== null) break;
    if (blow !== 'kill') {
      const done = await tellNewest(folder, QMP[blow]);
      if (blow === 'panic') figures.panics += done;
      else figures.others += done;
      if (blow !== 'reset') named += done;
    } else {
      child.kill('SIGKILL');
      figures.kills++;
      await ended(child);
      child = goOn();
    }
  }
  await ended(child);
  // A host that was lost for good leaves cases that were not tried.
  for (let tries = 0; !readUnfinished(report).isWhole && tries < 5; tries++) await ended(goOn());
  figures.cases += cases;
  return named;
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

/** A QEMU that is found first, and is QEMU, with a socket by which its guest can be given an NMI that makes it panic. */
const hijackQemu = async (folder: string): Promise<string> => {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
left=$# append=
while [ "$left" -gt 0 ]; do
  word=$1; shift; left=$((left - 1))
  [ "$append" = yes ] && word="$word unknown_nmi_panic=1"
  append=; [ "$word" = -append ] && append=yes
  set -- "$@" "$word"
done
exec ${await needProgram('qemu-system-x86_64')} "$@" -qmp "unix:${folder}/qmp.$$,server=on,wait=off"
`;
  writeFileSync(join(bin, 'qemu-system-x86_64'), script);
  chmodSync(join(bin, 'qemu-system-x86_64'), 0o755);
  return bin;
};

/** What QEMU is told; the guest panics of an NMI, and QEMU ends with its guest (-no-reboot). */
const QMP = { panic: 'inject-nmi', hang: 'stop', reset: 'system_reset' } as const;

/** Tells the QEMU that runs now; returns how many were told (none runs in between two boots). */
const tellNewest = async (folder: string, command: string): Promise<number> => {
  const alive = readdirSync(folder).filter((name) => /^qmp\.\d+$/.test(name) && existsSync(`/proc/${name.slice(4)}`));
  for (const name of alive) if (await tellQemu(join(folder, name), command)) return 1;
  return 0;
};

const tellQemu = (socket: string, command: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(socket);
    let said = '';
    connection.on('error', () => resolve(false));
    // It may be gone with its guest before it answers.
    connection.on('close', () => resolve(said.includes(command === QMP.reset ? '"id": 1' : '"id": 2')));
    connection.on('data', (chunk) => {
      const before = said;
      said += chunk.toString();
      if (!before.includes('QMP') && said.includes('QMP')) connection.write('{"execute":"qmp_capabilities","id":1}\n');
      if (!before.includes('"id": 1') && said.includes('"id": 1'))
        connection.write(`{"execute":"${command}","id":2}\n`);
      if (said.includes('"id": 2')) connection.end();
    });
  });

const isNamed = ({ verdict, reason, kernelLog }: CaseRecord): boolean =>
  verdict === 'damaged' &&
  (reason?.startsWith('something hangs: ') === true ||
    (reason?.startsWith('the kernel panicked: ') === true &&
      // Its console is kept.
      kernelLog?.some((line) => line.includes('Kernel panic')) === true));
