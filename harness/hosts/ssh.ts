/** A connection to a machine over SSH: one, with a deadline on every stage, and every failure in one clear line. */
import type { Duplex, Readable } from 'node:stream';
import ssh2, { type AgentAuthMethod, type ClientChannel, type ConnectConfig, type PublicKeyAuthMethod } from 'ssh2';
import { HostTrouble } from '../trouble.ts';

/** Kinds of host keys that ssh2 takes, best first. */
export const HOST_KEY_KINDS = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
] as const;
export type HostKeyKind = (typeof HOST_KEY_KINDS)[number];

/** An emulated processor has no AES instructions to be quick with: there, the first moves a third more bytes. */
const CIPHERS = [
  'chacha20-poly1305@openssh.com',
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes256-ctr',
] as const;

export interface SshTarget {
  /** How the machine is called in messages: `the guest`, `ssh:spr1`. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Secret keys to offer, in order, in any form that ssh2 reads. */
  readonly keys: readonly (string | Buffer)[];
  /** Socket of an agent whose keys are offered after those. */
  readonly agent?: string;
  /** Why a server with this public key (in SSH's own form) is not the one that is meant; `undefined` if it is. */
  readonly objection: (publicKey: Uint8Array) => string | undefined;
  /** Kinds of host keys that may be asked for, best first; all that are known when it is absent. */
  readonly hostKeyKinds?: readonly HostKeyKind[];
  /** A stream to use in place of a TCP connection of our own. */
  readonly stream?: Duplex;
}

export interface SshTimes {
  /** Until the machine let us in, in milliseconds. */
  readonly connectMs: number;
  /** For one command, in milliseconds. */
  readonly commandMs: number;
  /** How often the other side is asked whether it is still there, and how often it may not answer. */
  readonly keepaliveMs: number;
  readonly keepaliveCount: number;
}

/** A machine under test may be slow: emulated, and busy with what is asked of it. */
export const SSH_TIMES: SshTimes = { connectMs: 20_000, commandMs: 20_000, keepaliveMs: 5000, keepaliveCount: 4 };

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` when the command was ended by a signal. */
  readonly status: number | undefined;
}

/** The streams of a command: its input and output, and its standard error. */
export type Channel = Duplex & { readonly stderr: Readable };

export interface SshConnection {
  /** Why the connection is over, once it is. */
  readonly over: string | undefined;
  /**
   * Runs a command to its end and returns what it printed (at most 1 MiB of each). The command is a constant text of ours:
   * nothing from outside is ever put into one. Throws HostTrouble when the connection ends or the time is over.
   */
  run(command: string, input?: Uint8Array): Promise<CommandResult>;
  /** Starts a command that is spoken with. Whoever asked for it must read both of its streams. Throws HostTrouble. */
  open(command: string): Promise<Channel>;
  /** Cuts the connection. Never throws. */
  close(): void;
}

/** There is no way to the machine now; there may be one later, as when it boots. */
export class UnreachableHost extends HostTrouble {}

/** The machine says nothing at all, not even no: it hangs, is off, or the network swallows what is sent. */
export class SilentHost extends UnreachableHost {}

const MAX_OUTPUT_BYTES = 1 << 20;

/** Connects. Throws HostTrouble: unreachable, silent, another host key, our key refused. */
export const connectSsh = async (target: SshTarget, times: SshTimes = SSH_TIMES): Promise<SshConnection> => {
  const client = new ssh2.Client();
  let over: string | undefined;
  let objection: string | undefined;
  client.on('close', () => {
    over ??= `the connection to ${target.name} was closed`;
  });
  await new Promise<void>((resolve, reject) => {
    const fail = (trouble: HostTrouble): void => {
      clearTimeout(timer);
      over ??= trouble.message;
      client.destroy();
      reject(trouble);
    };
    const silence = (): void =>
      fail(new SilentHost(`${target.name} did not answer SSH within ${times.connectMs / 1000} s: is it up?`));
    // In place of ssh2's own limit, which covers the handshake alone: name service and TCP connection count too.
    const timer = setTimeout(silence, times.connectMs);
    client.once('ready', () => {
      clearTimeout(timer);
      resolve();
    });
    client.on('error', (cause) => fail(troubleOf(target, objection, cause)));
    client.on('close', () => {
      fail(objection === undefined ? new UnreachableHost(hungUp(target)) : new HostTrouble(objection));
    });
    client.connect(
      configOf(target, times, (key) => {
        objection = target.objection(key);
        return objection === undefined;
      }),
    );
  });
  client.removeAllListeners('error');
  client.on('error', (error) => {
    over ??= reasonOf(target, error);
  });

  const statuses: Statuses = new WeakMap();
  const open = (command: string): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      const fail = (reason: string, cause?: unknown): void => {
        clearTimeout(timer);
        client.off('close', onClose);
        reject(new HostTrouble(reason, { cause }));
      };
      const onClose = (): void => fail(over ?? `the connection to ${target.name} was closed`);
      const timer = setTimeout(
        () => fail(`${target.name} started no command within ${times.commandMs / 1000} s`),
        times.commandMs,
      );
      if (over !== undefined) {
        onClose();
        return;
      }
      client.once('close', onClose);
      client.exec(command, (error, channel) => {
        if (error !== undefined) {
          fail(`${target.name} refuses to start a command: ${oneLine(error.message)}`, error);
          return;
        }
        clearTimeout(timer);
        client.off('close', onClose);
        // A quick command has ended within the same packet: whoever listens after a turn of the event loop hears nothing of it.
        channel.once('exit', (code: number | null) => void statuses.set(channel, code ?? undefined));
        resolve(channel);
      });
    });

  return {
    get over() {
      return over;
    },
    open,
    run: async (command, input) => finish(await open(command), statuses, target, times, () => over, input),
    close: () => {
      over ??= `the connection to ${target.name} was closed by us`;
      client.destroy();
    },
  };
};

/** How commands ended, those that did; `undefined` for a signal. */
type Statuses = WeakMap<ClientChannel, number | undefined>;

/** Gives a command its input, and collects what it prints until it ends. */
const finish = (
  channel: ClientChannel,
  statuses: Statuses,
  target: SshTarget,
  times: SshTimes,
  over: () => string | undefined,
  input: Uint8Array | undefined,
): Promise<CommandResult> =>
  new Promise((resolve, reject) => {
    const output = { stdout: '', stderr: '' };
    let bytes = 0;
    const fail = (reason: string): void => {
      clearTimeout(timer);
      channel.destroy();
      reject(new HostTrouble(reason));
    };
    const timer = setTimeout(
      () => fail(`a command on ${target.name} did not end within ${times.commandMs / 1000} s`),
      times.commandMs,
    );
    const collect = (stream: 'stdout' | 'stderr') => (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) fail(`a command on ${target.name} printed more than ${MAX_OUTPUT_BYTES} bytes`);
      else output[stream] += Buffer.from(chunk).toString('latin1');
    };
    channel.on('data', collect('stdout'));
    channel.stderr.on('data', collect('stderr'));
    channel.on('error', (error: Error) => fail(`a command on ${target.name} failed: ${oneLine(error.message)}`));
    channel.on('close', () => {
      clearTimeout(timer);
      // A command that ended says how; without that only the connection did.
      if (statuses.has(channel)) resolve({ ...output, status: statuses.get(channel) });
      else fail(over() ?? `the connection to ${target.name} was cut`);
    });
    channel.end(input === undefined ? undefined : Buffer.from(input));
  });

const configOf = (target: SshTarget, times: SshTimes, hostVerifier: (key: Buffer) => boolean): ConnectConfig => ({
  host: target.host,
  port: target.port,
  ...(target.stream === undefined ? {} : { sock: target.stream }),
  username: target.user,
  readyTimeout: 0,
  keepaliveInterval: times.keepaliveMs,
  keepaliveCountMax: times.keepaliveCount,
  // Without a verifier ssh2 takes any key.
  hostVerifier,
  authHandler: waysIn(target),
  algorithms: {
    cipher: [...CIPHERS],
    ...(target.hostKeyKinds === undefined ? {} : { serverHostKey: [...target.hostKeyKinds] }),
  },
});

const waysIn = ({ user, keys, agent }: SshTarget): (PublicKeyAuthMethod | AgentAuthMethod)[] => [
  ...keys.map((key) => ({ type: 'publickey' as const, username: user, key })),
  ...(agent === undefined ? [] : [{ type: 'agent' as const, username: user, agent }]),
];

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the SSH server running, is the port right?',
  ECONNRESET: 'the other side hung up: is that an SSH server?',
  EHOSTUNREACH: 'no route to the host: is it up, is the network right?',
  ENETUNREACH: 'no route to its network: check the network of this machine',
  ENOTFOUND: 'its name is not known: check the name, or HostName in ~/.ssh/config',
  EAI_AGAIN: 'the name service does not answer: check the network of this machine',
  ETIMEDOUT: 'no answer: is it up, does a firewall drop the packets?',
};

const hungUp = ({ name }: SshTarget): string =>
  `${name} closed the connection before it let us in: is that an SSH server?`;

/** Which trouble it is that kept us out. */
const troubleOf = (target: SshTarget, objection: string | undefined, cause: Error): HostTrouble => {
  if (objection !== undefined) return new HostTrouble(objection, { cause });
  const reason = reasonOf(target, cause);
  const noWay = ('code' in cause && String(cause.code) in NETWORK_REASONS) || reason === hungUp(target);
  return noWay ? new UnreachableHost(reason, { cause }) : new HostTrouble(reason, { cause });
};

/** One line that says what went wrong and what to do. */
const reasonOf = (target: SshTarget, error: Error): string => {
  const level = 'level' in error ? error.level : undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const where = `${target.host} port ${target.port}`;
  if (level === 'client-authentication') {
    const offered = target.keys.length + (target.agent === undefined ? 0 : 1);
    return offered === 0
      ? `there is no key to log in to ${target.name} with: add an IdentityFile without passphrase, or start ssh-agent`
      : `${target.name} refuses our SSH key as ${target.user}: add it to ${target.user}'s authorized_keys on ${target.host}`;
  }
  if (level === 'client-timeout') return `${target.name} (${where}) does not answer any more`;
  if (error.message === 'Connection lost before handshake') return hungUp(target);
  if (code in NETWORK_REASONS) return `cannot reach ${target.name} (${where}): ${NETWORK_REASONS[code]}`;
  return `the SSH connection to ${target.name} (${where}) failed: ${oneLine(error.message)}`;
};

const oneLine = (text: string): string => text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
