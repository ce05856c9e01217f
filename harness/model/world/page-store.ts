import type { Clause } from '../../spec/clause.ts';

/**
 * Pages and their bytes, whoever maps them. Byte positions count from the store's first page. Memory is taken for what
 * was written, never for what there is: a fill of gigabytes is one entry.
 */
export interface PageStore {
  /** A copy of the bytes; bytes that nobody can know read as zeros. */
  read(at: number, size: number): Uint8Array;
  /** Writes bytes; `by` is the clause that says what they are (a device's write), absent for what a process wrote. */
  write(at: number, bytes: Uint8Array, by?: Clause): void;
}
