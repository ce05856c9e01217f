import { rule } from '../../clauses.ts';
import { copyFromSpace, copyToSpace, type InSpace } from '../../world/copying.ts';
import type { PageStore } from '../../world/page-store.ts';
import type { Process } from '../../world/process.ts';
import { outOfReach } from '../pinned.ts';
import type { Area, Context } from '../state.ts';
import { pagesOf } from './places.ts';

/* Bytes that an access copies, part by part of what is mapped. */

/** What is copied, from or to a buffer of the kernel's. */
export interface Transfer {
  readonly context: Context;
  readonly caller: Process;
  readonly write: boolean;
  /** Not as the caller, even where the caller's memory it is; `thread`: as a thread of the kernel, which has none of its own. */
  readonly as: 'caller' | 'other' | 'thread';
  readonly buffer: PageStore;
}

/** A part, and the byte of the buffer that its first one is. */
export interface Piece {
  readonly part: Area;
  readonly at: number;
}

const sizeOf = ({ start, end }: Area): number => Number(end - start);

/** How a part is reached: at its address as it is now, or by the pages that are pinned, or are for this. */
export const REACHES_BY = rule<(transfer: Omit<Transfer, 'buffer' | 'write'>, part: Area) => 'address' | 'pages'>({
  id: 'access/rw-by-address',
  level: 'may',
  says: 'When the process calls whose memory it is, what is at user_va now is read and written, pinned or not, and when a thread of the kernel does; so it is in one page when another process calls. More pages at once, those of a file and of a process that is gone are the pinned ones where they are pinned.',
  source: 'iopt_pages_rw_access(), drivers/iommu/iommufd/pages.c: a fast path and ignore any pinning inconsistencies',
  rule: ({ context: { platform }, caller, as }, { pages, from, start, end }) => {
    const { space } = pages.owner;
    if (pages.kind === 'file' || !space.alive) return 'pages';
    if (as === 'thread' || (as === 'caller' && caller.space === space)) return 'address';
    const page = BigInt(platform.pageSizeBytes);
    const first = (pages.vaddr % page) + from;
    return first / page === (first + (end - start) - 1n) / page ? 'address' : 'pages';
  },
});

const isByAddress = (transfer: Omit<Transfer, 'buffer'>, part: Area): boolean =>
  transfer.context.law.of(REACHES_BY).rule(transfer, part) === 'address';

const addressOf = ({ pages, from }: Area): InSpace => ({ space: pages.owner.space, vaddr: pages.vaddr + from });

/** Whether all of a part can be copied. */
export const isReachable = (transfer: Omit<Transfer, 'buffer'>, part: Area): boolean => {
  if (!isByAddress(transfer, part)) return !outOfReach(transfer.context, [part]);
  const { space, vaddr } = addressOf(part);
  return space.reach(vaddr, part.end - part.start, transfer.write ? 'write' : 'read') === part.end - part.start;
};

/** What an access copies. */
export const COPIES = rule<(transfer: Transfer, piece: Piece) => void>({
  id: 'access/rw-content',
  level: 'must',
  says: 'Reading gives the bytes that are in the memory, from the first IOVA to the last and over as many mappings as that takes; writing leaves those that were given there, and no others.',
  source:
    'iommufd_access_rw(), drivers/iommu/iommufd/device.c: Copy kernel to/from data into the range given by IOVA/length',
  rule: (transfer, { part, at }) => {
    const { context, buffer, write } = transfer;
    const by = context.law.of(COPIES);
    if (isByAddress(transfer, part)) {
      const copy = write ? copyToSpace : copyFromSpace;
      copy(addressOf(part), buffer, at, sizeOf(part), by);
    } else copyPages(transfer, { part, at });
  },
});

const copyPages = ({ context, buffer, write }: Transfer, { part, at }: Piece): void => {
  const by = context.law.of(COPIES);
  const { pageSizeBytes } = context.platform;
  let within = Number((part.pages.vaddr + part.from) % BigInt(pageSizeBytes));
  let done = 0;
  for (const { store, page } of pagesOf(context, part, 'pin')) {
    const size = Math.min(pageSizeBytes - within, sizeOf(part) - done);
    const place = page * pageSizeBytes + within;
    if (write) store.copyBytes(place, buffer, at + done, size, by);
    else buffer.copyBytes(at + done, store, place, size, by);
    done += size;
    within = 0;
  }
};

/** What a part, or the buffer, may have when not all of it could be copied: up to the first fault any byte may be new. */
export const copyPartly = (transfer: Transfer, { part, at }: Piece): void => {
  const { context, write, buffer } = transfer;
  const by = context.law.of(COPIES);
  if (!write) {
    buffer.fill(at, sizeOf(part), undefined, by);
    return;
  }
  const { space, vaddr } = addressOf(part);
  if (isByAddress(transfer, part)) space.fill(vaddr, part.end - part.start, undefined, by);
  else
    for (const { store, page } of pagesOf(context, part, 'pin')) {
      store.fill(page * store.pageSize, store.pageSize, undefined, by);
    }
};
