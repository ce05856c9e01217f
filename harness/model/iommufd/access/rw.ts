import type { Errno } from '../../../uapi/errno.ts';
import {
  IOMMU_TEST_OP_ACCESS_RW,
  iommuTestAccessRw,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_SYZ,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { type Objection, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { copyFromSpace, copyToSpace } from '../../world/copying.ts';
import { PageStore } from '../../world/page-store.ts';
import type { Process } from '../../world/process.ts';
import { overflows, partsUpToHole } from '../areas.ts';
import type { Context } from '../state.ts';
import { type AccessCall, accessIn, notAnAccess, type Opened } from './file.ts';
import { permits } from './pin.ts';
import { rangeObjections, tooLong, whyOpen } from './ranges.ts';
import { COPIES, copyPartly, isReachable, type Piece, REACHES_BY, type Transfer } from './transfer.ts';

/* Reading and writing what is mapped, without pinning it. */

const RW = 'iommufd_access_rw(), drivers/iommu/iommufd/device.c';
const MOCK = 'iommufd_test_access_rw(), drivers/iommu/iommufd/selftest.c';
const KNOWN_FLAGS = MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ;

type Trouble = 'no access' | 'no memory' | 'hole';

interface RwCall extends AccessCall {
  readonly asked: Pick<Found<typeof iommuTestAccessRw.fields>, 'iova' | 'length'>;
  readonly caller: Process;
  readonly write: boolean;
  readonly as: Transfer['as'];
  /** The kernel's buffer, with what is to be written. */
  buffer(): PageStore;
  /** Part by part, as far as anything is mapped. */
  pieces(): readonly Piece[];
  /** What refuses the range, and the number of the piece that it refuses. */
  trouble(): { readonly what: Trouble; readonly piece: number } | undefined;
}

const piecesOf = ({ access }: Opened, { iova, length }: RwCall['asked']): readonly Piece[] =>
  access.ioas === undefined
    ? []
    : partsUpToHole(access.ioas, iova, iova + length).parts.map((part) => ({ part, at: Number(part.start - iova) }));

/** How bytes go between the IO address space and the kernel. */
const transferOf = ({ opened, caller, write, as }: RwCall): Omit<Transfer, 'buffer'> | undefined =>
  opened && { context: opened.context, caller, write, as };

const troubleOf = (call: RwCall): ReturnType<RwCall['trouble']> => {
  const transfer = transferOf(call);
  if (transfer === undefined) return undefined;
  const pieces = call.pieces();
  for (const [piece, { part }] of pieces.entries()) {
    if (!permits(part, call.write)) return { what: 'no access', piece };
    if (!isReachable(transfer, part)) return { what: 'no memory', piece };
  }
  const { iova, length } = call.asked;
  return (pieces.at(-1)?.part.end ?? iova) < iova + length ? { what: 'hole', piece: pieces.length } : undefined;
};

/** What reading or writing is about, whoever asks. */
export const rwCall = (call: AccessCall & Pick<RwCall, 'asked' | 'caller' | 'write' | 'as' | 'buffer'>): RwCall => {
  const { asked, opened } = call;
  const fits = asked.length > 0n && !overflows(asked.iova, asked.length);
  return {
    ...call,
    pieces: () => (opened !== undefined && fits ? piecesOf(opened, asked) : []),
    trouble() {
      return fits ? troubleOf(this) : undefined;
    },
  };
};

/** Copies all pieces, or those before the one that is refused, and of that what may have been; returns the buffer. */
export const copy = (call: RwCall): PageStore => {
  const buffer = call.buffer();
  const transferred = transferOf(call);
  if (transferred === undefined) return buffer;
  const transfer = { ...transferred, buffer };
  const pieces = call.pieces();
  const trouble = call.trouble();
  const { rule } = transfer.context.law.of(COPIES);
  for (const piece of pieces.slice(0, trouble?.piece)) rule(transfer, piece);
  const next = trouble?.what === 'no memory' ? pieces[trouble.piece] : undefined;
  if (next !== undefined) copyPartly(transfer, next);
  return buffer;
};

interface MockCall extends RwCall {
  readonly asked: Found<typeof iommuTestAccessRw.fields>;
}

/** What is to be written, as the caller has it. */
const fromCaller = ({ opened }: AccessCall, caller: Process, asked: MockCall['asked'], write: boolean): PageStore => {
  const buffer = new PageStore(opened?.context.platform.pageSizeBytes ?? 1);
  const by = opened?.context.law.of(COPIES);
  if (write && by !== undefined)
    copyFromSpace({ space: caller.space, vaddr: asked.uptr }, buffer, 0, Number(asked.length), by);
  return buffer;
};

export const READ_WRITE = request<Context, MockCall>({
  id: 'access/rw',
  level: 'must',
  says: 'An access reads or writes the memory behind a range of IOVAs, whether it is pinned or not and whoever asks, and returns 0; nothing is pinned or charged afterwards that was not before.',
  source: `${RW}: Copy kernel to/from data into the range given by IOVA/length`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_ACCESS_RW),
  situation: (_, { caller, argument }) => {
    const asked = readStruct(argument, iommuTestAccessRw);
    const call = accessIn(argument, asked.id);
    const write = (asked.flags & MOCK_ACCESS_RW_WRITE) !== 0;
    const as = (asked.flags & MOCK_ACCESS_RW_SLOW_PATH) !== 0 ? 'other' : 'caller';
    const buffer = (): PageStore => fromCaller(call, caller, asked, write);
    return { ...rwCall({ ...call, asked, caller, write, as, buffer }), asked };
  },
  leavesOpen: whyOpen,
  stages: ['length', 'flags', 'descriptor', 'buffer', 'range', 'pages', 'reply'],
  effect: (call) => {
    const { caller, asked, write, opened } = call;
    const buffer = copy(call);
    if (write || opened === undefined) return;
    const place = { space: caller.space, vaddr: asked.uptr };
    copyToSpace(place, buffer, 0, Number(asked.length), opened.context.law.of(COPIES));
  },
});

const reaches = ({ caller, asked }: MockCall, access: 'read' | 'write'): boolean =>
  caller.space.reach(asked.uptr, asked.length, access) === asked.length;

const errnoOf = (call: RwCall): Errno => {
  const { opened } = call;
  const part = call.pieces()[call.trouble()?.piece ?? 0]?.part;
  return opened !== undefined && part?.pages.kind === 'file' ? 'EINVAL' : 'EFAULT';
};

const refuses = refusing(READ_WRITE);
const refusesAll = refusing<RwCall>(READ_WRITE);

const MOCK_OBJECTIONS = [
  tooLong<MockCall>(READ_WRITE, MOCK),
  refuses({
    id: 'access/rw-flags',
    says: 'A flag that is not known, and the one for threads of the kernel, are refused with EOPNOTSUPP.',
    source: MOCK,
    stage: 'flags',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~KNOWN_FLAGS) !== 0,
  }),
  refuses({
    id: 'access/rw-unreadable',
    says: 'What is to be written and cannot be read is refused with EFAULT, and nothing is written.',
    source: MOCK,
    stage: 'buffer',
    errnos: ['EFAULT'],
    when: (call) => call.write && !reaches(call, 'read'),
  }),
  refuses({
    id: 'access/rw-unwritable',
    says: 'What was read and cannot be returned is refused with EFAULT.',
    source: MOCK,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: (call) => !call.write && !reaches(call, 'write'),
    leaves: ({ caller, asked, opened }) => {
      const by = opened?.context.law.of(COPIES);
      caller.space.fill(asked.uptr, asked.length, undefined, by);
    },
  }),
];

const PAGE_OBJECTIONS = [
  refusesAll({
    id: 'access/rw-unmapped',
    says: 'A range that is not mapped from its first byte to its last is refused with ENOENT; what lies before the hole was written.',
    source: RW,
    stage: 'pages',
    errnos: ['ENOENT'],
    when: (call) => call.trouble()?.what === 'hole',
    leaves: copy,
  }),
  refusesAll({
    id: 'access/rw-beyond-access',
    says: 'Writing what was not mapped WRITEABLE, or reading what was not mapped READABLE, is refused with EPERM, and that memory stays as it was.',
    source: `include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP_WRITEABLE; ${RW}: check_area_prot()`,
    stage: 'pages',
    errnos: ['EPERM'],
    when: (call) => call.trouble()?.what === 'no access',
    leaves: copy,
  }),
  refusesAll({
    id: 'access/rw-no-memory',
    says: 'Memory that is gone, or that the process itself may not use so, and is not pinned either, is refused with EFAULT (a file behind its end with EINVAL).',
    source: 'iopt_pages_rw_access(), drivers/iommu/iommufd/pages.c',
    stage: 'pages',
    errnos: ['EFAULT'],
    errno: errnoOf,
    when: (call) => call.trouble()?.what === 'no memory',
    leaves: copy,
  }),
];

/** What refuses a range, stage by stage, whoever asks; what comes before it is copied. */
export const RW_STAGES: readonly (readonly Objection<RwCall>[])[] = [rangeObjections(READ_WRITE, RW), PAGE_OBJECTIONS];

export const ACCESS_RW_CLAUSES = [
  READ_WRITE,
  COPIES,
  REACHES_BY,
  notAnAccess(READ_WRITE),
  ...MOCK_OBJECTIONS,
  ...RW_STAGES.flat(),
];
