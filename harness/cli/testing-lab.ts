/**
 * Chaos with a machine of a lab: it reboots by itself, hangs, fills its disk; its network is cut; the controller is killed,
 * loses its power, and the machine reboots meanwhile. At random points that a seed gives, and gone on with until the run is over.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectToLab } from '../hosts/lab.ts';
import type { LabMachine } from '../hosts/testing-lab.ts';
import { openProxy, type TestProxy } from '../hosts/testing-proxy.ts';
import { readResults } from '../report/read-results.ts';
import type { CaseRecord } from '../report/record.ts';
import { readUnfinished } from '../report/resume.ts';
import { EXIT } from '../trouble.ts';
import { ended, randomFrom, reach, start } from './testing-chaos.ts';
import { checkReport } from './testing-check.ts';

/**
 * What is done: the network `cut`; the machine made to `reboot` or `hang` (its power is cycled then), its disk made `full` (and
 * emptied, and the run gone on with); the controller killed (`kill`), its power lost (`power`: the journal torn, views missing),
 * or killed while the machine reboots (`both`).
 */
export const LAB_BLOWS = ['cut', 'reboot', 'full', 'power', 'kill', 'both', 'hang'] as const;
export type LabBlow = (typeof LAB_BLOWS)[number];

/** After these a case may be named. */
const NAMING: readonly LabBlow[] = ['reboot', 'both', 'hang'];

export interface LabChaosOptions {
  readonly machine: LabMachine;
  readonly seed: number;
  readonly blows: readonly LabBlow[];
  /** Options of `run` that choose the cases. */
  readonly asked: readonly string[];
  readonly say: (line: string) => void;
}

export interface LabFigures {
  /** What was done, in its order. */
  readonly done: LabBlow[];
  named: number;
  readonly wrong: string[];
}

/** One run under all these blows, evenly over its cases. */
export const labChaos = async ({ machine, seed, blows, asked, say }: LabChaosOptions): Promise<LabFigures> => {
  const random = randomFrom(seed);
  const figures: LabFigures = { done: [], named: 0, wrong: [] };
  const proxy = await openProxy(machine.port);
  try {
    const hosts = join(machine.folder, 'chaos.yaml');
    const cycle = machine.words('cycle').map((word) => `'${word}'`);
    writeFileSync(hosts, machine.hostsFile([`power: { cycle: [${cycle.join(', ')}] }`, 'bootSeconds: 20'], proxy.port));
    const path = `${machine.bin}:${process.env['PATH']}`;
    const run = ['run', '--hosts', hosts, '--host', 'guest', ...asked];
    const calm = join(machine.folder, 'calm');
    await ended(start(path, [...run, '--report', calm]));
    const undisturbed = readResults(calm);
    const report = join(machine.folder, `chaos-${seed}`);
    const goOn = (): ChildProcess =>
      start(
        path,
        existsSync(join(report, 'results.jsonl')) ? ['run', '--resume', report] : [...run, '--report', report],
      );
    const place: Place = { machine, proxy, report, random, goOn, wrong: (what) => void figures.wrong.push(what) };
    let child = goOn();
    // One result more than before the last blow: the harness that was started then is at it.
    for (const [nth, blow] of blows.entries()) {
      const [from, to] = [settledIn(report), Math.floor((undisturbed.cases.length * (nth + 1)) / (blows.length + 1))];
      child = await reach(child, report, from + 1 + Math.floor(random() * Math.max(1, to - from)), goOn, settledIn);
      if (child.exitCode !== null) break;
      await pause(random() * 60);
      child = await ACTS[blow](place, child);
      figures.done.push(blow);
      say(`${blow} at ${settledIn(report)} of ${undisturbed.cases.length} results`);
    }
    await ended(child);
    for (let tries = 0; !readUnfinished(report).isWhole && tries < 5; tries++) await ended(goOn());
    const most = figures.done.filter((blow) => NAMING.includes(blow)).length;
    figures.named = checkReport(report, undisturbed, { most, isNamed, figures });
    return figures;
  } finally {
    await proxy.end();
  }
};

const isNamed = ({ verdict, reason }: CaseRecord): boolean =>
  verdict === 'damaged' && reason?.startsWith('the machine went down: ') === true;

interface Place {
  readonly machine: LabMachine;
  readonly proxy: TestProxy;
  readonly report: string;
  readonly random: () => number;
  readonly goOn: () => ChildProcess;
  readonly wrong: (what: string) => void;
}

/** How many results of a journal stand. */
const settledIn = (report: string): number =>
  existsSync(join(report, 'results.jsonl'))
    ? (readFileSync(join(report, 'results.jsonl'), 'utf8').match(/^\{"case"(?!.*"verdict":"host-lost")/gm)?.length ?? 0)
    : 0;

/** Does it, and returns the harness that runs then. */
type Act = (place: Place, child: ChildProcess) => Promise<ChildProcess>;

const cut: Act = async ({ proxy }, child) => {
  proxy.cut();
  return child;
};

const reboot: Act = async ({ machine }, child) => {
  await machine.act('cycle');
  return child;
};

const hang: Act = async ({ machine }, child) => {
  const pid = readFileSync(join(machine.folder, 'pid'), 'utf8').trim();
  execFileSync('pkill', ['-STOP', '-g', pid, 'qemu']);
  return child;
};

/** The disk is full, and the helper is gone with its connection: there is no going on before somebody made room. */
const full: Act = async ({ machine, proxy, report, goOn, wrong }, child) => {
  // It waits for that; and the helper that is there has to be gone, or it would leave room for the next.
  child.kill('SIGSTOP');
  proxy.cut();
  await there(machine, `${GONE}; mount -o remount,size=8m /tmp; dd if=/dev/zero of=/tmp/fill bs=64k`);
  child.kill('SIGCONT');
  const code = await ended(child);
  if (code !== EXIT.hostTrouble) wrong(`${report}: exit code ${code} with a full disk`);
  const lost = readResults(report).cases.filter(({ verdict }) => verdict === 'host-lost');
  const reasons = new Set(lost.map(({ reason }) => reason));
  const clear = [...reasons].every((reason) => /No space left on device|was closed|was cut|is over/.test(reason ?? ''));
  if (!clear || lost.length === 0) wrong(`${report}: a full disk is told as ${[...reasons].join('; ')}`);
  await there(machine, 'rm /tmp/fill; mount -o remount,size=256m /tmp');
  return goOn();
};

const GONE = 'while [ -n "$(ls -d /tmp/vfio-conform.*)" ]; do sleep 0.1; done';

const kill: Act = async ({ machine, goOn }, child) => {
  child.kill('SIGKILL');
  await ended(child);
  await forget(machine);
  return goOn();
};

/** What was not on the disk yet is lost: the journal ends anywhere behind its head, and no view is there. */
const power: Act = async (place, child) => {
  child.kill('SIGKILL');
  await ended(child);
  const { report, random } = place;
  const journal = join(report, 'results.jsonl');
  const text = readFileSync(journal);
  let from = 0;
  for (let lines = 0; lines < 3; lines++) from = text.indexOf(0x0a, from) + 1;
  from = Math.max(from, text.length - 20_000);
  truncateSync(journal, from + Math.floor(random() * (text.length - from)));
  rmSync(join(report, 'cases'), { recursive: true, force: true });
  await forget(place.machine);
  return place.goOn();
};

const both: Act = async ({ machine, goOn }, child) => {
  child.kill('SIGKILL');
  await ended(child);
  await machine.act('cycle');
  return goOn();
};

const ACTS: Readonly<Record<LabBlow, Act>> = { cut, reboot, hang, full, kill, power, both };

const there = async (machine: LabMachine, command: string): Promise<void> => {
  const connection = await connectToLab(machine.lab([]), machine.sshConfig);
  await connection.run(command);
  connection.close();
};

/** As if the time of the lease were out that the killed controller holds. */
const forget = (machine: LabMachine): Promise<void> => there(machine, 'rm -f /var/lib/vfio-conform/lease');
