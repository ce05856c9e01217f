import { readFile } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { execa } from 'execa';
import ssh2 from 'ssh2';
import { needProgram } from '../kernels/requirements.ts';
import { hostKeyObjection, kindsToAskFor, knownKeys } from './host-key.ts';
import { endWithProcess } from './lifetime.ts';
import { connectSsh, SSH_TIMES, type SshConnection, type SshTarget, type SshTimes } from './ssh.ts';
import { configWords, readSshSettings, type SshSettings } from './ssh-config.ts';

/**
 * Connects to a machine that the user's SSH configuration knows by this name, without asking anything: with keys that have
 * no passphrase or that an agent holds, and only if its host key is in known_hosts. It is called `label` in messages, and
 * `words` are further options of `ssh`. Throws HostTrouble, UsageTrouble.
 */
export const connectByName = async (
  name: string,
  configFile: string | undefined,
  times: SshTimes = SSH_TIMES,
  { label = `ssh:${name}`, words = [] }: { readonly label?: string; readonly words?: readonly string[] } = {},
): Promise<SshConnection> => {
  const settings = await readSshSettings(name, configFile, words);
  const known = await knownKeys(settings.knownAs, settings.knownHostsFiles);
  const target: SshTarget = {
    name: label,
    ...settings,
    keys: await readableKeys(settings.identityFiles),
    hostKeyKinds: kindsToAskFor(known),
    objection: (key) => hostKeyObjection(key, known, { name: label, knownAs: settings.knownAs }),
  };
  if (settings.jump === undefined) return connectSsh(target, times);
  const { stream, end } = await jumpThrough(settings, settings.jump, configFile);
  try {
    const connection = await connectSsh({ ...target, stream }, times);
    stream.once('close', end);
    return connection;
  } catch (cause) {
    end();
    throw cause;
  }
};

/** Keys that ssh2 can use; those that are missing, of another form, or need a passphrase are for an agent. */
const readableKeys = async (files: readonly string[]): Promise<readonly Buffer[]> => {
  const keys: Buffer[] = [];
  for (const file of files) {
    const key = await readFile(file).catch(() => undefined);
    if (key !== undefined && !(ssh2.utils.parseKey(key) instanceof Error)) keys.push(key);
  }
  return keys;
};

/** A stream to the machine through others, made by `ssh -W`, which has all of its own ways to get to those. */
const jumpThrough = async (
  { host, port }: SshSettings,
  jump: string,
  configFile: string | undefined,
): Promise<{ readonly stream: Duplex; readonly end: () => void }> => {
  const machines = jump.split(',');
  const [last = ''] = machines.slice(-1);
  const before = machines.slice(0, -1).join(',');
  const words = [
    '-o',
    'BatchMode=yes',
    ...(before === '' ? [] : ['-J', before]),
    '-W',
    `[${host}]:${port}`,
    '--',
    last,
  ];
  const child = execa(await needProgram('ssh'), [...configWords(configFile), ...words], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'ignore',
    buffer: false,
    reject: false,
    // lifetime.ts sees to it.
    cleanup: false,
  });
  const forget = endWithProcess(() => child.kill('SIGKILL'));
  void child.then(forget);
  return { stream: Duplex.from({ writable: child.stdin, readable: child.stdout }), end: () => void child.kill() };
};
