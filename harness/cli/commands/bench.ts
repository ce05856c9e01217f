import type { Command } from '../command.ts';

export const bench: Command = {
  name: 'bench',
  summary: 'Measures the harness: figures are ratios within one run.',
  usage: '[OPTIONS]',
  options: [],
  examples: [['vfio-conform bench', 'all measurements, in a VM']],
  run: async () => 0,
};
