import { shellWord } from '../report/layout.ts';
import type { HostClass } from './classes.ts';
import { hostsOf } from './classes.ts';
import type { Plan } from './plan.ts';

/**
 * A campaign on Slurm: one array of jobs for each class of hosts, because an array has one constraint; each task is one cell.
 * Every test host is a node of Slurm's: a slurmd of its name on the machine that controls it.
 */

/** Cells that make one array. */
export interface CellArray {
  readonly class: HostClass;
  readonly cells: readonly number[];
}

/** The arrays of the cells that are still to be run; none is longer than Slurm's MaxArraySize. */
export const arraysOf = (plan: Plan, isToBeRun: (cell: number) => boolean, mostTasks: number): readonly CellArray[] =>
  plan.classes.flatMap((one) => {
    const cells = plan.list.filter((cell) => cell.class === one.name && isToBeRun(cell.cell)).map(({ cell }) => cell);
    return Array.from({ length: Math.ceil(cells.length / mostTasks) }, (_, at) => ({
      class: one,
      cells: cells.slice(at * mostTasks, (at + 1) * mostTasks),
    }));
  });

/** A node that stands for a test host has its class among its features: two classes may have the same features otherwise. */
const featuresOf = (one: HostClass): readonly string[] =>
  hostsOf(one).length === 0 ? one.features : [`class-${one.name}`, ...one.features];

/** Options of sbatch for the tasks of an array; a test host is one cell's alone. */
export const arrayOptions = ({ class: one, cells }: CellArray, logs: string): readonly string[] => {
  const features = featuresOf(one);
  return [
    `--job-name=vfio-conform-${one.name}`,
    `--array=0-${cells.length - 1}`,
    '--nodes=1',
    '--ntasks=1',
    ...(hostsOf(one).length === 0 ? [] : ['--exclusive']),
    ...(features.length === 0 ? [] : [`--constraint=${features.join('&')}`]),
    '--requeue',
    '--open-mode=append',
    `--output=${logs}/%A_%a.log`,
  ];
};

/** What the scripts need to know; all paths are absolute, and the same on every node. */
export interface ScriptPaths {
  readonly node: string;
  readonly bin: string;
  readonly plan: string;
  readonly out: string;
  readonly report: string;
}

/** The script of an array's tasks; its argument is the file with the numbers of its cells, a line each. */
export const cellScript = ({ node, bin, plan, out }: ScriptPaths): string =>
  [
    '#!/bin/sh',
    '# One cell of a plan, by the number of the task.',
    `number=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$1")`,
    `exec ${[node, bin, 'cell'].map(shellWord).join(' ')} "$number" ${['--plan', plan, '--out', out].map(shellWord).join(' ')}`,
    '',
  ].join('\n');

/**
 * The script of the job that comes after all arrays while cells may be tried again: it submits those that ended in trouble. (A
 * task that requeues itself is taken for done by Slurm 22.05 now and then.)
 */
export const nextScript = (
  { node, bin, plan, out }: ScriptPaths,
  attempts: number,
  options: readonly string[],
  merge: string,
): string => {
  const words = [node, bin, 'slurm', 'submit', plan, '--out', out, '--attempts', `${attempts}`];
  return [
    '#!/bin/sh',
    '# What ended in trouble is tried again. Where Slurm takes no more, what there is is merged.',
    `${[...words, ...options.map((option) => `--option=${option}`)].map(shellWord).join(' ')} || exec ${shellWord(merge)}`,
    '',
  ].join('\n');
};

/** The script of the job that comes after all arrays. */
export const mergeScript = ({ node, bin, plan, out, report }: ScriptPaths): string =>
  [
    '#!/bin/sh',
    '# One report of all cells; fails when one is missing.',
    `exec ${[node, bin, 'merge', out, '--plan', plan, '--report', report].map(shellWord).join(' ')}`,
    '',
  ].join('\n');

/**
 * Lines of slurm.conf: a node for each test host of each class, all of them served by slurmds (`slurmd -N NAME`) on one
 * controlling machine, the first at `port`, each further one at the next; and the features of nodes for classes that bring their
 * own guest, as a reminder.
 */
export const nodeLines = (classes: readonly HostClass[], controller: string, port: number): readonly string[] => {
  const hosts = classes.flatMap((one) => hostsOf(one).map((host) => ({ host, features: featuresOf(one) })));
  return [
    ...hosts.map(
      ({ host, features }, at) =>
        `NodeName=${host.name} NodeHostname=${controller} Port=${port + at} Feature=${features.join(',')} State=UNKNOWN`,
    ),
    ...classes
      .filter((one) => hostsOf(one).length === 0 && one.features.length > 0)
      .map((one) => `# class ${one.name} runs on any node with Feature=${one.features.join(',')}`),
  ];
};
