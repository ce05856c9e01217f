/** A kernel in QEMU: what it is started with, and how it is waited for and ended. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Kernel } from '../kernels/fetch.ts';
import { MARKER } from '../kernels/init-script.ts';
import { needProgram } from '../kernels/requirements.ts';
import { HostTrouble } from '../trouble.ts';
import { type Console, createConsole } from './console.ts';
import { type IommuProfile, iommuArguments, iommuKernelWords } from './iommu-profiles.ts';
import { endWithProcess } from './lifetime.ts';
import { within } from './patience.ts';
import { freePort } from './port.ts';

export type Accelerator = 'kvm' | 'tcg';

/** The machine that QEMU plays: an IOMMU and two edu devices, each in an IOMMU group of its own. */
export interface MachineOptions {
  readonly accelerator: Accelerator;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly iommu: IommuProfile;
}

export interface GuestOptions extends MachineOptions {
  readonly kernel: Pick<Kernel, 'image' | 'commandLine'>;
  readonly initramfs: Uint8Array;
  /** Further words of the kernel's command line. */
  readonly commandLine: string;
  /** How long the guest may take until its SSH server listens, in milliseconds. */
  readonly bootMs: number;
  /** Gives a TCP port of 127.0.0.1 that is free; asked again when it turns out not to be. */
  readonly choosePort?: () => Promise<number>;
  /** Ends QEMU when it is aborted, at whatever time that is. */
  readonly signal?: AbortSignal;
}

/** Address bits that the edu devices drive, as a mask: all of them. QEMU's default drops those above the 28th. */
export const EDU_DMA_MASK = (1n << 64n) - 1n;

/** PCI addresses of the edu devices in the guest. */
export const EDU_ADDRESSES = ['0000:00:04.0', '0000:00:05.0'] as const;

/** A guest whose SSH server listens, or did. */
export interface Guest {
  /** QEMU's process, where there came to be one. */
  readonly pid: number | undefined;
  readonly console: Console;
  /** TCP port of 127.0.0.1 behind which the guest's SSH server is. */
  readonly sshPort: number;
  /** How QEMU ended, in words; `undefined` while it runs. */
  ended(): string | undefined;
  /** Resolves when QEMU has ended. */
  readonly end: Promise<void>;
  /** Ends QEMU. Never throws; may be called twice. */
  stop(): Promise<void>;
}

/** A guest keeps nothing that could be lost, so it is always ended by force; how long that may take, in milliseconds. */
const STOP_MS = 5000;
const PORT_TRIES = 5;
const PORT_TAKEN = /Could not set up host forwarding rule/;

/** QEMU's version, for reports: `7.2.22`. */
export const qemuVersion = async (): Promise<string> => {
  const { stdout } = await execa(await needProgram('qemu-system-x86_64'), ['--version'], {
    reject: false,
    timeout: 20_000,
  });
  return /version (\d[\w.]*)/.exec(stdout)?.[1] ?? 'of unknown version';
};

/** QEMU's arguments, for reports and tests as well. */
export const qemuArguments = (options: GuestOptions, initramfsPath: string, sshPort: number): readonly string[] => {
  // Translated code is kept in at most 128 MiB: left to itself, it grows to a gigabyte, for which nothing runs faster.
  const accelerator = options.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi,tb-size=128';
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ['-accel', accelerator, '-machine', 'q35,kernel-irqchip=split', '-cpu', 'max'],
    ['-m', `${options.memoryMiB}`, '-smp', `${options.cpus}`],
    // Before the devices that stand behind it.
    iommuArguments(options.iommu),
    ['-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${sshPort}-:22`],
    // Without its ROM nothing tries to boot from the network, which takes seconds.
    ['-device', 'virtio-net-pci,netdev=net,romfile=,addr=0x3'],
    ...['0x4', '0x5'].map((slot) => ['-device', `edu,dma_mask=0x${EDU_DMA_MASK.toString(16)},addr=${slot}`]),
    ['-kernel', options.kernel.image, '-initrd', initramfsPath],
    ['-append', kernelWords(options)],
  ].flat();
};

/**
 * A kernel that oopses is not to be trusted: it panics, and ends QEMU with that. The 2 MiB pages are for hugetlb memory.
 * A kernel counts timer interrupts against its processor's clock when it starts, and panics where too few came: on a busy
 * machine an emulated one may fall short.
 */
const KERNEL_WORDS = 'console=ttyS0 quiet panic=-1 oops=panic hugepages=8 no_timer_check';

const kernelWords = ({ kernel, iommu, commandLine }: GuestOptions): string =>
  [KERNEL_WORDS, iommuKernelWords(iommu), kernel.commandLine, commandLine].filter((words) => words !== '').join(' ');

/**
 * Starts a guest and waits until its SSH server listens. Throws HostTrouble, which says why, when QEMU is missing or
 * refuses, or the guest dies or is not ready in time; nothing is left running then.
 */
export const startGuest = async (options: GuestOptions): Promise<Guest> => {
  const { choosePort = freePort } = options;
  for (let tries = 1; ; tries++) {
    const sshPort = await choosePort();
    const machine = await launch(options, sshPort);
    try {
      await machine.reach(MARKER.ready, options.bootMs);
      return machine;
    } catch (cause) {
      await machine.stop();
      if (!PORT_TAKEN.test(machine.lastWords())) throw cause;
      if (tries === PORT_TRIES) {
        throw new HostTrouble(`QEMU found ${PORT_TRIES} TCP ports of 127.0.0.1 taken, the last ${sshPort}: try again`);
      }
    }
  }
};

/** Whether a guest reaches its first program within `options.bootMs`. Throws HostTrouble only when QEMU is missing. */
export const reachesInit = async (options: GuestOptions): Promise<boolean> => {
  const machine = await launch(options, await freePort());
  try {
    await machine.reach(MARKER.init, options.bootMs);
    return true;
  } catch {
    return false;
  } finally {
    await machine.stop();
  }
};

interface Machine extends Guest {
  /** Waits for a line of the console that begins with this; throws HostTrouble for anything else that happens. */
  reach(marker: string, withinMs: number): Promise<void>;
  /** The end of what QEMU wrote to its standard error. */
  lastWords(): string;
}

const spawn = (setpriv: string, qemu: string, words: readonly string[]) =>
  // When this process is killed, QEMU is too.
  execa(setpriv, ['--pdeathsig', 'KILL', '--', qemu, ...words], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    // lifetime.ts sees to it.
    cleanup: false,
  });

const launch = async (options: GuestOptions, sshPort: number): Promise<Machine> => {
  const [setpriv, qemu] = [await needProgram('setpriv'), await needProgram('qemu-system-x86_64')];
  // The image holds the guest's secret key, so nobody else may read it; mkdtemp makes a folder that nobody else enters.
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-vm-'));
  const initramfsPath = join(folder, 'initramfs');
  await writeFile(initramfsPath, options.initramfs, { mode: 0o600 });
  const child = spawn(setpriv, qemu, qemuArguments(options, initramfsPath, sshPort));
  const abort = (): void => void child.kill('SIGKILL');
  options.signal?.addEventListener('abort', abort);
  if (options.signal?.aborted === true) abort();
  const forget = endWithProcess(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const console = createConsole();
  child.stdout.on('data', (chunk: Uint8Array) => console.push(chunk));
  // When the kernel speaks, QEMU has read the image; the sooner it is gone the better.
  child.stdout.once('data', () => void rm(folder, { recursive: true, force: true }));
  let words = '';
  child.stderr.on('data', (chunk: Uint8Array) => {
    words = (words + Buffer.from(chunk).toString('latin1')).slice(-4000);
  });
  let ended: string | undefined;
  const lastWords = (): string => words.replace(/[^\x20-\x7e\n]/g, '?').trim();
  const end = child.then(async (result) => {
    const how =
      result.signal === undefined
        ? `exited with ${result.exitCode ?? result.originalMessage}`
        : `was ended by ${result.signal}`;
    options.signal?.removeEventListener('abort', abort);
    ended = [`QEMU ${how}`, lastWords().split('\n')[0]].filter(Boolean).join(': ');
    forget();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    pid: child.pid,
    console,
    sshPort,
    ended: () => ended,
    end,
    lastWords,
    stop: async () => {
      child.kill('SIGKILL');
      await within(STOP_MS, end);
    },
    reach: (marker, withinMs) => reach(console, end, () => ended, marker, withinMs),
  };
};

const reach = (
  console: Console,
  end: Promise<void>,
  ended: () => string | undefined,
  marker: string,
  withinMs: number,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const finish = (trouble?: string): void => {
      clearTimeout(timer);
      stopListening();
      if (trouble === undefined) resolve();
      else reject(new HostTrouble(trouble));
    };
    const stopListening = console.onLine((line) => {
      if (line.startsWith(marker)) finish();
      else if (line.startsWith(MARKER.trouble)) finish(`the guest is of no use: ${line.slice(MARKER.trouble.length)}`);
    });
    const timer = setTimeout(() => {
      finish(`the guest did not answer within ${withinMs / 1000} s; ${lastLine(console)}`);
    }, withinMs);
    void end.then(() => {
      const [panic] = console.since('panic', 1) ?? [];
      finish(panic === undefined ? `${ended()}; ${lastLine(console)}` : `the guest died while it started: ${panic}`);
    });
  });

const lastLine = (console: Console): string => {
  const line = console.lines().findLast((text) => text.trim() !== '');
  return line === undefined ? 'its console is empty' : `the last line of its console: ${line.slice(0, 200)}`;
};
