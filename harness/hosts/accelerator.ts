/** Whether QEMU may use KVM: only where it was seen to boot this very kernel. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { exists, withLock, writeWhole } from '../kernels/cache.ts';
import type { Kernel } from '../kernels/fetch.ts';
import { needProgram } from '../kernels/requirements.ts';
import { type Accelerator, type GuestOptions, reachesInit } from './qemu.ts';

/** With KVM a kernel is at its first program in a second or two; a KVM that does not work never gets there. */
const PROBE_MS = 10_000;

/**
 * The accelerator to use: the one that was asked for, or KVM if it works here, or TCG. A /dev/kvm that can be opened can
 * still hang a guest for ever, so a guest is booted to its first program; the answer is kept in the cache until the
 * machine, QEMU or the kernel is another one.
 */
export const chooseAccelerator = async (
  options: { readonly kernel: Kernel; readonly cache: string; readonly accelerator?: Accelerator },
  guestWith: (accelerator: Accelerator) => Promise<{ readonly guest: GuestOptions }>,
): Promise<Accelerator> => {
  if (options.accelerator !== undefined) return options.accelerator;
  if (!(await mayOpenKvm())) return 'tcg';
  const folder = join(options.cache, 'kvm');
  const answer = join(folder, await keyOf(options.kernel));
  const ask = async (): Promise<Accelerator> => {
    if (!(await exists(answer))) {
      const { guest } = await guestWith('kvm');
      await writeWhole(answer, (await reachesInit({ ...guest, bootMs: PROBE_MS })) ? 'kvm' : 'tcg');
    }
    return (await readFile(answer, 'utf8')) === 'kvm' ? 'kvm' : 'tcg';
  };
  return (await exists(answer)) ? ask() : withLock(folder, 'probe', ask);
};

const mayOpenKvm = (): Promise<boolean> =>
  access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );

const keyOf = async (kernel: Kernel): Promise<string> => {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const qemu = await needProgram('qemu-system-x86_64');
  const { mtimeMs, size } = await stat(qemu);
  return createHash('sha256')
    .update(JSON.stringify([bootId, qemu, mtimeMs, size, kernel.image]))
    .digest('hex')
    .slice(0, 16);
};
