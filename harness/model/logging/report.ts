import { VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, vfioDeviceFeatureDmaLoggingReport } from '../../uapi/vfio-logging.ts';
import { type Holds, type Objection, objection, request, rule } from '../clauses.ts';
import { setBits } from '../iova-bitmap/user-memory.ts';
import { type BitmapWalk, type BitmapWalked, walkBitmap } from '../iova-bitmap/walk.ts';
import { type IovaRange, PAGE_BYTES } from '../iova-bitmap/window.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import type { DeviceFile } from '../type1/files.ts';
import type { AddressSpace } from '../world/address-space.ts';
import { least } from '../world/big.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { DATA_AT, featureRequest } from './feature.ts';
import { loggerOf } from './start.ts';
import { type DmaLog, LOG_PAGE, type LoggedRange, type Logger } from './state.ts';

/* What a device wrote, as bits in memory of the caller. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT';
const SOURCE = 'vfio_ioctl_device_feature_logging_report(), drivers/vfio/vfio_main.c';
const MODULE = 'fixtures/modules/emulated/README.md';
const TYPE = vfioDeviceFeatureDmaLoggingReport;
const TOP = 1n << 64n;
const SMALLEST_PAGE = 4096n;
/** Bitmaps that are longer are of no memory; only where bits are set is looked at. */
const LONGEST = 1n << 26n;

interface ReportCall {
  readonly file: DeviceFile;
  readonly logger: Logger;
  readonly asked: Found<typeof TYPE.fields>;
  readonly space: AddressSpace;
  /** What becomes of the bitmap; absent where the arguments are refused. */
  readonly walked: BitmapWalked | undefined;
}

const bytesOf = (page: bigint): LoggedRange => ({ start: page * LOG_PAGE, last: (page + 1n) * LOG_PAGE - 1n });

/** A device takes what wraps to end with the last IOVA. */
const rangeOf = ({ iova, length }: IovaRange): LoggedRange => ({ start: iova, last: least(iova + length, TOP) - 1n });

const isPageSize = (size: bigint): boolean => size >= SMALLEST_PAGE && (size & (size - 1n)) === 0n;
const wraps = ({ iova, length }: Found<typeof TYPE.fields>): boolean => iova + length >= TOP;

const BITS = rule<(log: DmaLog) => readonly LoggedRange[]>({
  id: 'logging/report-bits',
  level: 'must',
  says: 'Bit n of the bitmap stands for the n-th page_size bytes from iova on and is set when a logged write lies in them, whatever granularity the device logs with; bit n lies in byte n/8 as its bit n%8. Nothing outside the range is told.',
  source: `${HEADER}: an array of u64s that will hold the output bitmap with 1 bit reporting a page_size unit of IOVA; The driver will format its internal logging to match the reporting page size`,
  rule: ({ written }) => [...written].map(bytesOf),
});

const ONCE = rule<(page: LoggedRange, asked: LoggedRange) => boolean>({
  id: 'logging/report-once',
  level: 'must',
  says: 'What was reported is not reported again until it is written again; what lies outside of the range stays in the log, and so does (in the test device) a page of 4 KiB of which only a part was asked for.',
  source: `${HEADER}: During querying the log is cleared for the IOVA range; ${MODULE}`,
  rule: (page, asked) => page.start >= asked.start && page.last <= asked.last,
});

const KEEPS = rule<(before: number, dirty: number) => number>({
  id: 'logging/report-keeps-bits',
  level: 'must',
  says: 'Bits that the caller left set in the bitmap stay set: REPORT only adds.',
  source: `${HEADER}: will only set bits in the bitmap and never clear or perform any initialization`,
  rule: (before, dirty) => before | dirty,
});

const firstPageOf = ({ bitmap }: Found<typeof TYPE.fields>): bigint => bitmap - (bitmap % BigInt(PAGE_BYTES));

/** Walks the bitmap as the clauses of the kernel's bitmap functions say, with the device as their caller. */
const walk = ({ file, logger, asked, space }: Omit<ReportCall, 'walked'>): BitmapWalked => {
  const { law } = file.vfio;
  const { log } = logger;
  const { iova, length, page_size: pageSize, bitmap } = asked;
  const firstPage = firstPageOf(asked);
  const told = log === undefined ? [] : law.of(BITS).rule(log);
  const described: BitmapWalk = {
    iova,
    length,
    pageSize,
    offset: Number(bitmap - firstPage),
    writable: (page) => space.reach(firstPage + BigInt(page * PAGE_BYTES), 1n, 'write') === 1n,
    marks: told.map(({ start, last }) => ({ iova: start, length: last - start + 1n, clipped: 'up to the last IOVA' })),
    ...(log === undefined ? { fails: { window: 0, errno: 'ENOENT' } } : {}),
  };
  return walkBitmap((stated) => law.of(stated), described);
};

/** Sets the bits of what is told; they have the clause that says which they are. */
const tell = ({ file: { vfio }, asked, space, walked }: ReportCall): void => {
  const [by, keeps] = [vfio.law.of(BITS), vfio.law.of(KEEPS)];
  const bytes = (asked.length + asked.page_size * 8n - 1n) / (asked.page_size * 8n);
  const reached = space.reach(asked.bitmap, least(bytes, LONGEST), 'write');
  if (reached > 0n) space.explain(asked.bitmap, Number(reached), by);
  for (const run of walked?.bits ?? []) setBits(space, firstPageOf(asked), run, by, keeps.rule);
};

const REPORT = request<DeviceFile, ReportCall>({
  id: 'logging/report',
  level: 'must',
  says: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT tells which pages of a range the device wrote since START or since they were reported last, and returns 0.',
  source: `${HEADER}: Query the device's DMA log for written pages within the given IOVA range`,
  on: 'device',
  request: featureRequest(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT),
  situation: (file, { argument, caller }: IoctlCall) => {
    const asked = readStruct(argument, TYPE, DATA_AT);
    const call = { file, logger: loggerOf(file), asked, space: caller.space };
    const legal = asked.readable && isPageSize(asked.page_size) && !wraps(asked) && asked.length > 0n;
    return { ...call, walked: legal ? walk(call) : undefined };
  },
  leavesOpen: ({ logger: { unclear, log }, asked }) => {
    if (asked.readable && asked.length === 0n) return 'nothing is said of a report without length';
    return unclear ?? (log?.corrupt === true ? 'a report failed, and what is in the log is not known' : undefined);
  },
  forgets: (call) => forget(call),
  stages: ['read', 'arguments', 'functions', 'walk'],
  effect: (call) => {
    const { file, logger, walked } = call;
    tell(call);
    const once = file.vfio.law.of(ONCE);
    const ranges = walked?.windows.map(rangeOf) ?? [];
    for (const page of [...(logger.log?.written ?? [])]) {
      if (ranges.some((range) => once.rule(bytesOf(page), range))) logger.log?.written.delete(page);
    }
  },
});

/** Nothing is known any more of the log, and of the memory that was to hold it. */
const forget = ({ file, logger, asked, space }: ReportCall): void => {
  if (logger.log !== undefined) logger.log.corrupt = true;
  if (!asked.readable) return;
  const room = space.reach(asked.bitmap, LONGEST, 'write');
  if (room > 0n) space.fill(asked.bitmap, room, undefined, file.vfio.law.of(BITS));
};

type Stated = Omit<Objection<ReportCall>, 'kind' | 'to' | 'level'>;
const refuses = (stated: Stated): Objection<ReportCall> => objection(REPORT, { level: 'must', ...stated });

/** Since the functions went to IOMMUFD. */
export const WITHOUT_FUNCTIONS = refuses({
  id: 'logging/report-without-functions',
  says: 'A kernel that was built without the bitmap functions (CONFIG_IOMMUFD_DRIVER) refuses REPORT with EOPNOTSUPP, though the device logs.',
  source: `include/linux/iova_bitmap.h: iova_bitmap_for_each(); ${SOURCE}`,
  stage: 'functions',
  errnos: ['EOPNOTSUPP'],
  when: ({ file }) => file.device.platform.logging === 'unreported',
});

const OBJECTIONS = [
  refuses({
    id: 'logging/report-unreadable',
    says: 'A REPORT whose data cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ asked }) => !asked.readable,
  }),
  refuses({
    id: 'logging/report-page-size',
    says: 'A REPORT whose page_size is below 4096 or no power of two is refused with EINVAL; the header, which takes any power of two, does not say the former.',
    source: `${HEADER}: can be any power of two value; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => !isPageSize(asked.page_size),
  }),
  refuses({
    id: 'logging/report-wraps',
    says: 'A REPORT of a range that goes beyond the last IOVA, or ends with it, is refused with EOVERFLOW.',
    source: `${SOURCE}: check_add_overflow()`,
    stage: 'arguments',
    errnos: ['EOVERFLOW'],
    when: ({ asked }) => wraps(asked),
  }),
  refuses({
    id: 'logging/report-while-off',
    says: 'A REPORT while the device does not log is refused (the test device says ENOENT).',
    source: `${HEADER}: If DMA logging is not enabled, an error will be returned; ${MODULE}`,
    stage: 'walk',
    errnos: ['ENOENT'],
    when: ({ walked }): Holds => walked?.errno === 'ENOENT',
  }),
  refuses({
    id: 'logging/report-unwritable',
    says: 'A REPORT that cannot set its bits is refused with EFAULT; what is in the log is not known any more.',
    source: `${HEADER}: If any error is returned userspace should assume that the dirty log is corrupted; ${SOURCE}: iova_bitmap_alloc(), iova_bitmap_for_each()`,
    stage: 'walk',
    errnos: ['EFAULT'],
    when: ({ walked }): Holds => walked?.errno === 'EFAULT',
    leaves: (call) => {
      tell(call);
      if (call.logger.log !== undefined) call.logger.log.corrupt = true;
    },
  }),
];

export const REPORT_CLAUSES = [REPORT, BITS, ONCE, KEEPS, ...OBJECTIONS];
