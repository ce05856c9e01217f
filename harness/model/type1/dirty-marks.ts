import type { Clause } from '../../spec/clause.ts';
import type { DirtyPages } from './dirty-bitmap.ts';

/** Pages of one mapping that are dirty, counted from its first, each with the clause that says why. */
export class DirtyMarks {
  /** The clause that says why the others are not; absent as long as nothing but their use would say so. */
  clean: Clause | undefined;
  /** All pages are dirty, by this clause. */
  #all: Clause | undefined;
  readonly #pages = new Map<number, Clause>();

  /** Marks `count` pages from `first` on; those that are marked stay under their clause. */
  mark(by: Clause, first: number, count = 1): void {
    for (let page = first; page < first + count; page++) if (!this.#pages.has(page)) this.#pages.set(page, by);
  }

  markAll(by: Clause): void {
    this.#all = by;
  }

  /** No page is dirty any more but these, by the same clause. */
  reset(by: Clause, pages: Iterable<number>): void {
    this.clean = by;
    this.#all = undefined;
    this.#pages.clear();
    for (const page of pages) this.mark(by, page);
  }

  /** What is marked of a mapping of so many pages: ascending, neighbours under one clause together. */
  of(pages: number): readonly DirtyPages[] {
    if (this.#all !== undefined) return [{ first: 0, count: pages, by: this.#all }];
    const found: { first: number; count: number; by: Clause }[] = [];
    for (const [page, by] of [...this.#pages].sort(([a], [b]) => a - b)) {
      const last = found.at(-1);
      if (last !== undefined && last.by === by && last.first + last.count === page) last.count++;
      else found.push({ first: page, count: 1, by });
    }
    return found;
  }
}
