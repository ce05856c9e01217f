import {
  EMULATED_BY_KERNEL_THREAD,
  EMULATED_PIN_WRITE,
  EMULATED_WRITE,
  emulatedCommand,
} from '../../../uapi/emulated-test.ts';
import { MOCK_FLAGS_ACCESS_WRITE } from '../../../uapi/iommufd-test.ts';
import { sizeOf } from '../../../uapi/struct.ts';
import { answerInStages, stagesInForce } from '../../answer.ts';
import type { Answer } from '../../outcome.ts';
import { unmapped } from '../../type1/emulated-device.ts';
import { mostPages } from '../../type1/emulated-file.ts';
import { done } from '../../type1/emulated-memory.ts';
import type { Asked, Emulated, Memory, Unpin } from '../../type1/emulated-state.ts';
import type { Run } from '../../world/address-space.ts';
import { EMULATED } from '../../world/clauses.ts';
import { fails } from '../../world/replies.ts';
import { partsUpToHole } from '../areas.ts';
import { settle } from '../pinned.ts';
import type { Access, Context, Pinned } from '../state.ts';
import { PAGES, PIN_STAGES, pinCall } from './pin.ts';
import { pagesOf } from './places.ts';
import { copy, READ_WRITE, RW_STAGES, rwCall } from './rw.ts';

/* Devices of the test module vfio-emulated that are bound to a context: their memory is that of an IO address space. */

/** Gives back what a device pinned: each time it pinned a page is an item. */
const unpinFrom =
  (context: Context, items: Pinned[], pageSize: bigint): Unpin =>
  (page, times) => {
    for (let left = times; left > 0; left--) {
      const index = items.findIndex(({ start }) => start === page * pageSize);
      if (index >= 0) items.splice(index, 1);
    }
    settle(context);
  };

/** The access of a device that is bound. */
export const emulatedAccess = (context: Context, emulated: Emulated): Access => {
  const items: Pinned[] = [];
  const unpin = unpinFrom(context, items, BigInt(emulated.window.pageSize));
  return {
    kind: 'access',
    ioas: undefined,
    pinning: true,
    items,
    next: 0,
    told: (range) => unmapped(emulated, unpin, range),
  };
};

/** What a device has of its IO address space. */
export const memoryOfAccess = (context: Context, access: Access, emulated: Emulated): Memory => {
  const pageSize = BigInt(emulated.window.pageSize);
  const opened = { context, access };
  const answered = (): number => sizeOf(emulatedCommand);
  return {
    unpin: unpinFrom(context, access.items, pageSize),
    pin: (caller, { flags, iova, count }, taken): Answer => {
      if (count > mostPages(pageSize)) return fails('EBADMSG', EMULATED);
      const write = (flags & EMULATED_PIN_WRITE) !== 0;
      const asked = { iova, length: count * pageSize, flags: write ? MOCK_FLAGS_ACCESS_WRITE : 0, uptr: 0n };
      const call = pinCall(caller, asked, { opened, vague: false });
      const commit = (): void => taken(pinEach(context, access, asked, pageSize));
      return answerInStages(stagesInForce(context.law, PIN_STAGES), call, () => [
        done(answered(), commit, { clauses: [PAGES] }),
      ]);
    },
    readOrWrite: (caller, { op, flags, iova, count }: Asked): Answer => {
      const call = rwCall({
        opened,
        vague: false,
        asked: { iova, length: count },
        caller,
        write: op === EMULATED_WRITE,
        as: (flags & EMULATED_BY_KERNEL_THREAD) === 0 ? 'caller' : 'thread',
        buffer: () => emulated.window,
      });
      const succeed = (): void => void copy(call);
      return answerInStages(stagesInForce(context.law, RW_STAGES), call, () => [
        done(answered(), succeed, { clauses: [READ_WRITE] }),
      ]);
    },
  };
};

/** Pins pages one by one, and tells which they are. */
const pinEach = (
  context: Context,
  access: Access,
  { iova, length }: { readonly iova: bigint; readonly length: bigint },
  pageSize: bigint,
): readonly Run[] => {
  const { ioas } = access;
  if (ioas === undefined) return [];
  for (let start = iova; start < iova + length; start += pageSize) {
    const { parts } = partsUpToHole(ioas, start, start + pageSize);
    access.items.push({ number: access.next++, start, end: start + pageSize, parts });
  }
  settle(context);
  const { parts } = partsUpToHole(ioas, iova, iova + length);
  return parts
    .flatMap((part) => pagesOf(context, part))
    .map(({ store, page }) => ({
      pages: store,
      first: page,
      count: 1,
      kind: 'memory',
      object: undefined,
      shared: false,
    }));
};
