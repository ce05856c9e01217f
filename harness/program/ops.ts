/** The instruction set, read from wire/ops.def: the same lines that the helper is compiled from. */
import { readFileSync } from 'node:fs';
import type { OpName } from './step.ts';

const KINDS = [
  ...(['actor', 'newactor', 'fd', 'newfd', 'mem', 'newmem'] as const),
  ...(['num', 'place', 'arg', 'bytes', 'path', 'word'] as const),
];
/** What a parameter is; the meaning of each is in ops.def. */
export type Kind = (typeof KINDS)[number];

export interface Parameter {
  readonly name: string;
  readonly kind: Kind;
  /** What a number must be beside 64 bits wide. */
  readonly bound: Bound | undefined;
}

/** The largest value a number may have; and whether only powers of two are taken. */
export interface Bound {
  readonly max: bigint;
  readonly powerOfTwo?: boolean;
}

export interface Operation {
  readonly name: OpName;
  /** Parameters that every call has, in their order. */
  readonly required: readonly Parameter[];
  /** Parameters that are written NAME=VALUE at the end of the line, or left out. */
  readonly options: readonly Parameter[];
  /** What a call reports beside its result: nothing, bytes, or a value as its return value. */
  readonly observes: '' | 'out' | 'value';
}

/** The words that a parameter of kind `word` takes, by its name; a parameter that is not listed takes any word. */
export const WORDS: Readonly<Record<string, readonly string[]>> = {
  share: ['private', 'shared'],
  prot: ['none', 'r', 'w', 'rw'],
  flags: ['rw', 'r', 'w'],
  capability: ['ipc_lock', 'sys_admin', 'sys_rawio', 'sys_resource', 'dac_override', 'all'],
  resource: ['memlock', 'nofile', 'as', 'data'],
  module: ['vfio_emulated', 'iova_bitmap_test', 'mediator_test'],
};

const DATA: Bound = { max: 64n << 20n };
const MEMORY: Bound = { max: 1n << 40n };
const PAGE_SIZE: Bound = { max: 1n << 40n, powerOfTwo: true };
const WIDTH: Bound = { max: 8n, powerOfTwo: true };

/**
 * Bounds of numbers that are known before anything runs, by operation and parameter; a number that is not listed may be
 * any. The helper has the same (ops.c): it takes whatever these allow.
 */
export const BOUNDS: Readonly<Record<string, Bound>> = {
  'exit.status': { max: 255n },
  'user.uid': { max: (1n << 32n) - 2n },
  'mem.size': MEMORY,
  'mem.offset': { max: 1n << 20n },
  'mem.huge': PAGE_SIZE,
  'mem.align': PAGE_SIZE,
  'mem.guard': { max: 1n },
  'map.size': MEMORY,
  'map.align': PAGE_SIZE,
  'protect.size': MEMORY,
  'unmap.size': MEMORY,
  'fill.size': MEMORY,
  'fill.byte': { max: 255n },
  'read.size': DATA,
  'hash.size': MEMORY,
  'peek.width': WIDTH,
  'poke.width': WIDTH,
  'await.width': WIDTH,
  'await.timeout_ms': { max: 3_600_000n },
  'memfd.huge': PAGE_SIZE,
  'pread.size': DATA,
  'readfd.size': DATA,
  'writefd.size': DATA,
  'poll.events': { max: 0x7fffn },
  'ioctl.request': { max: (1n << 32n) - 1n },
  'ioctl.at': { max: (1n << 20n) - 4n },
};

/** FNV-1a with 64 bits. */
export const fnv1a64 = (bytes: Uint8Array): bigint => {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
};

/** Reads a table in the form of ops.def. Throws for a line that is not: the file is ours, so that is a defect. */
export const parseOps = (text: string): ReadonlyMap<string, Operation> => {
  const withoutComments = text.replace(/\/\*[\s\S]*?\*\//g, '');
  const operations = new Map<string, Operation>();
  for (const line of withoutComments.split('\n')) {
    if (line.trim() === '') continue;
    const match = /^OP\((\w+),\s*"([^"]*)",\s*"(|out|value)"\)\s*$/.exec(line);
    if (match === null) throw new Error(`ops.def: not an operation: ${line}`);
    const [, name = '', parameters = '', observes = ''] = match;
    const parsed = parameters
      .split(' ')
      .filter(Boolean)
      .map((parameter) => parseParameter(name, parameter));
    operations.set(name, {
      name: name as OpName,
      required: parsed.filter(({ optional }) => !optional),
      options: parsed.filter(({ optional }) => optional),
      observes: observes as Operation['observes'],
    });
  }
  return operations;
};

const parseParameter = (operation: string, text: string): Parameter & { readonly optional: boolean } => {
  const [, name = '', optional, word] = /^(\w+)(\?)?:(\w+)$/.exec(text) ?? [];
  const kind = KINDS.find((known) => known === word);
  if (kind === undefined) throw new Error(`ops.def: not a parameter: ${text}`);
  return { name, kind, bound: BOUNDS[`${operation}.${name}`], optional: optional !== undefined };
};

const file = readFileSync(new URL('../wire/ops.def', import.meta.url));

/** The operations by name. */
export const OPS = parseOps(file.toString('utf8'));

/** What the handshake compares: FNV-1a 64 of ops.def as it lies on disk, 16 hex digits. */
export const OPS_HASH = fnv1a64(file).toString(16).padStart(16, '0');
