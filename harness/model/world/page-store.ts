import type { Clause } from '../../spec/clause.ts';
import { greatest, least } from './big.ts';
import { IntervalMap } from './interval-map.ts';

/** One page whose bytes are held one by one. `unknown` marks (with 1) the bytes that nobody can know. */
interface Page {
  bytes: Uint8Array;
  unknown: Uint8Array | undefined;
  by: Clause | undefined;
  /** Bytes of it, ascending and apart, that another clause than `by` explains. */
  explained: readonly Explained[] | undefined;
  /** Two stores hold this very page since one was copied from the other; whoever writes first takes a copy. */
  shared: boolean;
}

/** Bytes of a page, [from, to), that a clause of their own explains. */
interface Explained {
  readonly from: number;
  readonly to: number;
  readonly by: Clause;
}

/** Neighbouring pages, by page index: a single page, or any number of pages filled with one byte (`undefined`: unknown bytes). */
type Chunk =
  | { readonly start: bigint; readonly end: bigint; readonly page: Page }
  | {
      readonly start: bigint;
      readonly end: bigint;
      readonly byte: number | undefined;
      readonly by: Clause | undefined;
    };

/**
 * Neighbouring bytes that are alike in kind: `bytes` held one by one (a view, good until the next write), or all of them
 * `byte`; `undefined` is a byte that nobody can know. `by` is the clause that says what they are, absent for what a process wrote.
 */
export type Piece = { readonly size: number; readonly by: Clause | undefined } & (
  | { readonly bytes: Uint8Array; readonly unknown: Uint8Array | undefined }
  | { readonly byte: number | undefined }
);

/** One byte of a piece; `undefined` when nobody can know it. */
export const byteOf = (piece: Piece, offset: number): number | undefined => {
  if ('byte' in piece) return piece.byte;
  return piece.unknown?.[offset] === 1 ? undefined : piece.bytes[offset];
};

/**
 * Pages and their bytes, whoever maps them. Byte positions and page indexes count from the store's first page. Memory is
 * taken for what was written, never for what there is: a fill of gigabytes is one entry, a page that was never written
 * none (it reads as zeros).
 */
export class PageStore {
  readonly pageSize: number;
  readonly #chunks = new IntervalMap<Chunk>();

  constructor(pageSizeBytes: number) {
    this.pageSize = pageSizeBytes;
  }

  /** How many entries the content takes: what tests hold against the size of the memory. */
  get chunkCount(): number {
    return this.#chunks.size;
  }

  /** A copy of the bytes; unknown bytes read as zeros, but for those that were concealed. */
  read(at: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    let filled = 0;
    this.visit(at, size, (piece) => {
      if ('bytes' in piece) bytes.set(piece.bytes, filled);
      else if (piece.byte !== undefined && piece.byte !== 0) bytes.fill(piece.byte, filled, filled + piece.size);
      filled += piece.size;
    });
    return bytes;
  }

  /** Writes bytes; `by` is the clause that says what they are (a device's write), absent for what a process wrote. */
  write(at: number, bytes: Uint8Array, by?: Clause): void {
    this.#eachPage(at, bytes.length, (index, from, to, done) => {
      const page = this.#own(index);
      page.bytes.set(bytes.subarray(done, done + to - from), from);
      page.unknown?.fill(0, from, to);
      page.by = by;
      page.explained = undefined;
    });
  }

  /** Says which clause explains bytes that were written before, where that of the rest of the page would not; until the page is written again. */
  explain(at: number, size: number, by: Clause): void {
    this.#eachPage(at, size, (index, from, to) => {
      const page = this.#own(index);
      const others = (page.explained ?? []).flatMap((one) => [
        { ...one, to: Math.min(one.to, from) },
        { ...one, from: Math.max(one.from, to) },
      ]);
      page.explained = [...others.filter((one) => one.from < one.to), { from, to, by }].sort((a, b) => a.from - b.from);
    });
  }

  /** Writes what another store holds from `from` on, unknown bytes as unknown ones. */
  copyBytes(at: number, other: PageStore, from: number, size: number, by?: Clause): void {
    let done = at;
    const copied: { at: number; piece: Piece }[] = [];
    other.visit(from, size, (piece) => {
      copied.push({ at: done, piece });
      done += piece.size;
    });
    for (const { at: to, piece } of copied) {
      if ('byte' in piece) this.fill(to, piece.size, piece.byte, by);
      else this.#writeMasked(to, piece.bytes.slice(), piece.unknown?.slice(), by);
    }
  }

  /** Makes bytes unknown to whoever looks at them, and leaves them readable for the kernel: addresses, which differ from run to run. */
  conceal(at: number, size: number): void {
    this.#eachPage(at, size, (index, from, to) => {
      const page = this.#own(index);
      page.unknown ??= new Uint8Array(this.pageSize);
      page.unknown.fill(1, from, to);
    });
  }

  /** Sets all of the bytes to one value; `undefined` makes them unknown. */
  fill(at: number, size: number, byte: number | undefined, by?: Clause): void {
    const firstWhole = Math.ceil(at / this.pageSize);
    const endWhole = Math.floor((at + size) / this.pageSize);
    if (firstWhole >= endWhole) {
      this.#fillWithin(at, size, byte, by);
      return;
    }
    const wholeAt = firstWhole * this.pageSize;
    const tailAt = endWhole * this.pageSize;
    this.#fillWithin(at, wholeAt - at, byte, by);
    this.#clear(BigInt(firstWhole), BigInt(endWhole));
    this.#chunks.insert({ start: BigInt(firstWhole), end: BigInt(endWhole), byte, by });
    this.#fillWithin(tailAt, at + size - tailAt, byte, by);
  }

  /** Shows the content piece by piece, in order; the pieces' sizes add up to `size`. */
  visit(at: number, size: number, see: (piece: Piece) => void): void {
    const { pageSize } = this;
    const end = at + size;
    let position = at;
    const zerosTo = (to: number): void => {
      if (to > position) see({ size: to - position, byte: 0, by: undefined });
      position = Math.max(position, to);
    };
    this.#chunks.visit(BigInt(Math.floor(at / pageSize)), BigInt(Math.ceil(end / pageSize)), (chunk) => {
      const chunkAt = Number(chunk.start) * pageSize;
      zerosTo(Math.min(chunkAt, end));
      const to = Math.min(Number(chunk.end) * pageSize, end);
      if ('page' in chunk) {
        const { bytes, unknown } = chunk.page;
        for (const { from: low, to: high, by } of parts(chunk.page, position - chunkAt, to - chunkAt)) {
          see({ size: high - low, bytes: bytes.subarray(low, high), unknown: unknown?.subarray(low, high), by });
        }
      } else {
        see({ size: to - position, byte: chunk.byte, by: chunk.by });
      }
      position = to;
      return true;
    });
    zerosTo(end);
  }

  /** Shows which pages of [from, to) were ever made and which were not, as ranges in order. */
  visitPresence(from: number, to: number, see: (present: boolean, from: number, to: number) => void): void {
    let done = from;
    let presentFrom = from;
    this.#chunks.visit(BigInt(from), BigInt(to), (chunk) => {
      const start = Math.max(Number(chunk.start), from);
      if (start > done) {
        if (done > presentFrom) see(true, presentFrom, done);
        see(false, done, start);
        presentFrom = start;
      }
      done = Math.min(Number(chunk.end), to);
      return true;
    });
    if (done > presentFrom) see(true, presentFrom, done);
    if (to > done) see(false, done, to);
  }

  /** Makes the pages of [from, to) that were never made: with the content they have in `lower`, or zeros. */
  makePresent(from: number, to: number, lower?: PageStore): void {
    if (lower !== undefined) {
      for (const gap of this.#gaps(from, to)) this.copyFrom(lower, gap.from, gap.to);
    }
    for (const gap of this.#gaps(from, to)) {
      this.#chunks.insert({ start: BigInt(gap.from), end: BigInt(gap.to), byte: 0, by: undefined });
    }
  }

  /** Takes over what another store holds in the pages of [from, to), which must never have been made here. Bytes are copied only when they are written. */
  copyFrom(other: PageStore, from: number, to: number): void {
    const [low, high] = [BigInt(from), BigInt(to)];
    other.#chunks.visit(low, high, (chunk) => {
      if ('page' in chunk) {
        chunk.page.shared = true;
        this.#chunks.insert({ ...chunk });
      } else {
        this.#chunks.insert({ ...chunk, start: greatest(chunk.start, low), end: least(chunk.end, high) });
      }
      return true;
    });
  }

  #gaps(from: number, to: number): readonly { from: number; to: number }[] {
    const gaps: { from: number; to: number }[] = [];
    this.visitPresence(from, to, (present, low, high) => {
      if (!present) gaps.push({ from: low, to: high });
    });
    return gaps;
  }

  #writeMasked(at: number, bytes: Uint8Array, unknown: Uint8Array | undefined, by: Clause | undefined): void {
    this.write(at, bytes, by);
    unknown?.forEach((mark, index) => {
      if (mark === 1) this.conceal(at + index, 1);
    });
  }

  /** The page, held byte by byte and by this store alone, so that it can be written. */
  #own(index: number): Page {
    const start = BigInt(index);
    const chunk = this.#chunks.containing(start);
    if (chunk !== undefined && 'page' in chunk && !chunk.page.shared) return chunk.page;
    const page = this.#copyOf(chunk);
    this.#clear(start, start + 1n);
    this.#chunks.insert({ start, end: start + 1n, page });
    return page;
  }

  #copyOf(chunk: Chunk | undefined): Page {
    if (chunk !== undefined && 'page' in chunk) {
      const { bytes, unknown, by, explained } = chunk.page;
      return { bytes: bytes.slice(), unknown: unknown?.slice(), by, explained, shared: false };
    }
    const bytes = new Uint8Array(this.pageSize);
    const page: Page = { bytes, unknown: undefined, by: chunk?.by, explained: undefined, shared: false };
    if (chunk === undefined) return page;
    if (chunk.byte === undefined) page.unknown = new Uint8Array(this.pageSize).fill(1);
    else bytes.fill(chunk.byte);
    return page;
  }

  #fillWithin(at: number, size: number, byte: number | undefined, by: Clause | undefined): void {
    this.#eachPage(at, size, (index, from, to) => {
      const page = this.#own(index);
      page.bytes.fill(byte ?? 0, from, to);
      if (byte === undefined) page.unknown ??= new Uint8Array(this.pageSize);
      page.unknown?.fill(byte === undefined ? 1 : 0, from, to);
      page.by = by;
      page.explained = undefined;
    });
  }

  /** Calls `act` for each page that a byte range touches, with the part of that page, and how many bytes came before. */
  #eachPage(at: number, size: number, act: (index: number, from: number, to: number, done: number) => void): void {
    for (let done = 0; done < size; ) {
      const index = Math.floor((at + done) / this.pageSize);
      const from = at + done - index * this.pageSize;
      const to = Math.min(this.pageSize, from + size - done);
      act(index, from, to, done);
      done += to - from;
    }
  }

  /** Drops the content of pages, cutting fills that reach beyond them. */
  #clear(from: bigint, to: bigint): void {
    for (
      let chunk = this.#chunks.overlapping(from, to);
      chunk !== undefined;
      chunk = this.#chunks.overlapping(from, to)
    ) {
      this.#chunks.delete(chunk.start);
      if ('page' in chunk) continue;
      if (chunk.start < from) this.#chunks.insert({ ...chunk, end: from });
      if (chunk.end > to) this.#chunks.insert({ ...chunk, start: to });
    }
  }
}

/** The bytes [low, high) of a page, cut where another clause explains them. */
function* parts(
  { by, explained }: Page,
  low: number,
  high: number,
): Generator<{ readonly from: number; readonly to: number; readonly by: Clause | undefined }> {
  let done = low;
  for (const one of explained ?? []) {
    const [from, to] = [Math.max(one.from, done), Math.min(one.to, high)];
    if (from >= to) continue;
    if (from > done) yield { from: done, to: from, by };
    yield { from, to, by: one.by };
    done = to;
  }
  if (high > done) yield { from: done, to: high, by };
}
