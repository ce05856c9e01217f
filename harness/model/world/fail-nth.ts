import type { Platform } from '../../program/platform.ts';
import type { Errno } from '../../uapi/errno.ts';
import type { Answer, Outcome } from '../outcome.ts';
import { FAILED_ALLOCATION } from './clauses.ts';
import type { Files, KernelFile } from './kernel-file.ts';
import type { Process } from './process.ts';
import { failure, succeeds } from './replies.ts';

/*
 * How a process has an allocation of its own calls fail: it writes to /proc/self/fail-nth which one, counted from there on.
 * How many there are, and which can do without, is for the kernel to know.
 */

const PATH = '/proc/self/fail-nth';

/** What a platform names it whose kernel is set up to fail allocations that may wait (CONFIG_FAILSLAB). */
const FAILS_ALLOCATIONS = 'failslab';

export const failNthFiles =
  ({ testModules }: Platform): Files =>
  (path) =>
    path === PATH && testModules.includes(FAILS_ALLOCATIONS)
      ? (opener) => ({ opens: () => failNthFile(opener), clauses: [FAILED_ALLOCATION] })
      : undefined;

/** It stays that of the process that opened it. */
const failNthFile = (owner: Process): KernelFile => ({
  kind: 'fail-nth',
  // Which of the calls since then was hit, if any, nobody promises.
  pread: () => ({
    allowed: [
      { ret: { atLeast: 0n }, errno: 0, out: 'anything', clauses: [FAILED_ALLOCATION], commit: () => undefined },
    ],
  }),
  pwrite: (_, offset, data): Answer => {
    const text = new TextDecoder().decode(data);
    if (offset !== 0n || !/^\d{1,4}$/.test(text)) return { unspecified: 'this text for fail-nth' };
    return succeeds(FAILED_ALLOCATION, {
      ret: BigInt(data.length),
      effect: () => {
        owner.failsAllocations = text !== '0';
      },
    });
  },
});

/**
 * The errnos that stand for an allocation that failed, by the kind of file. IOMMUFD has points of its own that fail instead,
 * with the errno of what they stand for, in kernels with its mock device: an id that is not found, memory that cannot be
 * pinned, an entry that cannot be stored (iommufd_should_fail(), drivers/iommu/iommufd); devices' own files lead there, too.
 */
const errnosOf = ({ kind }: KernelFile): readonly Errno[] =>
  kind === 'iommufd' || kind === 'cdev' ? ['ENOMEM', 'ENOENT', 'EFAULT', 'EINVAL'] : ['ENOMEM'];

/** What a call may do when an allocation of its process is to fail: all that it might otherwise, or nothing at all. */
export const withoutMemory = (answer: Answer, file: KernelFile, { failsAllocations }: Process): Answer => {
  if (!failsAllocations || 'unspecified' in answer) return answer;
  const others = errnosOf(file).filter((errno) => !answer.allowed.some((one) => one.errno === errno));
  return { allowed: [...answer.allowed, ...others.map((errno): Outcome => failure(errno, FAILED_ALLOCATION))] };
};
