import type { Errno } from '../../../uapi/errno.ts';
import {
  IOMMU_TEST_OP_ACCESS_RW,
  iommuTestAccessRw,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_SYZ,
  MOST_BYTES_OF_ACCESS,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { type Objection, objection, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { copyFromSpace, copyToSpace } from '../../world/copying.ts';
import type { Process } from '../../world/process.ts';
import { overflows, partsUpToHole } from '../areas.ts';
import type { Context } from '../state.ts';
import { type AccessCall, accessIn, notAnAccess, type Opened, whyVague } from './file.ts';
import { permits } from './pin.ts';
import { COPIES, copyPartly, isReachable, newBuffer, type Piece, REACHES_BY, type Transfer } from './transfer.ts';

/* Reading and writing what is mapped, without pinning it. */

const RW = 'iommufd_access_rw(), drivers/iommu/iommufd/device.c';
const MOCK = 'iommufd_test_access_rw(), drivers/iommu/iommufd/selftest.c';
const KNOWN_FLAGS = MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ;

type Trouble = 'no access' | 'no memory' | 'hole';

interface RwCall extends AccessCall {
  readonly asked: Found<typeof iommuTestAccessRw.fields>;
  readonly caller: Process;
  readonly write: boolean;
  /** Part by part, as far as anything is mapped. */
  pieces(): readonly Piece[];
  /** What refuses the range, and the number of the piece that it refuses. */
  trouble(): { readonly what: Trouble; readonly piece: number } | undefined;
}

const piecesOf = ({ access }: Opened, { iova, length }: RwCall['asked']): readonly Piece[] =>
  partsUpToHole(access.ioas, iova, iova + length).parts.map((part) => ({ part, at: Number(part.start - iova) }));

/** How bytes go between the IO address space and the kernel. */
const transferOf = ({ opened, caller, asked, write }: RwCall): Omit<Transfer, 'buffer'> | undefined =>
  opened && {
    context: opened.context,
    caller,
    write,
    slow: (asked.flags & MOCK_ACCESS_RW_SLOW_PATH) !== 0,
  };

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

/** Copies the first pieces, between the memory of the caller and the IO address space; the next one perhaps. */
const copy = (call: RwCall, count: number): void => {
  const { asked, caller, write } = call;
  const place = { space: caller.space, vaddr: asked.uptr };
  const transferred = transferOf(call);
  if (transferred === undefined) return;
  const { context } = transferred;
  const by = context.law.of(COPIES);
  const size = Number(asked.length);
  const transfer = { ...transferred, buffer: newBuffer(context) };
  if (write) copyFromSpace(place, transfer.buffer, 0, size, by);
  const pieces = call.pieces();
  for (const piece of pieces.slice(0, count)) by.rule(transfer, piece);
  const next = pieces[count];
  if (next !== undefined && permits(next.part, write)) copyPartly(transfer, next);
  else if (!write && count === pieces.length) copyToSpace(place, transfer.buffer, 0, size, by);
};

const copyBeforeTrouble = (call: RwCall): void => {
  if (call.write) copy(call, call.trouble()?.piece ?? 0);
};

const READ_WRITE = request<Context, RwCall>({
  id: 'access/rw',
  level: 'must',
  says: 'An access reads or writes the memory behind a range of IOVAs, whether it is pinned or not and whoever asks, and returns 0; nothing is pinned or charged afterwards that was not before.',
  source: `${RW}: Copy kernel to/from data into the range given by IOVA/length`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_ACCESS_RW),
  situation: (_, { caller, argument }) => {
    const asked = readStruct(argument, iommuTestAccessRw);
    const call = accessIn(argument, asked.id);
    const fits = asked.length > 0n && !overflows(asked.iova, asked.length);
    return {
      ...call,
      asked,
      caller,
      write: (asked.flags & MOCK_ACCESS_RW_WRITE) !== 0,
      pieces: () => (call.opened !== undefined && fits ? piecesOf(call.opened, asked) : []),
      trouble() {
        return fits ? troubleOf(this) : undefined;
      },
    };
  },
  leavesOpen: (call) =>
    (call.asked.flags & MOCK_FLAGS_ACCESS_SYZ) !== 0 ? 'IOVAs by number of mapping are not stated' : whyVague(call),
  stages: ['length', 'flags', 'descriptor', 'buffer', 'range', 'pages', 'reply'],
  effect: (call) => copy(call, call.pieces().length),
});

const reaches = ({ caller, asked }: RwCall, access: 'read' | 'write'): boolean =>
  caller.space.reach(asked.uptr, asked.length, access) === asked.length;

const errnoOf = (call: RwCall): Errno => {
  const { opened } = call;
  const part = call.pieces()[call.trouble()?.piece ?? 0]?.part;
  return opened !== undefined && part?.pages.kind === 'file' ? 'EINVAL' : 'EFAULT';
};

type Stated = Omit<Objection<RwCall>, 'kind' | 'to' | 'level'>;
const refuses = (stated: Stated): Objection<RwCall> => objection(READ_WRITE, { level: 'must', ...stated });

const OBJECTIONS = [
  refuses({
    id: 'access/rw-too-long',
    says: 'More than 16 MiB at once are refused with ENOMEM.',
    source: MOCK,
    stage: 'length',
    errnos: ['ENOMEM'],
    when: ({ asked }) => asked.length > MOST_BYTES_OF_ACCESS,
  }),
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
    id: 'access/rw-empty',
    says: 'A length of 0 is refused with EINVAL.',
    source: RW,
    stage: 'range',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.length === 0n,
  }),
  refuses({
    id: 'access/rw-overflow',
    says: 'A range that goes beyond 2^64 is refused with EOVERFLOW.',
    source: RW,
    stage: 'range',
    errnos: ['EOVERFLOW'],
    when: ({ asked }) => overflows(asked.iova, asked.length),
  }),
  refuses({
    id: 'access/rw-unmapped',
    says: 'A range that is not mapped from its first byte to its last is refused with ENOENT; what lies before the hole was written.',
    source: RW,
    stage: 'pages',
    errnos: ['ENOENT'],
    when: (call) => call.trouble()?.what === 'hole',
    leaves: copyBeforeTrouble,
  }),
  refuses({
    id: 'access/rw-beyond-access',
    says: 'Writing what was not mapped WRITEABLE, or reading what was not mapped READABLE, is refused with EPERM, and that memory stays as it was.',
    source: `include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP_WRITEABLE; ${RW}: check_area_prot()`,
    stage: 'pages',
    errnos: ['EPERM'],
    when: (call) => call.trouble()?.what === 'no access',
    leaves: copyBeforeTrouble,
  }),
  refuses({
    id: 'access/rw-no-memory',
    says: 'Memory that is gone, or that the process itself may not use so, and is not pinned either, is refused with EFAULT (a file behind its end with EINVAL).',
    source: 'iopt_pages_rw_access(), drivers/iommu/iommufd/pages.c',
    stage: 'pages',
    errnos: ['EFAULT'],
    errno: errnoOf,
    when: (call) => call.trouble()?.what === 'no memory',
    leaves: copyBeforeTrouble,
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

export const ACCESS_RW_CLAUSES = [READ_WRITE, COPIES, REACHES_BY, notAnAccess(READ_WRITE), ...OBJECTIONS];
