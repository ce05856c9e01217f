import { EXIT, Trouble, UsageTrouble } from '../trouble.ts';
import type { Command } from './command.ts';
import { bench } from './commands/bench.ts';
import { cell } from './commands/cell.ts';
import { coverage } from './commands/coverage.ts';
import { diff } from './commands/diff.ts';
import { doctor } from './commands/doctor.ts';
import { exportReport } from './commands/export.ts';
import { hosts } from './commands/hosts.ts';
import { judge } from './commands/judge.ts';
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
  judge,
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

/** What is to be read of a fault of the harness: where it is. It says nothing of a kernel, and must not end like a finding. */
export const faultText = (error: unknown): string =>
  `vfio-conform: a fault of the harness itself, which says nothing of a kernel; please report it:\n${
    error instanceof Error ? (error.stack ?? error.message) : String(error)
  }`;

/**
 * The command line: one face over the rest. Returns the exit code; every expected trouble is one line on stderr, and what
 * nobody expected ends with the code of trouble, not with that of a kernel that differs.
 */
export const main = async (argv: readonly string[], commands: readonly Command[] = COMMANDS): Promise<number> => {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(overview());
    return name === undefined ? EXIT.usage : 0;
  }
  try {
    const command = commands.find((one) => one.name === name);
    if (command === undefined) {
      throw new UsageTrouble(
        `unknown command "${name}"; expected one of: ${commands.map((one) => one.name).join(', ')} (see vfio-conform --help)`,
      );
    }
    if (rest.includes('--help') || rest.includes('-h')) {
      console.log(helpOf(command));
      return 0;
    }
    return await command.run(parseOptions(command, rest));
  } catch (error) {
    if (!(error instanceof Trouble)) {
      console.error(faultText(error));
      return EXIT.hostTrouble;
    }
    console.error(`vfio-conform: ${error.message}`);
    return error.exitCode;
  }
};
