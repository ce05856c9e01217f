import type { Platform } from '../program/platform.ts';
import type { Arg, Patch, Place } from '../program/step.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';

/**
 * The field's words for type1: containers, groups and devices as the suites speak of them. Every word writes one ioctl
 * (or the few that open something) into the scenario; defaults are those of a correct caller, and a case overrides just
 * what it is about.
 */

export const READ = uapi.VFIO_DMA_MAP_FLAG_READ;
export const WRITE = uapi.VFIO_DMA_MAP_FLAG_WRITE;

/** An argument of exactly these bytes, with corrections. */
export const inline = (bytes: Uint8Array, ...patches: readonly Patch[]): Arg => ({
  kind: 'inline',
  segments: bytes.length === 0 ? [] : [{ bytes }],
  patches,
});
/** The third argument as a number. */
export const value = (number: bigint | number): Arg => ({ kind: 'value', value: BigInt(number) });
/** A pointer to a named memory. */
export const pointerTo = (place: Place): Arg => ({ kind: 'place', place });
export const NULL: Arg = value(0);

const isPlace = (target: Place | bigint): target is Place => typeof target !== 'bigint';
const pointerPatch = (at: number, target: Place | bigint): readonly Patch[] =>
  isPlace(target) && 'memory' in target ? [{ kind: 'pointer', at, place: target }] : [];
const literal = (target: Place | bigint): bigint =>
  isPlace(target) ? ('literal' in target ? target.literal : 0n) : target;

/** What a MAP_DMA asks for; bytes. */
export interface MapRequest {
  readonly iova: bigint;
  readonly size: bigint;
  /** Where the memory is; without it the container's own memory is used. */
  readonly vaddr?: Place | bigint;
  /** READ | WRITE unless given. */
  readonly flags?: number;
  readonly argsz?: number;
  /** In a repeat: how far IOVA (and vaddr) move with each iteration. */
  readonly stride?: { readonly iova?: bigint; readonly vaddr?: bigint };
}

export interface UnmapRequest {
  readonly iova: bigint;
  readonly size: bigint;
  readonly flags?: number;
  readonly argsz?: number;
  /** Asks for the dirty pages of what is unmapped. */
  readonly bitmap?: BitmapRequest;
  readonly stride?: { readonly iova?: bigint };
}

/** A dirty bitmap and where it goes. */
export interface BitmapRequest {
  readonly data: Place | bigint;
  /** In bytes. */
  readonly size: bigint;
  /** 4096 unless given. */
  readonly pgsize?: bigint;
}

/** The bytes and corrections of a MAP_DMA argument. */
export const mapArgument = ({ iova, size, vaddr = 0n, flags = READ | WRITE, argsz, stride }: MapRequest): Arg => {
  const type = uapi.vfioIommuType1DmaMap;
  const values = { argsz: argsz ?? sizeOf(type), flags, vaddr: literal(vaddr), iova, size };
  const strides: Patch[] = [];
  if (stride?.iova !== undefined) strides.push({ kind: 'stride', at: offsetOf(type, 'iova'), stride: stride.iova });
  if (stride?.vaddr !== undefined) strides.push({ kind: 'stride', at: offsetOf(type, 'vaddr'), stride: stride.vaddr });
  return inline(encode(type, values), ...pointerPatch(offsetOf(type, 'vaddr'), vaddr), ...strides);
};

/** The bytes and corrections of an UNMAP_DMA argument. */
export const unmapArgument = ({ iova, size, flags, argsz, bitmap, stride }: UnmapRequest): Arg => {
  const type = uapi.vfioIommuType1DmaUnmap;
  const tail = bitmap === undefined ? undefined : bitmapBytes(bitmap);
  const asked = flags ?? (bitmap === undefined ? 0 : uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
  const data = tail ?? new Uint8Array(0);
  const values = { argsz: argsz ?? sizeOf(type) + data.length, flags: asked, iova, size, data };
  const dataAt = sizeOf(type) + offsetOf(uapi.vfioBitmap, 'data');
  const strides: Patch[] =
    stride?.iova === undefined ? [] : [{ kind: 'stride', at: offsetOf(type, 'iova'), stride: stride.iova }];
  return inline(encode(type, values), ...(bitmap === undefined ? [] : pointerPatch(dataAt, bitmap.data)), ...strides);
};

const bitmapBytes = ({ data, size, pgsize = 0x1000n }: BitmapRequest): Uint8Array =>
  encode(uapi.vfioBitmap, { pgsize, size, data: literal(data) });

/** What a DIRTY_PAGES GET_BITMAP asks for; bytes. */
export interface DirtyRequest {
  readonly iova: bigint;
  readonly size: bigint;
  readonly bitmap: BitmapRequest;
  readonly flags?: number;
  readonly argsz?: number;
}

/** The bytes and corrections of a DIRTY_PAGES argument that asks for a bitmap. */
export const dirtyArgument = ({ iova, size, bitmap, flags, argsz }: DirtyRequest): Arg => {
  const type = uapi.vfioIommuType1DirtyBitmap;
  const get = uapi.vfioIommuType1DirtyBitmapGet;
  const range = encode(get, {
    iova,
    size,
    bitmap: { pgsize: bitmap.pgsize ?? 0x1000n, size: bitmap.size, data: literal(bitmap.data) },
  });
  const values = {
    argsz: argsz ?? sizeOf(type) + range.length,
    flags: flags ?? uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
    data: range,
  };
  const dataAt = sizeOf(type) + offsetOf(get, 'bitmap') + offsetOf(uapi.vfioBitmap, 'data');
  return inline(encode(type, values), ...pointerPatch(dataAt, bitmap.data));
};

/** An open group (`/dev/vfio/N`) as one actor speaks to it. */
export interface Group {
  readonly fd: string;
  status(argsz?: number): Said;
  setContainer(container: { readonly fd: string }): Said;
  unsetContainer(): Said;
  /** Opens a device of the group; `name` is what programs call it (`device0`). */
  device(name?: string): Device;
  ioctl(request: bigint, arg: Arg, to?: string): Said;
  close(): Said;
  of(actor: Actor): Group;
}

/** An open device. */
export interface Device {
  readonly fd: string;
  /** What is said of the call that opened it. */
  readonly opened: Said;
  ioctl(request: bigint, arg: Arg): Said;
  close(): Said;
}

/** An open container (`/dev/vfio/vfio`) as one actor speaks to it. */
export interface Container {
  readonly fd: string;
  apiVersion(): Said;
  extension(id: bigint): Said;
  setIommu(type: bigint): Said;
  map(request: MapRequest): Said;
  unmap(request: UnmapRequest): Said;
  /** UNMAP_DMA with FLAG_ALL. */
  unmapAll(request?: Partial<UnmapRequest>): Said;
  /** UNMAP_DMA with FLAG_VADDR: the mappings stay, their vaddr does not. */
  invalidateVaddr(request: UnmapRequest): Said;
  /** MAP_DMA with FLAG_VADDR. */
  updateVaddr(request: MapRequest): Said;
  startDirty(): Said;
  stopDirty(): Said;
  getDirty(request: DirtyRequest): Said;
  /** GET_INFO with a buffer of `room` bytes (argsz says so unless given), prefilled with 0xee. */
  info(room: number, argsz?: number): Said;
  ioctl(request: bigint, arg: Arg): Said;
  close(): Said;
  of(actor: Actor): Container;
}

/** Opens a container and leaves it bare. */
export const openContainer = (actor: Actor): Container =>
  containerOf(actor.opens('/dev/vfio/vfio', 'container'), actor);

/** Opens a group by the name that programs use. */
export const openGroup = (actor: Actor, name = 'group0'): Group => groupOf(actor.opens(`$${name}`, 'group'), actor);

/** A container with an IOMMU set, and its groups. */
export interface Ready extends Container {
  readonly groups: readonly Group[];
  /** Memory to map: 16 pages unless asked for otherwise. */
  readonly memory: Memory;
}

export interface ReadyOptions {
  /** VFIO_TYPE1v2_IOMMU unless given. */
  readonly type?: bigint;
  readonly groups?: readonly string[];
  readonly actor?: Actor;
  /** Size of its memory in bytes. */
  readonly memory?: bigint;
}

/** What nearly every case begins with: container, group (group0), SET_IOMMU, and memory to map. */
export const readyContainer = (s: Scenario, options: ReadyOptions = {}): Ready => {
  const { type = uapi.VFIO_TYPE1v2_IOMMU, groups = ['group0'], actor = s.main, memory = 0x10000n } = options;
  if (groups.includes('group1')) s.needs(TWO_GROUPS);
  const container = openContainer(actor);
  const opened = groups.map((name) => {
    const group = openGroup(actor, name);
    group.setContainer(container).succeeds();
    return group;
  });
  container.setIommu(type).succeeds();
  const room = actor.memory(memory);
  return {
    ...container,
    groups: opened,
    memory: room,
    map: (request) => container.map({ vaddr: room.at(), ...request }),
    updateVaddr: (request) => container.updateVaddr({ vaddr: room.at(), ...request }),
  };
};

/** For cases that need a second group. */
export const TWO_GROUPS = {
  reason: 'the host has only one usable IOMMU group',
  met: ({ groups }: Pick<Platform, 'groups'>): boolean =>
    groups.filter(({ emulated }) => emulated !== true).length >= 2,
};

/** A container's words for a descriptor, be it one of /dev/iommu that stands for a container. */
export const containerOf = (fd: string, actor: Actor): Container => {
  const ioctl = (request: bigint, arg: Arg): Said => actor.does({ op: 'ioctl', fd, request, arg });
  const dirty = (flags: number): Said =>
    ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, inline(encode(uapi.vfioIommuType1DirtyBitmap, { argsz: 8, flags })));
  const unmap = (request: UnmapRequest): Said => ioctl(uapi.VFIO_IOMMU_UNMAP_DMA, unmapArgument(request));
  const map = (request: MapRequest): Said => ioctl(uapi.VFIO_IOMMU_MAP_DMA, mapArgument(request));
  return {
    fd,
    ioctl,
    map,
    unmap,
    apiVersion: () => ioctl(uapi.VFIO_GET_API_VERSION, NULL),
    extension: (id) => ioctl(uapi.VFIO_CHECK_EXTENSION, value(id)),
    setIommu: (type) => ioctl(uapi.VFIO_SET_IOMMU, value(type)),
    unmapAll: (request) => unmap({ iova: 0n, size: 0n, flags: uapi.VFIO_DMA_UNMAP_FLAG_ALL, ...request }),
    invalidateVaddr: (request) => unmap({ flags: uapi.VFIO_DMA_UNMAP_FLAG_VADDR, ...request }),
    updateVaddr: (request) => map({ flags: uapi.VFIO_DMA_MAP_FLAG_VADDR, ...request }),
    startDirty: () => dirty(uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START),
    stopDirty: () => dirty(uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP),
    getDirty: (request) => ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, dirtyArgument(request)),
    info: (room, argsz = room) => {
      const bytes = new Uint8Array(room).fill(0xee);
      bytes.set(u32(argsz).subarray(0, room));
      return ioctl(uapi.VFIO_IOMMU_GET_INFO, inline(bytes));
    },
    close: () => actor.does({ op: 'close', fd }),
    of: (other) => containerOf(fd, other),
  };
};

const groupOf = (fd: string, actor: Actor): Group => {
  const ioctl = (request: bigint, arg: Arg, to?: string): Said =>
    actor.does({ op: 'ioctl', fd, request, arg, ...(to === undefined ? {} : { to }) });
  return {
    fd,
    ioctl,
    status: (argsz = sizeOf(uapi.vfioGroupStatus)) =>
      ioctl(uapi.VFIO_GROUP_GET_STATUS, inline(encode(uapi.vfioGroupStatus, { argsz }))),
    setContainer: (container) =>
      ioctl(uapi.VFIO_GROUP_SET_CONTAINER, inline(new Uint8Array(4), { kind: 'fd', at: 0, fd: container.fd })),
    unsetContainer: () => ioctl(uapi.VFIO_GROUP_UNSET_CONTAINER, NULL),
    device: (name = 'device0') => {
      const device = fdOfDevice(fd, name);
      return deviceOf(device, actor, ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName(name), device));
    },
    close: () => actor.does({ op: 'close', fd }),
    of: (other) => groupOf(fd, other),
  };
};

/** A device's name as GET_DEVICE_FD takes it, by what programs call it, with a text behind it. */
export const deviceName = (name: string, behind = ''): Arg => ({
  kind: 'inline',
  segments: [{ text: name }, { bytes: new TextEncoder().encode(`${behind}\0`) }],
  patches: [],
});

/** A device's descriptor is named for its group and itself; a case that opens one twice closes it between. */
const fdOfDevice = (group: string, name: string): string => `${group}-${name}`;

const deviceOf = (fd: string, actor: Actor, opened: Said): Device => ({
  fd,
  opened,
  ioctl: (request, arg) => actor.does({ op: 'ioctl', fd, request, arg }),
  close: () => actor.does({ op: 'close', fd }),
});

/** 32-bit numbers as memory holds them. */
export const u32 = (...numbers: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(numbers).buffer);
/** A 64-bit number as memory holds it. */
export const u64 = (number: bigint): Uint8Array => new Uint8Array(new BigUint64Array([number]).buffer);
