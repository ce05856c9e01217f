/** A machine of the hosts file: the way to it, and it as a host. */
import { HostTrouble } from '../trouble.ts';
import { bindDevices, giveBack } from './binding.ts';
import { bringToKernel, type Reach, type Wanted } from './deploy.ts';
import type { Host } from './host.ts';
import type { Lab } from './hosts-file.ts';
import type { HelperBinary } from './install.ts';
import { openLabConsole } from './lab-console.ts';
import { type Lease, type LeaseTerms, takeLease } from './lease.ts';
import { openLeased } from './leased.ts';
import { reviveWith } from './power.ts';
import { openRemoteHost } from './remote.ts';
import { SSH_TIMES, type SshConnection, type SshTimes } from './ssh.ts';
import { configWords } from './ssh-config.ts';
import { connectByName } from './ssh-target.ts';
import { connectSystemSsh } from './system-ssh.ts';

/** What a hosts file says of the way to a machine, as options of `ssh`. */
export const sshWords = ({ port, user, key, agent, jump }: Lab): readonly string[] =>
  Object.entries({
    Port: port,
    User: user,
    IdentityFile: key === undefined ? undefined : `"${key}"`,
    // A key that is named is the one that is meant.
    IdentitiesOnly: key !== undefined && agent === undefined ? 'yes' : undefined,
    IdentityAgent: agent,
    ProxyJump: jump,
  }).flatMap(([option, value]) => (value === undefined ? [] : ['-o', `${option}=${value}`]));

/** Connects to a machine of the hosts file; `configFile` stands for the user's own SSH configuration. Throws HostTrouble. */
export const connectToLab = async (
  lab: Lab,
  configFile: string | undefined,
  times: SshTimes = SSH_TIMES,
): Promise<SshConnection> => {
  const destination = lab.ssh ?? lab.address ?? '';
  const words = sshWords(lab);
  if (lab.transport === 'ssh2') return connectByName(destination, configFile, times, { label: lab.name, words });
  return connectSystemSsh({ name: lab.name, destination, words: [...configWords(configFile), ...words] }, times);
};

/** How long a machine that another has is waited for. */
export type Patience = Pick<LeaseTerms, 'waitMs' | 'say'>;

export interface LabOptions {
  readonly helper: HelperBinary;
  /** An SSH configuration file in place of the user's own. */
  readonly sshConfig?: string;
  /** The kernel that is to run there, if the file says how it is deployed; absent: whatever runs there. */
  readonly wanted?: Wanted | undefined;
  readonly patience?: Patience;
}

/**
 * A machine of the hosts file as a host: it is leased, the kernel that is wanted is deployed if it runs another, its devices are
 * bound for that time, its console is read, and it is booted by force when nothing else helps, as far as the file says how. Throws
 * HostTrouble.
 */
export const openLabHost = async (lab: Lab, options: LabOptions): Promise<Host> => {
  const { helper, sshConfig, wanted, patience } = options;
  const reach: Reach = (times) => connectToLab(lab, sshConfig, times);
  const revive = reviveWith(lab);
  const { deploy } = lab;
  const isDeployed = deploy !== undefined && wanted !== undefined;
  return openLeased(leaseLab(lab, sshConfig, patience), async (lease) => {
    const console = lab.console === undefined ? undefined : openLabConsole(lab.console);
    const open = openRemoteHost({
      ...{ name: lab.name, label: lab.name, helper, devices: lab.devices, comesBackMs: lab.bootSeconds * 1000 },
      reach,
      ...(isDeployed
        ? { deploy: (connection) => bringToKernel({ ...lab, deploy }, wanted, connection, reach, lease.renew) }
        : {}),
      prepare: async (connection) => {
        if (!isDeployed) checkRelease(lab, (await connection.run('uname -r')).stdout.trim());
        if (lab.bind) await bindDevices(connection, lab.name, lab.devices);
      },
      ...(lab.bind ? { restore: async (connection) => void (await giveBack(connection, lab.name, lab.devices)) } : {}),
      ...(console === undefined ? {} : { console }),
      ...(revive === undefined ? {} : { revive }),
    });
    return open.catch((cause: unknown) => {
      console?.end();
      throw cause;
    });
  });
};

/** Takes a machine for us alone. Throws HostTrouble when it cannot be reached, or another has it. */
export const leaseLab = (lab: Lab, sshConfig: string | undefined, patience: Patience = {}): Promise<Lease> =>
  takeLease(lab.name, () => connectToLab(lab, sshConfig), { folder: lab.lock, ...patience });

/** Throws HostTrouble when a machine does not run the kernel that is expected of it. */
export const checkRelease = ({ name, kernel }: Lab, release: string): void => {
  if (kernel === undefined || new RegExp(kernel).test(release)) return;
  throw new HostTrouble(`${name} runs Linux ${release}, expected one like ${kernel}: boot that kernel there`);
};
