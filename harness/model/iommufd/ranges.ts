import type { IovaRange } from '../../program/platform.ts';
import type { Clause } from '../../spec/clause.ts';
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_IOVA_RANGES,
  iommuIoasAllowIovas,
  iommuIoasIovaRanges,
  iommuIovaRange,
} from '../../uapi/iommufd.ts';
import { decode, encode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, type Objection, refusing, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes, u64Bytes } from '../type1/bytes.ts';
import type { Process } from '../world/process.ts';
import { ERRNOS } from './framing.ts';
import { isUsable, usableIn } from './reserved.ts';
import { alignmentOf, type Context, type Ioas } from './state.ts';

/* Which IOVAs can be mapped, and which are to stay so. */

const HEADER = 'include/uapi/linux/iommufd.h';
const IOAS = 'drivers/iommu/iommufd/ioas.c';
const RANGE = sizeOf(iommuIovaRange);

interface Asking {
  readonly asked: { readonly __reserved: number };
  readonly ioas: Ioas | undefined;
}

/** What refuses both commands, in the stage `arguments`. */
const refusedArguments = <S extends Asking>(call: Clause, source: string): readonly Objection<S>[] => {
  const refuses = refusing<S>(call);
  return [
    refuses({
      id: `${call.id}-reserved`,
      says: 'A reserved field that is not 0 is refused with EOPNOTSUPP.',
      source: `${ERRNOS}: EOPNOTSUPP; ${source}`,
      stage: 'arguments',
      errnos: ['EOPNOTSUPP'],
      when: ({ asked }) => asked.__reserved !== 0,
    }),
    refuses({
      id: `${call.id}-unknown-ioas`,
      says: 'An id that no IO address space has is refused with ENOENT.',
      source: `${ERRNOS}: ENOENT`,
      stage: 'arguments',
      errnos: ['ENOENT'],
      when: ({ ioas }) => ioas === undefined,
    }),
  ];
};

interface RangesCall {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: Found<typeof iommuIoasIovaRanges.fields>;
  readonly ioas: Ioas | undefined;
  readonly writable: boolean;
}

/** What can be mapped in an IO address space. */
const USABLE = rule<(ioas: Ioas) => readonly IovaRange[]>({
  id: 'ioas/ranges-without-device',
  level: 'must',
  says: 'While no device is attached every IOVA can be mapped: there is one range, from 0 to 2^64-1; then there is what the devices can translate, without the regions that are reserved for them.',
  source: `${HEADER}: IOMMU_IOAS_IOVA_RANGES: A fresh empty IOAS will have a full range`,
  rule: usableIn,
});

const told = ({ context, ioas, asked }: RangesCall): readonly IovaRange[] =>
  ioas === undefined ? [] : context.law.of(USABLE).rule(ioas).slice(0, asked.num_iovas);

const tell = (call: RangesCall): void => {
  const { caller, asked, context } = call;
  for (const [index, { start, end }] of told(call).entries()) {
    const bytes = encode(iommuIovaRange, { start, last: end });
    caller.space.write(asked.allowed_iovas + BigInt(index * RANGE), bytes, context.law.of(USABLE));
  }
};

const RANGES = request<Context, RangesCall>({
  id: 'ioas/ranges',
  level: 'must',
  says: 'IOAS_IOVA_RANGES writes the ranges of IOVAs that can be mapped, ascending, to where allowed_iovas points, and returns 0.',
  source: `${HEADER}: IOMMU_IOAS_IOVA_RANGES`,
  on: 'iommufd',
  request: IOMMU_IOAS_IOVA_RANGES,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuIoasIovaRanges);
    return {
      context,
      caller,
      asked,
      ioas: context.objects.get(asked.ioas_id),
      writable: argument.writable(0, sizeOf(iommuIoasIovaRanges)),
    };
  },
  stages: ['arguments', 'ranges', 'reply'],
  effect: tell,
});

const COUNT = field(RANGES, {
  id: 'ioas/ranges-count',
  level: 'must',
  says: 'The field num_iovas returns how many ranges there are.',
  source: `${HEADER}: IOMMU_IOAS_IOVA_RANGES: num_iovas will be set to the total number of iovas`,
  at: () => offsetOf(iommuIoasIovaRanges, 'num_iovas'),
  bytes: ({ context, ioas }) => u32Bytes(ioas === undefined ? 0 : context.law.of(USABLE).rule(ioas).length),
});

const ALIGNMENT = field(RANGES, {
  id: 'ioas/ranges-alignment',
  level: 'must',
  says: 'The field out_iova_alignment returns what IOVAs and lengths must be a multiple of: 1 while nothing restricts them, the page size once pages may not be combined.',
  source: `${HEADER}: out_iova_alignment can be 1 indicating any IOVA is allowed. It cannot be higher than the system PAGE_SIZE; iopt_calculate_iova_alignment(), drivers/iommu/iommufd/io_pagetable.c`,
  at: () => offsetOf(iommuIoasIovaRanges, 'out_iova_alignment'),
  bytes: ({ context, ioas }) => u64Bytes(ioas === undefined ? 0n : alignmentOf(ioas, context.platform)),
});

const refusesRanges = refusing(RANGES);

const RANGES_OBJECTIONS = [
  ...refusedArguments<RangesCall>(RANGES, `iommufd_ioas_iova_ranges(), ${IOAS}`),
  refusesRanges({
    id: 'ioas/ranges-unwritable',
    says: 'Ranges that cannot be written where they are to go are refused with EFAULT.',
    source: `iommufd_ioas_iova_ranges(), ${IOAS}`,
    stage: 'ranges',
    errnos: ['EFAULT'],
    when: (call) => {
      const bytes = BigInt(told(call).length * RANGE);
      return call.caller.space.reach(call.asked.allowed_iovas, bytes, 'write') < bytes;
    },
  }),
  refusesRanges({
    id: 'ioas/ranges-too-few',
    says: 'Room for fewer ranges than there are is refused with EMSGSIZE: the room is filled, and num_iovas says how many there are.',
    source: `${HEADER}: IOMMU_IOAS_IOVA_RANGES: The ioctl will return -EMSGSIZE and set num_iovas to the required value if num_iovas is too small`,
    stage: 'reply',
    errnos: ['EMSGSIZE'],
    when: ({ context, ioas, asked }) =>
      ioas !== undefined && context.law.of(USABLE).rule(ioas).length > asked.num_iovas,
    leaves: tell,
    out: (call) => [
      { at: COUNT.at(call), bytes: COUNT.bytes(call) ?? 0, clause: COUNT },
      { at: ALIGNMENT.at(call), bytes: ALIGNMENT.bytes(call) ?? 0, clause: ALIGNMENT },
    ],
  }),
];

interface AllowCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuIoasAllowIovas.fields>;
  readonly ioas: Ioas | undefined;
  /** Those before the first that cannot be read; of very many, the first of them. */
  readonly ranges: readonly IovaRange[];
}

/** Ranges one after another, as far as they can be read. */
const readRanges = ({ space }: Process, at: bigint, count: number): readonly IovaRange[] => {
  const readable = Number(space.reach(at, BigInt(Math.min(count, MOST_RANGES) * RANGE), 'read') / BigInt(RANGE));
  const bytes = space.read(at, readable * RANGE) ?? new Uint8Array(0);
  return Array.from({ length: readable }, (_, index) => {
    const { start, last } = decode(iommuIovaRange, bytes.subarray(index * RANGE, (index + 1) * RANGE));
    return { start, end: last };
  });
};

const hasBad = (ranges: readonly IovaRange[]): boolean =>
  ranges.some(
    ({ start, end }, index) =>
      start >= end || ranges.slice(0, index).some((other) => start <= other.end && other.start <= end),
  );

/** More ranges than this are tried by no program. */
const MOST_RANGES = 4096;

const ALLOW = request<Context, AllowCall>({
  id: 'ioas/allow',
  level: 'must',
  says: 'IOAS_ALLOW_IOVAS has IOVAs chosen from these ranges only, in place of those that it was given before, and returns 0; with no ranges from anywhere. What is mapped, and FIXED_IOVA, are not concerned.',
  source: `${HEADER}: IOMMU_IOAS_ALLOW_IOVAS: MAP will only allocate within the allowed IOVAs if they are present; This call replaces the entire allowed list`,
  on: 'iommufd',
  request: IOMMU_IOAS_ALLOW_IOVAS,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuIoasAllowIovas);
    const ranges = readRanges(caller, asked.allowed_iovas, asked.num_iovas);
    return { context, asked, ioas: context.objects.get(asked.ioas_id), ranges };
  },
  leavesOpen: ({ asked, ranges }) =>
    ranges.length === MOST_RANGES && asked.num_iovas > MOST_RANGES && !hasBad(ranges)
      ? `no more than ${MOST_RANGES} ranges are followed`
      : undefined,
  stages: ['arguments', 'ranges', 'reserved'],
  effect: ({ ioas, ranges }) => {
    if (ioas !== undefined) ioas.allowed = [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1));
  },
});

const refusesAllow = refusing(ALLOW);

const ALLOW_OBJECTIONS = [
  ...refusedArguments<AllowCall>(ALLOW, `iommufd_ioas_allow_iovas(), ${IOAS}`),
  refusesAllow({
    id: 'ioas/allow-unreadable',
    says: 'Ranges that cannot be read are refused with EFAULT, unless one before them is bad, and those that were allowed stay so.',
    source: `iommufd_ioas_load_iovas(), ${IOAS}`,
    stage: 'ranges',
    errnos: ['EFAULT'],
    when: ({ asked, ranges }) => ranges.length < asked.num_iovas && !hasBad(ranges),
  }),
  refusesAllow({
    id: 'ioas/allow-bad-range',
    says: 'A range that does not end behind its start, or that has an IOVA in common with another, is refused with EINVAL, and those before stay allowed.',
    source: `iommufd_ioas_load_iovas(), ${IOAS}`,
    stage: 'ranges',
    errnos: ['EINVAL'],
    when: ({ ranges }) => hasBad(ranges),
  }),
  refusesAllow({
    id: 'ioas/allow-beyond-ranges',
    says: 'A range that is not within what IOAS_IOVA_RANGES tells is refused with EADDRINUSE, and those before stay allowed.',
    source: `${HEADER}: IOMMU_IOAS_ALLOW_IOVAS: This call will fail if IOMMU_IOAS_IOVA_RANGES is currently narrower; iopt_set_allow_iova(), drivers/iommu/iommufd/io_pagetable.c`,
    stage: 'reserved',
    errnos: ['EADDRINUSE'],
    when: ({ ioas, ranges }) => ioas !== undefined && ranges.some((range) => !isUsable(ioas, range)),
  }),
];

export const IOAS_RANGES_CLAUSES = [RANGES, USABLE, COUNT, ALIGNMENT, ...RANGES_OBJECTIONS, ALLOW, ...ALLOW_OBJECTIONS];
