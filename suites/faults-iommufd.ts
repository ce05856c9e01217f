import { type Faults, pairs } from '../harness/cases/fault-pairs.ts';
import { type Memory, type Scenario, u64 } from '../harness/cases/index.ts';
import {
  type Context,
  type CopyRequest,
  FIXED,
  type MapFileRequest,
  type MapRequest,
  openWithMock,
  READ,
  WRITE,
} from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { type Initialiser, offsetOf } from '../harness/uapi/struct.ts';

/*
 * Two faults at once, of commands on /dev/iommu: either errno may be the answer, where the model does not say more, and
 * nothing may be left behind. A mock device is attached, so that memory is pinned.
 */

const PAGE = 0x1000n;
/** Where the mock device's aperture begins. */
const BASE = 1n << 24n;
const TOP = (1n << 64n) - 1n;
/** The last page below 2^64, and more than there is from there on. */
const LAST_PAGE = TOP - PAGE + 1n;
/** What is mapped before, in IO address space 1. */
const MAPPED = { iova: BASE, length: 4n * PAGE };
const FREE = { iova: BASE + 0x100000n, length: 2n * PAGE };
const NO_IOAS = 99;
const UNKNOWN_FLAG = 1 << 7;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');

/** A context: IO address space 1 has a device and one mapping; 5 is empty, and has none. */
interface Ready {
  readonly s: Scenario;
  readonly c: Context;
  readonly memory: Memory;
}

const ready = (s: Scenario): Ready => {
  const c = openWithMock(s);
  c.alloc(1);
  c.attachMock(1).returns(0);
  c.alloc(5);
  const memory = s.main.memory(0x10000n);
  memory.fill(1);
  c.map({ ...MAPPED, vaddr: memory.at() }).returns(0);
  return { s, c, memory };
};

/** Only what was mapped before is mapped. */
const unchanged = ({ c }: Ready): void => {
  c.unmap(0n, TOP, 1).returns(0).shows(LENGTH_AT, u64(MAPPED.length));
  c.unmap(0n, TOP, 5).returns(0).shows(LENGTH_AT, u64(0n));
};

/** Whoever is charged may lock no more than is locked. */
const atLimit = ({ s }: Ready): void => {
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', 0n).succeeds();
};

/** Flags are one field: the faults of it exclude each other. */
const PLACING = {
  flags: { errnos: ['EOPNOTSUPP'], request: { flags: FIXED | READ | WRITE | UNKNOWN_FLAG } },
  'needs-access': { errnos: ['EINVAL'], request: { flags: FIXED } },
  'unknown-ioas': { errnos: ['ENOENT'], request: { ioas: NO_IOAS } },
  overflow: { errnos: ['EOVERFLOW'], request: { length: TOP } },
  empty: { errnos: ['EINVAL'], request: { length: 0n } },
  'range-overflow': { errnos: ['EOVERFLOW'], request: { iova: LAST_PAGE } },
  unaligned: { errnos: ['EINVAL'], request: { iova: FREE.iova + 0x10n } },
  occupied: { errnos: ['EEXIST'], request: { iova: MAPPED.iova + PAGE } },
  'beyond-aperture': { errnos: ['EINVAL'], request: { iova: 0n } },
  'over-limit': { errnos: ['ENOMEM'], before: atLimit },
} as const;

const MAP_FAULTS: Faults<MapRequest, Ready> = {
  'ioas/map-flags': PLACING.flags,
  'ioas/map-needs-access': PLACING['needs-access'],
  'ioas/map-unknown-ioas': PLACING['unknown-ioas'],
  'ioas/map-overflow': PLACING.overflow,
  'ioas/map-empty': PLACING.empty,
  'ioas/map-memory-overflow': { errnos: ['EOVERFLOW'], request: { vaddr: LAST_PAGE } },
  'ioas/map-range-overflow': PLACING['range-overflow'],
  'ioas/map-unaligned': PLACING.unaligned,
  'ioas/map-occupied': PLACING.occupied,
  'ioas/map-beyond-aperture': PLACING['beyond-aperture'],
  'ioas/map-no-memory': { errnos: ['EFAULT'], before: ({ memory }) => void memory.hole(0x8000n, PAGE).succeeds() },
  'ioas/map-over-limit': PLACING['over-limit'],
};

pairs(MAP_FAULTS, {
  ready,
  ask: ({ c, memory }, request) => c.map({ ...FREE, vaddr: memory.at(0x7000n), ...request }),
  left: unchanged,
});

const MAP_FILE_FAULTS: Faults<MapFileRequest, Ready & { readonly fd: string }> = {
  'ioas/map-file-flags': PLACING.flags,
  'ioas/map-file-needs-access': PLACING['needs-access'],
  'ioas/map-file-unknown-ioas': PLACING['unknown-ioas'],
  'ioas/map-file-overflow': PLACING.overflow,
  'ioas/map-file-empty': PLACING.empty,
  'ioas/map-file-bad-descriptor': { errnos: ['EBADF'], request: { fd: -1 } },
  'ioas/map-file-start-overflow': { errnos: ['EOVERFLOW'], request: { start: LAST_PAGE } },
  'ioas/map-file-range-overflow': PLACING['range-overflow'],
  'ioas/map-file-unaligned': PLACING.unaligned,
  'ioas/map-file-occupied': PLACING.occupied,
  'ioas/map-file-beyond-aperture': PLACING['beyond-aperture'],
  'ioas/map-file-no-memory': { errnos: ['EINVAL'], request: { start: 0x20000n } },
  'ioas/map-file-over-limit': PLACING['over-limit'],
};

pairs(MAP_FILE_FAULTS, {
  ready: (s) => ({ ...ready(s), fd: s.main.memfd(0x10000n) }),
  ask: ({ c, fd }, request) => c.mapFile({ ...FREE, fd, ...request }),
  left: unchanged,
});

const COPY_FAULTS: Faults<CopyRequest, Ready> = {
  'ioas/copy-flags': PLACING.flags,
  'ioas/copy-needs-access': PLACING['needs-access'],
  'ioas/copy-overflow': { errnos: ['EOVERFLOW'], request: { length: TOP } },
  'ioas/copy-unknown-ioas': { errnos: ['ENOENT'], request: { from: NO_IOAS } },
  'ioas/copy-empty': { errnos: ['EINVAL'], request: { length: 0n } },
  'ioas/copy-source-overflow': { errnos: ['EOVERFLOW'], request: { source: LAST_PAGE } },
  'ioas/copy-unmapped': { errnos: ['ENOENT'], request: { source: MAPPED.iova + 3n * PAGE } },
  'ioas/copy-unknown-target': { errnos: ['ENOENT'], request: { to: NO_IOAS } },
  'ioas/copy-beyond-access': {
    errnos: ['EPERM'],
    request: { source: FREE.iova },
    before: ({ c, memory }) => void c.map({ ...FREE, ioas: 5, vaddr: memory.at(), flags: FIXED | READ }).returns(0),
  },
  'ioas/copy-target-overflow': { errnos: ['EOVERFLOW'], request: { target: LAST_PAGE } },
  'ioas/copy-unaligned': { errnos: ['EINVAL'], request: { target: FREE.iova + 0x10n } },
  'ioas/copy-occupied': { errnos: ['EEXIST'], request: { target: MAPPED.iova + PAGE } },
  'ioas/copy-beyond-aperture': { errnos: ['EINVAL'], request: { target: 0n } },
};

pairs(COPY_FAULTS, {
  ready,
  ask: ({ c }, request) => {
    const from = request.source === FREE.iova ? 5 : 1;
    return c.copy({ from, to: 1, source: MAPPED.iova, target: FREE.iova, length: 2n * PAGE, ...request });
  },
  left: ({ c }) => void c.unmap(0n, TOP, 1).returns(0).shows(LENGTH_AT, u64(MAPPED.length)),
});

interface UnmapRequest {
  readonly iova: bigint;
  readonly length: bigint;
  readonly ioas: number;
}

const UNMAP_FAULTS: Faults<UnmapRequest, Ready> = {
  'ioas/unmap-unknown-ioas': { errnos: ['ENOENT'], request: { ioas: NO_IOAS } },
  'ioas/unmap-overflow': { errnos: ['EOVERFLOW'], request: { iova: LAST_PAGE } },
  'ioas/unmap-empty': { errnos: ['EINVAL'], request: { length: 0n } },
  'ioas/unmap-cuts': { errnos: ['ENOENT'], request: { iova: MAPPED.iova + PAGE } },
  'ioas/unmap-nothing': { errnos: ['ENOENT'], request: { iova: FREE.iova } },
};

pairs(UNMAP_FAULTS, {
  ready,
  ask: ({ c }, { iova = MAPPED.iova, length = 2n * PAGE, ioas = 1 }) => c.unmap(iova, length, ioas),
  left: unchanged,
});

/** The words of a request, and where its ranges are. */
type RangesRequest = Partial<Initialiser<typeof uapi.iommuIoasAllowIovas>> & { readonly unreachable?: true };

const ALLOW_FAULTS: Faults<RangesRequest, Ready> = {
  'ioas/allow-reserved': { errnos: ['EOPNOTSUPP'], request: { __reserved: 1 } },
  'ioas/allow-unknown-ioas': { errnos: ['ENOENT'], request: { ioas_id: NO_IOAS } },
  'ioas/allow-unreadable': { errnos: ['EFAULT'], request: { unreachable: true } },
  'ioas/allow-bad-range': {
    errnos: ['EINVAL'],
    before: ({ memory }) => {
      memory.write(u64(BASE + PAGE));
      memory.write(u64(BASE), 8n);
    },
  },
};

pairs(ALLOW_FAULTS, {
  ready,
  ask: ({ c, memory }, { unreachable, ...request }) =>
    c.allow({ num_iovas: 1, ...request }, unreachable ? 0n : memory.at()),
  left: unchanged,
});

const RANGES_FAULTS: Faults<RangesRequest, Ready> = {
  'ioas/ranges-reserved': { errnos: ['EOPNOTSUPP'], request: { __reserved: 1 } },
  'ioas/ranges-unknown-ioas': { errnos: ['ENOENT'], request: { ioas_id: NO_IOAS } },
  'ioas/ranges-unwritable': { errnos: ['EFAULT'], request: { unreachable: true } },
  'ioas/ranges-too-few': { errnos: ['EMSGSIZE'], request: { num_iovas: 0 } },
};

pairs(RANGES_FAULTS, {
  ready,
  ask: ({ c, memory }, { unreachable, ...request }) =>
    c.ranges({ num_iovas: 4, ...request }, unreachable ? 0n : memory.at()),
  left: unchanged,
});

type OptionRequest = Initialiser<typeof uapi.iommuOption>;

/** Of an IO address space, and of the context as a whole. */
const HUGE_PAGES: OptionRequest = {
  option_id: uapi.IOMMU_OPTION_HUGE_PAGES,
  op: uapi.IOMMU_OPTION_OP_SET,
  object_id: 1,
};
const OPTION_FAULTS: Faults<OptionRequest, Ready> = {
  'iommufd/option-unsupported': { errnos: ['EOPNOTSUPP'], request: { op: 7 } },
  'iommufd/option-unknown-ioas': { errnos: ['ENOENT'], request: { object_id: NO_IOAS } },
  'iommufd/option-bad-value': { errnos: ['EINVAL'], request: { val64: 2n } },
};

pairs(OPTION_FAULTS, { ready, ask: ({ c }, request) => c.option({ ...HUGE_PAGES, ...request }), left: unchanged });
