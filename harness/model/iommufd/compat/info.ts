import { encode, offsetOf } from '../../../uapi/struct.ts';
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfioIommuType1Info,
  vfioIommuType1InfoCapIovaRange,
  vfioIommuType1InfoDmaAvail,
} from '../../../uapi/vfio.ts';
import { type Request, refusing, request, rule } from '../../clauses.ts';
import type { ByteRule } from '../../outcome.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes, u64Bytes } from '../../type1/bytes.ts';
import { supportedPageSizes } from '../../type1/state.ts';
import { usableIn } from '../reserved.ts';
import { type Context, type Ioas, pins } from '../state.ts';
import { compatIoasOf } from './state.ts';

/* GET_INFO on /dev/iommu. Sizes in bytes. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_GET_INFO';
const SOURCE = 'iommufd_vfio_iommu_get_info(), drivers/iommu/iommufd/vfio_compat.c';

/** What every caller gives, and where the chain begins. */
const SIZE = offsetOf(vfioIommuType1Info, 'cap_offset');
const CHAIN_AT = 24;
/** The 32-bit number that stands for no limit. */
const NO_LIMIT = 0xffff_ffff;
const EVERY_SIZE = 0xffff_ffff_ffff_ffffn;

interface InfoCall {
  readonly context: Context;
  readonly asked: Found<typeof vfioIommuType1Info.fields>;
  readonly ioas: Ioas | undefined;
  readonly writable: (offset: number, size: number) => boolean;
}

const capability = (id: number, next: number) => ({ id, version: 1, next });

const AVAILABLE = rule<(next: number) => Uint8Array>({
  id: 'compat/info-dma-available',
  level: 'may',
  says: 'On /dev/iommu the first capability of GET_INFO, DMA available (id 3, version 1), says 2^32-1 whatever is mapped: the number of mappings has no limit of its own.',
  source: `iommufd_fill_cap_dma_avail(), ${SOURCE}`,
  rule: (next) =>
    encode(vfioIommuType1InfoDmaAvail, { header: capability(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, next), avail: NO_LIMIT }),
});

const RANGES = rule<(ioas: Ioas) => Uint8Array>({
  id: 'compat/info-iova-ranges',
  level: 'must',
  says: 'On /dev/iommu the second and last capability of GET_INFO lists the IOVA ranges that can be mapped (id 1, version 1), both ends inclusive: all while no device is open.',
  source: `include/uapi/linux/vfio.h: IOVA capability; iommufd_fill_cap_iova(), ${SOURCE}`,
  rule: (ioas) => {
    const ranges = usableIn(ioas);
    return encode(vfioIommuType1InfoCapIovaRange, {
      header: capability(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0),
      nr_iovas: ranges.length,
      iova_ranges: ranges,
    });
  },
});

const aligned = (bytes: Uint8Array): number => Math.ceil(bytes.length / 8) * 8;

/** The chain of capabilities, where each stands, and where it ends. */
const chainOf = ({ context: { law }, ioas }: InfoCall) => {
  const [first, second] = [law.of(AVAILABLE), law.of(RANGES)];
  const secondAt = CHAIN_AT + aligned(first.rule(0));
  const ranges = ioas === undefined ? new Uint8Array() : second.rule(ioas);
  return {
    end: secondAt + aligned(ranges),
    rules: [
      { at: CHAIN_AT, bytes: first.rule(secondAt), clause: first },
      { at: secondAt, bytes: ranges, clause: second },
    ],
  };
};

const hasRoom = (call: InfoCall): boolean => call.asked.argsz >= chainOf(call).end;

/** The structure itself, as much of it as argsz has room for. */
const structure = (call: InfoCall): Uint8Array => {
  const { context, ioas, asked } = call;
  const { platform } = context;
  const sizes = ioas === undefined || !pins(ioas) ? EVERY_SIZE : platform.iommu.pageSizes;
  return Buffer.concat([
    u32Bytes(chainOf(call).end),
    u32Bytes(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS),
    u64Bytes(supportedPageSizes(sizes, BigInt(platform.pageSizeBytes))),
    u32Bytes(hasRoom(call) ? CHAIN_AT : 0),
    u32Bytes(0),
  ]).subarray(0, Math.min(asked.argsz, CHAIN_AT));
};

/** What may be written behind the structure when the chain does not fit: capabilities that do, and parts of them. */
const remains = ({ asked }: InfoCall, end: number): number => Math.max(0, Math.min(asked.argsz, end) - CHAIN_AT);

const chainRules = (call: InfoCall): readonly ByteRule[] => {
  const { rules, end } = chainOf(call);
  if (hasRoom(call)) return rules;
  const size = remains(call, end);
  return size === 0 ? [] : [{ at: CHAIN_AT, bytes: size, clause: call.context.law.of(TOO_SMALL) }];
};

const GET_INFO: Request<Context, InfoCall> = request({
  id: 'compat/info',
  level: 'must',
  says: "GET_INFO on /dev/iommu returns 0 and tells the page sizes (flag PGSIZES; every one from the processor's on while no device is open) and two capabilities (flag CAPS), cap_offset 24; argsz returns what structure and capabilities need.",
  source: `${HEADER}; ${SOURCE}`,
  on: 'iommufd',
  request: VFIO_IOMMU_GET_INFO,
  situation: (context, { argument }) => ({
    context,
    asked: readStruct(argument, vfioIommuType1Info, 0, SIZE),
    ioas: compatIoasOf(context)?.ioas,
    writable: (offset, size) => argument.writable(offset, size),
  }),
  stages: ['read', 'arguments', 'object', 'reply'],
  reply: (call) => [{ at: 0, bytes: structure(call), clause: GET_INFO }, ...chainRules(call)],
});

const TOO_SMALL = rule<() => void>({
  id: 'compat/info-too-small',
  level: 'must',
  says: 'When the capabilities do not fit, GET_INFO on /dev/iommu returns 0 all the same, with cap_offset 0 and the size that they need in argsz; some of them may have been written within argsz, and nothing is behind it.',
  source: `${HEADER}: a zero value for the first capability offset; ${SOURCE}: only some caps are returned`,
  rule: () => undefined,
});

const refuses = refusing(GET_INFO);

const OBJECTIONS = [
  refuses({
    id: 'compat/info-unreadable',
    says: 'GET_INFO on /dev/iommu with an argument that cannot be read is refused with EFAULT.',
    source: SOURCE,
    stage: 'read',
    errnos: ['EFAULT'],
    when: ({ asked }) => !asked.readable,
  }),
  refuses({
    id: 'compat/info-argsz',
    says: 'GET_INFO on /dev/iommu with an argsz below 16 is refused with EINVAL.',
    source: `include/uapi/linux/vfio.h: argsz; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked }) => asked.argsz < SIZE,
  }),
  refuses({
    id: 'compat/info-without-group',
    says: 'GET_INFO on /dev/iommu before a group was given it is refused with ENODEV.',
    source: `get_compat_ioas(), ${SOURCE}`,
    stage: 'object',
    errnos: ['ENODEV'],
    when: ({ ioas }) => ioas === undefined,
  }),
  refuses({
    id: 'compat/info-unwritable',
    says: 'GET_INFO on /dev/iommu with an argument that cannot be written is refused with EFAULT.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: (call) => {
      const { end } = chainOf(call);
      return !call.writable(0, Math.min(call.asked.argsz, CHAIN_AT)) || !call.writable(CHAIN_AT, remains(call, end));
    },
  }),
];

export const COMPAT_INFO_CLAUSES = [GET_INFO, AVAILABLE, RANGES, TOO_SMALL, ...OBJECTIONS];
