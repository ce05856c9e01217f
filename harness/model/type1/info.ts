import type { Platform } from '../../program/platform.ts';
import { encode, offsetOf } from '../../uapi/struct.ts';
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  vfioIommuType1Info,
} from '../../uapi/vfio.ts';
import { type Deviation, field, objection, request, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { type Found, readStruct } from './argument.ts';
import { u32Bytes, u64Bytes } from './bytes.ts';
import { CAPABILITY_CLAUSES, CHAIN_LINKS, type Chain, chainOf, LAYOUTS } from './capabilities.ts';
import type { IommuFile } from './files.ts';
import { type Container, type Iommu, pageSizesOf } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: VFIO_IOMMU_GET_INFO';
const GET_INFO = 'vfio_iommu_type1_get_info(), drivers/vfio/vfio_iommu_type1.c';

/** What every caller gives, in bytes; with the field that was added for capabilities; and with the padding behind it, where the chain begins. */
const SIZE = offsetOf(vfioIommuType1Info, 'cap_offset');
const SIZE_WITH_OFFSET = SIZE + 4;
export const CHAIN_AT = encode(vfioIommuType1Info, {}).length;

/** What a GET_INFO is about. Sizes in bytes. */
export interface InfoCall {
  /** The structure that it was given. */
  readonly asked: Found<typeof vfioIommuType1Info.fields>;
  readonly law: Law;
  readonly platform: Platform;
  readonly container: Container;
  readonly iommu: Iommu;
  /** Whether so many bytes at an offset of the argument can be written. */
  readonly writable: (offset: number, size: number) => boolean;
  /** The chain of capabilities as it would stand behind the structure. */
  readonly chain: Chain;
}

/** Whether the chain is written, or only its size reported. */
const hasRoom = ({ asked, chain }: InfoCall): boolean => asked.argsz >= CHAIN_AT + chain.size;

const situation = ({ vfio, container, iommu }: IommuFile, { argument }: IoctlCall): InfoCall => {
  const { law, platform } = vfio;
  const [layout] = law.of(LAYOUTS).rule();
  return {
    asked: readStruct(argument, vfioIommuType1Info, 0, SIZE),
    law,
    platform,
    container,
    iommu,
    writable: (offset, size) => argument.writable(offset, size),
    chain: chainOf(law, { platform, container, iommu }, CHAIN_AT, layout),
  };
};

const deviations = (call: InfoCall): readonly Deviation<InfoCall>[] => {
  const layouts = call.law.of(LAYOUTS);
  return layouts
    .rule()
    .slice(1)
    .map((layout) => ({
      situation: { ...call, chain: chainOf(call.law, call, CHAIN_AT, layout) },
      breaks: [layouts] as const,
    }))
    .filter(({ situation: { chain } }) => chain.size !== call.chain.size);
};

/** How many bytes of the structure itself are written. */
export const WITHIN_ARGSZ = rule<(argsz: number) => number>({
  id: 'info/within-argsz',
  level: 'must',
  says: 'GET_INFO writes no more than argsz allows: 16 bytes of the structure, 20 when argsz has room for cap_offset, and behind them only a chain that fits whole; the padding in between stays what it was.',
  source: `include/uapi/linux/vfio.h: insufficiently sized buffers; ${GET_INFO}`,
  rule: (argsz) => (argsz >= SIZE_WITH_OFFSET ? SIZE_WITH_OFFSET : SIZE),
});

export const GET_INFO_CALL = request<IommuFile, InfoCall>({
  id: 'info/get-info',
  level: 'must',
  says: 'GET_INFO describes the IOMMU of the container and returns 0; a buffer too small for the capabilities is no error.',
  source: `${HEADER}; For compatibility, the INFO ioctl will not report error in this case`,
  on: 'iommu',
  request: VFIO_IOMMU_GET_INFO,
  situation,
  stages: ['read', 'arguments', 'reply'],
  reply: (call) => (hasRoom(call) ? call.chain.rules : []),
  untouched: WITHIN_ARGSZ,
  deviations,
});

const UNREADABLE = objection(GET_INFO_CALL, {
  id: 'info/unreadable-argument',
  level: 'must',
  says: 'An argument that cannot be read is refused with EFAULT.',
  source: GET_INFO,
  stage: 'read',
  errnos: ['EFAULT'],
  when: ({ asked }) => !asked.readable,
});

const ARGSZ = objection(GET_INFO_CALL, {
  id: 'info/argsz',
  level: 'must',
  says: 'An argsz below 16 is refused with EINVAL; every larger one is accepted.',
  source: `include/uapi/linux/vfio.h: argsz; ${GET_INFO}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ asked }) => asked.argsz < SIZE,
});

const UNWRITABLE = objection(GET_INFO_CALL, {
  id: 'info/unwritable-argument',
  level: 'must',
  says: 'An argument that cannot be written is refused with EFAULT.',
  source: GET_INFO,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: (call) =>
    !call.writable(0, call.law.of(WITHIN_ARGSZ).rule(call.asked.argsz)) ||
    (hasRoom(call) && !call.writable(CHAIN_AT, call.chain.size)),
});

const ARGSZ_HINT = field(GET_INFO_CALL, {
  id: 'info/argsz-hint',
  ofPlaces: true,
  level: 'must',
  says: 'When the chain does not fit, argsz returns the size that structure and chain need; otherwise argsz stays as it was.',
  source: 'include/uapi/linux/vfio.h: argsz will be updated to report the necessary buffer size',
  at: () => offsetOf(vfioIommuType1Info, 'argsz'),
  bytes: (call) => u32Bytes(hasRoom(call) ? call.asked.argsz : CHAIN_AT + call.chain.size),
});

const FLAGS = field(GET_INFO_CALL, {
  id: 'info/flags',
  level: 'must',
  says: 'The flags say PGSIZES, because page sizes are reported, and CAPS, because there is a chain, whether it fits or not; whatever flags went in.',
  source: `${HEADER}: VFIO_IOMMU_INFO_*; Callers will see the capability chain flag bit set`,
  at: () => offsetOf(vfioIommuType1Info, 'flags'),
  bytes: () => u32Bytes(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS),
});

const PAGE_SIZES = field(GET_INFO_CALL, {
  id: 'info/page-sizes',
  level: 'must',
  says: 'The field iova_pgsizes has a bit for each page size of the IOMMU; sizes below the page of the processor are hidden behind that; without an IOMMU behind any group every size from that on is there.',
  source:
    'include/uapi/linux/vfio.h: Bitmap of supported page sizes; vfio_update_pgsize_bitmap(), drivers/vfio/vfio_iommu_type1.c',
  at: () => offsetOf(vfioIommuType1Info, 'iova_pgsizes'),
  bytes: ({ platform, container }) => u64Bytes(pageSizesOf(platform, container)),
});

const CAP_OFFSET = field(GET_INFO_CALL, {
  id: 'info/cap-offset',
  level: 'must',
  says: 'The field cap_offset is where the first capability stands when the chain fits, 0 when it does not, and is not written when argsz has no room for it.',
  source:
    'include/uapi/linux/vfio.h: a zero value for the first capability offset (if available within the provided argsz)',
  at: () => offsetOf(vfioIommuType1Info, 'cap_offset'),
  bytes: (call) =>
    Buffer.concat([u32Bytes(hasRoom(call) ? CHAIN_AT : 0), u32Bytes(0)]).subarray(
      0,
      call.law.of(WITHIN_ARGSZ).rule(call.asked.argsz) - SIZE,
    ),
});

export const INFO_CLAUSES = [
  GET_INFO_CALL,
  UNREADABLE,
  ARGSZ,
  UNWRITABLE,
  ARGSZ_HINT,
  FLAGS,
  PAGE_SIZES,
  CAP_OFFSET,
  CHAIN_LINKS,
  LAYOUTS,
  WITHIN_ARGSZ,
  ...CAPABILITY_CLAUSES,
];
