import { field, objection, type Request, rule } from '../../model/clauses.ts';
import { POSTED, REVIEWED } from '../../model/mediate-ops/clauses.ts';
import { hookFor } from '../../model/mediate-ops/hook.ts';
import { hasRegion, type Mediator, wordOf } from '../../model/mediate-ops/state.ts';
import type { ByteRule } from '../../model/outcome.ts';
import { u32Bytes } from '../../model/type1/bytes.ts';
import { regionOf } from '../../model/type1/device-regions.ts';
import type { DeviceFile } from '../../model/type1/files.ts';
import {
  GET_REGION_INFO,
  REGION_CAP_OFFSET,
  REGION_FLAGS,
  REGION_UNWRITABLE,
  type RegionCall,
} from '../../model/type1/region-info.ts';
import { type Errno, errnoName } from '../../uapi/errno.ts';
import { COUNTER, HOOK, SETTING } from '../../uapi/mediator-test.ts';
import { encode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_FLAG_CAPS,
  vfioRegionInfo,
  vfioRegionInfoCapSparseMmap,
} from '../../uapi/vfio.ts';

/* VFIO_DEVICE_GET_REGION_INFO, with a mediator that changes what is told. */

const INFO_SIZE = sizeOf(vfioRegionInfo);

interface MediatedCall extends RegionCall {
  /** What the hook's call leaves behind, or what its absence does. */
  readonly called: () => void;
  /** The mediator, if it changes something. */
  readonly changes: Mediator | undefined;
  /** The errno that it fails with in place of that. */
  readonly errno: Errno | undefined;
  /** The capability that it adds. */
  readonly capability: Uint8Array;
}

const NO_CAPABILITY = new Uint8Array(0);

/** What becomes of a capability of so many bytes: whether there is room for it behind the structure. */
const hasRoom = ({ asked, capability }: MediatedCall): boolean => asked.argsz >= INFO_SIZE + capability.length;

const { deviations: _, others: __, ...PLAIN } = GET_REGION_INFO;

const GET_MEDIATED_REGION_INFO: Request<DeviceFile, MediatedCall> = {
  ...PLAIN,
  situation: (file, call) => {
    const plain = GET_REGION_INFO.situation(file, call);
    const { index } = plain.asked;
    const there = (regionOf(file.device, index)?.size ?? 0n) > 0n;
    const hook = hookFor(file.vfio.law, there ? file.device.mediated : undefined, HOOK.info, COUNTER.infos, index);
    if ('passed' in hook) {
      return { ...plain, called: hook.passed, changes: undefined, errno: undefined, capability: NO_CAPABILITY };
    }
    const { mediator, called } = hook;
    const errno = hasRegion(mediator, SETTING.infoRegions, index) ? wordOf(mediator, SETTING.infoErrno) : 0n;
    const changes = hasRegion(mediator, SETTING.infoRegions, index) && errno === 0n ? mediator : undefined;
    const mediated: MediatedCall = {
      ...plain,
      called,
      changes,
      errno: errno === 0n ? undefined : errnoName(Number(errno)),
      capability: changes === undefined ? NO_CAPABILITY : sparseMmap(changes),
    };
    const size = INFO_SIZE + (hasRoom(mediated) ? mediated.capability.length : 0);
    return { ...mediated, writable: call.argument.writable(0, size) };
  },
  stages: ['read', 'arguments', 'mediation', 'reply'],
  effect: ({ called }) => called(),
  reply: (call): readonly ByteRule[] => {
    const { capability, vfio } = call;
    if (capability.length === 0) return [];
    const clause = vfio.law.of(SPARSE_MMAP);
    return hasRoom(call)
      ? [{ at: INFO_SIZE, bytes: capability, clause }]
      : [{ at: 0, bytes: u32Bytes(INFO_SIZE + capability.length), clause }];
  },
};

/** The capability that a mediator was told to add. */
const sparseMmap = (mediator: Mediator): Uint8Array => {
  const size = wordOf(mediator, SETTING.sparseSize);
  if (size === 0n) return NO_CAPABILITY;
  return encode(vfioRegionInfoCapSparseMmap, {
    header: { id: VFIO_REGION_INFO_CAP_SPARSE_MMAP, version: 1, next: 0 },
    nr_areas: 1,
    areas: [{ offset: wordOf(mediator, SETTING.sparseOffset), size }],
  });
};

const SPARSE_MMAP = rule<undefined>({
  id: 'mediate-ops/sparse-mmap',
  level: 'must',
  says: 'A capability that the mediator adds stands behind the structure, with the CAPS flag and its offset, or makes argsz say how much room it needs.',
  source: `${POSTED}: "adding a sparse mmap cap to passthrough only sub-regions of a whole region"`,
  rule: undefined,
});

const MEDIATED_FLAGS = field(GET_MEDIATED_REGION_INFO, {
  id: 'mediate-ops/region-flags',
  level: 'must',
  says: 'The mediator can change the flags that are told of a region that is there.',
  source: `${POSTED}: "so that vendor driver is able to override a region's default flags and caps"`,
  at: () => offsetOf(vfioRegionInfo, 'flags'),
  bytes: (call) => {
    const bytes = REGION_FLAGS.bytes(call);
    const { changes, capability } = call;
    if (!(bytes instanceof Uint8Array) || changes === undefined) return undefined;
    const flags = BigInt(new DataView(bytes.buffer).getUint32(0, true));
    const told = (flags & ~wordOf(changes, SETTING.infoClear)) | wordOf(changes, SETTING.infoSet);
    return u32Bytes(Number(BigInt.asUintN(32, told)) | (capability.length > 0 ? VFIO_REGION_INFO_FLAG_CAPS : 0));
  },
});

const UNMEDIATED_FLAGS = field(GET_MEDIATED_REGION_INFO, {
  ...REGION_FLAGS,
  bytes: (call) => (call.changes === undefined ? REGION_FLAGS.bytes(call) : undefined),
});

const MEDIATED_CAP_OFFSET = field(GET_MEDIATED_REGION_INFO, {
  ...REGION_CAP_OFFSET,
  bytes: (call) => (call.capability.length === 0 ? 4 : u32Bytes(hasRoom(call) ? INFO_SIZE : 0)),
});

/** The hook fails: the thread does not say what comes of it. */
const INFO_ERROR = objection(GET_MEDIATED_REGION_INFO, {
  id: 'mediate-ops/info-error',
  level: 'may',
  says: 'A hook for the information of a region that fails changes nothing, or has the call fail with its errno.',
  source: `${REVIEWED}: a helper function in place of each call of the hook, whose result is void, as posted`,
  stage: 'mediation',
  errnos: ['EIO'],
  errno: ({ errno }) => errno,
  when: ({ errno }) => errno !== undefined && 'perhaps',
  leaves: ({ called }) => called(),
});

const MEDIATED_UNWRITABLE = objection(GET_MEDIATED_REGION_INFO, {
  ...REGION_UNWRITABLE,
  leaves: ({ called }) => called(),
});

/** What is stated of the call in a revision with mediators. */
export const MEDIATED_REGION_CLAUSES = [
  GET_MEDIATED_REGION_INFO,
  UNMEDIATED_FLAGS,
  MEDIATED_FLAGS,
  MEDIATED_CAP_OFFSET,
  MEDIATED_UNWRITABLE,
  SPARSE_MMAP,
  INFO_ERROR,
];
