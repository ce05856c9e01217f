import { decode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  vfioDeviceFeatureDmaLoggingControl,
  vfioDeviceFeatureDmaLoggingRange,
} from '../../uapi/vfio-logging.ts';
import { field, type Objection, objection, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import type { DeviceFile } from '../type1/files.ts';
import type { AddressSpace } from '../world/address-space.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { DATA_AT, featureRequest } from './feature.ts';
import { fitted, roomFor } from './ranges.ts';
import type { LoggedRange, Logger } from './state.ts';

/* A device is asked to log what it writes. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_FEATURE_DMA_LOGGING_START';
const SOURCE = 'vfio_ioctl_device_feature_logging_start(), drivers/vfio/vfio_main.c';
const MODULE = 'fixtures/modules/emulated/README.md';
const TYPE = vfioDeviceFeatureDmaLoggingControl;
const RANGE = vfioDeviceFeatureDmaLoggingRange;
const TOP = 1n << 64n;
/** Ranges that fit into a page. */
const MOST_RANGES = 256;
/** Granularities that the device has: all powers of two from the first to the last. */
const PAGE_SIZES = { smallest: 4096n, largest: 2n << 20n };

type Range = { readonly iova: bigint; readonly length: bigint };

interface StartCall {
  readonly file: DeviceFile;
  readonly logger: Logger;
  readonly asked: Found<typeof TYPE.fields>;
  /** The ranges that can be read, up to the first that cannot. */
  readonly ranges: readonly Range[];
  readonly writable: boolean;
}

const rangesOf = (space: AddressSpace, { num_ranges, ranges: at }: Found<typeof TYPE.fields>): readonly Range[] => {
  const found: Range[] = [];
  for (let index = 0; index < num_ranges && num_ranges <= MOST_RANGES; index++) {
    const bytes = space.read(at + BigInt(index * sizeOf(RANGE)), sizeOf(RANGE));
    if (bytes === undefined) break;
    found.push(decode(RANGE, bytes));
  }
  return found;
};

const granularity = (hint: bigint): bigint => {
  const { smallest, largest } = PAGE_SIZES;
  if (hint < smallest) return smallest;
  const power = 1n << BigInt(hint.toString(2).length - 1);
  return power > largest ? largest : power;
};

const asLogged = ({ ranges }: StartCall): readonly LoggedRange[] =>
  ranges
    .map(({ iova, length }) => ({ start: iova, last: iova + length - 1n }))
    .sort((a, b) => (a.start < b.start ? -1 : 1));

/** What the device logs, or `undefined` where it has no room for it. */
const taken = (call: StartCall): readonly LoggedRange[] | undefined =>
  fitted(call.file.vfio.law, asLogged(call), roomFor(granularity(call.asked.page_size), PAGE_SIZES.largest));

const START = request<DeviceFile, StartCall>({
  id: 'logging/start',
  level: 'must',
  says: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_START has a device log what it writes by DMA from then on, in the ranges that are given, and returns 0; nothing is logged that was written before.',
  source: `${HEADER}: Upon VFIO_DEVICE_FEATURE_SET start/stop device DMA logging`,
  on: 'device',
  request: featureRequest(VFIO_DEVICE_FEATURE_DMA_LOGGING_START),
  situation: (file, { argument, caller }: IoctlCall) => {
    const asked = readStruct(argument, TYPE, DATA_AT);
    const writable = argument.writable(DATA_AT, sizeOf(TYPE));
    return { file, logger: loggerOf(file), asked, ranges: rangesOf(caller.space, asked), writable };
  },
  leavesOpen: ({ logger, ranges }) =>
    logger.unclear ??
    (ranges.some(({ length }) => length === 0n) ? 'nothing is said of ranges without length' : undefined),
  forgets: ({ logger }) => {
    logger.unclear = 'whether the device logs now is not known';
  },
  stages: ['read', 'arguments', 'ranges', 'device', 'reply'],
  effect: (call) => {
    const ranges = taken(call);
    if (ranges === undefined) return;
    call.logger.log = { pageSize: granularity(call.asked.page_size), ranges, written: new Set(), corrupt: false };
  },
});

/** What a device has for logs; devices that have none are refused before. */
export const loggerOf = ({ device }: DeviceFile): Logger =>
  device.emulated?.logger ?? { log: undefined, unclear: 'this device has no log' };

const PAGE_SIZE = field(START, {
  id: 'logging/start-page-size',
  level: 'must',
  says: 'The field page_size returns the granularity that the device took, which is its own choice next to the hint that it was given (the test device has powers of two from 4 KiB to 2 MiB); nothing else of the argument changes.',
  source: `${HEADER}: page_size is an input that hints; On output the device will return the page size it selected; ${MODULE}`,
  at: () => DATA_AT + offsetOf(TYPE, 'page_size'),
  bytes: ({ asked }) => u64Bytes(granularity(asked.page_size)),
});

type Stated = Omit<Objection<StartCall>, 'kind' | 'to' | 'level'>;
const refuses = (stated: Stated): Objection<StartCall> => objection(START, { level: 'must', ...stated });

const overlap = ({ ranges }: StartCall): boolean => {
  const sorted = [...ranges].sort((a, b) => (a.iova < b.iova ? -1 : 1));
  return sorted.some((range, index) => {
    const before = sorted[index - 1];
    return before !== undefined && before.iova + before.length > range.iova;
  });
};

/** What refuses a START for lack of room on kernels that make no ranges one. */
export const BEYOND_DEVICE = refuses({
  id: 'logging/start-beyond-device',
  says: 'What a device answers that has no room for the ranges is the result: the test device refuses more than four ranges (with 2 MiB, more than one) with EDQUOT.',
  source: `${HEADER}: should give up if the above can't be achieved as of some driver limitations; ${MODULE}`,
  stage: 'device',
  errnos: ['EDQUOT'],
  when: (call) => taken(call) === undefined,
});

const OBJECTIONS = [
  refuses({
    id: 'logging/start-unreadable',
    says: 'A START whose data cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ asked }) => !asked.readable,
  }),
  refuses({
    id: 'logging/start-no-ranges',
    says: 'A START without ranges is refused with EINVAL.',
    source: SOURCE,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.num_ranges === 0,
  }),
  refuses({
    id: 'logging/start-too-many-ranges',
    says: 'A START with more ranges than fit into a page, 256, is refused with E2BIG before any is read.',
    source: `${HEADER}: guarantees to support by minimum num_ranges that fit into a single kernel page; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['E2BIG'],
    when: ({ asked }) => asked.num_ranges > MOST_RANGES,
  }),
  refuses({
    id: 'logging/start-unreadable-ranges',
    says: 'A START whose ranges cannot all be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'ranges',
    errnos: ['EFAULT'],
    when: ({ asked, ranges }) => ranges.length < asked.num_ranges,
  }),
  refuses({
    id: 'logging/start-misaligned',
    says: 'A range whose IOVA or length is no multiple of the page_size that was given is refused with EINVAL (of a page_size that is no power of two: one that has any of the bits of page_size - 1).',
    source: `${SOURCE}: IS_ALIGNED()`,
    stage: 'ranges',
    errnos: ['EINVAL'],
    when: ({ asked: { page_size: size }, ranges }) =>
      ranges.some(({ iova, length }) => ((iova | length) & BigInt.asUintN(64, size - 1n)) !== 0n),
  }),
  refuses({
    id: 'logging/start-wraps',
    says: 'A range that goes beyond the last IOVA, or ends with it, is refused with EOVERFLOW.',
    source: `${SOURCE}: check_add_overflow()`,
    stage: 'ranges',
    errnos: ['EOVERFLOW'],
    when: ({ ranges }) => ranges.some(({ iova, length }) => iova + length >= TOP),
  }),
  refuses({
    id: 'logging/start-overlap',
    says: 'Ranges of which two have an IOVA in common are refused with EINVAL; that they touch does not matter.',
    source: `${SOURCE}: interval_tree_iter_first()`,
    stage: 'ranges',
    errnos: ['EINVAL'],
    when: overlap,
  }),
  refuses({
    id: 'logging/start-twice',
    says: 'A START while the device logs is refused, and the log goes on (the test device says EBUSY).',
    source: `${HEADER}: Another start is not allowed in the meantime; ${MODULE}`,
    stage: 'device',
    errnos: ['EBUSY'],
    when: ({ logger }) => logger.log !== undefined,
  }),
  BEYOND_DEVICE,
  refuses({
    id: 'logging/start-unwritable',
    says: 'A START whose page_size cannot be returned is refused with EFAULT, and the device does not log.',
    source: `${SOURCE}: log_stop()`,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
];

export const START_CLAUSES = [START, PAGE_SIZE, ...OBJECTIONS];
