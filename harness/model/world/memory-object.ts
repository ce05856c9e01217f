import { IntervalMap } from './interval-map.ts';
import { PageStore } from './page-store.ts';

/** More pages than any object has: 2^51 pages of 4096 bytes are beyond the largest file. */
const ALL_PAGES = 2 ** 52;

interface Extent {
  readonly start: bigint;
  readonly end: bigint;
  readonly store: PageStore;
}

/**
 * What a mapping maps: a memfd or a file, shared anonymous memory, or the private copies that one process has of such
 * pages. Its identity is what owners are compared by. Page indexes count from the object's start, in its stores too.
 *
 * An object keeps its pages in stores, so that pages which it gives up (a file that is cut short) stay with those who
 * pinned them while the object goes on with new ones.
 */
export class MemoryObject {
  readonly pageSize: number;
  /** Private copies that processes have of this object's pages; they lose what the object gives up. */
  readonly copies = new Set<MemoryObject>();
  readonly #extents = new IntervalMap<Extent>();
  #sizeBytes: number;

  /** An object of that many bytes; by default without end (anonymous memory is bounded by its mapping). */
  constructor(pageSizeBytes: number, sizeBytes = ALL_PAGES * pageSizeBytes) {
    this.pageSize = pageSizeBytes;
    this.#sizeBytes = sizeBytes;
    this.#extents.insert({ start: 0n, end: BigInt(ALL_PAGES), store: new PageStore(pageSizeBytes) });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Pages that can be touched: those behind the end of a file cannot (SIGBUS). */
  get pageCount(): number {
    return Math.ceil(this.#sizeBytes / this.pageSize);
  }

  /** The store that holds a page (under the same index), and the first page behind it that is held elsewhere. */
  storeAt(page: number): { readonly store: PageStore; readonly end: number } {
    const extent = this.#extents.containing(BigInt(page));
    if (extent === undefined) throw new RangeError(`page ${page} is beyond every memory object`);
    return { store: extent.store, end: Number(extent.end) };
  }

  /** Calls `see` for the stores that hold the pages of [from, to), in order. */
  visitStores(from: number, to: number, see: (store: PageStore, from: number, to: number) => void): void {
    this.#extents.visit(BigInt(from), BigInt(to), ({ start, end, store }) => {
      see(store, Math.max(from, Number(start)), Math.min(to, Number(end)));
      return true;
    });
  }

  /** Makes the object longer or shorter, as ftruncate does: what is cut off is given up, what is added reads as zeros. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) this.#shorten(sizeBytes);
    else this.#lengthen(sizeBytes);
  }

  #shorten(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    const { pageCount } = this;
    this.#giveUp(pageCount);
    for (const copy of this.copies) copy.#giveUp(pageCount);
    // The rest of the last page is cleared, for everybody who holds the page.
    const rest = pageCount * this.pageSize - sizeBytes;
    if (rest > 0) this.storeAt(pageCount - 1).store.fill(sizeBytes, rest, 0);
  }

  #lengthen(sizeBytes: number): void {
    const end = Math.min(this.pageCount * this.pageSize, sizeBytes);
    const rest = end - this.#sizeBytes;
    // What was written behind the end of a file, in its last page, stays or not as the file system likes (mmap(2)).
    if (rest > 0) {
      const { store } = this.storeAt(this.pageCount - 1);
      const written = store.read(this.#sizeBytes, rest).some((byte) => byte !== 0);
      if (written) store.fill(this.#sizeBytes, rest, undefined);
    }
    this.#sizeBytes = sizeBytes;
  }

  /** The same content in a new object of its own, as a child of fork has it. Costs by what was written, not by size. */
  copy(): MemoryObject {
    const copy = new MemoryObject(this.pageSize, this.#sizeBytes);
    const { store: target } = copy.storeAt(0);
    this.visitStores(0, ALL_PAGES, (store, from, to) => target.copyFrom(store, from, to));
    return copy;
  }

  #giveUp(fromPage: number): void {
    const from = BigInt(fromPage);
    const end = BigInt(ALL_PAGES);
    for (
      let extent = this.#extents.overlapping(from, end);
      extent !== undefined;
      extent = this.#extents.overlapping(from, end)
    ) {
      this.#extents.delete(extent.start);
      if (extent.start < from) this.#extents.insert({ ...extent, end: from });
    }
    this.#extents.insert({ start: from, end, store: new PageStore(this.pageSize) });
  }
}
