import type { Errno } from '../uapi/errno.ts';

/**
 * The program: the one value that suites, explorers and traces make, and that the model and the hosts take.
 * A program is a list of steps that named actors (processes) take. Steps refer to earlier results by name
 * (`container`, `buffer`), never by number, so the same program runs on any host and in the model.
 *
 * The text form is in text.ts; the operations, with their parameters, in ../wire/ops.def.
 */
export interface Program {
  /** Values that differ between hosts (`group0` is `/dev/vfio/2` here); steps write `$group0`. */
  readonly lets: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

/** An address in the acting process: a byte offset in a named memory, or a literal 64-bit number. */
export type Place = { readonly memory: string; readonly offset: bigint } | { readonly literal: bigint };

/** A correction made to the bytes of an inline argument before the call. Offsets and sizes are in bytes. */
export type Patch =
  /** A 64-bit pointer: `@16=&buffer+0x0`. */
  | { readonly kind: 'pointer'; readonly at: number; readonly place: Place }
  /** A 32-bit descriptor number: `@0=fd:container`. */
  | { readonly kind: 'fd'; readonly at: number; readonly fd: string }
  /** In a repeat: adds iteration x stride to the 64-bit number there, after the other patches: `+16=0x1000`. */
  | { readonly kind: 'stride'; readonly at: number; readonly stride: bigint };

/** Bytes of an inline argument: literal bytes, or the text of a `let`. */
export type Segment = { readonly bytes: Uint8Array } | { readonly text: string };

/** What an ioctl is given as its third argument. */
export type Arg =
  | { readonly kind: 'value'; readonly value: bigint }
  | { readonly kind: 'place'; readonly place: Place }
  /** Bytes in a buffer of exactly that size, with guard bytes round it. */
  | { readonly kind: 'inline'; readonly segments: readonly Segment[]; readonly patches: readonly Patch[] };

export type Prot = 'none' | 'r' | 'w' | 'rw';
export type Share = 'private' | 'shared';

interface Ops {
  spawn: { child: string };
  exec: Record<never, never>;
  kill: { victim: string };
  exit: { status: bigint };
  user: { uid: bigint };
  drop: { capability: string };
  limit: { resource: string; soft: bigint };
  /** `huge`: page size in bytes of a hugetlb mapping; `align`: alignment of the address; `guard=1`: guard pages that can be written. */
  mem: {
    name: string;
    size: bigint;
    offset?: bigint;
    share?: Share;
    prot?: Prot;
    huge?: bigint;
    align?: bigint;
    guard?: bigint;
    at?: Place;
  };
  map: {
    name: string;
    fd: string;
    start: bigint;
    size: bigint;
    share?: Share;
    prot?: Prot;
    align?: bigint;
    at?: Place;
  };
  protect: { name: string; offset: bigint; size: bigint; prot: Prot };
  unmap: { name: string; offset: bigint; size: bigint };
  write: { name: string; offset: bigint; data: Uint8Array };
  link: { name: string; offset: bigint; target: Place };
  fill: { name: string; offset: bigint; size: bigint; byte: bigint };
  read: { name: string; offset: bigint; size: bigint };
  hash: { name: string; offset: bigint; size: bigint };
  guards: { name: string };
  peek: { name: string; offset: bigint; width: bigint };
  poke: { name: string; offset: bigint; width: bigint; value: bigint };
  await: { name: string; offset: bigint; width: bigint; mask: bigint; value: bigint; timeout_ms: bigint };
  open: { fd: string; path: string; flags?: 'rw' | 'r' | 'w' };
  memfd: { fd: string; size: bigint; huge?: bigint };
  file: { fd: string; size: bigint };
  truncate: { fd: string; size: bigint };
  close: { fd: string };
  shut: Record<never, never>;
  dup: { fd: string; from: string };
  send: { fd: string; to: string };
  pread: { fd: string; offset: bigint; size: bigint };
  pwrite: { fd: string; offset: bigint; data: Uint8Array };
  readfd: { fd: string; size: bigint; into?: Place };
  writefd: { fd: string; from: Place; size: bigint };
  poll: { fd: string; events: bigint };
  /** `at`: where in the inline argument the descriptor is that `to` names; else it is the return value. */
  ioctl: { fd: string; request: bigint; arg: Arg; to?: string; at?: bigint };
  unload: { module: string };
  status: { field: string };
  limits: { resource: string };
  fds: Record<never, never>;
  cat: { path: string };
}

export type OpName = keyof Ops;
/** One operation with its parameters, named as in ops.def. */
export type Op = { [K in OpName]: { readonly op: K } & Readonly<Ops[K]> }[OpName];
/** One call of one actor. */
export type Call = { readonly actor: string } & Op;
/** A block of calls run `count` times; strides move its ioctl arguments. */
export interface Repeat {
  readonly op: 'repeat';
  readonly count: number;
  readonly body: readonly Call[];
}
export type Step = Call | Repeat;

/** How a step ended when it did not come back with a result. Nothing of this is an answer of the kernel's. */
export type Mishap =
  /** The deadline passed; the actor was killed and could be. */
  | 'timeout'
  /** The deadline passed and the actor cannot be killed: it hangs in the kernel. */
  | 'stuck'
  /** The actor died while it took the step (`detail` names the signal). */
  | 'died'
  /** The actor was already gone. */
  | 'gone'
  /** The program cannot be carried out as written (`detail` says why): our fault, never the kernel's. */
  | 'bad';

/**
 * What one call did. `step` is its index among the program's calls (a repeat counts its body once). Iterations count from
 * 0; those from `iteration` to `last`, both inclusive, had this same outcome (outside a repeat both are 0).
 */
export type Observation =
  | {
      readonly step: number;
      readonly iteration: number;
      readonly last: number;
      /** The return value; -1 with `errno` on failure. */
      readonly ret: bigint;
      readonly errno: Errno | 0;
      /** Bytes that the step reports (see ops.def); for ioctl the inline argument afterwards, patched pointers shown as they were written. */
      readonly out?: Uint8Array;
      /** Guard bytes of the inline argument that changed: their offsets, negative before the buffer. */
      readonly trampled?: readonly number[];
    }
  | {
      readonly step: number;
      readonly iteration: number;
      readonly last: number;
      readonly mishap: Mishap;
      readonly detail: string;
    };

/**
 * How a program's run ended. `done` and `unfinished` (its deadline passed) leave the host as good as the program left
 * it; after the others it must be recovered before it can run anything. `panicked` and `hung` are the kernel's doing,
 * with what the console said; `lost` is not known to be (network, power, the helper killed).
 */
export type Ending =
  | { readonly kind: 'done' }
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'panicked'; readonly console: readonly string[] }
  | { readonly kind: 'hung'; readonly console: readonly string[] }
  | { readonly kind: 'lost'; readonly reason: string };

/** What one host did with one program. Observations that arrived before a bad ending are kept. */
export interface Run {
  readonly observations: readonly Observation[];
  /** Kernel log lines that appeared while it ran, oldest first; `undefined` when the host cannot tell. */
  readonly kernelLog: readonly string[] | undefined;
  /** Time on the host, in microseconds, as the helper measured it; 0 when it did not say. */
  readonly durationUs: number;
  readonly ending: Ending;
}
