import { execa } from 'execa';
import { missingRequirements } from '../kernels/requirements.ts';
import { EXIT, HostTrouble, Trouble } from '../trouble.ts';
import { main } from './main.ts';

/** The second half of `npm start`: Debian packages, then `run` with the options that were given. Returns the exit code. */
export const start = async (args: readonly string[]): Promise<number> => {
  try {
    await preparePackages(!args.includes('--no-install'));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    console.error(`vfio-conform: ${error.message}`);
    return error.exitCode;
  }
  return main(['run', ...args.filter((arg) => arg !== '--no-install')]);
};

/** Installs the Debian packages that a VM host needs and that are missing; prints them first. */
const preparePackages = async (mayInstall: boolean): Promise<void> => {
  const missing = await missingRequirements();
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((one) => one.debianPackage))];
  if (!mayInstall) throw new HostTrouble(`these Debian packages are missing: ${packages.join(' ')}`);
  console.log('Installing these Debian packages:');
  for (const one of missing) console.log(`  ${one.debianPackage.padEnd(22)} ${one.why}`);
  await apt(['update']);
  await apt(['install', '-y', '--no-install-recommends', ...packages]);
  const still = await missingRequirements();
  if (still.length > 0) {
    throw new HostTrouble(`still missing after the installation: ${still.map((one) => one.program).join(', ')}`);
  }
};

const apt = async (args: readonly string[]): Promise<void> => {
  const asRoot = process.getuid?.() === 0;
  const [command, ...words] = [
    ...(asRoot ? [] : ['sudo']),
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-q',
    ...args,
  ];
  if (command === undefined) return;
  const result = await execa(command, words, { reject: false, all: true, stdin: 'inherit' });
  if (result.exitCode === 0) return;
  const said = (result.all ?? '').split('\n').filter((line) => /^(E:|sudo:)/.test(line));
  const reason = said[0] ?? result.originalMessage ?? `exit ${result.exitCode}`;
  throw new HostTrouble(`apt-get ${args[0]} failed: ${reason} (exit code ${EXIT.hostTrouble}: nothing was run)`);
};
