/** What a guest's kernel counted of its own code since it booted (gcov), for kernels that count. */
import { gunzipSync } from 'node:zlib';
import { HostTrouble } from '../trouble.ts';
import type { SshConnection } from './ssh.ts';

/** The counts of one object file, as gcov takes them (.gcda). */
export interface CountFile {
  /** What was compiled, where it was compiled: `/.../output/drivers/vfio/container`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const ROOT = '/sys/kernel/debug/gcov';
const SUFFIX = '.gcda';

/** Two lines for each file: its path, and its bytes in letters. Files of debugfs have no size: they are read as streams. */
const COMMAND = `find ${ROOT} -name '*${SUFFIX}' | while IFS= read -r file; do
  echo "$file"; gzip -c < "$file" | base64 | tr -d '\\n'; echo
done`;

/** No object file's counts come near. */
const MOST_BYTES = 4 << 20;

/** Reads the counts. Throws HostTrouble when the guest does not answer, or counts nothing. */
export const readCounts = async (connection: SshConnection): Promise<readonly CountFile[]> => {
  const { stdout, stderr } = await connection.run(COMMAND);
  const files = parseCounts(stdout);
  if (files.length > 0) return files;
  throw new HostTrouble(`the kernel in the guest counts nothing of its code: ${stderr.slice(0, 200) || ROOT} is empty`);
};

/** What the command printed; a file that came cut is left out. */
export const parseCounts = (text: string): readonly CountFile[] => {
  const lines = text.split('\n').slice(0, -1);
  return lines.flatMap((path, index) => {
    if (index % 2 !== 0 || !path.startsWith(`${ROOT}/`) || !path.endsWith(SUFFIX)) return [];
    const bytes = unpacked(lines[index + 1] ?? '');
    return bytes === undefined ? [] : [{ path: path.slice(ROOT.length, -SUFFIX.length), bytes }];
  });
};

const unpacked = (letters: string): Uint8Array | undefined => {
  try {
    return gunzipSync(Buffer.from(letters, 'base64'), { maxOutputLength: MOST_BYTES });
  } catch {
    return undefined;
  }
};
