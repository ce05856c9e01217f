/** Bits of memory that lie side by side, counted from the start of the page in which the bitmap begins. */
export interface BitRun {
  readonly first: number;
  readonly count: number;
}

/** The same bits as few runs, ascending: what overlaps or touches is joined. */
export const joined = (runs: readonly BitRun[]): readonly BitRun[] => {
  const result: BitRun[] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first)) {
    const last = result.at(-1);
    if (run.count <= 0) continue;
    if (last === undefined || run.first > last.first + last.count) result.push(run);
    else result[result.length - 1] = { first: last.first, count: Math.max(last.count, end(run) - last.first) };
  }
  return result;
};

const end = (run: BitRun): number => run.first + run.count;

/** The memory with these bits set, as a new array; bit 0 is the lowest of byte 0. Runs beyond it are left out. */
export const withBits = (memory: Uint8Array, runs: readonly BitRun[]): Uint8Array => {
  const result = memory.slice();
  for (const run of runs) {
    const last = Math.min(end(run), result.length * 8);
    for (let bit = run.first; bit < last; ) {
      const byte = Math.floor(bit / 8);
      const count = Math.min(8 - (bit % 8), last - bit);
      result[byte] = (result[byte] ?? 0) | (((1 << count) - 1) << (bit % 8));
      bit += count;
    }
  }
  return result;
};
