/** What the user's SSH configuration says of a machine: OpenSSH itself is asked, so Include, Match and Host patterns hold. */
import { homedir } from 'node:os';
import { execa } from 'execa';
import { needProgram } from '../kernels/requirements.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';

export interface SshSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The name under which known_hosts has it. */
  readonly knownAs: string;
  readonly knownHostsFiles: readonly string[];
  /** Files of secret keys; not all of them need to be there. */
  readonly identityFiles: readonly string[];
  /** Socket of the agent that may be asked for keys. */
  readonly agent?: string;
  /** Machines to go through, comma-separated, as ProxyJump takes them. */
  readonly jump?: string;
}

/** `NAME` or `USER@NAME`, as `ssh` takes it; nothing that `ssh` could take for an option. */
const NAME = /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}@)?[A-Za-z0-9_[][A-Za-z0-9_.:%[\]-]{0,252}$/;

/** Asks `ssh -G`. `configFile` stands for the user's own; `words` are further options. Throws UsageTrouble for a name that is none, HostTrouble when ssh refuses. */
export const readSshSettings = async (
  name: string,
  configFile?: string,
  words: readonly string[] = [],
): Promise<SshSettings> => {
  if (!NAME.test(name))
    throw new UsageTrouble(`expected a host as ssh takes it (NAME or USER@NAME), found ${JSON.stringify(name)}`);
  const result = await execa(await needProgram('ssh'), [...configWords(configFile), ...words, '-G', '--', name], {
    reject: false,
    stdin: 'ignore',
    timeout: 20_000,
  });
  if (result.exitCode !== 0) {
    throw new HostTrouble(
      `ssh does not take its configuration for ${name}: ${(result.stderr || 'ssh -G failed').split(/\r?\n/)[0]}`,
    );
  }
  return parseSettings(result.stdout, process.env['SSH_AUTH_SOCK']);
};

/** How `ssh` is told of another configuration file. */
export const configWords = (configFile: string | undefined): readonly string[] =>
  configFile === undefined ? [] : ['-F', configFile];

/** Reads what `ssh -G` prints: one setting a line, names in small letters. Throws HostTrouble for what is not supported. */
export const parseSettings = (text: string, agentSocket: string | undefined): SshSettings => {
  const lines = text.split('\n').map((line) => {
    const blank = line.indexOf(' ');
    return blank < 0 ? ([line, ''] as const) : ([line.slice(0, blank), line.slice(blank + 1).trim()] as const);
  });
  const all = (key: string): readonly string[] => lines.filter(([name]) => name === key).map(([, value]) => value);
  const one = (key: string): string | undefined => all(key).find((value) => value !== 'none' && value !== '');
  const host = one('hostname') ?? '';
  const port = Number(one('port') ?? 22);
  const user = one('user') ?? '';
  if (one('proxycommand') !== undefined) {
    throw new HostTrouble(`ProxyCommand is not supported (for ${host}): use ProxyJump in the SSH configuration`);
  }
  const expand = (path: string): string => expandPath(path, { h: host, r: user, d: homedir() });
  // ssh takes an alias as it stands, whatever the port.
  const knownAs = one('hostkeyalias') ?? (port === 22 ? host : `[${host}]:${port}`);
  const agent = agentOf(one('identityagent'), agentSocket);
  const jump = one('proxyjump');
  return {
    host,
    port,
    user,
    knownAs,
    knownHostsFiles: [...all('userknownhostsfile'), ...all('globalknownhostsfile')]
      .flatMap((files) => files.split(' '))
      .filter((path) => path !== '' && path !== 'none')
      .map(expand),
    identityFiles: all('identityfile')
      .filter((path) => path !== 'none')
      .map(expand),
    ...(agent === undefined || one('identitiesonly') === 'yes' ? {} : { agent }),
    ...(jump === undefined ? {} : { jump }),
  };
};

const agentOf = (configured: string | undefined, socket: string | undefined): string | undefined => {
  if (configured === undefined || configured === 'SSH_AUTH_SOCK') return socket || undefined;
  if (configured.startsWith('$')) return process.env[configured.slice(1)] || undefined;
  return expandPath(configured, { d: homedir() });
};

/** `~/` and the tokens that make sense in the names of files. */
const expandPath = (path: string, tokens: Readonly<Record<string, string>>): string =>
  path
    .replace(/^~(?=\/|$)/, homedir())
    .replace(/%(.)/g, (whole, token: string) => (token === '%' ? '%' : (tokens[token] ?? whole)));
