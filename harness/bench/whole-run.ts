import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';

const BIN = fileURLToPath(new URL('../cli/bin.mjs', import.meta.url));

/** What a whole run cost. */
export interface WholeRun {
  readonly totalMs: number;
  /** From QEMU's start until the cases could begin. */
  readonly bootMs: number;
  readonly harnessPeakMiB: number;
  readonly guestPeakMiB: number;
}

/** The largest resident size a process has had, in MiB; 0 when it is gone. */
const peakMiB = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
};

const childrenOf = async (pid: number): Promise<readonly number[]> => {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
};

/** Runs all suites in a VM as `npm start` does, watching the memory of the harness and of the guest. */
export const measureWholeRun = async (report: string): Promise<WholeRun> => {
  const start = performance.now();
  let bootStart = start;
  let bootEnd = start;
  const child = execa('node', [BIN, 'run', '--report', report], {
    reject: false,
    stdout: 'ignore',
    stderr: 'pipe',
    buffer: false,
  });
  let seen = '';
  child.stderr.on('data', (chunk: Uint8Array) => {
    const before = seen;
    seen = (seen + Buffer.from(chunk).toString()).slice(-4000);
    if (!before.includes('booting') && seen.includes('booting')) bootStart = performance.now();
    if (!/cases? to run/.test(before) && /cases? to run/.test(seen)) bootEnd = performance.now();
  });
  let [harnessPeakMiB, guestPeakMiB] = [0, 0];
  const watch = setInterval(async () => {
    if (child.pid === undefined) return;
    harnessPeakMiB = Math.max(harnessPeakMiB, await peakMiB(child.pid));
    for (const pid of await childrenOf(child.pid)) {
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      if (name.startsWith('qemu')) guestPeakMiB = Math.max(guestPeakMiB, await peakMiB(pid));
    }
  }, 200);
  const { exitCode } = await child.finally(() => clearInterval(watch));
  if (exitCode !== 0 && exitCode !== 1)
    throw new HostTrouble(`the measured run ended with exit code ${exitCode}: ${seen.trim()}`);
  return { totalMs: performance.now() - start, bootMs: bootEnd - bootStart, harnessPeakMiB, guestPeakMiB };
};
