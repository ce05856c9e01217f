import type { Share } from '../../program/step.ts';
import type { Clause } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import type { Answer } from '../outcome.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { MemoryObject } from './memory-object.ts';
import type { OpenFile, Process } from './process.ts';

/**
 * The argument of an ioctl as copy_from_user and copy_to_user see it: bytes at the caller's address, patches applied, which
 * may be unreadable, too short (the next bytes are then guard bytes, 0xa5) or not writable. Offsets and sizes are in bytes.
 *
 * What a call copies back is not written here: the outcome's `out` says it once, and for arguments that lie in a named
 * memory the world puts the same bytes there when the outcome is committed.
 */
export interface UserArgument {
  /** The raw third argument: the number itself, or the address. */
  readonly value: bigint;
  /** copy_from_user: a copy of `size` bytes at `offset`, or `undefined` when any of them cannot be read (EFAULT). */
  read(offset: number, size: number): Uint8Array | undefined;
  /** Whether copy_to_user of `size` bytes at `offset` would succeed. */
  writable(offset: number, size: number): boolean;
  /** The open file whose descriptor a patch put at `offset` (`@0=fd:container`); `undefined` when the bytes there are just bytes. */
  fileAt(offset: number): OpenFile | undefined;
}

/** One ioctl on a file. */
export interface IoctlCall {
  readonly caller: Process;
  /** The open file that it is made on. */
  readonly opened: OpenFile;
  /** The request number, 32 bits. */
  readonly request: bigint;
  readonly argument: UserArgument;
  /**
   * Gives the caller a new descriptor for a file, in the commit of an outcome whose result is that descriptor
   * (`ret: { atLeast: 0n }`), or that has it in its argument. It gets the name that the step asked for with `to=`.
   */
  install(file: KernelFile): void;
}

/** One read(2) on a file that is no row of bytes. */
export interface ReadCall {
  readonly caller: Process;
  /** How many bytes are asked for. */
  readonly size: number;
  /** How many of them can be written where they are to go. */
  readonly room: number;
}

/** One write(2) on such a file. */
export interface WriteCall {
  readonly caller: Process;
  readonly size: number;
  /** What of it can be read; bytes that programs cannot know stand in it as the numbers that the model has for them. */
  readonly data: Uint8Array;
}

/** What mmap asks of a file; offset and size in bytes, both whole pages. */
export interface MapRequest {
  /** The open file that is mapped. */
  readonly opened: OpenFile;
  readonly offset: bigint;
  readonly size: bigint;
  readonly share: Share;
  readonly write: boolean;
}

/** What a mapping of a file shows. Devices may refuse; files that are not modelled leave it open. `done` is called in the commit. */
export type FileBacking = {
  readonly done?: () => void;
} /** `from`: where in the object it begins, in bytes, if that is not where the request says. */ & (
  | {
      readonly kind: 'memory';
      readonly object: MemoryObject;
      readonly from?: bigint;
      /** What a mapping holds, if that is not the file. */
      readonly held?: OpenFile;
    }
  /** Registers; `offset` of the request's first byte among them, in bytes. Such a mapping is VM_PFNMAP. */
  | { readonly kind: 'device'; readonly device: DeviceMemory; readonly offset: bigint }
  | { readonly kind: 'refused'; readonly errno: Errno; readonly clauses: readonly [Clause, ...Clause[]] }
  | { readonly kind: 'unspecified'; readonly why: string }
);

/**
 * What stands behind an open file: a row of these makes the model's kernel. Methods that answer have no effect; effects
 * belong in the commits of what they answer. A method that is absent answers as the kernel does for files without it
 * (ioctl ENOTTY, pread and pwrite EINVAL, mmap ENODEV, truncate EINVAL).
 */
export interface KernelFile {
  /** What it is, for messages: `container`, `memfd`. */
  readonly kind: string;
  ioctl?(call: IoctlCall): Answer;
  /** At most `size` bytes at a byte offset. The bytes that were read are `out`, all of them covered by rules; ret is their number. */
  pread?(caller: Process, offset: bigint, size: number): Answer;
  pwrite?(caller: Process, offset: bigint, data: Uint8Array): Answer;
  /** read(2): the bytes that were read are `out`, ret is their number. Absent: not modelled. */
  read?(call: ReadCall): Answer;
  /** write(2); ret is the number of bytes that were taken. Absent: not modelled. */
  write?(call: WriteCall): Answer;
  /** Which of some events (POLLIN and the others) there are now. Absent: not modelled. */
  poll?(events: number): Answer;
  backing?(request: MapRequest): FileBacking;
  truncate?(size: bigint): Answer;
  /** The last descriptor of this open file, in any process, was closed and no mapping of it is left. */
  release?(): void;
}

export type OpenFlags = 'rw' | 'r' | 'w';

/** What opening a path does; `opens` is called when the outcome is committed. */
export type OpenAnswer =
  | { readonly opens: () => KernelFile; readonly clauses: readonly [Clause, ...Clause[]] }
  | { readonly refused: Errno; readonly clauses: readonly [Clause, ...Clause[]] }
  | { readonly unspecified: string };

/**
 * The files of the model's machine: for a path, what open(2) of it does, or `undefined` for a path that is not modelled
 * (opening it is then not judged). `cat` opens with `r` and reads at most 4096 bytes with the file's pread.
 */
export type Files = (path: string) => ((caller: Process, flags: OpenFlags) => OpenAnswer) | undefined;
