import type { Answer } from '../outcome.ts';
import type { Process } from './process.ts';

/**
 * The argument of an ioctl as the kernel's copy_from_user and copy_to_user see it: bytes at the caller's address, which may
 * be unreadable, too short (the next bytes are then guard bytes, and after those a PROT_NONE page) or not writable.
 */
export interface UserArgument {
  /** The raw third argument, for calls that take a number: the value itself, or the address. */
  readonly value: bigint;
  /** copy_from_user: `size` bytes at `offset`, or `undefined` when any of them cannot be read (EFAULT). */
  read(offset: number, size: number): Uint8Array | undefined;
  /** Whether copy_to_user of `size` bytes at `offset` would succeed. */
  writable(offset: number, size: number): boolean;
  /** The descriptor name that a patch put at `offset`, if any: how `fd:container` in an argument is followed. */
  descriptorAt(offset: number): string | undefined;
  /**
   * copy_to_user as part of a commit. For an inline argument, outcomes describe the same bytes in `out`; this keeps the
   * model's memory true for arguments that live in a named memory.
   */
  write(offset: number, bytes: Uint8Array): void;
}

/** What stands behind a descriptor: a row of these makes the model's kernel. Files that are not modelled answer `unspecified`. */
export interface KernelFile {
  readonly kind: string;
  ioctl(caller: Process, request: bigint, argument: UserArgument): Answer;
  /** read and write at an offset (config space, module parameters). */
  pread(caller: Process, offset: bigint, size: number): Answer;
  pwrite(caller: Process, offset: bigint, data: Uint8Array): Answer;
  /** What a mapping of this file gives at an offset: memory pages, device registers, or an errno. */
  backing(offset: bigint, size: bigint): FileBacking;
  /** The last descriptor of this open file, in any process, was closed and no mapping is left. */
  release(): void;
}

import type { FileBacking } from './memory.ts';
