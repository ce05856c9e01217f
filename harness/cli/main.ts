import { EXIT, Trouble, UsageTrouble } from '../trouble.ts';
import type { Command } from './command.ts';
import { bench } from './commands/bench.ts';
import { cell } from './commands/cell.ts';
import { coverage } from './commands/coverage.ts';
import { diff } from './commands/diff.ts';
import { doctor } from './commands/doctor.ts';
import { exportReport } from './commands/export.ts';
import { hosts } from './commands/hosts.ts';
import { kernel } from './commands/kernel.ts';
import { lint } from './commands/lint.ts';
import { list } from './commands/list.ts';
import { merge } from './commands/merge.ts';
import { plan } from './commands/plan.ts';
import { run } from './commands/run.ts';
import { slurm } from './commands/slurm.ts';
import { helpOf, parseOptions } from './options.ts';

/** Every command, in the order in which help names them. */
export const COMMANDS: readonly Command[] = [
  run,
  kernel,
  list,
  diff,
  coverage,
  exportReport,
  plan,
  cell,
  merge,
  slurm,
  lint,
  hosts,
  doctor,
  bench,
];

const overview = (): string =>
  [
    'vfio-conform: holds the VFIO interface of a running kernel against an executable specification.',
    '',
    'usage: vfio-conform COMMAND [OPTIONS]',
    '',
    ...COMMANDS.map((command) => `  ${command.name.padEnd(8)} ${command.summary}`),
    '',
    'vfio-conform COMMAND --help shows its options, with examples.',
    '',
    'exit codes: 0 conforms, 1 diverges, 4 nothing could run, 64 usage, 75 host or infrastructure trouble,',
    '            124 time limit, 130 interrupted',
  ].join('\n');

/** The command line: one face over the rest. Returns the exit code; every expected trouble is one line on stderr. */
export const main = async (argv: readonly string[]): Promise<number> => {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(overview());
    return name === undefined ? EXIT.usage : 0;
  }
  try {
    const command = COMMANDS.find((one) => one.name === name);
    if (command === undefined) {
      throw new UsageTrouble(
        `unknown command "${name}"; expected one of: ${COMMANDS.map((one) => one.name).join(', ')} (see vfio-conform --help)`,
      );
    }
    if (rest.includes('--help') || rest.includes('-h')) {
      console.log(helpOf(command));
      return 0;
    }
    return await command.run(parseOptions(command, rest));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    console.error(`vfio-conform: ${error.message}`);
    return error.exitCode;
  }
};
