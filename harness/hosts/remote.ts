/** A machine behind SSH as a host. It is used as it is found: nothing is bound, loaded or configured there. */
import type { Platform } from '../program/platform.ts';
import type { Ending } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import type { Host } from './host.ts';
import { type HelperBinary, startHelper } from './install.ts';
import { askLimits } from './limits.ts';
import { readPlatform } from './platform.ts';
import { openRemoteFiles } from './remote-files.ts';
import type { HelperSession, SessionOptions } from './session.ts';
import type { SshConnection, SshTimes } from './ssh.ts';
import { SSH_TIMES } from './ssh.ts';
import { connectByName } from './ssh-target.ts';

export interface RemoteOptions {
  /** As the SSH configuration knows it: `NAME` or `USER@NAME`. */
  readonly name: string;
  readonly helper: HelperBinary;
  /** PCI addresses of the devices that may be used, bound to vfio-pci; no other is touched. */
  readonly devices: readonly string[];
  /** What `uname -r` must say there; anything when absent. */
  readonly kernelRelease?: string;
  /** An SSH configuration file in place of the user's own. */
  readonly sshConfig?: string;
  readonly times?: SshTimes;
  readonly session?: Omit<SessionOptions, 'onLost'>;
}

/** A connection, and the helper at its other end. */
interface Running {
  readonly connection: SshConnection;
  readonly session: HelperSession;
}

/** What is remembered of a machine to see later whether it is still as it was. */
interface Condition {
  /** Another one after every boot. */
  readonly bootId: string;
  /** /proc/sys/kernel/tainted: a set of bits that only grows. */
  readonly taint: number;
}

/** Bits of the taint that tell of damage: the kernel died or warned (Documentation/admin-guide/tainted-kernels.rst). */
const DAMAGE: readonly (readonly [bit: number, what: string])[] = [
  [1 << 7, 'it oopsed'],
  [1 << 9, 'it warned'],
  [1 << 14, 'it locked up'],
];

/** How long a machine may take to let us in again before it counts as out of reach, in milliseconds. */
const ANSWER_MS = 8000;

/**
 * Connects to a machine and starts the helper there. Throws HostTrouble when it cannot be reached, is not the machine or
 * does not run the kernel that was asked for, or when a device may not be used (see readPlatform).
 */
export const openRemoteHost = async (options: RemoteOptions): Promise<Host> => {
  const name = `ssh:${options.name}`;
  let running = await bringUp(options);
  const first = await inspect(options, running).catch(async (cause: unknown) => {
    await leave(running);
    throw cause;
  });
  let closed = false;
  const check = (): void => {
    if (closed) throw new HostTrouble(`the host ${name} was closed`);
  };
  return {
    facts: {
      name,
      kernel: running.session.greeting.kernelRelease,
      description: `${options.name} over SSH, ${first.platform.iommu.kind} IOMMU, ${first.platform.groups.length} groups`,
      platform: first.platform,
    },
    run: async (program, deadlines) => {
      check();
      return running.session.run(program, deadlines);
    },
    recover: async () => {
      check();
      await leave(running);
      running = await bringUp(options);
      await checkCondition(name, running.connection, first.condition);
      if (closed) await leave(running);
      check();
    },
    close: async () => {
      closed = true;
      await leave(running);
    },
  };
};

/** Takes leave of the helper, which then removes itself from the machine, before the connection is cut. */
const leave = async ({ connection, session }: Running): Promise<void> => {
  await session.close();
  connection.close();
};

const bringUp = async (options: RemoteOptions): Promise<Running> => {
  const name = `ssh:${options.name}`;
  const connection = await connectByName(options.name, options.sshConfig, options.times);
  try {
    const onLost = (reason: string) => howItEnded(options, reason);
    const session = await startHelper(connection, name, options.helper, { ...options.session, onLost });
    const { kernelRelease } = session.greeting;
    if (options.kernelRelease !== undefined && options.kernelRelease !== kernelRelease) {
      await session.close();
      throw new HostTrouble(
        `${name} runs Linux ${kernelRelease}, expected ${options.kernelRelease}: boot that kernel there`,
      );
    }
    return { connection, session };
  } catch (cause) {
    connection.close();
    throw cause;
  }
};

/** Without a console nobody knows what the kernel did; whether the machine answers is all that can be added. */
const howItEnded = async (options: RemoteOptions, reason: string): Promise<Ending> => {
  const times = { ...(options.times ?? SSH_TIMES), connectMs: ANSWER_MS };
  const now = await connectByName(options.name, options.sshConfig, times).then(
    (connection) => {
      connection.close();
      return 'the machine itself still answers';
    },
    (cause: unknown) => (cause instanceof HostTrouble ? cause.message : String(cause)),
  );
  return { kind: 'lost', reason: `${reason}; ${now}` };
};

const inspect = async (
  options: RemoteOptions,
  { connection, session }: Running,
): Promise<{ readonly platform: Platform; readonly condition: Condition }> => {
  const files = await openRemoteFiles(connection, `ssh:${options.name}`);
  try {
    const platform = await readPlatform(files, options.devices, session.greeting.pageSizeBytes, (group) =>
      askLimits(session, group),
    );
    return { platform, condition: await conditionOf(files) };
  } finally {
    files.close();
  }
};

const conditionOf = async (files: { read(path: string): Promise<string | undefined> }): Promise<Condition> => ({
  bootId: (await files.read('/proc/sys/kernel/random/boot_id'))?.trim() ?? '',
  taint: Number(await files.read('/proc/sys/kernel/tainted')) || 0,
});

/** A kernel that was damaged since we came can only be made whole by a boot, and that is not ours to do here. */
const checkCondition = async (name: string, connection: SshConnection, first: Condition): Promise<void> => {
  const files = await openRemoteFiles(connection, name);
  const now = await conditionOf(files).finally(() => files.close());
  if (now.bootId !== first.bootId) return;
  const damage = DAMAGE.filter(([bit]) => (now.taint & bit) !== 0 && (first.taint & bit) === 0).map(([, what]) => what);
  if (damage.length === 0) return;
  connection.close();
  throw new HostTrouble(`the kernel of ${name} is damaged (${damage.join(', ')}): reboot it`);
};
