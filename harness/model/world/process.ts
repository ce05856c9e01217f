import type { AddressSpace } from './address-space.ts';
import type { Held } from './area.ts';
import type { KernelFile, OpenFlags } from './kernel-file.ts';

/** The capabilities that `drop` knows by name; `all` is every one there is. */
export type Capability = 'ipc_lock' | 'sys_admin' | 'sys_rawio' | 'sys_resource' | 'dac_override';

/** The resources that `limit` knows. */
export type Resource = 'memlock' | 'nofile' | 'as' | 'data';

/** An open file description: what descriptors, in one or several processes, and mappings refer to. */
export interface OpenFile extends Held {
  readonly file: KernelFile;
  readonly flags: OpenFlags;
}

/**
 * A process as the kernel's files see it; one thread, so it is its own group leader, and two `Process` values are the same
 * task exactly when they are the same object. It stays readable after its death (as task_struct does for who holds it).
 */
export interface Process {
  /** The actor's name. */
  readonly name: string;
  /** False once it exited or was killed. */
  readonly alive: boolean;
  /** The address space it has now: another one after exec. Hold on to the space itself to mean the old one. */
  readonly space: AddressSpace;
  /** The effective user id; 0 at first. */
  readonly uid: number;
  /** Whether the capability is effective. */
  capable(capability: Capability): boolean;
  /** The soft limit in bytes (2^64-1 is none), or `undefined` when the program never set it: what it is then depends on the host. */
  limitBytes(resource: Resource): bigint | undefined;
  /** Whether an allocation of its next calls is to fail: what it wrote to its fail-nth. */
  failsAllocations: boolean;
}
