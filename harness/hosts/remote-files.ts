/** The files of a machine behind SSH, read over one channel: a command for each would cost tens of milliseconds. */
import { HostTrouble } from '../trouble.ts';
import type { SshConnection } from './ssh.ts';
import type { Files } from './sysfs.ts';

/**
 * Answers lines `read PATH`, `list PATH` and `link PATH` with lines that begin with `=`, and then `.`; or with `!` for what
 * is not there. Any POSIX shell runs it, and reading starts no process. sysfs and proc hold text, so lines are enough.
 */
const SCRIPT = `exec sh -c '
while read -r verb path; do
  case $verb in
  read) if [ -f "$path" ] && [ -r "$path" ]; then
      while IFS= read -r line || [ -n "$line" ]; do printf "=%s\\n" "$line"; done < "$path"; echo .
    else echo !; fi ;;
  list) if [ -d "$path" ]; then
      for name in "$path"/*; do [ -e "$name" ] && printf "=%s\\n" "\${name##*/}"; done; echo .
    else echo !; fi ;;
  link) if [ -L "$path" ]; then printf "=%s\\n" "$(readlink "$path")"; echo .; else echo !; fi ;;
  esac
done'`;

/** How long one file may take; some of sysfs ask hardware, none for long. */
const ANSWER_MS = 20_000;
const MAX_ANSWER_BYTES = 1 << 20;

export interface RemoteFiles extends Files {
  close(): void;
}

/** Opens the channel. One question is asked at a time. Throws HostTrouble; so do the questions when the channel ends. */
export const openRemoteFiles = async (connection: SshConnection, name: string): Promise<RemoteFiles> => {
  const channel = await connection.open(SCRIPT);
  let received = '';
  let ended: string | undefined;
  let wake: () => void = () => undefined;
  channel.stderr.resume();
  channel.on('data', (chunk: Uint8Array) => {
    received += Buffer.from(chunk).toString('latin1');
    wake();
  });
  channel.on('close', () => {
    ended ??= connection.over ?? `the shell on ${name} ended`;
    wake();
  });

  /** The lines of one answer, once it is whole. */
  const answer = async (): Promise<readonly string[] | undefined> => {
    for (;;) {
      const end = /^([.!])\n/m.exec(received);
      if (end !== null) {
        const lines = received.slice(0, end.index).split('\n').slice(0, -1);
        received = received.slice(end.index + end[0].length);
        return end[1] === '.' ? lines.filter((line) => line.startsWith('=')).map((line) => line.slice(1)) : undefined;
      }
      if (ended !== undefined) throw new HostTrouble(ended);
      if (received.length > MAX_ANSWER_BYTES)
        throw new HostTrouble(`a file on ${name} is longer than ${MAX_ANSWER_BYTES} bytes`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };

  const ask = async (verb: string, path: string): Promise<readonly string[] | undefined> => {
    if (!/^\/[!-~ ]+$/.test(path)) return undefined;
    const timer = setTimeout(() => {
      ended ??= `${name} did not read ${path} within ${ANSWER_MS / 1000} s`;
      wake();
    }, ANSWER_MS);
    channel.write(`${verb} ${path}\n`);
    return answer().finally(() => clearTimeout(timer));
  };

  return {
    read: async (path) => (await ask('read', path))?.map((line) => `${line}\n`).join(''),
    list: (path) => ask('list', path),
    link: async (path) => (await ask('link', path))?.[0],
    close: () => void channel.end(),
  };
};
