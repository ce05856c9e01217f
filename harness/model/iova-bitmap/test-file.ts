/** /dev/iova-bitmap-test: the kernel's bitmap functions, driven by a program (fixtures/modules/iova-bitmap). */

import type { Clause } from '../../spec/clause.ts';
import { errnoName } from '../../uapi/errno.ts';
import {
  EACH_WINDOW,
  IOVA_BITMAP_TEST_WALK,
  RANGE_CLIPPED,
  rangeArg,
  walkArg,
  windowArg,
} from '../../uapi/iova-bitmap-test.ts';
import { decode, encode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import type { Law } from '../law.ts';
import type { Answer, ByteRule, Outcome } from '../outcome.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { TEST_DEVICES } from '../world/clauses.ts';
import type { Files, IoctlCall, KernelFile } from '../world/kernel-file.ts';
import { objectionsTo } from './arguments.ts';
import {
  CALLBACK_ERROR,
  MARKED,
  NEXT_WINDOW,
  OFFERED,
  PAGES_OF_WINDOW,
  STARTS_PINNED,
  UNITS_PINNED,
  UNREACHABLE,
  WINDOW_IOVA,
  WINDOW_LENGTH,
} from './landed.ts';
import { setBits } from './user-memory.ts';
import { type BitmapWalk, type BitmapWalked, walkBitmap } from './walk.ts';
import { PAGE_BYTES } from './window.ts';

const PATH = '/dev/iova-bitmap-test';
const HEADER = sizeOf(walkArg);
const RANGE = sizeOf(rangeArg);
const WINDOW = sizeOf(windowArg);
/** What the module takes, beside which it refuses by itself. */
const LIMITS = { ranges: 256, windows: 1024, errno: 4095 };

/** The file, on machines that have the module. */
export const iovaBitmapFiles =
  (law: Law): Files =>
  (path) =>
    path === PATH ? () => ({ opens: () => testFile(law), clauses: [TEST_DEVICES] }) : undefined;

const testFile = (law: Law): KernelFile => ({
  kind: 'iova-bitmap-test',
  ioctl: (call) => answer(law, call),
});

/** A request that was read: the walk, and what the outcome is written to. */
interface Request {
  readonly walk: BitmapWalk;
  readonly space: AddressSpace;
  /** Start of the page that the bitmap begins in. */
  readonly firstPage: bigint;
  readonly windowsAt: number;
  /** Windows that there is room for. */
  readonly room: number;
}

const answer = (law: Law, call: IoctlCall): Answer => {
  const request = call.request === IOVA_BITMAP_TEST_WALK ? read(call) : undefined;
  if (request === undefined) return { unspecified: 'what the test module refuses is no business of the bitmap' };
  const { walk, space, firstPage } = request;
  if (objectionsTo((stated) => law.of(stated), walk).length > 0) {
    const bytes = Number(walk.length / (walk.pageSize || 1n) / 8n) + PAGE_BYTES;
    return {
      unspecified: 'nobody promises what a walk with such arguments does',
      commit: () => space.fill(firstPage, BigInt(Math.min(bytes, 1 << 26)), undefined, law.of(MARKED)),
    };
  }
  const walked = walkBitmap((stated) => law.of(stated), walk);
  return { allowed: [outcome(law, request, walked)] };
};

const read = ({ argument, caller }: IoctlCall): Request | undefined => {
  const bytes = argument.read(0, HEADER);
  if (bytes === undefined) return undefined;
  const asked = decode(walkArg, bytes);
  const { nr_ranges: count, nr_windows: room, fail_errno: errno } = asked;
  if (count > LIMITS.ranges || room > LIMITS.windows || errno > LIMITS.errno || asked.flags !== 0) return undefined;
  const windowsAt = HEADER + count * RANGE;
  if (asked.argsz !== windowsAt + room * WINDOW) return undefined;
  const ranges = argument.read(HEADER, count * RANGE);
  if (ranges === undefined) return undefined;
  const offset = Number(asked.bitmap % BigInt(PAGE_BYTES));
  const firstPage = asked.bitmap - BigInt(offset);
  const { space } = caller;
  return {
    walk: {
      iova: asked.iova,
      length: asked.length,
      pageSize: asked.page_size,
      offset,
      writable: (page) => space.reach(firstPage + BigInt(page * PAGE_BYTES), 1n, 'write') === 1n,
      marks: Array.from({ length: count }, (_, index) => mark(ranges.subarray(index * RANGE, (index + 1) * RANGE))),
      ...(errno === 0 ? {} : { fails: { window: asked.fail_window, errno: errnoName(errno) } }),
    },
    space,
    firstPage,
    windowsAt,
    room,
  };
};

const mark = (bytes: Uint8Array): BitmapWalk['marks'][number] => {
  const { iova, length, window, flags } = decode(rangeArg, bytes);
  return { iova, length, clipped: (flags & RANGE_CLIPPED) !== 0, ...(window === EACH_WINDOW ? {} : { window }) };
};

/** The clause that a walk's errno follows. */
const saysErrno = (law: Law, { errno }: BitmapWalked, { offset }: BitmapWalk): Clause => {
  if (errno === 0) return WINDOW_LENGTH;
  if (errno !== 'EFAULT') return CALLBACK_ERROR;
  if (law.of(OFFERED).rule === 'range') return UNREACHABLE;
  // Whether a page that is not there belongs to a bitmap that begins inside a page is a matter of how its pages are counted.
  return offset === 0 ? UNREACHABLE : PAGES_OF_WINDOW;
};

const outcome = (law: Law, { walk, windowsAt, room, space, firstPage }: Request, walked: BitmapWalked): Outcome => {
  const { errno, windows, bits, lost } = walked;
  const header = encode(walkArg, { nr_windows: windows.length, stage: walked.stage === 'start' ? 1 : 2, lost });
  const field = (name: keyof typeof walkArg.fields, size: number, clause: ByteRule['clause']): ByteRule => {
    const at = offsetOf(walkArg, name);
    return { at, bytes: header.subarray(at, at + size), clause };
  };
  const windowRules = windows.slice(0, room).flatMap((window, index): readonly ByteRule[] => {
    const bytes = encode(windowArg, window);
    const at = windowsAt + index * WINDOW;
    const end = index + 1 < windows.length ? UNITS_PINNED : WINDOW_LENGTH;
    return [
      { at, bytes: bytes.subarray(0, 8), clause: law.of(WINDOW_IOVA) },
      { at: at + 8, bytes: bytes.subarray(8), clause: law.of(end) },
    ];
  });
  return {
    ret: { exactly: errno === 0 ? 0n : -1n },
    errno,
    out: [
      field('nr_windows', 4, law.of(NEXT_WINDOW)),
      field('stage', 4, law.of(STARTS_PINNED)),
      // Which form it is, is no promise of either.
      { at: offsetOf(walkArg, 'form'), bytes: 4, clause: law.of(STARTS_PINNED) },
      field('lost', 8, law.of(MARKED)),
      ...windowRules,
    ],
    clauses: [law.of(saysErrno(law, walked, walk))],
    commit: () => {
      for (const run of bits) setBits(space, firstPage, run, law.of(MARKED));
    },
  };
};
