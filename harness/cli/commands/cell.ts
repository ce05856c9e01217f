import { readPlan } from '../../scale/plan.ts';
import { ofShard, shardFrom } from '../../scale/shard.ts';
import { UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { runCells } from '../run-cells.ts';

export const cell: Command = {
  name: 'cell',
  summary: 'Runs one cell of a plan, or those of one part of it.',
  usage: 'N --plan FILE | --shard I/N --plan FILE [OPTIONS]',
  about: [
    'The result is a folder of --out: the report of the cell and a note of how it ended. It appears at once when the cell has',
    'ended. A cell whose kernel was judged is not run again; one that ended in trouble is, and its folder goes to attempts/.',
    'exit codes: 0 the kernel conforms or there was nothing to judge, 1 it differs, 75 trouble: the cell may be tried again',
  ].join('\n'),
  options: [
    { name: 'plan', value: 'FILE', says: 'the plan (see vfio-conform plan)' },
    { name: 'out', value: 'DIR', says: 'folder of the results (default: cells)' },
    {
      name: 'shard',
      value: 'I/N',
      says: 'all cells of part I of N, one after the other; auto: as the variables of the CI system say',
    },
    { name: 'on', value: 'HOST', says: 'which host of the class (default: the only one; in Slurm the node)' },
  ],
  examples: [
    ['vfio-conform cell 17 --plan plan.jsonl', 'one cell'],
    ['vfio-conform cell --shard 2/5 --plan plan.jsonl', 'every fifth, from the second'],
    ['vfio-conform cell --shard auto --plan plan.jsonl', 'in a job that GitLab, CircleCI, Buildkite or Slurm divided'],
  ],
  run: async (given) => {
    const path = given.text('plan');
    if (path === undefined) throw new UsageTrouble('cell needs --plan (see vfio-conform cell --help)');
    const plan = readPlan(path);
    return runCells({
      plan,
      cells: cellsOf(given, plan.cells),
      out: given.text('out') ?? 'cells',
      on: given.text('on') ?? process.env['SLURMD_NODENAME'],
    });
  },
};

const cellsOf = (given: Given, count: number): readonly number[] => {
  const shard = given.text('shard');
  const [number, ...more] = given.words;
  if ((number === undefined) === (shard === undefined) || more.length > 0) {
    throw new UsageTrouble('cell takes the number of one cell, or --shard');
  }
  if (number !== undefined) {
    if (!/^\d{1,7}$/.test(number)) throw new UsageTrouble(`cell takes the number of a cell, not "${number}"`);
    return [Number(number)];
  }
  const all = Array.from({ length: count }, (_, at) => at + 1);
  return ofShard(all, shardFrom(shard ?? '', process.env));
};
