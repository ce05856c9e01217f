/** Booting another kernel from the one that runs on a machine: what is needed is copied there, and a program of ours does it. */
import { readFile } from 'node:fs/promises';
import { HostTrouble } from '../trouble.ts';
import type { HelperBinary } from './install.ts';
import type { CommandResult, SshConnection } from './ssh.ts';

/** What a machine is to boot. */
export interface KexecJob {
  /** Our program for it, built for the machine. */
  readonly program: HelperBinary;
  /** A bzImage on this machine: kexec_file_load(2) takes nothing else on x86. */
  readonly image: string;
  /** File on this machine. */
  readonly initrd?: string | undefined;
  /** Absent: that of the kernel that runs. */
  readonly commandLine?: string | undefined;
}

/** As for the helper, a folder that nobody else can enter. */
const PREPARE = "exec sh -c 'umask 077 && mktemp -d /tmp/vfio-conform.XXXXXX'";
const FOLDER = /^\/tmp\/vfio-conform\.[A-Za-z0-9]{6,20}$/;
const put = (name: string, folder: string): string =>
  `exec sh -c 'cat > "$0/${name}" && chmod 700 "$0/${name}" && sha256sum < "$0/${name}"' ${folder}`;
/** The kernel holds what it was given; nothing is left behind. */
const START = 'exec sh -c \'"$0/kexec" "$0/image" "$0/initrd" "$0/line"; status=$?; rm -rf -- "$0"; exit $status\'';
const REMOVE = 'exec sh -c \'rm -rf -- "$0"\'';

/** What the kernel's refusals mean. */
const REASONS: readonly (readonly [form: RegExp, what: string])[] = [
  [
    /Operation not permitted/,
    'root is needed, and a kernel that is not locked down (kernel.kexec_load_disabled, lockdown)',
  ],
  [/Function not implemented/, 'the kernel that runs has no CONFIG_KEXEC_FILE'],
  [/Key was rejected|Required key not available/, 'the image is not signed, and the kernel that runs takes no other'],
  [/Exec format error|Invalid argument/, 'the image is none that it boots: expected a bzImage'],
];

/**
 * Has a machine boot another kernel; it goes down a second after this returns. `connection` must allow for the time that the
 * files take. Throws HostTrouble, and nothing is changed then.
 */
export const kexec = async (connection: SshConnection, name: string, job: KexecJob): Promise<void> => {
  const files = {
    kexec: await fileOf(job.program.path),
    image: await fileOf(job.image),
    initrd: job.initrd === undefined ? Buffer.alloc(0) : await fileOf(job.initrd),
    line: Buffer.from(job.commandLine ?? ''),
  };
  const folder = (await connection.run(PREPARE)).stdout.trim().split('\n').at(-1) ?? '';
  if (!FOLDER.test(folder)) throw new HostTrouble(`no folder can be made in /tmp of ${name}`);
  for (const [file, bytes] of Object.entries(files)) {
    const result = await connection.run(put(file, folder), bytes);
    if (result.status === 0) continue;
    await connection.run(`${REMOVE} ${folder}`);
    throw new HostTrouble(`the kernel cannot be copied to /tmp of ${name}: ${lastLine(result)}`);
  }
  const result = await connection.run(`${START} ${folder}`);
  if (result.status === 0 && result.stdout.includes('loaded')) return;
  const said = lastLine(result);
  const why = REASONS.find(([form]) => form.test(said))?.[1];
  throw new HostTrouble(`${name} does not boot ${job.image} by kexec: ${said}${why === undefined ? '' : ` (${why})`}`);
};

const fileOf = (path: string): Promise<Buffer> =>
  readFile(path).catch((cause: unknown) => {
    throw new HostTrouble(`cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  });

const lastLine = ({ stderr, status }: CommandResult): string =>
  (stderr.trim().split('\n').at(-1) ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 200) ||
  `status ${status ?? 'unknown'}`;
