import type { Platform } from '../../program/platform.ts';
import type { Arg, Call, Op, Patch } from '../../program/step.ts';
import { LINUX_6_1 } from '../../revisions/linux-6.1.ts';
import type { Revision } from '../../spec/revision.ts';
import { emulatedCommand } from '../../uapi/emulated-test.ts';
import { encode } from '../../uapi/struct.ts';
import * as uapi from '../../uapi/vfio.ts';
import { createModel } from '../create-model.ts';
import type { Answer, Outcome } from '../outcome.ts';

/* For the tests of the rooms: a model that takes calls one by one and tells in a word what it allows. */

export const PAGE = 0x1000n;

const edu = (address: string): Platform['groups'][number]['devices'][number] => ({
  name: 'device',
  address,
  kind: 'edu',
  dmaMask: (1n << 48n) - 1n,
});

/** QEMU's emulated VT-d with two edu devices, and a device of the test module vfio-emulated. */
export const PLATFORM: Platform = {
  pageSizeBytes: 4096,
  iommu: {
    kind: 'intel',
    aperture: { start: 0n, end: 0x7f_ffff_ffffn },
    pageSizes: 0x4020_1000n,
    enforcesCacheCoherency: false,
    isolatesMsi: true,
  },
  groups: [
    ...['0000:00:03.0', '0000:00:04.0'].map((address, index) => ({
      name: `group${index}`,
      path: `/dev/vfio/${index + 2}`,
      devices: [edu(address)],
      reserved: [{ start: 0xfee0_0000n, end: 0xfeef_ffffn }],
    })),
    {
      name: 'emulated0',
      path: '/dev/vfio/4',
      devices: [{ name: 'device', address: 'vfio-emulated.0', kind: 'emulated', logging: 'reported' }],
      reserved: [],
      emulated: true,
    },
  ],
  dmaEntryLimit: 65_535,
  iommufd: true,
  testModules: [],
};

/** Bytes with corrections, as a program gives them. */
export const inline = (bytes: Uint8Array, ...patches: readonly Patch[]): Arg => ({
  kind: 'inline',
  segments: [{ bytes }],
  patches,
});

export const number = (value: bigint | number): Arg => ({ kind: 'value', value: BigInt(value) });

/** Where a memory is named, a pointer to it is patched in. */
interface Pointer {
  readonly memory: string;
  readonly offset?: bigint;
}

const pointer = (at: number, target: Pointer | bigint): readonly Patch[] =>
  typeof target === 'bigint'
    ? []
    : [{ kind: 'pointer', at, place: { memory: target.memory, offset: target.offset ?? 0n } }];

const literal = (target: Pointer | bigint): bigint => (typeof target === 'bigint' ? target : 0n);

export interface MapFields {
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr?: Pointer | bigint;
  readonly flags?: number;
  readonly argsz?: number;
}

export const mapArg = ({ iova, size, vaddr = { memory: 'ram' }, flags = 3, argsz = 32 }: MapFields): Arg =>
  inline(encode(uapi.vfioIommuType1DmaMap, { argsz, flags, vaddr: literal(vaddr), iova, size }), ...pointer(8, vaddr));

interface BitmapFields {
  readonly data: Pointer | bigint;
  readonly size: bigint;
  readonly pgsize?: bigint;
}

export interface UnmapFields {
  readonly iova: bigint;
  readonly size: bigint;
  readonly flags?: number;
  readonly argsz?: number;
  readonly bitmap?: BitmapFields;
}

export const unmapArg = ({ iova, size, flags, argsz, bitmap }: UnmapFields): Arg => {
  const data =
    bitmap === undefined
      ? new Uint8Array(0)
      : encode(uapi.vfioBitmap, { pgsize: bitmap.pgsize ?? PAGE, size: bitmap.size, data: literal(bitmap.data) });
  const values = { argsz: argsz ?? 24 + data.length, flags: flags ?? (bitmap === undefined ? 0 : 1), iova, size, data };
  return inline(encode(uapi.vfioIommuType1DmaUnmap, values), ...(bitmap === undefined ? [] : pointer(40, bitmap.data)));
};

export interface DirtyFields {
  readonly iova: bigint;
  readonly size: bigint;
  readonly bitmap: BitmapFields;
  readonly flags?: number;
  readonly argsz?: number;
}

const dirtyArg = ({ iova, size, bitmap, flags = 4, argsz = 48 }: DirtyFields): Arg => {
  const range = { pgsize: bitmap.pgsize ?? PAGE, size: bitmap.size, data: literal(bitmap.data) };
  const data = encode(uapi.vfioIommuType1DirtyBitmapGet, { iova, size, bitmap: range });
  return inline(encode(uapi.vfioIommuType1DirtyBitmap, { argsz, flags, data }), ...pointer(40, bitmap.data));
};

/** All that an answer allows, in a word each, the most expected first: `0`, `EINVAL or EFAULT`. */
export const words = (answer: Answer): string =>
  'unspecified' in answer
    ? `unspecified: ${answer.unspecified}`
    : answer.allowed.filter(conforms).map(word).join(' or ');

/** The outcomes of an answer; none when it is left open. */
export const outcomesOf = (answer: Answer): readonly Outcome[] => ('unspecified' in answer ? [] : answer.allowed);

const conforms = ({ breaks }: Outcome): boolean => breaks === undefined;

const word = ({ errno, ret }: Outcome): string => {
  if (errno !== 0) return errno;
  return 'exactly' in ret ? ret.exactly.toString() : `${ret.atLeast}+`;
};

/** A model at work. Every call is answered, its first outcome committed, and what was allowed is told in words. */
export const testbed = (options: { revision?: Revision; platform?: Platform } = {}) => {
  const { revision = LINUX_6_1, platform = PLATFORM } = options;
  const machine = createModel(revision, platform, {});
  /** What would be allowed; nothing is committed. */
  const ask = (op: Op, actor = 'main'): Answer => machine.answer({ actor, ...op } as Call, 0);
  /** Takes the most expected outcome, and returns it with all that was allowed. */
  const takeOutcome = (op: Op, actor?: string): { readonly said: string; readonly outcome: Outcome | undefined } => {
    const answer = ask(op, actor);
    if ('unspecified' in answer) {
      answer.commit?.();
      return { said: words(answer), outcome: undefined };
    }
    const said = words(answer);
    answer.allowed[0].commit();
    return { said, outcome: answer.allowed[0] };
  };
  const take = (op: Op, actor?: string): string => takeOutcome(op, actor).said;
  const ioctl = (fd: string, request: bigint, arg: Arg, actor?: string): string =>
    take({ op: 'ioctl', fd, request, arg }, actor);
  const bed = {
    ask,
    take,
    takeOutcome,
    ioctl,
    map: (fields: MapFields, actor?: string) => ioctl('container', uapi.VFIO_IOMMU_MAP_DMA, mapArg(fields), actor),
    unmap: (fields: UnmapFields, actor?: string) => {
      const op: Op = { op: 'ioctl', fd: 'container', request: uapi.VFIO_IOMMU_UNMAP_DMA, arg: unmapArg(fields) };
      const { said, outcome } = takeOutcome(op, actor);
      return said === '0' ? `0, ${u64At(outcome, 16)}` : said;
    },
    dirty: (flags: number) =>
      ioctl(
        'container',
        uapi.VFIO_IOMMU_DIRTY_PAGES,
        inline(encode(uapi.vfioIommuType1DirtyBitmap, { argsz: 8, flags })),
      ),
    getDirty: (fields: DirtyFields, actor?: string) =>
      ioctl('container', uapi.VFIO_IOMMU_DIRTY_PAGES, dirtyArg(fields), actor),
    openContainer: (fd = 'container') => take({ op: 'open', fd, path: '/dev/vfio/vfio' }),
    openGroup: (fd = 'group', path = '/dev/vfio/2', actor?: string) => take({ op: 'open', fd, path }, actor),
    setContainer: (group = 'group', container = 'container') =>
      ioctl(group, uapi.VFIO_GROUP_SET_CONTAINER, inline(new Uint8Array(4), { kind: 'fd', at: 0, fd: container })),
    unsetContainer: (group = 'group') => ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER, number(0)),
    setIommu: (type: bigint = uapi.VFIO_TYPE1v2_IOMMU) => ioctl('container', uapi.VFIO_SET_IOMMU, number(type)),
    openDevice: (to = 'device', name = '0000:00:03.0', group = 'group') => {
      const arg = inline(Buffer.from(`${name}\0`));
      return take({ op: 'ioctl', fd: group, request: uapi.VFIO_GROUP_GET_DEVICE_FD, arg, to });
    },
    /** Tells a device of the test module vfio-emulated to do something. */
    tell: (op: number, iova: bigint, count: number, flags = 0) =>
      take({
        op: 'pwrite',
        fd: 'emulated',
        offset: 0n,
        data: encode(emulatedCommand, { op, flags, iova, count: BigInt(count) }),
      }),
    /** Locked pages of an actor. */
    locked: (actor?: string) => {
      const kb = take({ op: 'status', field: 'VmLck' }, actor);
      return Number(kb) / 4;
    },
    read: (name: string, offset: bigint, size: bigint): Uint8Array => {
      const { outcome } = takeOutcome({ op: 'read', name, offset, size });
      return outBytes(outcome, Number(size));
    },
  };
  return bed;
};

/** The bytes that an outcome promises, zero where it promises none. */
export const outBytes = (outcome: Outcome | undefined, size: number): Uint8Array => {
  const bytes = new Uint8Array(size);
  const rules = outcome?.out;
  if (rules === undefined || rules === 'anything') return bytes;
  for (const { at, bytes: promised } of rules) if (typeof promised !== 'number') bytes.set(promised, at);
  return bytes;
};

const u64At = (outcome: Outcome | undefined, at: number): bigint =>
  Buffer.from(outBytes(outcome, at + 8)).readBigUInt64LE(at);

/** A testbed with a container that has group 0, an IOMMU (v2 unless asked for otherwise), and 64 pages of memory called `ram`. */
export const ready = (options: { type?: bigint; revision?: Revision; platform?: Platform } = {}) => {
  const bed = testbed(options);
  bed.openContainer();
  bed.openGroup();
  bed.setContainer();
  bed.setIommu(options.type);
  bed.take({ op: 'mem', name: 'ram', size: 64n * PAGE });
  return bed;
};
