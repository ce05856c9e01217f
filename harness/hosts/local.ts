import { createHash } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { execa } from 'execa';
import type { Platform } from '../program/platform.ts';
import type { Ending } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import type { Host } from './host.ts';
import { askLimits } from './limits.ts';
import { readPlatform } from './platform.ts';
import { type HelperSession, openSession, type SessionOptions } from './session.ts';
import type { Files } from './sysfs.ts';

export interface LocalOptions {
  /** The helper's binary, and what its SHA-256 must be (hex). */
  readonly helper: { readonly path: string; readonly sha256: string };
  /** PCI addresses of the devices that may be used; no other is touched. */
  readonly devices: readonly string[];
  readonly session?: Omit<SessionOptions, 'onLost'>;
}

/** How long a helper that was killed may take to be gone, and how long one that left may take to say how. */
const EXIT_MS = 5000;

/** The files of this machine. */
export const localFiles: Files = {
  read: (path) => readFile(path, 'utf8').catch(() => undefined),
  list: (path) => readdir(path).catch(() => undefined),
  link: (path) => readlink(path).catch(() => undefined),
};

/**
 * This machine as a host: programs run in a child process, on the kernel that runs this. Throws HostTrouble when the
 * helper is not the one that was built or does not start, or when a device may not be used (see readPlatform).
 */
export const openLocalHost = async (options: LocalOptions): Promise<Host> => {
  await checkHash(options.helper);
  let helper = await startHelper(options);
  const { kernelRelease, pageSizeBytes } = helper.session.greeting;
  const ask = (group: string) => askLimits(helper.session, group);
  const platform = await readPlatform(localFiles, options.devices, pageSizeBytes, ask).catch(async (cause: unknown) => {
    await helper.stop();
    throw cause;
  });
  const boot = (await localFiles.read('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
  let closed = false;
  return {
    boot: () => boot,
    livesOn: true,
    facts: { name: 'local', kernel: kernelRelease, description: describe(platform), platform },
    run: async (program, deadlines) => {
      if (closed) throw new HostTrouble('the local host was closed');
      return helper.session.run(program, deadlines);
    },
    recover: async () => {
      if (closed) throw new HostTrouble('the local host was closed');
      if (!(await helper.stop())) throw new HostTrouble('the helper cannot be killed: something hangs in this kernel');
      helper = await startHelper(options);
    },
    close: async () => {
      closed = true;
      await helper.stop();
    },
  };
};

const describe = ({ iommu, groups }: Platform): string => {
  if (iommu.kind === 'none') return 'this machine, no devices named';
  const bits = iommu.aperture.end.toString(2).length;
  return `this machine, ${iommu.kind} IOMMU of ${bits} bits, ${groups.length} group${groups.length === 1 ? '' : 's'}`;
};

const checkHash = async ({ path, sha256 }: LocalOptions['helper']): Promise<void> => {
  const binary = await readFile(path).catch((cause: unknown) => {
    throw new HostTrouble(`cannot read the helper ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  });
  const found = createHash('sha256').update(binary).digest('hex');
  if (found === sha256) return;
  throw new HostTrouble(`the helper ${path} has SHA-256 ${found}, expected ${sha256}: build it again`);
};

interface Helper {
  readonly session: HelperSession;
  /** Ends the conversation and the process; false if the process cannot be killed. Never throws; may be called twice. */
  stop(): Promise<boolean>;
}

const spawn = (path: string) =>
  execa(path, [], { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe', buffer: false, reject: false });
type Child = ReturnType<typeof spawn>;

const startHelper = async ({ helper, session: tuning }: LocalOptions): Promise<Helper> => {
  const child = spawn(helper.path);
  const lastWords = lastLineOf(child);
  // Where the kernel still runs this harness, a helper that is gone tells nothing of the kernel: the ending stays `lost`.
  const onLost = async (reason: string): Promise<Ending> => {
    const end = await endOf(child);
    return { kind: 'lost', reason: [reason, end ?? 'the helper still runs', lastWords()].filter(Boolean).join('; ') };
  };
  const streams = { toHelper: child.stdin, fromHelper: child.stdout };
  const session = await openSession(streams, { ...tuning, onLost }).catch(async (cause: unknown) => {
    child.kill('SIGKILL');
    const end = await endOf(child);
    const detail = [end, lastWords()].filter(Boolean).join('; ');
    throw cause instanceof HostTrouble ? new HostTrouble(`${cause.message} (${detail})`, { cause }) : cause;
  });
  const stop = async (): Promise<boolean> => {
    await session.close();
    child.kill('SIGKILL');
    return (await endOf(child)) !== undefined;
  };
  return { session, stop };
};

/** How a process ended, in words; `undefined` when it has not within EXIT_MS. */
const endOf = async (child: Child): Promise<string | undefined> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, EXIT_MS, undefined);
  });
  const result = await Promise.race([child, late]);
  clearTimeout(timer);
  if (result === undefined) return undefined;
  if (result.signal !== undefined) return `the helper was ended by ${result.signal}`;
  return result.exitCode === undefined ? result.originalMessage : `the helper exited with ${result.exitCode}`;
};

/** Keeps the end of what a process writes to standard error, and gives its last line. */
const lastLineOf = (child: Child): (() => string) => {
  let tail = '';
  child.stderr.on('data', (chunk: Uint8Array) => {
    tail = (tail + Buffer.from(chunk).toString('latin1')).slice(-2000);
  });
  return () => (tail.trim().split('\n').at(-1) ?? '').replace(/[^\x20-\x7e]/g, '?');
};
