/**
 * What counts as damage in a kernel log. A blocked DMA (`DMAR: [DMA Write ...] fault`) is evidence, not damage, and so
 * is the taint notice of an out-of-tree module.
 */
const SPLATS: readonly RegExp[] = [
  /\bWARNING: /,
  /\bBUG: /,
  /kernel BUG at /,
  /\bOops\b/,
  /\bUBSAN: /,
  /\bKASAN: /,
  /\bKCSAN: /,
  /\bKMSAN: /,
  /general protection fault/,
  /unable to handle (kernel|page fault)/i,
  /possible (circular|recursive) locking/,
  /inconsistent lock state/,
  /suspicious RCU usage/,
  /INFO: (task .* blocked|rcu_|possible |trying to register|lockdep)/,
  /Kernel panic/,
  /scheduling while atomic/,
  /sleeping function called from invalid context/,
  /refcount_t: /,
  /list_(add|del) corruption/,
  /Poison overwritten|Redzone overwritten|Object already free|Slab .*: (Left|Right) Redzone/,
  /watchdog: .*soft lockup|rcu: INFO: /,
  /Bad page (state|map)/,
  /page allocation failure/,
  /unreferenced object/,
];

/** The lines of a kernel log that are a splat, each with the few lines that follow it; empty when there is none. */
export const splats = (log: readonly string[]): readonly string[] => {
  const first = log.findIndex((line) => SPLATS.some((splat) => splat.test(line)));
  return first < 0 ? [] : log.slice(first, first + 40);
};

/** The line that says that the kernel ended a process for want of memory: the host is too small, whatever the kernel does. */
export const outOfMemory = (log: readonly string[]): string | undefined =>
  log.find((line) => /Out of memory: Killed process/.test(line));
