import type { Prot } from '../../program/step.ts';
import type { Backing, Run } from './address-space.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { Interval } from './interval-map.ts';
import type { MemoryObject } from './memory-object.ts';
import type { PageStore } from './page-store.ts';

/** Something that a mapping keeps alive: an open file. */
export interface Held {
  hold(): void;
  drop(): void;
}

/** What an area shows. Page indexes are those of the object; `first` is that of the area's first page. */
export type Content =
  /** An object that all who map it share. */
  | { readonly kind: 'shared'; readonly object: MemoryObject; readonly first: number }
  /** The process's own pages (`copies`), where it has made them, over those of a file or over zeros. */
  | {
      readonly kind: 'private';
      readonly copies: MemoryObject;
      readonly file: MemoryObject | undefined;
      readonly first: number;
    }
  /** Registers; `offset` of the area's first byte among them. */
  | { readonly kind: 'device'; readonly device: DeviceMemory; readonly offset: bigint }
  /** Nothing: a guard page. */
  | { readonly kind: 'nothing' };

/** A stretch of an address space that is mapped in one way (vm_area_struct); addresses are whole pages. */
export interface Area extends Interval {
  readonly prot: Prot;
  readonly content: Content;
  /** What `mprotect` may not add: writing, in a shared mapping of a file that is open for reading only. */
  readonly mayWrite: boolean;
  /** Size in bytes of the pages that it can be divided at. */
  readonly granule: bigint;
  readonly file: Held | undefined;
}

/** How an area is touched: by the process (or the kernel in its name), or by pinning. */
export type Touch = 'read' | 'write' | 'pin-read' | 'pin-write';

/**
 * Whether a protection lets an access through. Memory that can be written can be read by the processor too (x86 and arm64
 * know no write-only pages), while a pin for reading insists on PROT_READ (check_vma_flags, mm/gup.c).
 */
export const permits = (prot: Prot, touch: Touch): boolean => {
  switch (touch) {
    case 'read':
      return prot !== 'none';
    case 'pin-read':
      return prot === 'r' || prot === 'rw';
    case 'write':
    case 'pin-write':
      return prot === 'w' || prot === 'rw';
  }
};

/** How many pages from the `skip`th on an area has before its object ends; what lies behind raises SIGBUS. */
export const pagesBeforeEnd = ({ content }: Area, skip: number): number => {
  switch (content.kind) {
    case 'shared':
      return Math.max(0, content.object.pageCount - content.first - skip);
    case 'private':
      return content.file === undefined ? Infinity : Math.max(0, content.file.pageCount - content.first - skip);
    case 'device':
      return Infinity;
    case 'nothing':
      return 0;
  }
};

/** What lies behind an address of an area. Guard pages are private memory without any page. */
export const backingOf = (area: Area, vaddr: bigint, pageSize: number): Backing => {
  const { content, prot, end, start, granule } = area;
  const page = (vaddr - start) / BigInt(pageSize);
  const common = { size: end - vaddr, prot, granule };
  switch (content.kind) {
    case 'shared':
      return { ...common, object: content.object, page: BigInt(content.first) + page, shared: true };
    case 'private':
      return { ...common, object: content.copies, page: BigInt(content.first) + page, shared: false };
    case 'device':
      // Registers have no object that two files share: each opening of the device is one.
      return { ...common, object: area.file ?? area, page: content.offset / BigInt(pageSize) + page, shared: true };
    case 'nothing':
      return { ...common, object: area, page, shared: false };
  }
};

/** The area's part [start, end), with its content shifted accordingly. */
export const partOf = (area: Area, start: bigint, end: bigint, pageSize: number): Area => {
  const { content } = area;
  const skipped = start - area.start;
  const moved = ((): Content => {
    switch (content.kind) {
      case 'shared':
      case 'private':
        return { ...content, first: content.first + Number(skipped) / pageSize };
      case 'device':
        return { ...content, offset: content.offset + skipped };
      case 'nothing':
        return content;
    }
  })();
  return { ...area, start, end, content: moved };
};

/** Sees a range of pages that one store holds, under the store's page indexes. */
export type SeeStore = (store: PageStore, from: number, to: number) => void;

/**
 * Shows where the bytes of pages are read from: the process's own copies where it has them, else the file's pages; private
 * memory that nobody made yet reads as the zeros of its empty store.
 */
export const visitReadable = (content: Content, from: number, to: number, see: SeeStore): void => {
  if (content.kind === 'shared') content.object.visitStores(from, to, see);
  if (content.kind !== 'private') return;
  const { copies, file } = content;
  copies.visitStores(from, to, (store, low, high) =>
    store.visitPresence(low, high, (present, a, b) => {
      if (present || file === undefined) see(store, a, b);
      else file.visitStores(a, b, see);
    }),
  );
};

/** Makes a private area's own copies of pages, as a write fault does, and shows where pages can then be written. */
export const visitWritable = (content: Content, from: number, to: number, see: SeeStore): void => {
  if (content.kind === 'shared') content.object.visitStores(from, to, see);
  if (content.kind !== 'private') return;
  content.copies.visitStores(from, to, (store, low, high) => {
    makeOwn(content.file, store, low, high);
    see(store, low, high);
  });
};

const makeOwn = (file: MemoryObject | undefined, copies: PageStore, from: number, to: number): void => {
  if (file === undefined) copies.makePresent(from, to);
  else file.visitStores(from, to, (lower, low, high) => copies.makePresent(low, high, lower));
};

/** What pinning pages of an area gets hold of, in order; see AddressSpace.resolve. */
export const visitRuns = (
  content: Content,
  from: number,
  to: number,
  options: { readonly own: boolean; readonly zeros: PageStore; readonly registers: PageStore },
  see: (run: Run) => void,
): void => {
  if (content.kind === 'shared') {
    const { object } = content;
    object.visitStores(from, to, (pages, low, high) =>
      see({ pages, first: low, count: high - low, kind: 'memory', object, shared: true }),
    );
  } else if (content.kind === 'private') {
    const { copies, file } = content;
    copies.visitStores(from, to, (store, low, high) => {
      if (options.own) {
        see({ pages: store, first: low, count: high - low, kind: 'memory', object: copies, shared: false });
        return;
      }
      const run = (pages: PageStore, kind: Run['kind'], a: number, b: number): void =>
        see({ pages, first: a, count: b - a, kind, object: copies, shared: false });
      // What is not the process's own is pinned as it is: a file's page, or the page of zeros.
      store.visitPresence(low, high, (present, a, b) => {
        if (present) run(store, 'memory', a, b);
        else if (file === undefined) run(options.zeros, 'zero', a, b);
        else file.visitStores(a, b, (pages, c, d) => run(pages, 'memory', c, d));
      });
    });
  } else if (content.kind === 'device') {
    see({ pages: options.registers, first: from, count: to - from, kind: 'device', object: undefined, shared: true });
  }
};
