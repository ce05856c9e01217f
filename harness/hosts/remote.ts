/** A machine behind SSH as a host. It is used as it is found: nothing is bound, loaded or configured there. */
import { isDeepStrictEqual } from 'node:util';
import type { Platform } from '../program/platform.ts';
import type { Ending } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import type { Host } from './host.ts';
import { type HelperBinary, startHelper } from './install.ts';
import type { LabConsole } from './lab-console.ts';
import { askLimits } from './limits.ts';
import { readPlatform } from './platform.ts';
import { openRemoteFiles } from './remote-files.ts';
import type { HelperSession, SessionOptions } from './session.ts';
import type { SshConnection, SshTimes } from './ssh.ts';
import { SSH_TIMES, UnreachableHost } from './ssh.ts';
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
  /** Another way to it, for a machine of the hosts file; `label` is what reports call it. */
  readonly reach?: (times?: SshTimes) => Promise<SshConnection>;
  readonly label?: string;
  readonly times?: SshTimes;
  /** Brings it to run the kernel that it must, which may be another boot and another connection; the given one is closed then. */
  readonly deploy?: (connection: SshConnection) => Promise<SshConnection>;
  /** Made ready before the helper starts, each time that it is reached; and given back before it is left. */
  readonly prepare?: (connection: SshConnection) => Promise<void>;
  readonly restore?: (connection: SshConnection) => Promise<void>;
  /** What its console showed since it was last reached. */
  readonly console?: LabConsole;
  /** Boots it by force: when it does not come back, or is damaged. */
  readonly revive?: () => Promise<void>;
  /** How long a machine that cannot be reached any more may take to come back, in milliseconds: it may boot. Default 300,000. */
  readonly comesBackMs?: number;
  readonly session?: Omit<SessionOptions, 'onLost'>;
}

/** A connection, and the helper at its other end. */
interface Running {
  readonly connection: SshConnection;
  readonly session: HelperSession;
  /** It may be another's by now. */
  abandoned?: true;
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
const COMES_BACK_MS = 300_000;
/** Between two tries to reach one that went away, in milliseconds. */
const PAUSE_MS = 1000;

/**
 * Connects to a machine and starts the helper there. Throws HostTrouble when it cannot be reached, is not the machine or
 * does not run the kernel that was asked for, or when a device may not be used (see readPlatform).
 */
export const openRemoteHost = async (options: RemoteOptions): Promise<Host> => {
  const name = labelOf(options);
  let running = await bringUp(options);
  const first = await inspect(options, running).catch(async (cause: unknown) => {
    await leave(running);
    throw cause;
  });
  let { condition } = first;
  let abandoned = false;
  let closed = false;
  const check = (): void => {
    if (closed) throw new HostTrouble(`the host ${name} was closed`);
  };
  /** What it is like now that it was reached again; one that is damaged is booted, if that is ours to do. */
  const becomeWhole = async (before: Condition): Promise<Condition> => {
    const now = await checkIsAsBefore(options, running, first.platform, before);
    const damage = damageSince(before, now);
    if (damage === '') return now;
    if (options.revive === undefined) throw new HostTrouble(`the kernel of ${name} is damaged (${damage}): reboot it`);
    await leave(running);
    await options.revive();
    running = await comeBack(options, () => closed);
    return checkIsAsBefore(options, running, first.platform, before);
  };
  return {
    facts: {
      name,
      kernel: running.session.greeting.kernelRelease,
      description: `${options.name} over SSH, ${first.platform.iommu.kind} IOMMU, ${first.platform.groups.length} groups`,
      platform: first.platform,
    },
    boot: () => condition.bootId,
    livesOn: true,
    run: async (program, deadlines) => {
      check();
      return running.session.run(program, deadlines);
    },
    abandon: () => {
      abandoned = true;
      running.abandoned = true;
      running.connection.close();
    },
    recover: async () => {
      check();
      await leave(running);
      abandoned = false;
      options.console?.startAnew();
      running = await comeBack(options, () => closed);
      condition = await becomeWhole(condition).catch(async (cause: unknown) => {
        await leave(running);
        throw cause;
      });
      // It may have booted for longer than its lease lasts, which is confirmed before anything runs.
      abandoned = false;
      if (closed) await leave(running);
      check();
    },
    close: async () => {
      if (!closed && !abandoned) await options.restore?.(running.connection).catch(() => undefined);
      closed = true;
      options.console?.end();
      await leave(running);
    },
  };
};

const labelOf = ({ name, label }: RemoteOptions): string => label ?? `ssh:${name}`;

const reach = (options: RemoteOptions, times = options.times): Promise<SshConnection> =>
  options.reach?.(times) ?? connectByName(options.name, options.sshConfig, times);

/** Takes leave of the helper, which then removes itself from the machine, before the connection is cut. */
const leave = async ({ connection, session }: Running): Promise<void> => {
  await session.close();
  connection.close();
};

/** Reaches a machine again that may be booting, or is booted then. Throws what kept it from that, once that has lasted too long. */
const comeBack = async (options: RemoteOptions, givenUp: () => boolean): Promise<Running> => {
  const patience = options.comesBackMs ?? COMES_BACK_MS;
  let until = Date.now() + patience;
  for (let { revive } = options; ; ) {
    try {
      return await bringUp(options);
    } catch (cause) {
      if (!(cause instanceof UnreachableHost) || givenUp()) throw cause;
      if (Date.now() >= until) {
        if (revive === undefined) throw cause;
        await revive();
        revive = undefined;
        until = Date.now() + patience;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
};

const stay = async (connection: SshConnection): Promise<SshConnection> => connection;

const bringUp = async (options: RemoteOptions): Promise<Running> => {
  const name = labelOf(options);
  const found = await reach(options);
  const connection = await (options.deploy ?? stay)(found).catch((cause: unknown) => {
    found.close();
    throw cause;
  });
  let running: Running | undefined;
  try {
    await options.prepare?.(connection);
    const onLost = async (reason: string): Promise<Ending> =>
      running?.abandoned === true ? { kind: 'lost', reason } : howItEnded(options, reason);
    const session = await startHelper(connection, name, options.helper, { ...options.session, onLost });
    const { kernelRelease } = session.greeting;
    if (options.kernelRelease !== undefined && options.kernelRelease !== kernelRelease) {
      await session.close();
      throw new HostTrouble(
        `${name} runs Linux ${kernelRelease}, expected ${options.kernelRelease}: boot that kernel there`,
      );
    }
    running = { connection, session };
    return running;
  } catch (cause) {
    // The connection tells of its end after its commands do.
    await new Promise((resolve) => setImmediate(resolve));
    const wentDown = connection.over !== undefined && cause instanceof HostTrouble;
    connection.close();
    // It was reached while it went down, and may come back.
    throw wentDown ? new UnreachableHost(cause.message, { cause }) : cause;
  }
};

/** How much of a console is kept with a run. */
const TAIL_LINES = 120;

/** Without a console nobody knows what the kernel did; whether the machine answers is all that can be added. */
const howItEnded = async (options: RemoteOptions, reason: string): Promise<Ending> => {
  const times = { ...(options.times ?? SSH_TIMES), connectMs: ANSWER_MS };
  const now = await reach(options, times).then(
    (connection) => {
      connection.close();
      return 'the machine itself still answers';
    },
    (cause: unknown) => (cause instanceof HostTrouble ? cause.message : String(cause)),
  );
  // What a machine said at its end may come after the end of the connection.
  await options.console?.quiet();
  const seen = options.console?.shown();
  const panic = seen?.since('panic', TAIL_LINES);
  if (panic !== undefined) return { kind: 'panicked', console: seen?.since('bug', TAIL_LINES) ?? panic };
  return { kind: 'lost', reason: `${reason}; ${now}` };
};

const inspect = async (
  options: RemoteOptions,
  { connection, session }: Running,
): Promise<{ readonly platform: Platform; readonly condition: Condition }> => {
  const files = await openRemoteFiles(connection, labelOf(options));
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

/** Looks whether a machine can be used as before; returns what it is like. Throws HostTrouble if not. */
const checkIsAsBefore = async (
  options: RemoteOptions,
  running: Running,
  platform: Platform,
  before: Condition,
): Promise<Condition> => {
  const now = await inspect(options, running);
  if (now.condition.bootId !== before.bootId && !isDeepStrictEqual(now.platform, platform)) {
    throw new HostTrouble(
      `${labelOf(options)} was booted and is not as it was: its devices, IOMMU or modules differ; run anew`,
    );
  }
  return now.condition;
};

/** What of a kernel was damaged in the same boot, in words: it can only be made whole by another boot. */
const damageSince = (before: Condition, now: Condition): string =>
  now.bootId !== before.bootId
    ? ''
    : DAMAGE.filter(([bit]) => (now.taint & bit) !== 0 && (before.taint & bit) === 0)
        .map(([, what]) => what)
        .join(', ');
