import { allDone } from '../../scale/done.ts';
import { readPlan } from '../../scale/plan.ts';
import { UsageTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';
import { mergeCells } from '../merge-cells.ts';

export const merge: Command = {
  name: 'merge',
  summary: 'Makes one report of all cells of a plan.',
  usage: 'DIR... --plan FILE [OPTIONS]',
  about: [
    'DIR are the folders that cells were written to (--out of vfio-conform cell). Every cell of the plan must be there once.',
    'Of one kernel on one class of hosts, the report is that of a run that was never divided. Of several, there is one report for',
    'each in a folder of its own (with files for the cases that do not simply conform; the cells have those of all), and matrix.txt',
    'and matrix.md, which put them side by side.',
    'exit codes: as of run; 75 also when a cell is missing, 64 when one is there twice or of another plan: nothing is written then',
  ].join('\n'),
  options: [
    { name: 'plan', value: 'FILE', says: 'the plan (see vfio-conform plan)' },
    { name: 'report', value: 'DIR', says: 'folder of the report (default: merged)' },
  ],
  examples: [
    ['vfio-conform merge cells --plan plan.jsonl --report report', 'all cells of one folder'],
    ['vfio-conform merge shard-*/cells --plan plan.jsonl', 'cells that several jobs left behind'],
  ],
  run: async (given) => {
    const path = given.text('plan');
    if (path === undefined) throw new UsageTrouble('merge needs --plan (see vfio-conform merge --help)');
    if (given.words.length === 0) throw new UsageTrouble('merge takes the folders that cells were written to');
    const plan = readPlan(path);
    return mergeCells(plan, allDone(given.words), given.text('report') ?? 'merged');
  },
};
