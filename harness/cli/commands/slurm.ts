import { hostname } from 'node:os';
import { readClasses } from '../../scale/classes.ts';
import { readPlan } from '../../scale/plan.ts';
import { nodeLines } from '../../scale/slurm.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { wholeNumber } from '../options.ts';
import { submitPlan } from '../submit-plan.ts';

export const slurm: Command = {
  name: 'slurm',
  summary: 'Has a Slurm cluster run a plan: a node for each test host, a task for each cell, a merge at the end.',
  usage: 'submit PLAN [OPTIONS] | nodes --classes FILE',
  about: [
    'submit: an array of jobs for each class of hosts, with its features as constraint; when all have ended,',
    'those that ended in trouble (75) are submitted again; then a job merges them. Cells that were run before are not run again. Every node must see the',
    'plan, --out and this installation under the same paths.',
    'nodes: the lines of slurm.conf for the test hosts of a file of classes, served by this machine (slurmd -N NAME).',
    'exit codes: 0 submitted; with --wait that of the merge; 64 also when no node could run a cell',
  ].join('\n'),
  options: [
    { name: 'out', value: 'DIR', says: 'folder of the cells (default: cells); the report is in DIR/report' },
    { name: 'attempts', value: 'N', says: 'how often a cell is tried that ends in trouble (default 3)' },
    {
      name: 'option',
      value: 'WORD',
      repeatable: true,
      says: 'handed on to sbatch for every job: --option=--partition=lab',
    },
    { name: 'wait', says: 'returns when the campaign has ended, with its exit code' },
    { name: 'dry-run', says: 'prints what would be submitted' },
    { name: 'classes', value: 'FILE', says: 'nodes: the classes of hosts of a lab, as YAML (docs/ci.md)' },
    { name: 'controller', value: 'NAME', says: 'nodes: the machine that controls the hosts (default: this one)' },
    {
      name: 'port',
      value: 'N',
      says: 'nodes: port of the first slurmd, each further one has the next (default 17001)',
    },
  ],
  examples: [
    ['vfio-conform slurm nodes --classes lab.yaml', 'lines for slurm.conf'],
    ['vfio-conform slurm submit plan.jsonl --out /srv/runs/7 --wait', 'the whole campaign'],
  ],
  run: async (given) => {
    const [verb, path, ...more] = given.words;
    if (verb === 'nodes' && path === undefined) return nodes(given);
    if (verb !== 'submit' || path === undefined || more.length > 0) {
      throw new UsageTrouble('slurm takes submit and a plan, or nodes (see vfio-conform slurm --help)');
    }
    return submitPlan({
      plan: readPlan(path),
      path,
      out: given.text('out') ?? 'cells',
      attempts: wholeNumber('attempts', given.text('attempts') ?? '3', 1, 20),
      options: given.texts('option').map(sbatchOption),
      wait: given.on('wait'),
      dryRun: given.on('dry-run'),
    });
  },
};

const nodes = (given: Given): number => {
  const path = given.text('classes');
  if (path === undefined) throw new UsageTrouble('slurm nodes needs --classes');
  const controller = given.text('controller') ?? hostname();
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,200}$/.test(controller)) {
    throw new UsageTrouble(`--controller takes the name of a machine, not "${controller}"`);
  }
  const port = wholeNumber('port', given.text('port') ?? '17001', 1024, 60_000);
  for (const line of nodeLines(readClasses(path), controller, port)) console.log(line);
  return EXIT.conforms;
};

/** One option in one word: anything else would be taken for the script. */
const sbatchOption = (word: string): string => {
  if (/^--[a-z][a-z-]*(=.*)?$/.test(word)) return word;
  throw new UsageTrouble(`--option takes an option of sbatch in one word, such as --partition=lab, not "${word}"`);
};
