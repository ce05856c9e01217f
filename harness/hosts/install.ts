/** Brings the helper to a machine behind SSH, and speaks with it there. */
import { readFile } from 'node:fs/promises';
import { HostTrouble } from '../trouble.ts';
import { type HelperSession, openSession, type SessionOptions } from './session.ts';
import type { Channel, SshConnection } from './ssh.ts';

/** A helper's binary on this machine, and its SHA-256 (hex). */
export interface HelperBinary {
  readonly path: string;
  readonly sha256: string;
}

/** In a folder that nobody else can enter, because the helper does what it is told with the rights of its user. */
const INSTALL =
  'exec sh -c \'umask 077 && folder=$(mktemp -d /tmp/vfio-conform.XXXXXX) && cat > "$folder/helper" && chmod 700 "$folder/helper" && sha256sum "$folder/helper"\'';
const INSTALLED = /^([0-9a-f]{64}) [ *](\/tmp\/vfio-conform\.[A-Za-z0-9]{6,20}\/helper)$/;

/** The folder goes with the helper: the shell stays to see to that, also when the connection is cut. */
const start = (path: string): string => `exec sh -c '"$0"; rm -rf -- "\${0%/*}"' ${path}`;
const remove = (path: string): string => `exec sh -c 'rm -rf -- "\${0%/*}"' ${path}`;

/**
 * Uploads the helper, checks there that it arrived as it is, starts it and waits for its greeting. `name` is the machine's
 * in messages. Throws HostTrouble.
 */
export const startHelper = async (
  connection: SshConnection,
  name: string,
  helper: HelperBinary,
  options: SessionOptions,
): Promise<HelperSession> => {
  const path = await install(connection, name, helper);
  const channel = await connection.open(start(path));
  const lastWords = lastLineOf(channel);
  return openSession({ toHelper: channel, fromHelper: channel }, options).catch((cause: unknown) => {
    if (!(cause instanceof HostTrouble)) throw cause;
    throw new HostTrouble(`${cause.message} (on ${name}${lastWords() === '' ? '' : `: ${lastWords()}`})`, { cause });
  });
};

const install = async (connection: SshConnection, name: string, helper: HelperBinary): Promise<string> => {
  const binary = await readFile(helper.path).catch((cause: unknown) => {
    throw new HostTrouble(`cannot read the helper ${helper.path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  });
  const { stdout, stderr, status } = await connection.run(INSTALL, binary);
  // A login shell may print text of its own first.
  const [, sha256, path] = INSTALLED.exec(stdout.trim().split('\n').at(-1) ?? '') ?? [];
  if (status !== 0 || sha256 === undefined || path === undefined) {
    const reason = printable(stderr.trim().split('\n').at(-1) ?? '') || `status ${status ?? 'unknown'}`;
    throw new HostTrouble(`cannot put the helper into /tmp of ${name}: ${reason}`);
  }
  if (sha256 === helper.sha256) return path;
  await connection.run(remove(path));
  throw new HostTrouble(`the helper on ${name} has SHA-256 ${sha256}, expected ${helper.sha256}: build it again`);
};

/** Keeps the end of what the helper writes to standard error, which must be read or the channel stops. */
const lastLineOf = (channel: Channel): (() => string) => {
  let tail = '';
  channel.stderr.on('data', (chunk: Uint8Array) => {
    tail = (tail + Buffer.from(chunk).toString('latin1')).slice(-2000);
  });
  return () => printable(tail.trim().split('\n').at(-1) ?? '');
};

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
