import type { Platform } from '../program/platform.ts';
import type { Program, Run } from '../program/step.ts';

/** What a host is, read from it once when it came up. */
export interface HostFacts {
  /** Name in reports: `vm`, `local`, `ssh:spr1`. */
  readonly name: string;
  /** The running kernel as reports and known differences call it: `uname -r`, and what was patched in it: `6.1.0-56-amd64 with nesting-cap/posted`. */
  readonly kernel: string;
  /** How the host came up, for the report: `QEMU 7.2 tcg, intel-iommu 39 bits`. */
  readonly description: string;
  readonly platform: Platform;
}

export interface Deadlines {
  /** For one call, enforced by the helper. */
  readonly stepMs: number;
  /** For the whole program, enforced by the helper; the host adds a margin of its own before it calls itself lost. */
  readonly programMs: number;
}

/**
 * A place where programs run on a real kernel. Hosts differ only in how they come up (a VM, a machine over SSH, this
 * machine); all of them speak to the same helper through the same session (session.ts).
 */
export interface Host {
  readonly facts: HostFacts;
  /**
   * Runs one program and returns everything it did. Never throws for what the kernel or the connection did: that is the
   * run's ending. Programs given while one runs are queued and sent ahead; runs come back in order.
   * Throws HostTrouble only if the host was closed or needs `recover` first.
   */
  run(program: Program, deadlines: Deadlines): Promise<Run>;
  /** Tells the boot that its machine is in from every other. */
  boot(): string;
  /** Whether its machine lives on when this process does not. What it was at then may have taken both down. */
  readonly livesOn: boolean;
  /** Calls `listener` as soon as its kernel is seen to panic, with its last words: before the run that this ends is over. */
  onPanic?(listener: (console: readonly string[]) => void): void;
  /** Brings the host back to a clean state after a bad ending or damage (a VM is rebooted). Throws HostTrouble if it cannot. */
  recover(): Promise<void>;
  /** Breaks off what runs there, and touches the machine no more until it is recovered: it may be another's by now. */
  abandon?(): void;
  /** Ends the host and everything that was started for it. Never throws; may be called twice. */
  close(): Promise<void>;
}
