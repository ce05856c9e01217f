import type { Errno } from '../../../uapi/errno.ts';
import { IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE } from '../../../uapi/iommufd.ts';
import {
  IOMMU_TEST_OP_ACCESS_PAGES,
  iommuTestAccessPages,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
  testOperation,
} from '../../../uapi/iommufd-test.ts';
import { offsetOf } from '../../../uapi/struct.ts';
import { field, type Holds, type Objection, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import type { Process } from '../../world/process.ts';
import { overflows, partsUpToHole } from '../areas.ts';
import { outOfReach, overLimit, settle } from '../pinned.ts';
import type { Area, Context } from '../state.ts';
import { type AccessCall, accessIn, notAnAccess, type Opened } from './file.ts';
import { isSame, pageAt, pagesOf } from './places.ts';
import { rangeObjections, tooLong, whyOpen } from './ranges.ts';

/* Pages that an access pins. */

const PIN = 'iommufd_access_pin_pages(), drivers/iommu/iommufd/device.c';
const MOCK = 'iommufd_test_access_pages(), drivers/iommu/iommufd/selftest.c';

/** What keeps an access from the first page of a range that it cannot have. */
type Trouble = 'unaligned' | 'no access' | 'no memory' | 'over limit' | 'hole';

interface PinCall extends AccessCall {
  readonly asked: Pick<Found<typeof iommuTestAccessPages.fields>, 'iova' | 'length' | 'flags' | 'uptr'>;
  readonly caller: Process;
  /** The parts of areas that are pinned, or that come before the one that is not. */
  parts(): readonly Area[];
  /** What refuses the range, where that is sure. */
  trouble(): Trouble | undefined;
  overLimit(): Holds;
  /** The part that is refused. */
  failing(): Area | undefined;
}

/** Whether an access may use a mapping so. */
export const permits = ({ access }: Area, write: boolean): boolean =>
  (access & (write ? IOMMU_IOAS_MAP_WRITEABLE : IOMMU_IOAS_MAP_READABLE)) !== 0;

/** Whether a part begins with a page and, where the range goes on behind it, ends with one. */
const isWhole = ({ platform }: Context, { pages, from, start, end }: Area, goesOn: boolean): boolean => {
  const page = BigInt(platform.pageSizeBytes);
  const first = pages.vaddr + from;
  return first % page === 0n && (!goesOn || (first + (end - start)) % page === 0n);
};

interface Walked {
  readonly parts: readonly Area[];
  readonly trouble: Trouble | undefined;
  readonly overdrawn: Holds;
  readonly failing: Area | undefined;
}

/** Goes through the parts of a range in their order, as far as they can be pinned. */
const walk = ({ context, access }: Opened, { iova, length, flags }: PinCall['asked']): Walked => {
  const end = iova + length;
  const nothing = { parts: [], done: iova };
  const { parts, done } = access.ioas === undefined ? nothing : partsUpToHole(access.ioas, iova, end);
  const write = (flags & MOCK_FLAGS_ACCESS_WRITE) !== 0;
  let overdrawn: Holds = false;
  const troubleOf = (part: Area, index: number): Trouble | undefined => {
    if (!isWhole(context, part, part.end < end)) return 'unaligned';
    if (!permits(part, write)) return 'no access';
    if (outOfReach(context, [part])) return 'no memory';
    overdrawn = overLimit(context, parts.slice(0, index + 1));
    return overdrawn === true ? 'over limit' : undefined;
  };
  const troubles = parts.map(troubleOf);
  const first = troubles.findIndex((one) => one !== undefined);
  const hole = done < end ? 'hole' : undefined;
  return { parts, trouble: troubles[first] ?? hole, overdrawn, failing: parts[first] };
};

/** What pinning is about, whoever asks. */
export const pinCall = (caller: Process, asked: PinCall['asked'], call: AccessCall): PinCall => {
  let once: Walked | undefined;
  const walked = (): Walked => {
    const { opened } = call;
    const given = opened !== undefined && asked.length > 0n && !overflows(asked.iova, asked.length);
    once ??= given ? walk(opened, asked) : { parts: [], trouble: undefined, overdrawn: false, failing: undefined };
    return once;
  };
  return {
    ...call,
    asked,
    caller,
    parts: () => walked().parts,
    failing: () => walked().failing,
    trouble: () => walked().trouble,
    overLimit: () => walked().overdrawn,
  };
};

export const PAGES = request<Context, PinCall>({
  id: 'access/pin',
  level: 'must',
  says: 'An access pins the pages of a range of IOVAs, over as many mappings as it goes through, and returns 0: they are the pages at user_va then, those that were pinned before included, and stay pinned until it lets go of them.',
  source: `${PIN}: Reads @length bytes starting at iova and returns the struct page * pointers; The caller must perform iommufd_access_unpin_pages() when done`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_ACCESS_PAGES),
  situation: (_, { caller, argument }) => {
    const asked = readStruct(argument, iommuTestAccessPages);
    return pinCall(caller, asked, accessIn(argument, asked.id));
  },
  leavesOpen: whyOpen,
  stages: ['length', 'flags', 'descriptor', 'kind', 'range', 'pages', 'check'],
  effect: ({ opened, asked, parts }) => {
    if (opened === undefined) return;
    const { context, access } = opened;
    const { iova, length } = asked;
    access.items.push({ number: access.next++, start: iova, end: iova + length, parts: parts() });
    settle(context);
  },
});

const NUMBER = field(PAGES, {
  id: 'access/pin-number',
  level: 'must',
  says: 'The field out_access_pages_id returns the number by which the pages can be let go of, from 0 on for each access; nothing else of the argument changes.',
  source: MOCK,
  at: () => offsetOf(iommuTestAccessPages, 'out_access_pages_id'),
  bytes: ({ opened }) => u32Bytes(opened?.access.next ?? 0),
});

/** What is wrong with where the caller says that the pages are. */
const mismatch = ({ opened, asked, caller, parts }: PinCall): Errno | undefined => {
  if (opened === undefined || asked.uptr === 0n) return undefined;
  const { context } = opened;
  const page = BigInt(context.platform.pageSizeBytes);
  for (const [index, where] of parts()
    .flatMap((part) => pagesOf(context, part))
    .entries()) {
    const vaddr = asked.uptr + BigInt(index) * page;
    if (caller.space.reach(vaddr, 1n, 'read') === 0n) return 'EFAULT';
    if (!isSame(where, pageAt(context, caller.space, vaddr))) return 'EBADE';
  }
  return undefined;
};

const refuses = refusing(PAGES);

const MOCK_OBJECTIONS = [
  tooLong<PinCall>(PAGES, MOCK),
  refuses({
    id: 'access/pin-flags',
    says: 'A flag that is not known is refused with EOPNOTSUPP.',
    source: MOCK,
    stage: 'flags',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ)) !== 0,
  }),
  refuses({
    id: 'access/pin-not-made-for',
    says: 'An access that was not made for pinning is refused with EOPNOTSUPP.',
    source: `${PIN}: Driver's ops don't support pin_pages; ${MOCK}`,
    stage: 'kind',
    errnos: ['EOPNOTSUPP'],
    when: ({ opened }) => opened?.access.pinning === false,
  }),
  refuses({
    id: 'access/pin-elsewhere',
    says: 'Where the caller has other pages than those that were pinned the call fails with EBADE (with EFAULT where it has none), and nothing stays pinned that was not before.',
    source: `${MOCK}: iommufd_test_check_pages()`,
    stage: 'check',
    errnos: ['EBADE'],
    errno: mismatch,
    when: (call) => mismatch(call) !== undefined,
  }),
];

const PAGE_OBJECTIONS = [
  refuses({
    id: 'access/pin-unmapped',
    says: 'A range that is not mapped from its first byte to its last is refused with ENOENT, and nothing stays pinned.',
    source: PIN,
    stage: 'pages',
    errnos: ['ENOENT'],
    when: (call) => call.trouble() === 'hole',
  }),
  refuses({
    id: 'access/pin-unaligned',
    says: 'A range that does not begin with a page is refused with EINVAL; how long it is does not matter.',
    source: `${PIN}: This API always requires a page aligned iova`,
    stage: 'pages',
    errnos: ['EINVAL'],
    when: (call) => call.trouble() === 'unaligned',
  }),
  refuses({
    id: 'access/pin-beyond-access',
    says: 'Pinning to write what was not mapped WRITEABLE, or to read what was not mapped READABLE, is refused with EPERM, and nothing stays pinned, not what comes before it either.',
    source: `include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP_WRITEABLE; ${PIN}: check_area_prot()`,
    stage: 'pages',
    errnos: ['EPERM'],
    when: (call) => call.trouble() === 'no access',
  }),
  refuses({
    id: 'access/pin-no-memory',
    says: 'A range of which any page cannot be pinned is refused (EFAULT for memory, EINVAL beyond the end of a file), and nothing stays pinned.',
    source: 'iopt_pages_fill_xarray(), drivers/iommu/iommufd/pages.c: On failure the xarray is left unchanged',
    stage: 'pages',
    errnos: ['EFAULT', 'EINVAL'],
    errno: (call) => (call.failing()?.pages.kind === 'file' ? 'EINVAL' : 'EFAULT'),
    when: (call) => call.trouble() === 'no memory',
  }),
  refuses({
    id: 'access/pin-over-limit',
    says: 'A range of more pages, beyond those that are pinned already, than whom they are charged to may still lock is refused with ENOMEM, and nothing is pinned or charged.',
    source: 'incr_user_locked_vm(), update_mm_locked_vm(), drivers/iommu/iommufd/pages.c',
    stage: 'pages',
    errnos: ['ENOMEM'],
    when: (call) => call.overLimit(),
  }),
];

/** What refuses a range, stage by stage, whoever asks. */
export const PIN_STAGES: readonly (readonly Objection<PinCall>[])[] = [rangeObjections(PAGES, PIN), PAGE_OBJECTIONS];

export const ACCESS_PIN_CLAUSES = [PAGES, NUMBER, notAnAccess(PAGES), ...MOCK_OBJECTIONS, ...PIN_STAGES.flat()];
