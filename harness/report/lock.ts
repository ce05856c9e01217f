import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostTrouble, UsageTrouble } from '../trouble.ts';

/** In the folder of a report while a process writes it. */
const LOCK = '.running';

/**
 * Throws UsageTrouble when another process writes the report of this folder. What a process left that is no more (or that
 * was of an earlier boot of this machine) does not count.
 */
export const checkIsIdle = (folder: string): void => {
  const holder = textOf(join(folder, LOCK));
  const pid = Number(holder?.split(' ')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0 || identityOf(pid) !== holder) return;
  throw new UsageTrouble(`the run in ${folder} goes on (process ${pid}): wait for it, or end it`);
};

/** Keeps others from writing the same report; throws as checkIsIdle does. Returns a function that gives it back. */
export const lockReport = (folder: string): (() => void) => {
  checkIsIdle(folder);
  const path = join(folder, LOCK);
  try {
    rmSync(path, { force: true });
    writeFileSync(path, identityOf(process.pid) ?? `${process.pid}`, { flag: 'wx' });
  } catch (cause) {
    throw new HostTrouble(`cannot write ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  return () => rmSync(path, { force: true });
};

/** A process as no other one ever is: its number, when it began (clock ticks), and the boot of this machine. */
const identityOf = (pid: number): string | undefined => {
  const stat = textOf(`/proc/${pid}/stat`);
  // What stands behind the name, which may hold anything; the beginning is the 22nd field.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const began = fields?.[19];
  if (began === undefined || fields?.[0] === 'Z') return undefined;
  return `${pid} ${began} ${textOf('/proc/sys/kernel/random/boot_id')?.trim() ?? ''}`;
};

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};
