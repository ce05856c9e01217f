/** Bringing a machine of the hosts file to run a kernel: kexec on it, or a command here. */
import { HostTrouble } from '../trouble.ts';
import type { Deploy, Lab } from './hosts-file.ts';
import type { HelperBinary } from './install.ts';
import { kexec } from './kexec.ts';
import { reviveWith, runWords } from './power.ts';
import { SSH_TIMES, type SshConnection, type SshTimes, UnreachableHost } from './ssh.ts';

/** A kernel that a machine is to run. */
export interface Wanted {
  /** As it was asked for: `7.2-iommufd`, or a path. */
  readonly kernel: string;
  /** File on this machine. */
  readonly image: string;
  /** What `uname -r` must say then. */
  readonly release: string;
  /** Our kexec; needed where the hosts file says so. */
  readonly program?: HelperBinary | undefined;
  /** Told what is being done, a line each. */
  readonly say: (line: string) => void;
}

/** Connects to the machine. Throws HostTrouble. */
export type Reach = (times?: SshTimes) => Promise<SshConnection>;

/** How long a command that deploys may take, in milliseconds: it may copy, install and boot. */
const DEPLOY_MS = 1_800_000;
/** Images are copied over slow lines, too. */
const COPY_TIMES: SshTimes = { ...SSH_TIMES, commandMs: 600_000 };
/** Between two looks whether a machine is back, in milliseconds. */
const PAUSE_MS = 1000;

/** What a machine runs, and which boot of it that is. */
interface Booted {
  readonly release: string;
  readonly boot: string;
}

const bootedOn = async (connection: SshConnection): Promise<Booted> => {
  const { stdout } = await connection.run('cat /proc/sys/kernel/osrelease /proc/sys/kernel/random/boot_id');
  const [release = '', boot = ''] = stdout.trim().split('\n').slice(-2);
  if (boot === '') throw new HostTrouble('a machine does not say which kernel it runs');
  return { release, boot };
};

/**
 * Returns a connection to the machine on the kernel that is wanted: the given one where it runs that already; otherwise that one is
 * closed. A machine that does not come back is power-cycled, so that it can be reached again, and is trouble all the same. `renew`
 * confirms that the machine is ours. Throws HostTrouble; UnreachableHost only when nothing was deployed yet.
 */
export const bringToKernel = async (
  lab: Lab & { readonly deploy: Deploy },
  wanted: Wanted,
  connection: SshConnection,
  reach: Reach,
  renew: () => Promise<void>,
): Promise<SshConnection> => {
  const before = await bootedOn(connection);
  if (before.release === wanted.release) return connection;
  // Nobody else's tests are ended by it.
  await renew();
  connection.close();
  wanted.say(`${lab.name} runs Linux ${before.release}: deploying ${wanted.kernel} (${wanted.release})`);
  await deploy(lab, wanted, reach);
  const back = await untilBack(lab, reach, before.boot);
  if (back === undefined) throw await notBack(lab, wanted, reach, before.boot);
  if (back.release === wanted.release) {
    // A machine that keeps nothing over a boot has forgotten whose it is.
    await renew();
    return back.connection;
  }
  back.connection.close();
  throw new HostTrouble(`${lab.name} runs Linux ${back.release} after ${wanted.release} was deployed: see its console`);
};

const deploy = async (
  { name, deploy }: Lab & { readonly deploy: Deploy },
  wanted: Wanted,
  reach: Reach,
): Promise<void> => {
  const fill = (text: string): string => filled(text, { host: name, ...wanted });
  if ('command' in deploy) {
    await runWords(`${wanted.kernel} cannot be deployed to ${name}`, deploy.command.map(fill), DEPLOY_MS);
    return;
  }
  if (wanted.program === undefined)
    throw new HostTrouble('there is no program for kexec: this is a defect, please report it');
  const { initrd, commandLine } = deploy.kexec;
  const connection = await reach(COPY_TIMES);
  try {
    await kexec(connection, name, {
      ...{ program: wanted.program, image: wanted.image },
      ...{ initrd: initrd && fill(initrd), commandLine: commandLine && fill(commandLine) },
    });
  } finally {
    connection.close();
  }
};

/** A text with what its placeholders stand for (hosts-file.ts says which there are). */
export const filled = (text: string, values: Readonly<Record<string, unknown>>): string =>
  text.replace(/\{([a-z]+)\}/g, (whole, name: string) => (typeof values[name] === 'string' ? values[name] : whole));

/** Waits for another boot of the machine than one, as long as the machine may take; `undefined` when there is none. */
const untilBack = async (
  lab: Lab,
  reach: Reach,
  notBoot: string,
): Promise<(Booted & { readonly connection: SshConnection }) | undefined> => {
  const until = Date.now() + lab.bootSeconds * 1000;
  do {
    const found = await look(reach).catch((cause: unknown) => {
      // It may go down while it is asked.
      if (cause instanceof HostTrouble) return cause;
      throw cause;
    });
    if (!(found instanceof HostTrouble)) {
      if (found.boot !== notBoot) return found;
      found.connection.close();
    } else if (!(found instanceof UnreachableHost) && !(found instanceof WentAway)) throw found;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  } while (Date.now() < until);
  return undefined;
};

/** A machine that was there and did not say what it runs: it goes down. */
class WentAway extends HostTrouble {}

const look = async (reach: Reach): Promise<Booted & { readonly connection: SshConnection }> => {
  const connection = await reach();
  try {
    return { ...(await bootedOn(connection)), connection };
  } catch (cause) {
    connection.close();
    throw new WentAway(cause instanceof Error ? cause.message : String(cause), { cause });
  }
};

/** Gets a machine back by force, where that can be done; what is to be said of it. */
const notBack = async (lab: Lab, { release }: Wanted, reach: Reach, before: string): Promise<HostTrouble> => {
  const revive = reviveWith(lab);
  const what = `${lab.name} did not come back with Linux ${release} within ${lab.bootSeconds} s`;
  if (revive === undefined) return new HostTrouble(`${what}: see its console`);
  await revive();
  const back = await untilBack(lab, reach, before);
  back?.connection.close();
  const now = back === undefined ? 'does not answer since' : `runs Linux ${back.release} now`;
  return new HostTrouble(`${what}; it was power-cycled, and ${now}: see its console`);
};
