import type { Arg, Patch, Place } from '../program/step.ts';
import * as uapi from '../uapi/iommufd.ts';
import * as commands from '../uapi/iommufd-commands.ts';
import { IOMMU_TEST_CMD, IOMMU_TEST_OP_MOCK_DOMAIN, iommuTestCmd } from '../uapi/iommufd-test.ts';
import { encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import { IOMMUFD, IOMMUFD_MOCK } from './needs.ts';
import type { Actor, Said, Scenario } from './scenario.ts';
import { inline } from './vfio.ts';

/* The field's words for IOMMUFD. Ids are those that a fresh context gives: 1, 2, ... */

export const READ = uapi.IOMMU_IOAS_MAP_READABLE;
export const WRITE = uapi.IOMMU_IOAS_MAP_WRITEABLE;
export const FIXED = uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

/** What stands in a field before the kernel writes it. */
const UNTOUCHED = 0xeeee_eeee_eeee_eeeen;

const isPlace = (target: Place | bigint): target is Place => typeof target !== 'bigint';
const literal = (target: Place | bigint): bigint =>
  isPlace(target) ? ('literal' in target ? target.literal : 0n) : target;
const patch = (at: number, target: Place | bigint): readonly Patch[] =>
  isPlace(target) && 'memory' in target ? [{ kind: 'pointer', at, place: target }] : [];

/** What an IOAS_MAP asks for; IOAS 1, READ and WRITE, and FIXED where an iova is given, unless a case says otherwise. */
export interface MapRequest {
  readonly ioas?: number;
  readonly iova?: bigint;
  readonly length: bigint;
  readonly vaddr: Place | bigint;
  readonly flags?: number;
}

export const mapArgument = ({ ioas = 1, iova, length, vaddr, flags }: MapRequest): Arg => {
  const type = uapi.iommuIoasMap;
  const bytes = encode(type, {
    size: sizeOf(type),
    flags: flags ?? READ | WRITE | (iova === undefined ? 0 : FIXED),
    ioas_id: ioas,
    user_va: literal(vaddr),
    length,
    iova: iova ?? 0n,
  });
  return inline(bytes, ...patch(offsetOf(type, 'user_va'), vaddr));
};

/** What an IOAS_MAP_FILE asks for; IOAS 1, READ and WRITE, and FIXED where an iova is given, unless a case says otherwise. */
export interface MapFileRequest extends Omit<MapRequest, 'vaddr'> {
  /** A descriptor's name, or the number -1. */
  readonly fd: string | -1;
  readonly start?: bigint;
}

export const mapFileArgument = ({ ioas = 1, fd, start = 0n, iova, length, flags }: MapFileRequest): Arg => {
  const type = uapi.iommuIoasMapFile;
  const bytes = encode(type, {
    size: sizeOf(type),
    flags: flags ?? READ | WRITE | (iova === undefined ? 0 : FIXED),
    ioas_id: ioas,
    fd: fd === -1 ? -1 : 0,
    start,
    length,
    iova: iova ?? 0n,
  });
  return inline(bytes, ...(fd === -1 ? [] : [{ kind: 'fd' as const, at: offsetOf(type, 'fd'), fd }]));
};

/** What an IOAS_COPY asks for; from IOAS 1 to IOAS 2 unless a case says otherwise. */
export interface CopyRequest {
  readonly from?: number;
  readonly to?: number;
  readonly source: bigint;
  readonly target?: bigint;
  readonly length: bigint;
  readonly flags?: number;
}

/** A context of IOMMUFD (an opening of /dev/iommu) as one actor speaks to it. */
export interface Context {
  readonly fd: string;
  /** Makes an IOAS; says that it gets this id. */
  alloc(id: number): Said;
  destroy(id: number): Said;
  /** VFIO_IOAS, with one of its operations. */
  vfioIoas(op: number, ioas?: number, reserved?: number): Said;
  /** Attaches a mock device. */
  attachMock(ioas: number): Said;
  map(request: MapRequest): Said;
  mapFile(request: MapFileRequest): Said;
  unmap(iova: bigint, length: bigint, ioas?: number): Said;
  /** Makes the actor the process that is charged. */
  changeProcess(reserved?: number): Said;
  copy(request: CopyRequest): Said;
  ranges(fields: Partial<Fields<typeof uapi.iommuIoasIovaRanges>>, target?: Place | bigint): Said;
  allow(fields: Partial<Fields<typeof uapi.iommuIoasAllowIovas>>, ranges?: Place | bigint): Said;
  /** GET_HW_INFO of device 1, unless a case says otherwise; the structure ends where `size` says. */
  hwInfo(fields: Partial<Fields<typeof commands.iommuHwInfo>>, data?: Place | bigint): Said;
  option(fields: Partial<Fields<typeof uapi.iommuOption>>): Said;
  /** A command with exactly these bytes. */
  command(request: bigint, arg: Arg): Said;
  close(): Said;
  of(actor: Actor): Context;
}

type Fields<T> = Initialiser<T>;

/** Opens /dev/iommu. */
export const openIommufd = (s: Scenario, actor: Actor = s.main): Context => {
  s.needs(IOMMUFD);
  return contextOf(actor.opens('/dev/iommu', 'iommufd'), actor);
};

/** A context to whose IO address spaces mock devices can be attached. */
export const openWithMock = (s: Scenario, actor: Actor = s.main): Context => {
  s.needs(IOMMUFD_MOCK);
  return openIommufd(s, actor);
};

/** A context with one IOAS, which has id 1. */
export const withIoas = (s: Scenario): Context => {
  const context = openIommufd(s);
  context.alloc(1);
  return context;
};

/** The words of IOMMUFD for a descriptor. */
export const contextOf = (fd: string, actor: Actor): Context => {
  const command = (request: bigint, arg: Arg): Said => actor.does({ op: 'ioctl', fd, request, arg });
  return {
    fd,
    command,
    alloc: (id) => {
      const type = uapi.iommuIoasAlloc;
      const bytes = encode(type, { size: sizeOf(type) });
      return command(uapi.IOMMU_IOAS_ALLOC, inline(bytes))
        .returns(0)
        .shows(offsetOf(type, 'out_ioas_id'), Uint8Array.of(id, 0, 0, 0));
    },
    vfioIoas: (op, ioas = 0, reserved = 0) =>
      command(
        uapi.IOMMU_VFIO_IOAS,
        inline(encode(uapi.iommuVfioIoas, { size: 12, ioas_id: ioas, op, __reserved: reserved })),
      ),
    attachMock: (ioas) => {
      const bytes = encode(iommuTestCmd, { size: sizeOf(iommuTestCmd), op: IOMMU_TEST_OP_MOCK_DOMAIN, id: ioas });
      return command(IOMMU_TEST_CMD, inline(bytes));
    },
    destroy: (id) => command(uapi.IOMMU_DESTROY, inline(encode(uapi.iommuDestroy, { size: 8, id }))),
    map: (request) => command(uapi.IOMMU_IOAS_MAP, mapArgument(request)),
    mapFile: (request) => command(uapi.IOMMU_IOAS_MAP_FILE, mapFileArgument(request)),
    changeProcess: (reserved = 0) =>
      command(
        uapi.IOMMU_IOAS_CHANGE_PROCESS,
        inline(encode(uapi.iommuIoasChangeProcess, { size: 8, __reserved: reserved })),
      ),
    unmap: (iova, length, ioas = 1) =>
      command(uapi.IOMMU_IOAS_UNMAP, inline(encode(uapi.iommuIoasUnmap, { size: 24, ioas_id: ioas, iova, length }))),
    copy: ({ from = 1, to = 2, source, target, length, flags }) => {
      const type = uapi.iommuIoasCopy;
      const bytes = encode(type, {
        size: sizeOf(type),
        flags: flags ?? READ | WRITE | (target === undefined ? 0 : FIXED),
        dst_ioas_id: to,
        src_ioas_id: from,
        length,
        dst_iova: target ?? 0n,
        src_iova: source,
      });
      return command(uapi.IOMMU_IOAS_COPY, inline(bytes));
    },
    ranges: (fields, target = 0n) => {
      const type = uapi.iommuIoasIovaRanges;
      const bytes = encode(type, { size: sizeOf(type), ioas_id: 1, allowed_iovas: literal(target), ...fields });
      return command(uapi.IOMMU_IOAS_IOVA_RANGES, inline(bytes, ...patch(offsetOf(type, 'allowed_iovas'), target)));
    },
    allow: (fields, ranges = 0n) => {
      const type = uapi.iommuIoasAllowIovas;
      const bytes = encode(type, { size: sizeOf(type), ioas_id: 1, allowed_iovas: literal(ranges), ...fields });
      return command(uapi.IOMMU_IOAS_ALLOW_IOVAS, inline(bytes, ...patch(offsetOf(type, 'allowed_iovas'), ranges)));
    },
    hwInfo: (fields, data = 0n) => {
      const type = commands.iommuHwInfo;
      const { size = sizeOf(type) } = fields;
      const bytes = encode(type, { size, dev_id: 1, data_uptr: literal(data), out_capabilities: UNTOUCHED, ...fields });
      const whole = Uint8Array.of(...bytes.subarray(0, size), ...new Uint8Array(Math.max(0, size - bytes.length)));
      return command(commands.IOMMU_GET_HW_INFO, inline(whole, ...patch(offsetOf(type, 'data_uptr'), data)));
    },
    option: (fields) => command(uapi.IOMMU_OPTION, inline(encode(uapi.iommuOption, { size: 24, ...fields }))),
    close: () => actor.does({ op: 'close', fd }),
    of: (other) => contextOf(fd, other),
  };
};
