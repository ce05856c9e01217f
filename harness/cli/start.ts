import { execa } from 'execa';
import { missingRequirements, type Requirement } from '../kernels/requirements.ts';
import { HostTrouble, Trouble } from '../trouble.ts';
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
  const missing = await missingRequirements(['run']);
  const optional = await missingRequirements(['modules']);
  const names = (some: readonly Requirement[]): readonly string[] => [...new Set(some.map((one) => one.debianPackage))];
  if (missing.length > 0 && !mayInstall) {
    throw new HostTrouble(`these Debian packages are missing: ${names([...missing, ...optional]).join(' ')}`);
  }
  if (missing.length + optional.length === 0 || !mayInstall) return;
  console.log('Installing these Debian packages:');
  for (const one of [...missing, ...optional]) console.log(`  ${one.debianPackage.padEnd(30)} ${one.why}`);
  await apt(['update']);
  if (missing.length > 0) await apt(['install', '-y', '--no-install-recommends', ...names(missing)]);
  const still = await missingRequirements(['run']);
  if (still.length > 0) {
    throw new HostTrouble(`still missing after the installation: ${still.map((one) => one.program).join(', ')}`);
  }
  // The archive may have dropped the headers of the kernel that is in the cache: all other cases can run.
  if (optional.length > 0) {
    await apt(['install', '-y', '--no-install-recommends', ...names(optional)]).catch((cause: unknown) => {
      if (!(cause instanceof HostTrouble)) throw cause;
      console.log(`${cause.message}; cases that need a test module will be skipped`);
    });
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
  throw new HostTrouble(`apt-get ${args[0]} failed: ${reason}`);
};
