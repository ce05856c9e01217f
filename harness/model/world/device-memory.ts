/** One value that a load may see, and what follows when it was seen. */
export interface Loaded {
  readonly value: bigint;
  /** Applied when this value was seen: a device that was seen to be done is done. */
  readonly commit?: () => void;
}

/**
 * Registers of a device that a process can map. Offsets in bytes from the first register, widths 1, 2, 4 or 8 bytes;
 * values are unsigned and no wider than the load.
 */
export interface DeviceMemory {
  /** The values that a load may see now, the settled one first (what polling comes to); `undefined` when nothing is promised. */
  load(offset: bigint, width: number): readonly [Loaded, ...Loaded[]] | undefined;
  /** A store; its effect on the device is immediate. A store that the device does not define leaves it open what loads see. */
  store(offset: bigint, width: number, value: bigint): void;
}
