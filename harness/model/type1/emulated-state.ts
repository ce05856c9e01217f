import type { Run } from '../world/address-space.ts';
import { PageStore } from '../world/page-store.ts';

/** A device of the test module vfio-emulated, as fixtures/modules/emulated/README.md describes it. */
export interface Emulated {
  /** Its window: a page. */
  readonly window: PageStore;
  /** The pages that it holds, by page of IOVA. */
  readonly held: Map<bigint, Held>;
  /** What it was told of mappings that ended since it was opened. */
  unmaps: { count: bigint; iova: bigint; size: bigint; pins: bigint };
}

/** A page that the device holds. */
export interface Held {
  /** The page: a run of one. */
  readonly run: Run;
  times: number;
  writable: boolean;
}

const NO_UNMAPS = { count: 0n, iova: 0n, size: 0n, pins: 0n };

/** A device that nobody opened yet. */
export const newEmulated = (pageSizeBytes: number): Emulated => ({
  window: new PageStore(pageSizeBytes),
  held: new Map(),
  unmaps: { ...NO_UNMAPS },
});

/** What the first opening finds. */
export const resetEmulated = (emulated: Emulated): void => {
  emulated.window.fill(0, emulated.window.pageSize, 0);
  emulated.unmaps = { ...NO_UNMAPS };
};

/** How often it holds pages, all together. */
export const timesHeld = ({ held }: Emulated): number => [...held.values()].reduce((sum, { times }) => sum + times, 0);
