import type { Clause } from '../../spec/clause.ts';
import { COMMAND_WORD, COUNTED_REGIONS, COUNTER, HOOK, SETTING } from '../../uapi/mediator-test.ts';
import { MemoryObject } from '../world/memory-object.ts';

/** One mediator of the test module. */
export interface Mediator {
  readonly index: number;
  /** Its file's words. */
  readonly words: BigUint64Array;
  /** The hooks that it registered with (HOOK). */
  hooks: bigint;
  /** The page that it maps in place of a device. */
  readonly page: MemoryObject;
  /** Open devices for which it holds its own module. */
  holding: number;
  /** Which clause a word is what it is by, where something happened to it that is not the usual. */
  readonly by: Map<number, Clause>;
}

/** A mediator in vfio-pci's list. */
export interface Registration {
  readonly mediator: Mediator;
  /** How many devices it was opened for; what becomes of it later is a clause's business. */
  devices: number;
}

/** A device that a mediator has. */
export interface Mediated {
  readonly registration: Registration;
  /** The handle that the mediator gave. */
  readonly handle: bigint;
  /** The regions that it declared when the device was opened, a bit each. */
  readonly regions: bigint;
}

/** The test module and vfio-pci's list. */
export interface Mediators {
  readonly all: readonly Mediator[];
  /** In the order in which they are asked. */
  list: readonly Registration[];
  /** How many descriptors of the mediators' files are open. */
  openFiles: number;
}

/** The mediators of a test module that has just been loaded with `registers=0`. */
export const newMediators = (count: number, pageSizeBytes: number): Mediators => ({
  all: Array.from({ length: count }, (_, index) => newMediator(index, pageSizeBytes)),
  list: [],
  openFiles: 0,
});

const newMediator = (index: number, pageSizeBytes: number): Mediator => {
  const words = new BigUint64Array(COMMAND_WORD);
  words[SETTING.handle] = 0x1000n + BigInt(index);
  words[SETTING.regions] = (1n << BigInt(COUNTED_REGIONS)) - 1n;
  words[SETTING.hooks] = HOOK.info | HOOK.rw | HOOK.mmap | HOOK.release;
  return { index, words, hooks: 0n, page: new MemoryObject(pageSizeBytes, pageSizeBytes), holding: 0, by: new Map() };
};

/** A word of a mediator's file. */
export const wordOf = ({ words }: Mediator, word: number): bigint => words[word] ?? 0n;

/** Adds one to a counter. */
export const count = (mediator: Mediator, word: number): void => {
  mediator.words[word] = wordOf(mediator, word) + 1n;
};

/** Where a region is counted. */
export const slotOf = (region: number): number => Math.min(region, COUNTED_REGIONS - 1);

/** Whether a setting of a bit for each region has the one of a region. */
export const hasRegion = (mediator: Mediator, word: number, region: number): boolean =>
  ((wordOf(mediator, word) >> BigInt(slotOf(region))) & 1n) === 1n;

/** The mediator of a device, if it has a hook for a region. */
export const hookOf = ({ registration: { mediator } }: Mediated, hook: bigint): Mediator | undefined =>
  (mediator.hooks & hook) === 0n ? undefined : mediator;

/** Whether a counter is one of those that are cleared together. */
export const isCounter = (word: number): boolean => word >= COUNTER.opens && word < COMMAND_WORD;
