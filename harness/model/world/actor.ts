import { Mm } from './mm.ts';
import type { HeldFile } from './open-file.ts';
import type { Capability, Process, Resource } from './process.ts';

/** A memory as its program names it. Addresses of bytes: `base` is that of its byte 0, [start, end) are its pages. */
export interface NamedMemory {
  readonly base: bigint;
  readonly size: bigint;
  readonly start: bigint;
  readonly end: bigint;
  /** The bytes round it that can be written and should not be: [start - margin, base) and [base + size, end + margin). */
  readonly margin: bigint;
  /** Bytes of its pages that are not part of it are guard bytes; pages of a file are left alone. */
  readonly guarded: boolean;
}

/**
 * Names that a process has given to what it made. A name is `vague` when the call that should have made it was not
 * modelled: the thing may be there or not, and calls that use it are not judged.
 */
export class Names<T> {
  readonly #things = new Map<string, T | 'vague'>();

  get(name: string): T | 'vague' | undefined {
    return this.#things.get(name);
  }

  set(name: string, thing: T | 'vague'): void {
    this.#things.delete(name);
    this.#things.set(name, thing);
  }

  delete(name: string): void {
    this.#things.delete(name);
  }

  clear(): void {
    this.#things.clear();
  }

  /** What is there, the oldest first; vague names left out. */
  get things(): readonly T[] {
    return [...this.#things.values()].filter((thing): thing is T => thing !== 'vague');
  }

  get anyVague(): boolean {
    return [...this.#things.values()].includes('vague');
  }

  copyTo(other: Names<T>): void {
    for (const [name, thing] of this.#things) other.set(name, thing);
  }
}

const CAPABILITIES: readonly Capability[] = ['ipc_lock', 'sys_admin', 'sys_rawio', 'sys_resource', 'dac_override'];

/** An actor of a program: a process with the names it uses. */
export class Actor implements Process {
  readonly name: string;
  uid = 0;
  failsAllocations = false;
  readonly memories = new Names<NamedMemory>();
  readonly descriptors = new Names<HeldFile>();
  /** Descriptors that no step can name, because the call that made them gave no name. They stay until the process ends. */
  readonly #unnamed: HeldFile[] = [];
  readonly #capabilities = new Set<Capability>(CAPABILITIES);
  readonly #limits = new Map<Resource, bigint>();
  /** Whether it has the capabilities that no step drops one by one, such as those to change its user and its bounding set. */
  #privileged = true;
  #alive = true;
  #space: Mm;

  /** A process as root starts it: every capability, limits as the host has them, nothing mapped. */
  constructor(name: string, space: Mm) {
    this.name = name;
    this.#space = space;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get space(): Mm {
    return this.#space;
  }

  capable(capability: Capability): boolean {
    return this.#capabilities.has(capability);
  }

  get privileged(): boolean {
    return this.#privileged;
  }

  /** Loses a capability for good (effective, permitted and bounding set). */
  loseCapability(capability: Capability): void {
    this.#capabilities.delete(capability);
  }

  loseAllCapabilities(): void {
    this.#capabilities.clear();
    this.#privileged = false;
  }

  /** Becomes another user. Root's capabilities go when no id is root's any more (cap_emulate_setxuid, security/commoncap.c). */
  becomeUser(uid: number): void {
    if (this.uid === 0 && uid !== 0) this.loseAllCapabilities();
    this.uid = uid;
  }

  limitBytes(resource: Resource): bigint | undefined {
    return this.#limits.get(resource);
  }

  setLimit(resource: Resource, soft: bigint): void {
    this.#limits.set(resource, soft);
  }

  /** Names a descriptor, or keeps it without a name. */
  addDescriptor(file: HeldFile, name: string | undefined): void {
    file.hold();
    if (name === undefined) this.#unnamed.push(file);
    else this.descriptors.set(name, file);
  }

  closeDescriptor(name: string): void {
    const file = this.descriptors.get(name);
    this.descriptors.delete(name);
    if (file !== undefined && file !== 'vague') file.drop();
  }

  /** Closes every descriptor that steps can name, the newest first. */
  closeNamed(): void {
    const files = this.descriptors.things;
    this.descriptors.clear();
    for (const file of [...files].reverse()) file.drop();
  }

  /** fork: memory, descriptors, names, credentials and limits are inherited. */
  fork(name: string): Actor {
    const child = new Actor(name, this.#space.fork());
    child.uid = this.uid;
    for (const capability of CAPABILITIES) if (!this.capable(capability)) child.loseCapability(capability);
    child.#privileged = this.#privileged;
    for (const [resource, soft] of this.#limits) child.setLimit(resource, soft);
    this.memories.copyTo(child.memories);
    this.descriptors.copyTo(child.descriptors);
    for (const file of this.descriptors.things) file.hold();
    for (const file of this.#unnamed) child.addDescriptor(file, undefined);
    return child;
  }

  /** exec: a fresh address space; descriptors stay. */
  exec(): void {
    const old = this.#space;
    this.#space = new Mm(old.pageSize);
    this.memories.clear();
    old.die();
  }

  /** The end of the process: memory goes first (exit_mm), then descriptors, the newest first (exit_files, then task work in reverse). */
  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#space.die();
    this.closeNamed();
    for (const file of this.#unnamed.splice(0).reverse()) file.drop();
  }
}
