/** What tests of real guests share. No code but tests imports it. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { type BuiltHelper, buildHelper } from '../helper/build.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel, type Kernel } from '../kernels/fetch.ts';
import { buildInitramfs } from '../kernels/initramfs.ts';
import { createClientKey, createHostKey } from '../kernels/keys.ts';
import { readManifest } from '../kernels/manifest.ts';
import { HostTrouble } from '../trouble.ts';
import { DEFAULT_IOMMU } from './iommu-profiles.ts';
import { EDU_ADDRESSES, type GuestOptions } from './qemu.ts';

/** The stock kernel, the helper and the cache: what a VM is opened with. */
export const vmInputs = async (): Promise<{
  readonly kernel: Kernel;
  readonly helper: BuiltHelper;
  readonly cache: string;
}> => {
  const cache = cacheFolder();
  return { kernel: await fetchKernel(await readManifest('6.1'), { cache }), helper: await buildHelper(cache), cache };
};

/**
 * A guest that nothing connects to: its keys are thrown away. Used by a script that a test writes.
 * @public
 */
export const bareGuest = async (kernel: Kernel): Promise<GuestOptions> => ({
  kernel,
  initramfs: await buildInitramfs(kernel, {
    hostKey: createHostKey(),
    clientKey: createClientKey(),
    devices: EDU_ADDRESSES,
    moduleParameters: {},
    modules: [],
  }),
  accelerator: 'tcg',
  memoryMiB: 512,
  cpus: 1,
  iommu: DEFAULT_IOMMU,
  commandLine: '',
  bootMs: 60_000,
});

/** The message of the HostTrouble that `work` must end with; one line, as the user sees it. */
export const troubleOf = async (work: Promise<unknown>): Promise<string> => {
  const cause = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(cause, String(cause)).to.be.instanceOf(HostTrouble);
  const message = cause instanceof HostTrouble ? cause.message : '';
  expect(message).to.match(/^[^\n]+$/);
  return message;
};

/** Processes that a process has started and that have not ended; of all programs, or of one. */
export const childrenOf = (parent: number, program?: string): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const [, name, ppid] = /^\d+ \((.*)\) [^ZX] (\d+)/.exec(statOf(pid)) ?? [];
      return Number(ppid) === parent && (program === undefined || name === program.slice(0, 15));
    })
    .map(Number);

export const parentOf = (pid: number): number => Number(/^\d+ \(.*\) \S (\d+)/.exec(statOf(`${pid}`))?.[1]);

/** Whether a process is there and has not ended (one that nobody has reaped yet has). */
export const isRunning = (pid: number): boolean => /^\d+ \(.*\) [^ZX]/.test(statOf(`${pid}`));

const statOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return '';
  }
};

/** Waits until a condition holds, looking again and again; the test's own time limit bounds it. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
};
