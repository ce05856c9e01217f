/** A machine of the hosts file: the way to it, and it as a host. */
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { bindDevices, giveBack } from './binding.ts';
import type { Host } from './host.ts';
import type { Lab } from './hosts-file.ts';
import type { HelperBinary } from './install.ts';
import { openLabConsole } from './lab-console.ts';
import { type Lease, takeLease } from './lease.ts';
import { leased } from './leased.ts';
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

/** How long a power switch may take, in milliseconds. */
const POWER_MS = 120_000;

/**
 * A machine of the hosts file as a host: it is leased, its devices are bound for that time, its console is read, and it is booted by force
 * when nothing else helps, as far as the file says how. Throws HostTrouble.
 */
export const openLabHost = async (
  lab: Lab,
  { helper, sshConfig }: { readonly helper: HelperBinary; readonly sshConfig?: string },
): Promise<Host> => {
  const lease = await leaseLab(lab, sshConfig);
  const console = lab.console === undefined ? undefined : openLabConsole(lab.console);
  const revive = reviveWith(lab);
  try {
    const host = await openRemoteHost({
      ...{ name: lab.name, label: lab.name, helper, devices: lab.devices, comesBackMs: lab.bootSeconds * 1000 },
      reach: (times) => connectToLab(lab, sshConfig, times),
      prepare: async (connection) => {
        checkRelease(lab, (await connection.run('uname -r')).stdout.trim());
        if (lab.bind) await bindDevices(connection, lab.name, lab.devices);
      },
      ...(lab.bind ? { restore: async (connection) => void (await giveBack(connection, lab.name, lab.devices)) } : {}),
      ...(console === undefined ? {} : { console }),
      ...(revive === undefined ? {} : { revive }),
    });
    return leased(host, lease);
  } catch (cause) {
    console?.end();
    await lease.leave();
    throw cause;
  }
};

/** Takes a machine for us alone. Throws HostTrouble when it cannot be reached, or another has it. */
export const leaseLab = (lab: Lab, sshConfig: string | undefined): Promise<Lease> =>
  takeLease(lab.name, () => connectToLab(lab, sshConfig), { folder: lab.lock });

/** Throws HostTrouble when a machine does not run the kernel that is expected of it. */
export const checkRelease = ({ name, kernel }: Lab, release: string): void => {
  if (kernel === undefined || new RegExp(kernel).test(release)) return;
  throw new HostTrouble(`${name} runs Linux ${release}, expected one like ${kernel}: boot that kernel there`);
};

/** How a machine is booted by force, where the file says so. */
const reviveWith = ({ name, power }: Lab): (() => Promise<void>) | undefined => {
  const { cycle, off, on } = power ?? {};
  if (cycle !== undefined) return () => switchPower(name, cycle);
  if (off === undefined || on === undefined) return undefined;
  return async () => {
    await switchPower(name, off);
    await switchPower(name, on);
  };
};

const switchPower = async (name: string, [program = '', ...args]: readonly string[]): Promise<void> => {
  const result = await execa(program, args, { reject: false, stdin: 'ignore', timeout: POWER_MS });
  if (result.exitCode === 0) return;
  const said = (result.stderr || result.originalMessage || '').split('\n')[0] ?? '';
  throw new HostTrouble(`the power of ${name} cannot be switched: ${program} ended with ${result.exitCode}: ${said}`);
};
