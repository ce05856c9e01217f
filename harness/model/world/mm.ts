import type { Prot } from '../../program/step.ts';
import type { Clause } from '../../spec/clause.ts';
import type { Access, AddressSpace, Backing, PinOptions, Resolution, Run } from './address-space.ts';
import {
  type Area,
  backingOf,
  type Content,
  pagesBeforeEnd,
  partOf,
  permits,
  type Touch,
  visitReadable,
  visitRuns,
  visitWritable,
} from './area.ts';
import { greatest, least, roundUp } from './big.ts';
import { IntervalMap } from './interval-map.ts';
import type { MemoryObject } from './memory-object.ts';
import { PageStore, type Piece } from './page-store.ts';

/** The first address behind what a process can have (TASK_SIZE with four-level page tables on x86-64). */
export const USER_END = 0x7fff_ffff_f000n;

/** Where the model puts memories that name no place: any stretch will do, because programs never see addresses. */
const FIRST_PLACE = 0x1000_0000_0000n;

/** Where its places end: behind it lie the program itself, its libraries and its stack. */
const LAST_PLACE = 0x7000_0000_0000n;

/** The last power of two beyond every address. */
const EXACTLY = 1n << 64n;

interface Place {
  readonly start: bigint;
  readonly known: bigint;
}

/** Part of an area that an access goes through: `size` bytes from `offset` in the area on. */
type SeePart = (area: Area, offset: bigint, size: bigint) => void;

/** The model's address space, with what only the operations of a program may do to it. */
export class Mm implements AddressSpace {
  readonly pageSize: number;
  #areas = new IntervalMap<Area>();
  #nextPlace = FIRST_PLACE;
  /** Where memories were put, by their first address, and how far those are known; nothing is forgotten, so that an address means what it meant. */
  readonly #places: Place[] = [];
  #alive = true;
  #lockedPages = 0;
  readonly #chargedBy = new Set<Clause>();
  #pinnedPages = 0;
  readonly #pinnedBy = new Set<Clause>();
  /** Stands for the kernel's page of zeros; nobody writes it. */
  readonly #zeros: PageStore;
  /** Stands for registers that were pinned: what a device does to them by DMA is not modelled. */
  readonly #registers: PageStore;

  constructor(pageSizeBytes: number) {
    this.pageSize = pageSizeBytes;
    this.#zeros = new PageStore(pageSizeBytes);
    this.#registers = new PageStore(pageSizeBytes);
  }

  get alive(): boolean {
    return this.#alive;
  }

  get lockedPages(): number {
    return this.#lockedPages;
  }

  get chargedBy(): ReadonlySet<Clause> {
    return this.#chargedBy;
  }

  get pinnedPages(): number {
    return this.#pinnedPages;
  }

  get pinnedBy(): ReadonlySet<Clause> {
    return this.#pinnedBy;
  }

  chargePinned(pages: number, by: Clause): void {
    this.#pinnedBy.add(by);
    if (this.#pinnedPages + pages < 0)
      throw new RangeError(`cannot give back ${-pages} of ${this.#pinnedPages} pinned pages`);
    this.#pinnedPages += pages;
  }

  charge(pages: number, by: Clause): void {
    this.#chargedBy.add(by);
    this.#lockedPages += pages;
  }

  uncharge(pages: number, by: Clause): void {
    this.#chargedBy.add(by);
    if (pages > this.#lockedPages)
      throw new RangeError(`cannot give back ${pages} of ${this.#lockedPages} locked pages`);
    this.#lockedPages -= pages;
  }

  resolve(vaddr: bigint, pages: number, { write, own = write }: PinOptions): Resolution {
    const runs: Run[] = [];
    const size = BigInt(pages) * BigInt(this.pageSize);
    const got = this.#visitParts(vaddr, size, write ? 'pin-write' : 'pin-read', (area, offset, length) => {
      const [from, to] = this.#pageRange(area, offset, length);
      visitRuns(area.content, from, to, { own, zeros: this.#zeros, registers: this.#registers }, (run) =>
        append(runs, run),
      );
    });
    return { runs, pages: Number(got) / this.pageSize };
  }

  pin(vaddr: bigint, pages: number, options: PinOptions): Resolution {
    const resolution = this.resolve(vaddr, pages, options);
    const { write, own = write } = options;
    if (own) {
      const size = BigInt(resolution.pages) * BigInt(this.pageSize);
      this.#visitParts(vaddr, size, write ? 'pin-write' : 'pin-read', (area, offset, length) => {
        const [from, to] = this.#pageRange(area, offset, length);
        visitWritable(area.content, from, to, () => undefined);
      });
    }
    return resolution;
  }

  reach(vaddr: bigint, size: bigint, access: Access): bigint {
    return this.#visitParts(vaddr, size, access, () => undefined);
  }

  read(vaddr: bigint, size: number): Uint8Array | undefined {
    if (this.reach(vaddr, BigInt(size), 'read') < BigInt(size)) return undefined;
    const bytes = new Uint8Array(size);
    let done = 0;
    this.visitBytes(vaddr, BigInt(size), (piece) => {
      if ('bytes' in piece) bytes.set(piece.bytes, done);
      else bytes.fill(piece.byte ?? 0, done, done + piece.size);
      done += piece.size;
    });
    return bytes;
  }

  write(vaddr: bigint, bytes: Uint8Array, by?: Clause): number {
    return Number(
      this.#visitWritten(vaddr, BigInt(bytes.length), (store, at, size, done) =>
        store.write(at, bytes.subarray(done, done + size), by),
      ),
    );
  }

  explain(vaddr: bigint, size: number, by: Clause): void {
    this.#visitWritten(vaddr, BigInt(size), (store, at, length) => store.explain(at, length, by));
  }

  /** Writes an address: the kernel reads it as the number that the model knows, programs see bytes that may be anything. */
  writeAddress(vaddr: bigint, bytes: Uint8Array): void {
    this.#visitWritten(vaddr, BigInt(bytes.length), (store, at, size, done) => {
      store.write(at, bytes.subarray(done, done + size));
      store.conceal(at, size);
    });
  }

  /** Like write, with one byte for all; `undefined` makes them unknown. Returns how many bytes could be written. */
  fill(vaddr: bigint, size: bigint, byte: number | undefined, by?: Clause): bigint {
    return this.#visitWritten(vaddr, size, (store, at, length) => store.fill(at, length, byte, by));
  }

  /** Shows the bytes of a range up to the first fault, and returns how many there are. Registers are not shown: they are not memory. */
  visitBytes(vaddr: bigint, size: bigint, see: (piece: Piece) => void): bigint {
    return this.#visitParts(vaddr, size, 'read', (area, offset, length) =>
      this.#visitStored(area, offset, length, visitReadable, (store, at, bytes) => store.visit(at, bytes, see)),
    );
  }

  /** The area that an address lies in. */
  areaAt(vaddr: bigint): Area | undefined {
    return this.#areas.containing(vaddr);
  }

  backingAt(vaddr: bigint): Backing | undefined {
    const area = this.areaAt(vaddr);
    return area === undefined ? undefined : backingOf(area, vaddr, this.pageSize);
  }

  /** Whether registers lie anywhere in a range: what the processor does to those is not like memory. */
  touchesDevice(vaddr: bigint, size: bigint): boolean {
    let found = false;
    this.#areas.visit(vaddr, vaddr + size, ({ content }) => {
      found = content.kind === 'device';
      return !found;
    });
    return found;
  }

  /** The first address of [start, end) that is not mapped, or `end`. */
  mappedTo(start: bigint, end: bigint): bigint {
    let position = start;
    this.#areas.visit(start, end, (area) => {
      if (area.start > position) return false;
      position = least(area.end, end);
      return true;
    });
    return position;
  }

  /** Whether nothing is mapped in [start, end). */
  isFree(start: bigint, end: bigint): boolean {
    return this.#areas.overlapping(start, end) === undefined;
  }

  /** A free place, the same one for the same history, with room on both sides; `undefined` when the address space is used up. */
  freePlace(size: bigint, align: bigint): bigint | undefined {
    const room = 16n * BigInt(this.pageSize);
    let start = roundUp(this.#nextPlace + room, align);
    for (let taken = this.#areas.overlapping(start, start + size); taken !== undefined; ) {
      start = roundUp(taken.end + room, align);
      taken = this.#areas.overlapping(start, start + size);
    }
    return start + size + room <= LAST_PLACE ? start : undefined;
  }

  /** Says that what lies from `start` on was put there, and up to multiples of which power of two that is known. */
  settle(start: bigint, known: bigint): void {
    this.#places.push({ start, known });
  }

  alignmentAt(vaddr: bigint): bigint {
    let nearest: Place | undefined;
    for (const place of this.#places) {
      if (place.start <= vaddr && (nearest === undefined || place.start >= nearest.start)) nearest = place;
    }
    return nearest?.known ?? EXACTLY;
  }

  /** Maps an area where nothing is mapped. */
  map(area: Area): void {
    this.#areas.insert(area);
    area.file?.hold();
    if (area.end > this.#nextPlace && area.start >= FIRST_PLACE) this.#nextPlace = area.end;
  }

  /** Takes away whatever is mapped in [start, end). */
  unmap(start: bigint, end: bigint): void {
    for (const area of this.#cut(start, end)) area.file?.drop();
  }

  /** Changes the protection of what is mapped in [start, end). */
  protect(start: bigint, end: bigint, prot: Prot): void {
    for (const area of this.#cut(start, end)) this.#areas.insert({ ...area, prot });
  }

  /** The areas in [start, end), in order. */
  areas(start = 0n, end = USER_END): readonly Area[] {
    const areas: Area[] = [];
    this.#areas.visit(start, end, (area) => {
      areas.push(area);
      return true;
    });
    return areas;
  }

  /**
   * The address space of a forked child: shared memory is the same, private pages become copies. Pages that a device was
   * given stay with the parent, whoever writes first afterwards (page_needs_cow_for_dma, include/linux/mm.h; mm/memory.c):
   * so does every page here, because of others nobody can tell. Nothing is locked in a child (mm_init, kernel/fork.c).
   */
  fork(): Mm {
    const child = new Mm(this.pageSize);
    child.#nextPlace = this.#nextPlace;
    child.#places.push(...this.#places);
    const copied = new Map<MemoryObject, MemoryObject>();
    for (const area of this.#areas) child.map({ ...area, content: forked(area.content, copied) });
    return child;
  }

  /** The last user of the address space is gone: so are the mappings. */
  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.unmap(0n, USER_END);
  }

  /** Takes the areas of [start, end) out, cut to it; what they had outside stays. The caller settles what becomes of the files they hold. */
  #cut(start: bigint, end: bigint): readonly Area[] {
    const touched = this.areas(start, end);
    return touched.map((area) => {
      this.#areas.delete(area.start);
      if (area.start < start) this.#keep(partOf(area, area.start, start, this.pageSize));
      if (area.end > end) this.#keep(partOf(area, end, area.end, this.pageSize));
      return partOf(area, greatest(area.start, start), least(area.end, end), this.pageSize);
    });
  }

  #keep(area: Area): void {
    this.#areas.insert(area);
    area.file?.hold();
  }

  /** Walks the areas of a range as long as they are next to each other, allow the touch and have not ended; returns the bytes it got through. */
  #visitParts(vaddr: bigint, size: bigint, touch: Touch, see: SeePart): bigint {
    const end = vaddr + size;
    let position = vaddr;
    const pageSize = BigInt(this.pageSize);
    this.#areas.visit(vaddr, end, (area) => {
      if (area.start > position || !permits(area.prot, touch)) return false;
      const offset = position - area.start;
      const left = pagesBeforeEnd(area, Number(offset / pageSize));
      const endOfObject = left === Infinity ? area.end : area.start + (offset / pageSize + BigInt(left)) * pageSize;
      const to = least(least(area.end, end), endOfObject);
      if (to > position) see(area, offset, to - position);
      position = greatest(position, to);
      return true;
    });
    return position - vaddr;
  }

  #visitWritten(
    vaddr: bigint,
    size: bigint,
    write: (store: PageStore, at: number, size: number, done: number) => void,
  ): bigint {
    let done = 0;
    return this.#visitParts(vaddr, size, 'write', (area, offset, length) =>
      this.#visitStored(area, offset, length, visitWritable, (store, at, bytes) => {
        write(store, at, bytes, done);
        done += bytes;
      }),
    );
  }

  /** Turns a part of an area into byte ranges of stores. */
  #visitStored(
    area: Area,
    offset: bigint,
    size: bigint,
    visit: typeof visitReadable,
    see: (store: PageStore, at: number, size: number) => void,
  ): void {
    if (area.content.kind === 'device' || area.content.kind === 'nothing') return;
    const { pageSize } = this;
    const at = area.content.first * pageSize + Number(offset);
    const end = at + Number(size);
    visit(area.content, Math.floor(at / pageSize), Math.ceil(end / pageSize), (store, from, to) => {
      const low = Math.max(at, from * pageSize);
      see(store, low, Math.min(end, to * pageSize) - low);
    });
  }

  #pageRange({ content }: Area, offset: bigint, size: bigint): readonly [number, number] {
    const first = content.kind === 'shared' || content.kind === 'private' ? content.first : 0;
    const from = first + Number(offset) / this.pageSize;
    return [from, from + Number(size) / this.pageSize];
  }
}

const forked = (content: Content, copied: Map<MemoryObject, MemoryObject>): Content => {
  if (content.kind !== 'private') return content;
  const copies = copied.get(content.copies) ?? content.copies.copy();
  copied.set(content.copies, copies);
  content.file?.copies.add(copies);
  return { ...content, copies };
};

/** Adds a run, as part of the last one where it goes on. */
const append = (runs: Run[], run: Run): void => {
  const last = runs.at(-1);
  const goesOn =
    last !== undefined &&
    last.pages === run.pages &&
    last.kind === run.kind &&
    last.object === run.object &&
    last.first + last.count === run.first;
  if (goesOn) runs[runs.length - 1] = { ...last, count: last.count + run.count };
  else runs.push(run);
};
