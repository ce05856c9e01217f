/** A guest as a host: a kernel in QEMU on this machine, with two edu devices behind an emulated IOMMU. */
import type { Kernel } from '../kernels/fetch.ts';
import { buildInitramfs } from '../kernels/initramfs.ts';
import { createClientKey, createHostKey } from '../kernels/keys.ts';
import type { Platform } from '../program/platform.ts';
import { HostTrouble } from '../trouble.ts';
import { chooseAccelerator } from './accelerator.ts';
import { type CountFile, readCounts } from './counts.ts';
import type { Host, HostFacts } from './host.ts';
import { type HelperBinary, startHelper } from './install.ts';
import { DEFAULT_IOMMU, type IommuProfile } from './iommu-profiles.ts';
import { askLimits } from './limits.ts';
import { readPlatform } from './platform.ts';
import { howItEnded, lastWords } from './post-mortem.ts';
import {
  type Accelerator,
  EDU_ADDRESSES,
  EDU_DMA_MASK,
  type Guest,
  type GuestOptions,
  qemuVersion,
  startGuest,
} from './qemu.ts';
import { openRemoteFiles } from './remote-files.ts';
import type { HelperSession, SessionOptions } from './session.ts';
import { type CommandResult, connectSsh, SSH_TIMES, type SshConnection, type SshTarget, type SshTimes } from './ssh.ts';
import type { Files } from './sysfs.ts';

export interface VmOptions {
  readonly kernel: Kernel;
  readonly helper: HelperBinary;
  /** The cache's folder, where it is remembered whether KVM works here. */
  readonly cache: string;
  /** In reports and messages; `vm` when absent. */
  readonly name?: string;
  /** Default: KVM where it was seen to boot this kernel, else TCG. */
  readonly accelerator?: Accelerator;
  /** Default 768. */
  readonly memoryMiB?: number;
  /** Default: Intel's, 39 bits. */
  readonly iommu?: IommuProfile;
  /** Parameters by module: `{ vfio_iommu_type1: ['dma_entry_limit=64'] }`. */
  readonly moduleParameters?: Readonly<Record<string, readonly string[]>>;
  /** Unpacked .ko files that take the place of the kernel package's own, or are loaded after them. */
  readonly modules?: readonly string[];
  /** What the modules were patched with, for reports. */
  readonly patches?: string;
  /** Further words of the kernel's command line. */
  readonly commandLine?: string;
  /** How long a boot may take, in milliseconds; default 120,000. */
  readonly bootMs?: number;
  readonly session?: Omit<SessionOptions, 'onLost'>;
  /**
   * Given what a boot of a kernel that counts has counted, before the guest is taken down; `undefined` where that is lost
   * with the guest.
   */
  readonly onCounts?: (files: readonly CountFile[] | undefined) => void;
  readonly choosePort?: () => Promise<number>;
  /** Ends the guest when it is aborted, also while it starts; the host is of no use after that, and must still be closed. */
  readonly signal?: AbortSignal;
}

const DEFAULTS = {
  name: 'vm',
  memoryMiB: 768,
  iommu: DEFAULT_IOMMU,
  moduleParameters: {},
  modules: [],
  commandLine: '',
  bootMs: 120_000,
} as const;

/** A guest that is up, and what is connected to it. */
interface Running {
  readonly guest: Guest;
  readonly connection: SshConnection;
  readonly session: HelperSession;
  /** What another connection to the same guest takes. */
  readonly target: SshTarget;
}

/** A host in QEMU. */
export interface VmHost extends Host {
  /** The last lines that the guest's kernel wrote on its console. */
  console(): readonly string[];
  /** Runs a command in the guest, beside the helper: for benchmarks that need something of their own there. */
  command(command: string, input?: Uint8Array): Promise<CommandResult>;
}

/**
 * Boots a kernel and connects to it. Throws HostTrouble when a program is missing, QEMU refuses, the guest does not come
 * up in time or is not the kernel that was asked for; nothing is left running then.
 */
export const openVmHost = async (given: VmOptions): Promise<VmHost> => {
  const own = given.kernel.memoryMiB === undefined ? {} : { memoryMiB: given.kernel.memoryMiB };
  const options: Settled = { ...DEFAULTS, ...own, ...given };
  const accelerator = await chooseAccelerator(options, (accel) => guestOptions(options, accel));
  let running = await bringUp(options, accelerator);
  const listeners: PanicListener[] = [];
  tellPanic(running, listeners);
  let closed = false;
  const facts = await readFacts(options, accelerator, running).catch(async (cause: unknown) => {
    await takeDown(running);
    throw cause;
  });
  const check = (): void => {
    if (closed) throw new HostTrouble(`the host ${options.name} was closed`);
  };
  return {
    facts,
    boot: () => `QEMU ${running.guest.pid}`,
    livesOn: false,
    onPanic: (listener) => void listeners.push(listener),
    console: () => running.guest.console.lines(),
    command: (command, input) => running.connection.run(command, input),
    run: async (program, deadlines) => {
      check();
      return running.session.run(program, deadlines);
    },
    recover: async () => {
      check();
      await tellCounts(options, running);
      await takeDown(running);
      running = await bringUpAgain(options, accelerator, () => closed);
      tellPanic(running, listeners);
      // Closing may have come while the guest booted, and saw only the one before it.
      if (closed) await takeDown(running);
      check();
    },
    close: async () => {
      const again = closed;
      closed = true;
      if (!again) await tellCounts(options, running);
      await takeDown(running);
    },
  };
};

type PanicListener = (console: readonly string[]) => void;

/** Tells them of a panic once, by the first words of it. */
const tellPanic = ({ guest }: Running, listeners: readonly PanicListener[]): void => {
  const stop = guest.console.onLine(() => {
    const words = lastWords(guest);
    if (words === undefined) return;
    stop();
    for (const listener of listeners) listener(words);
  });
};

/** Options with nothing left open but what has no default. */
type Settled = VmOptions & Required<Pick<VmOptions, keyof typeof DEFAULTS>>;

/** A guest with keys of its own: what is needed to start it, and to connect to it. */
const guestOptions = async (options: Settled, accelerator: Accelerator) => {
  const hostKey = createHostKey();
  const clientKey = createClientKey();
  const { kernel, iommu } = options;
  const initramfs = await buildInitramfs(kernel, {
    ...options,
    hostKey,
    clientKey,
    devices: iommu.device === undefined ? [] : EDU_ADDRESSES,
    moduleParameters: withParameters(options),
    ...(iommu.kernel.module === undefined ? {} : { further: [iommu.kernel.module] }),
  });
  const guest: GuestOptions = { ...options, accelerator, cpus: 2, initramfs };
  return { guest, hostKey, clientKey };
};

/** Parameters of the guest's modules; those that an IOMMU needs go only to modules that the guest has. */
const withParameters = ({ kernel, iommu, moduleParameters }: Settled): Settled['moduleParameters'] => {
  const needed = Object.entries(iommu.kernel.parameters).filter(([module]) =>
    kernel.modules.some(({ name }) => name === module),
  );
  return {
    ...moduleParameters,
    ...Object.fromEntries(needed.map(([module, texts]) => [module, [...texts, ...(moduleParameters[module] ?? [])]])),
  };
};

const bringUp = async (options: Settled, accelerator: Accelerator): Promise<Running> => {
  const { guest: wanted, hostKey, clientKey } = await guestOptions(options, accelerator);
  const guest = await startGuest(wanted);
  try {
    const target: SshTarget = {
      name: `the guest ${options.name}`,
      host: '127.0.0.1',
      port: guest.sshPort,
      user: 'root',
      keys: [clientKey.privateKey],
      objection: (key) =>
        Buffer.from(key).equals(hostKey.publicBlob)
          ? undefined
          : `another machine answers in the place of the guest ${options.name}`,
    };
    const connection = await connectSsh(target);
    const onLost = (reason: string) => howItEnded(guest, target, reason);
    const session = await startHelper(connection, target.name, options.helper, { ...options.session, onLost });
    return { guest, connection, session, target };
  } catch (cause) {
    await guest.stop();
    throw cause;
  }
};

/** Packing the counts takes an emulated guest on a busy machine longer than any other command. */
const COUNT_TIMES: SshTimes = { ...SSH_TIMES, connectMs: 60_000, commandMs: 180_000 };

/** A guest that hangs or is gone has lost what it counted since it booted. */
const tellCounts = async ({ kernel, onCounts }: Settled, { connection, target }: Running): Promise<void> => {
  if (kernel.counted === undefined || onCounts === undefined) return;
  onCounts(connection.over === undefined ? await countsOf(target).catch(() => undefined) : undefined);
};

const countsOf = async (target: SshTarget): Promise<readonly CountFile[]> => {
  const connection = await connectSsh(target, COUNT_TIMES);
  try {
    return await readCounts(connection);
  } finally {
    connection.close();
  }
};

/** How often a guest is booted that came up before: on a busy machine an emulated timer may fail a kernel that starts. */
const BOOTS = 3;

/** Throws the trouble of the last boot. */
const bringUpAgain = async (options: Settled, accelerator: Accelerator, givenUp: () => boolean): Promise<Running> => {
  for (let left = BOOTS - 1; ; left--) {
    try {
      return await bringUp(options, accelerator);
    } catch (cause) {
      if (!(cause instanceof HostTrouble) || left === 0 || givenUp() || options.signal?.aborted === true) throw cause;
    }
  }
};

const takeDown = async ({ guest, connection, session }: Running): Promise<void> => {
  // A guest that is gone, or is thrown away, needs no farewell; cutting the connection ends the session.
  connection.close();
  await Promise.all([session.close(), guest.stop()]);
};

const readFacts = async (options: Settled, accelerator: Accelerator, running: Running): Promise<HostFacts> => {
  const { kernelRelease } = running.session.greeting;
  if (kernelRelease !== options.kernel.release) {
    throw new HostTrouble(
      `the guest runs Linux ${kernelRelease}, expected ${options.kernel.release}: remove the cache and try again`,
    );
  }
  const files = await openRemoteFiles(running.connection, `the guest ${options.name}`);
  const platform = await readGuest(options, running, files).finally(() => files.close());
  return {
    name: options.name,
    kernel: options.patches === undefined ? kernelRelease : `${kernelRelease} with ${options.patches}`,
    description: `QEMU ${await qemuVersion()} ${accelerator}, ${iommuText(options.iommu)}, ${options.memoryMiB} MiB`,
    platform: withDmaMask(platform),
  };
};

const iommuText = ({ name, device }: IommuProfile): string =>
  device === undefined ? 'no IOMMU' : `${device.name} (${name})`;

/** A guest whose kernel did not take up the IOMMU that it was given has no groups but those of emulated devices. */
const readGuest = async ({ iommu }: Settled, { session }: Running, files: Files): Promise<Platform> => {
  const driven = ((await files.list('/sys/class/iommu')) ?? []).length > 0;
  const { pageSizeBytes } = session.greeting;
  const platform = await readPlatform(files, driven ? EDU_ADDRESSES : [], pageSizeBytes, (group) =>
    askLimits(session, group),
  );
  if (driven) return platform;
  const absent =
    iommu.device === undefined
      ? `the guest has no IOMMU (--iommu ${iommu.name})`
      : `the kernel does not drive the guest's ${iommu.device.name} (--iommu ${iommu.name})`;
  return { ...platform, iommu: { ...platform.iommu, absent } };
};

/** Nothing in a guest tells how its edu devices were made. */
const withDmaMask = (platform: Platform): Platform => ({
  ...platform,
  groups: platform.groups.map((group) => ({
    ...group,
    devices: group.devices.map((device) => (device.kind === 'edu' ? { ...device, dmaMask: EDU_DMA_MASK } : device)),
  })),
});
