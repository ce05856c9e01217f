import { DIRTY_START, refusal, SET_UNSUPPORTED, SET_WITHOUT_GROUP } from '../../../spec/five-modes/index.ts';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '../../../uapi/vfio.ts';
import { type Objection, type Request, refusing, request, rule } from '../../clauses.ts';
import { OPENS } from '../framing.ts';
import { alignmentOf, type Context, type Ioas, pins } from '../state.ts';
import { compatIoasOf } from './state.ts';

/* What /dev/iommu answers to the requests of a VFIO container that are about no mapping. */

const HEADER = 'include/uapi/linux/vfio.h';
const COMPAT = 'drivers/iommu/iommufd/vfio_compat.c';

const GET_API_VERSION = request<Context, Context>({
  id: 'compat/api-version',
  level: 'must',
  says: 'GET_API_VERSION on /dev/iommu returns 0, with a group or without.',
  source: `${HEADER}: VFIO_GET_API_VERSION`,
  on: 'iommufd',
  request: VFIO_GET_API_VERSION,
  situation: (context) => context,
  stages: [],
  returns: () => ({ exactly: VFIO_API_VERSION }),
});

/** A request whose argument is a number: an extension, a type. */
interface NumberCall {
  readonly context: Context;
  readonly number: bigint;
  readonly ioas: Ioas | undefined;
}

const SUPPORTED: readonly bigint[] = [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL];

const CHECK_EXTENSION: Request<Context, NumberCall> = request({
  id: 'compat/check-extension',
  level: 'must',
  says: 'CHECK_EXTENSION on /dev/iommu answers 1 for type1 (1), type1 v2 (3) and UNMAP_ALL (9), with a group or without, and 0 for UPDATE_VADDR (10), the nesting type (6) and what is not defined.',
  source: `${HEADER}: VFIO_CHECK_EXTENSION; iommufd_vfio_check_extension(), ${COMPAT}`,
  on: 'iommufd',
  request: VFIO_CHECK_EXTENSION,
  situation: (context, { argument }) => ({ context, number: argument.value, ioas: compatIoasOf(context)?.ioas }),
  stages: [],
  returns: (call) => ({ exactly: isSupported(call) ? 1n : 0n }),
  returnedBy: ({ context, number }) => (number === VFIO_DMA_CC_IOMMU ? context.law.of(COHERENCE) : CHECK_EXTENSION),
});

const COHERENCE = rule<(call: NumberCall) => boolean>({
  id: 'compat/extension-dma-coherence',
  level: 'must',
  says: 'CHECK_EXTENSION answers for DMA_CC_IOMMU (4) whether the hardware enforces cache coherence for all devices that are open, so 1 while none is; without a group it answers 0.',
  source: `${HEADER}: Return: 0 if not supported, 1 if supported; Availability: Always; iommufd_vfio_cc_iommu(), ${COMPAT}`,
  rule: ({ context, ioas }) => ioas !== undefined && (!pins(ioas) || context.platform.iommu.enforcesCacheCoherency),
});

const isSupported = (call: NumberCall): boolean =>
  call.number === VFIO_DMA_CC_IOMMU ? call.context.law.of(COHERENCE).rule(call) : SUPPORTED.includes(call.number);

const SET_IOMMU = request<Context, NumberCall>({
  id: 'compat/set-iommu',
  level: 'must',
  says: 'SET_IOMMU on /dev/iommu with type1 or type1 v2 returns 0 once a group was given it, as often as it is asked; type1 lets UNMAP_DMA cut mappings from then on, and type1 v2 does not take that back.',
  source: `${HEADER}: VFIO_SET_IOMMU; iommufd_vfio_set_iommu(), ${COMPAT}`,
  on: 'iommufd',
  request: VFIO_SET_IOMMU,
  situation: (context, { argument }) => ({ context, number: argument.value, ioas: compatIoasOf(context)?.ioas }),
  stages: ['type', 'ioas', 'mappings'],
  effect: ({ number, ioas }) => {
    if (ioas !== undefined && number === VFIO_TYPE1_IOMMU) ioas.largePages = false;
  },
});

const refuses = refusing(SET_IOMMU);

/** Whether type1 is asked for where pages may still be combined. */
const forbidsLargePages = ({ number, ioas }: NumberCall): boolean =>
  number === VFIO_TYPE1_IOMMU && ioas?.largePages === true;

const SET_IOMMU_OBJECTIONS = [
  refuses({
    id: 'compat/set-iommu-unsupported',
    says: 'SET_IOMMU on /dev/iommu with a number that is no type of it is refused with EINVAL, with a group or without.',
    source: `iommufd_vfio_set_iommu(), ${COMPAT}`,
    stage: 'type',
    errnos: refusal(SET_UNSUPPORTED, 'compat-v2'),
    when: ({ number }) => number !== VFIO_TYPE1_IOMMU && number !== VFIO_TYPE1v2_IOMMU,
  }),
  refuses({
    id: 'compat/set-iommu-without-group',
    says: 'SET_IOMMU on /dev/iommu before a group was given it is refused with ENODEV.',
    source: `${HEADER}: A group must be set to this file descriptor before this ioctl is available; get_compat_ioas(), ${COMPAT}`,
    stage: 'ioas',
    errnos: refusal(SET_WITHOUT_GROUP, 'compat-v2'),
    when: ({ ioas }) => ioas === undefined,
  }),
  refuses({
    id: 'compat/set-iommu-late',
    says: 'SET_IOMMU on /dev/iommu with type1 while a device is open and anything is mapped is refused with EINVAL, unless it was set before.',
    source: 'iopt_disable_large_pages(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'mappings',
    errnos: ['EINVAL'],
    when: (call) => forbidsLargePages(call) && call.ioas !== undefined && pins(call.ioas) && call.ioas.areas.size > 0,
  }),
  refuses({
    id: 'compat/set-iommu-unaligned',
    says: 'SET_IOMMU on /dev/iommu with type1 while an area is mapped whose IOVA, length or memory is no whole page is refused with EADDRINUSE.',
    source: 'iopt_check_iova_alignment(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'mappings',
    errnos: ['EADDRINUSE'],
    when: (call) => {
      const { ioas, context } = call;
      if (ioas === undefined || !forbidsLargePages(call) || pins(ioas)) return false;
      const unit = alignmentOf({ ...ioas, largePages: false }, context.platform);
      return [...ioas.areas].some(({ start, end, pages, from }) =>
        [start, end, pages.vaddr + from].some((number) => number % unit !== 0n),
      );
    },
  }),
];

/** A request that is neither a command nor one of those of a container that /dev/iommu takes. */
export const UNKNOWN_REQUEST: Objection<{ readonly context: Context; readonly request: bigint }> = {
  kind: 'objection',
  to: OPENS.id,
  stage: 'dispatch',
  id: 'compat/unknown-request',
  level: 'must',
  says: 'Of the requests of containers /dev/iommu takes GET_API_VERSION, CHECK_EXTENSION, SET_IOMMU, GET_INFO, MAP_DMA and UNMAP_DMA; DIRTY_PAGES and others are refused with ENOTTY.',
  source: `iommufd_vfio_ioctl(), ${COMPAT}`,
  errnos: refusal(DIRTY_START, 'compat-v2'),
  when: ({ context, request: number }) => context.law.provision('iommufd', number) === undefined,
};

export const COMPAT_REQUEST_CLAUSES = [
  GET_API_VERSION,
  CHECK_EXTENSION,
  COHERENCE,
  SET_IOMMU,
  ...SET_IOMMU_OBJECTIONS,
  UNKNOWN_REQUEST,
];
