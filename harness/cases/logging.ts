import type { Arg, Patch, Place } from '../program/step.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import { VFIO_TYPE1v2_IOMMU } from '../uapi/vfio.ts';
import * as uapi from '../uapi/vfio-logging.ts';
import { boundEmulated } from './cdev.ts';
import { deviceOf, type EmulatedDevice, emulated } from './emulated.ts';
import { openIommufd } from './iommufd.ts';
import { EMULATED_GROUP, LOGS, REPORTS } from './needs.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { containerOf, inline, openGroup, u64 } from './vfio.ts';

/* The field's words for features of devices, and for devices that log what they write. */

export const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
export const START = uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
export const STOP = uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
export const REPORT = uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;

const PAGE = 0x1000n;
const CONTROL = uapi.vfioDeviceFeatureDmaLoggingControl;
const RANGE = uapi.vfioDeviceFeatureDmaLoggingRange;
const ASKED = uapi.vfioDeviceFeatureDmaLoggingReport;
const DATA_AT = sizeOf(uapi.vfioDeviceFeature);

/** IOVAs; bytes. */
export interface LogRange {
  readonly iova: bigint;
  readonly length: bigint;
}

/** A request for a feature: its number with flags, its data, and corrections by their place in the data. */
interface FeatureRequest {
  readonly flags: number;
  readonly argsz?: number | undefined;
  readonly data?: Uint8Array;
  readonly patches?: readonly Patch[];
}

export const featureArgument = ({ flags, argsz, data = new Uint8Array(0), patches = [] }: FeatureRequest): Arg =>
  inline(
    encode(uapi.vfioDeviceFeature, { argsz: argsz ?? DATA_AT + data.length, flags, data }),
    ...patches.map((patch) => ({ ...patch, at: DATA_AT + patch.at })),
  );

/** What a START asks for, where it is not what a correct caller gives. */
export interface StartRequest {
  readonly ranges: readonly LogRange[];
  /** 4096 unless given. */
  readonly pageSize?: bigint;
  /** As many as there are unless given. */
  readonly count?: number;
  /** Where the ranges are, if a case has put them somewhere itself. */
  readonly at?: Place | bigint;
  readonly argsz?: number;
  readonly flags?: number;
}

/** What a REPORT asks for. */
export interface ReportRequest extends LogRange {
  readonly bitmap: Place | bigint;
  /** 4096 unless given. */
  readonly pageSize?: bigint;
  readonly argsz?: number;
  readonly flags?: number;
}

/** The bytes of ranges, as they lie in memory. */
export const rangeBytes = (ranges: readonly LogRange[]): Uint8Array =>
  Uint8Array.from(ranges.flatMap((range) => [...encode(RANGE, range)]));

const literal = (target: Place | bigint): bigint => (typeof target === 'bigint' ? target : 0n);
const pointer = (at: number, target: Place | bigint): readonly Patch[] =>
  typeof target === 'bigint' ? [] : [{ kind: 'pointer', at, place: target }];

const startArgument = (
  { ranges, pageSize = PAGE, count, argsz, flags = START | SET }: StartRequest,
  at: Place | bigint,
): Arg =>
  featureArgument({
    flags,
    argsz,
    data: encode(CONTROL, { page_size: pageSize, num_ranges: count ?? ranges.length, ranges: literal(at) }),
    patches: pointer(offsetOf(CONTROL, 'ranges'), at),
  });

const reportArgument = ({ iova, length, bitmap, pageSize = PAGE, argsz, flags = REPORT | GET }: ReportRequest): Arg =>
  featureArgument({
    flags,
    argsz,
    data: encode(ASKED, { iova, length, page_size: pageSize, bitmap: literal(bitmap) }),
    patches: pointer(offsetOf(ASKED, 'bitmap'), bitmap),
  });

/** A device's features as one actor speaks of them. */
export interface Features {
  ask(arg: Arg): Said;
  /** Says nothing of the result. */
  starts(request: StartRequest): Said;
  /** Starts logging; says that it succeeds and with which granularity. */
  logs(ranges: readonly LogRange[], pageSize?: bigint): Said;
  stops(argsz?: number): Said;
  reports(request: ReportRequest): Said;
}

/** The features of the device behind a descriptor. */
export const featuresOf = (fd: string, actor: Actor): Features => {
  const ask = (arg: Arg): Said => actor.does({ op: 'ioctl', fd, request: uapi.VFIO_DEVICE_FEATURE, arg });
  const starts = (request: StartRequest): Said => {
    if (request.at !== undefined) return ask(startArgument(request, request.at));
    const bytes = rangeBytes(request.ranges);
    const memory = actor.memory(PAGE * BigInt(Math.max(1, Math.ceil(bytes.length / Number(PAGE)))));
    if (bytes.length > 0) memory.write(bytes);
    return ask(startArgument(request, memory.at()));
  };
  return {
    ask,
    starts,
    logs: (ranges, pageSize = PAGE) => starts({ ranges, pageSize }).returns(0).shows(DATA_AT, u64(pageSize)),
    stops: (argsz) => ask(featureArgument({ flags: STOP | SET, argsz })),
    reports: (request) => ask(reportArgument(request)),
  };
};

/** Where the device reaches memory of its own unless a case says otherwise: 16 pages. */
export const MAPPED: LogRange = { iova: 0x100000n, length: 16n * PAGE };

/** A device that logs, what it is told and asked, and how memory is mapped for it. */
export interface Logger {
  readonly d: EmulatedDevice;
  readonly f: Features;
  /** The memory behind MAPPED. */
  readonly memory: Memory;
  map(range: LogRange, vaddr: Place): Said;
  /** Has it write a byte into a page of MAPPED. */
  writes(page: number): Said;
  /** Has it tell what it wrote in MAPPED (or elsewhere): the bitmap begins with these bytes, which had been 0 before. */
  tells(bytes: readonly number[], request?: Partial<ReportRequest>): Said;
}

/** How a device is used: by its group, in a container or on /dev/iommu, or by its own file. */
type Way = 'in a container' | 'on /dev/iommu' | 'by its own file';

/** A device that logs and reaches MAPPED; it does not log yet. */
export const loggingDevice = (s: Scenario, way: Way = 'in a container'): Logger => {
  s.needs(LOGS);
  const { d, memory, map } = REACHES[way](s);
  const f = featuresOf(d.device.fd, s.main);
  return {
    ...{ d, f, memory, map },
    writes: (page) => d.writes(MAPPED.iova + BigInt(page) * PAGE, 1).succeeds(),
    tells: (bytes, request = {}) => {
      s.needs(REPORTS);
      const bitmap = s.main.memory(PAGE);
      f.reports({ ...MAPPED, bitmap: bitmap.at(), ...request }).returns(0);
      return bitmap.read(0n, BigInt(bytes.length)).shows(0, Uint8Array.from(bytes));
    },
  };
};

/** How a device can be used, as a table for cases. */
export const WAYS: Readonly<Record<Way, Way>> = {
  'in a container': 'in a container',
  'on /dev/iommu': 'on /dev/iommu',
  'by its own file': 'by its own file',
};

/** A device that logs all of MAPPED. */
export const logging = (s: Scenario, way?: Way): Logger => {
  const logger = loggingDevice(s, way);
  logger.f.logs([MAPPED]);
  return logger;
};

/** Says whether a device logs now, which STOP tells; then it does not. */
export const logsNow = ({ f }: Pick<Logger, 'f'>, on: boolean): void => {
  if (on) f.stops().returns(0);
  else f.stops().refused('ENOENT');
};

/** Pages of MAPPED, by number. */
export const pages = (first: number, count = 1): LogRange => ({
  iova: MAPPED.iova + BigInt(first) * PAGE,
  length: BigInt(count) * PAGE,
});

type Reaches = Pick<Logger, 'd' | 'memory' | 'map'>;

const inContainer = (s: Scenario): Reaches => {
  const { c, d } = emulated(s);
  const map = ({ iova, length }: LogRange, vaddr: Place): Said => c.map({ iova, size: length, vaddr }).succeeds();
  map(MAPPED, c.memory.at());
  return { d, memory: c.memory, map };
};

const onIommufd = (s: Scenario): Reaches => {
  s.needs(EMULATED_GROUP);
  const container = containerOf(openIommufd(s).fd, s.main);
  const group = openGroup(s.main, 'emulated0');
  group.setContainer(container).succeeds();
  container.setIommu(VFIO_TYPE1v2_IOMMU).succeeds();
  const memory = s.main.memory(MAPPED.length);
  const map = ({ iova, length }: LogRange, vaddr: Place): Said =>
    container.map({ iova, size: length, vaddr }).succeeds();
  map(MAPPED, memory.at());
  const device = group.device('emulated0-device');
  device.opened.succeeds();
  return { d: deviceOf(device, s.main), memory, map };
};

const byItsOwnFile = (s: Scenario): Reaches => {
  const { c, d } = boundEmulated(s);
  const memory = s.main.memory(MAPPED.length);
  const map = ({ iova, length }: LogRange, vaddr: Place): Said => c.map({ ioas: 2, iova, length, vaddr }).returns(0);
  map(MAPPED, memory.at());
  return { d, memory, map };
};

const REACHES: Readonly<Record<Way, (s: Scenario) => Reaches>> = {
  'in a container': inContainer,
  'on /dev/iommu': onIommufd,
  'by its own file': byItsOwnFile,
};
