/** A half-open interval of numbers: `end` is the first number behind it. Entries of an IntervalMap are such objects, of the caller's own making. */
export interface Interval {
  readonly start: bigint;
  readonly end: bigint;
}

/** Entries a leaf holds at most. Larger leaves make inserting dearer, smaller ones the list of leaves longer; 128 was the best of 32 to 1024 at 65,535 entries. */
const LEAF_CAPACITY = 128;

/** Neighbouring entries in order. `starts` repeats their starts, so that a search touches one array only. */
interface Leaf<E> {
  readonly starts: bigint[];
  readonly entries: E[];
}

/**
 * An ordered map of intervals that never overlap: DMA mappings by IOVA, memory areas by address. A list of sorted leaves
 * (a B+-tree of two levels): finding is two binary searches, inserting and deleting move at most one leaf's worth of
 * entries, so cost hardly grows with size. Entries are kept as they are given, nothing is allocated to find or walk them.
 * The map must not be changed from within `visit`.
 */
export class IntervalMap<E extends Interval> {
  /** Never empty; only a lone leaf may hold no entries. */
  readonly #leaves: Leaf<E>[] = [{ starts: [], entries: [] }];
  /** The first start of each leaf; the first slot is never looked at, because the first leaf takes everything below the second. */
  readonly #firsts: bigint[] = [0n];
  #size = 0;

  /** How many entries there are. */
  get size(): number {
    return this.#size;
  }

  /** The entry that starts exactly there. */
  get(start: bigint): E | undefined {
    const entry = this.atOrBefore(start);
    return entry?.start === start ? entry : undefined;
  }

  /** The entry that the number lies in. */
  containing(point: bigint): E | undefined {
    const entry = this.atOrBefore(point);
    return entry !== undefined && point < entry.end ? entry : undefined;
  }

  /** The last entry that starts at the number or before it. */
  atOrBefore(point: bigint): E | undefined {
    // Only the first leaf can hold nothing at or before the point, because every other leaf begins at or before it.
    const leaf = this.#leaf(this.#leafIndex(point));
    return leaf.entries[upperBound(leaf.starts, point) - 1];
  }

  /** The first entry that starts at the number or behind it. */
  atOrAfter(point: bigint): E | undefined {
    const index = this.#leafIndex(point);
    const leaf = this.#leaf(index);
    return leaf.entries[lowerBound(leaf.starts, point)] ?? this.#leaves[index + 1]?.entries[0];
  }

  /** The first entry that has a number in common with [start, end). */
  overlapping(start: bigint, end: bigint): E | undefined {
    if (end <= start) return undefined;
    const index = this.#leafIndex(start);
    const leaf = this.#leaf(index);
    const position = upperBound(leaf.starts, start);
    const before = leaf.entries[position - 1];
    if (before !== undefined && start < before.end) return before;
    const after = leaf.entries[position] ?? this.#leaves[index + 1]?.entries[0];
    return after !== undefined && after.start < end ? after : undefined;
  }

  /** Adds an entry. Throws RangeError for an empty interval, or one that overlaps what is there: the caller asks first. */
  insert(entry: E): void {
    if (entry.end <= entry.start) throw new RangeError(`the interval at ${hex(entry.start)} is empty`);
    const index = this.#leafIndex(entry.start);
    const leaf = this.#leaf(index);
    const position = upperBound(leaf.starts, entry.start);
    const before = leaf.entries[position - 1];
    const after = leaf.entries[position] ?? this.#leaves[index + 1]?.entries[0];
    if ((before !== undefined && entry.start < before.end) || (after !== undefined && after.start < entry.end)) {
      throw new RangeError(`[${hex(entry.start)}, ${hex(entry.end)}) overlaps an interval that is there`);
    }
    leaf.starts.splice(position, 0, entry.start);
    leaf.entries.splice(position, 0, entry);
    this.#size++;
    if (leaf.starts.length > LEAF_CAPACITY) this.#split(index, position);
  }

  /** Removes the entry that starts exactly there, and returns it. */
  delete(start: bigint): E | undefined {
    const index = this.#leafIndex(start);
    const leaf = this.#leaf(index);
    const position = lowerBound(leaf.starts, start);
    if (leaf.starts[position] !== start) return undefined;
    leaf.starts.splice(position, 1);
    const [entry] = leaf.entries.splice(position, 1);
    this.#size--;
    const first = leaf.starts[0];
    if (first !== undefined) {
      this.#firsts[index] = first;
    } else if (this.#leaves.length > 1) {
      this.#leaves.splice(index, 1);
      this.#firsts.splice(index, 1);
    }
    return entry;
  }

  /** Removes everything. */
  clear(): void {
    this.#leaves.splice(0, this.#leaves.length, { starts: [], entries: [] });
    this.#firsts.splice(0, this.#firsts.length, 0n);
    this.#size = 0;
  }

  /**
   * Calls `see` for each entry that has a number in common with [start, end), in ascending order, until it returns false.
   */
  visit(start: bigint, end: bigint, see: (entry: E) => boolean | undefined): void {
    if (end <= start) return;
    let index = this.#leafIndex(start);
    let leaf: Leaf<E> | undefined = this.#leaf(index);
    let position = upperBound(leaf.starts, start) - 1;
    const before = leaf.entries[position];
    if (before === undefined || before.end <= start) position++;
    while (leaf !== undefined) {
      const entry: E | undefined = leaf.entries[position++];
      if (entry === undefined) {
        leaf = this.#leaves[++index];
        position = 0;
        continue;
      }
      if (entry.start >= end || see(entry) === false) return;
    }
  }

  /** All entries in ascending order. */
  /** The entries that have a number in common with [start, end), in order. */
  within(start: bigint, end: bigint): readonly E[] {
    const found: E[] = [];
    this.visit(start, end, (entry) => {
      found.push(entry);
      return true;
    });
    return found;
  }

  *[Symbol.iterator](): Generator<E> {
    for (const leaf of this.#leaves) yield* leaf.entries;
  }

  /** Which leaf a start belongs to: the last one that begins at it or before it. */
  #leafIndex(start: bigint): number {
    let low = 1;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] as bigint) <= start) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #leaf(index: number): Leaf<E> {
    const leaf = this.#leaves[index];
    if (leaf === undefined) throw new RangeError(`no leaf ${index}`);
    return leaf;
  }

  /**
   * Splits a leaf that has grown too large: in the middle, but near its end when it was its last entry that was just
   * added, so that entries that come in ascending order fill their leaves instead of leaving them half empty.
   */
  #split(index: number, added: number): void {
    const leaf = this.#leaf(index);
    const appended = added === leaf.starts.length - 1;
    const at = appended ? leaf.starts.length - 1 : leaf.starts.length >>> 1;
    const next = { starts: leaf.starts.splice(at), entries: leaf.entries.splice(at) };
    this.#leaves.splice(index + 1, 0, next);
    this.#firsts.splice(index + 1, 0, next.starts[0] as bigint);
  }
}

/** The position of the first element that is at least `value`. */
const lowerBound = (sorted: readonly bigint[], value: bigint): number => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as bigint) < value) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** The position of the first element that is greater than `value`. */
const upperBound = (sorted: readonly bigint[], value: bigint): number => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as bigint) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
};

const hex = (number: bigint): string => `0x${number.toString(16)}`;
