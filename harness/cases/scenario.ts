import type { Call, Op, Place, Program, Prot, Repeat, Share, Step } from '../program/step.ts';
import type { Errno } from '../uapi/errno.ts';
import type { Asked, Case, Expectation, Need } from './case.ts';

/** What a case says of the call it has just written. Saying nothing leaves the call to the model. */
export interface Said {
  /** It must succeed. */
  succeeds(): Said;
  /** It must fail, with one of these errnos. */
  refused(...errnos: readonly [Errno, ...Errno[]]): Said;
  /** It must return this value. */
  returns(value: bigint | number): Said;
  /** Its output must hold these bytes there (and, unless it is said to be refused, must have succeeded). */
  shows(at: number, bytes: Uint8Array): Said;
}

/** A named memory of the acting process. Offsets and sizes are in bytes. */
export interface Memory {
  readonly name: string;
  readonly size: bigint;
  /** A pointer into it. */
  at(offset?: bigint | number): Place;
  fill(byte: number, offset?: bigint, size?: bigint): Said;
  write(bytes: Uint8Array, offset?: bigint): Said;
  /** Stores a 64-bit pointer. */
  link(offset: bigint, target: Place): Said;
  read(offset?: bigint, size?: bigint): Said;
  /** A hash of its bytes, where they are too many to be sent. */
  hash(offset?: bigint, size?: bigint): Said;
  protect(prot: Prot, offset?: bigint, size?: bigint): Said;
  /** Takes the pages away; the name stays. */
  hole(offset: bigint, size: bigint): Said;
  /** The number of guard bytes round it that changed. */
  guards(): Said;
  /** The same memory as another actor sees it (who inherited it by fork). */
  of(actor: Actor): Memory;
}

export interface MemoryOptions {
  /** Bytes from the start of a page, so that a buffer need not be aligned. */
  readonly offset?: number;
  readonly share?: Share;
  readonly prot?: Prot;
  readonly huge?: bigint;
  readonly align?: bigint;
  /** Pages that can be written on both sides, instead of PROT_NONE ones. */
  readonly guard?: boolean;
  readonly at?: Place;
}

/** A process that takes steps. */
export interface Actor {
  readonly name: string;
  /** Any operation, as ops.def has it. */
  does(op: Op): Said;
  memory(size: bigint | number, options?: MemoryOptions): Memory;
  /** Maps a descriptor (a memfd, a device's BAR). */
  maps(
    fd: string,
    size: bigint | number,
    options?: Omit<MemoryOptions, 'offset' | 'huge' | 'guard'> & { start?: bigint },
  ): Memory;
  /** A new descriptor for anonymous file memory; returns its name. */
  memfd(size: bigint | number): string;
  /** Opens a path; returns the descriptor's name. */
  opens(path: string, as: string): string;
  /** fork. */
  forks(as?: string): Actor;
  /** A fresh address space in the same process; descriptors stay. */
  execs(): Said;
  exits(): Said;
  kills(victim: Actor): Said;
  /** Becomes another user; root loses its capabilities. */
  becomes(uid: number): Said;
  drops(capability: string): Said;
  limits(resource: 'memlock' | 'nofile', soft: bigint | number): Said;
  /** Its locked memory, in kB. */
  lockedKb(): Said;
  descriptors(): Said;
}

/** A case while it is written: a program, and what must follow. */
export interface Scenario {
  readonly main: Actor;
  needs(need: Need): void;
  /** A name not yet used in this scenario. */
  fresh(base: string): string;
  /** Runs what `write` writes `count` times; strides move the arguments. */
  repeat(count: number, write: () => void): void;
  /** The call that was written last answers a question of a table. */
  asks(question: Omit<Asked, 'step'>): void;
  build(): Pick<Case, 'steps' | 'expectations' | 'needs' | 'asked'>;
}

/** A new, empty scenario. Pure: nothing runs before the case does. */
export const scenario = (): Scenario => {
  const steps: Step[] = [];
  const expectations: Expectation[] = [];
  const needs: Need[] = [];
  const used = new Map<string, number>();
  let calls = 0;
  let repeated: Call[] | undefined;
  let asked: Asked | undefined;

  const fresh = (base: string): string => {
    const count = (used.get(base) ?? 0) + 1;
    used.set(base, count);
    return count === 1 ? base : `${base}${count}`;
  };

  const append = (call: Call): Said => {
    (repeated ?? steps).push(call);
    return say(expectations, calls++);
  };

  return {
    main: actorNamed('main', append, fresh),
    needs: (need) => void needs.push(need),
    fresh,
    repeat: (count, write) => {
      const body: Call[] = [];
      repeated = body;
      write();
      repeated = undefined;
      const block: Repeat = { op: 'repeat', count, body };
      steps.push(block);
    },
    asks: (question) => {
      asked = { ...question, step: calls - 1 };
    },
    build: () => ({
      steps: steps satisfies Program['steps'],
      expectations,
      needs,
      ...(asked === undefined ? {} : { asked }),
    }),
  };
};

/** Collects what is said of one call; what is said twice is one expectation with both. */
const say = (expectations: Expectation[], step: number): Said => {
  let mine: Expectation | undefined;
  const put = (next: Omit<Expectation, 'step'>): Said => {
    if (mine !== undefined) expectations.splice(expectations.indexOf(mine), 1);
    mine = { step, ...next };
    expectations.push(mine);
    return said;
  };
  const said: Said = {
    succeeds: () => put({ ...mine, result: { succeeds: true } }),
    refused: (...errnos) => put({ ...mine, result: { refused: errnos } }),
    returns: (value) => put({ ...mine, result: { returns: BigInt(value) } }),
    shows: (at, bytes) =>
      put({ result: mine?.result ?? { succeeds: true }, out: [...(mine?.out ?? []), { at, bytes }] }),
  };
  return said;
};

type Append = (call: Call) => Said;

const actorNamed = (name: string, append: Append, fresh: (base: string) => string): Actor => {
  const does = (op: Op): Said => append({ actor: name, ...op });
  return {
    name,
    does,
    memory: (size, { offset, share, prot, huge, align, guard, at } = {}) => {
      const memory = fresh('memory');
      does({
        op: 'mem',
        name: memory,
        size: BigInt(size),
        ...(offset === undefined ? {} : { offset: BigInt(offset) }),
        ...present({ share, prot, huge, align, at }),
        ...(guard === true ? { guard: 1n } : {}),
      });
      return memoryOf(memory, BigInt(size), does);
    },
    maps: (fd, size, { start, share, prot, align, at } = {}) => {
      const memory = fresh('memory');
      does({
        op: 'map',
        name: memory,
        fd,
        start: start ?? 0n,
        size: BigInt(size),
        share: share ?? 'shared',
        ...present({ prot, align, at }),
      });
      return memoryOf(memory, BigInt(size), does);
    },
    memfd: (size) => {
      const fd = fresh('memfd');
      does({ op: 'memfd', fd, size: BigInt(size) });
      return fd;
    },
    opens: (path, as) => {
      const fd = fresh(as);
      does({ op: 'open', fd, path });
      return fd;
    },
    forks: (as = 'child') => {
      const child = fresh(as);
      does({ op: 'spawn', child });
      return actorNamed(child, append, fresh);
    },
    execs: () => does({ op: 'exec' }),
    exits: () => does({ op: 'exit', status: 0n }),
    kills: (victim) => does({ op: 'kill', victim: victim.name }),
    becomes: (uid) => does({ op: 'user', uid: BigInt(uid) }),
    drops: (capability) => does({ op: 'drop', capability }),
    limits: (resource, soft) => does({ op: 'limit', resource, soft: BigInt(soft) }),
    lockedKb: () => does({ op: 'status', field: 'VmLck' }),
    descriptors: () => does({ op: 'fds' }),
  };
};

const memoryOf = (name: string, size: bigint, does: (op: Op) => Said): Memory => ({
  name,
  size,
  at: (offset = 0n) => ({ memory: name, offset: BigInt(offset) }),
  fill: (byte, offset = 0n, length = size - offset) =>
    does({ op: 'fill', name, offset, size: length, byte: BigInt(byte) }),
  write: (bytes, offset = 0n) => does({ op: 'write', name, offset, data: bytes }),
  link: (offset, target) => does({ op: 'link', name, offset, target }),
  read: (offset = 0n, length = size - offset) => does({ op: 'read', name, offset, size: length }),
  hash: (offset = 0n, length = size - offset) => does({ op: 'hash', name, offset, size: length }),
  protect: (prot, offset = 0n, length = size - offset) => does({ op: 'protect', name, offset, size: length, prot }),
  hole: (offset, length) => does({ op: 'unmap', name, offset, size: length }),
  guards: () => does({ op: 'guards', name }),
  of: (actor) => memoryOf(name, size, actor.does),
});

/** The fields that were given; exact optional properties may not be `undefined`. */
const present = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
