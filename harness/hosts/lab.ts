/** A machine of the hosts file: the way to it. */
import type { Lab } from './hosts-file.ts';
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
