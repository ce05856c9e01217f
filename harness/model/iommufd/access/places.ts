import { type Getting, type Stretch, stretchesOf } from '../held.ts';
import { spanOf } from '../pinned.ts';
import type { Area, Context } from '../state.ts';

/* Where pages are: the same page is the same number in the same store. */

/** A page of memory. */
export type Where = Pick<Stretch, 'store' | 'page'>;

/** Whether two are the same page; nothing is no page. */
export const isSame = (one: Where | undefined, other: Where | undefined): boolean =>
  one !== undefined && other !== undefined && one.store === other.store && one.page === other.page;

const eachOf = (first: number, count: number, store: Stretch['store']): readonly Where[] =>
  Array.from({ length: count }, (_, index) => ({ store, page: first + index }));

/** The pages of a part of an area as they are pinned, or would be; fewer than there are IOVAs for, where some cannot be. */
export const pagesOf = (context: Context, part: Area, get: Getting = 'resolve'): readonly Where[] => {
  const page = BigInt(context.platform.pageSizeBytes);
  return stretchesOf(part.pages, [spanOf(context, part)], page, get).flatMap(({ start, end, store, page: first }) =>
    eachOf(first, Number(end - start), store),
  );
};

type Space = Area['pages']['owner']['space'];

/** The page that a process has at an address; `undefined` where it cannot be read. */
export const pageAt = ({ platform }: Context, space: Space, vaddr: bigint): Where | undefined => {
  const page = BigInt(platform.pageSizeBytes);
  // Pinning has made pages of its own of those that a process shares until it writes them.
  const { runs } = space.resolve(vaddr - (vaddr % page), 1, { write: false, own: true });
  const [run] = runs;
  return run && { store: run.pages, page: run.first };
};
