import type { Logger } from '../logging/state.ts';
import type { Answer } from '../outcome.ts';
import type { Run } from '../world/address-space.ts';
import { PageStore } from '../world/page-store.ts';
import type { Process } from '../world/process.ts';

/** A device of the test module vfio-emulated, as fixtures/modules/emulated/README.md describes it. */
export interface Emulated {
  /** Its window: a page. */
  readonly window: PageStore;
  /** The pages that it holds, by page of IOVA. */
  readonly held: Map<bigint, Held>;
  /** What it was told of mappings that ended since it was opened. */
  unmaps: { count: bigint; iova: bigint; size: bigint; pins: bigint };
  /** Its log of what it writes. */
  readonly logger: Logger;
}

/** A page that the device holds. */
export interface Held {
  /** The page: a run of one. */
  readonly run: Run;
  times: number;
  writable: boolean;
}

/** Gives pages back, as often as it says, to whom a device has them from. `page` is the page of IOVA. */
export type Unpin = (page: bigint, times: number) => void;

/** What a device that was told to pin, to read or to write asks for: IOVA, and how many pages or bytes. */
export interface Asked {
  readonly op: number;
  readonly flags: number;
  readonly iova: bigint;
  readonly count: bigint;
}

/** Where a device has memory from: its container, or an IO address space. */
export interface Memory {
  /** Pins pages; what they are is told in the commit. The arguments are such that VFIO is asked. */
  pin(caller: Process, asked: Asked, hold: (runs: readonly Run[]) => void): Answer;
  readonly unpin: Unpin;
  readOrWrite(caller: Process, asked: Asked): Answer;
}

const NO_UNMAPS = { count: 0n, iova: 0n, size: 0n, pins: 0n };

/** A device that nobody opened yet. */
export const newEmulated = (pageSizeBytes: number): Emulated => ({
  window: new PageStore(pageSizeBytes),
  held: new Map(),
  unmaps: { ...NO_UNMAPS },
  logger: { log: undefined, unclear: undefined },
});

/** What the first opening finds. */
export const resetEmulated = (emulated: Emulated): void => {
  emulated.window.fill(0, emulated.window.pageSize, 0);
  emulated.unmaps = { ...NO_UNMAPS };
};

/** How often it holds pages, all together. */
export const timesHeld = ({ held }: Emulated): number => [...held.values()].reduce((sum, { times }) => sum + times, 0);
