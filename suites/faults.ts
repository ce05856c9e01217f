import { type Faults, pairs } from '../harness/cases/fault-pairs.ts';
import {
  type BitmapRequest,
  type DirtyRequest,
  type MapRequest,
  type Ready,
  readyContainer,
  type Scenario,
  type UnmapRequest,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

/*
 * Two faults at once: either errno may be the answer, where the model does not say more, and nothing may be left behind.
 */

const PAGE = 0x1000n;
/** What is mapped before: four pages, read and write. */
const MAPPED = { iova: 0x10000n, size: 0x4000n };
const FREE = { iova: 0x40000n, size: 0x2000n };

/** A container with one mapping, whose memory was written. */
const withMapping = (s: Scenario): Ready => {
  const c = readyContainer(s);
  c.memory.fill(1);
  c.map(MAPPED).succeeds();
  return c;
};

/** The same while dirty pages are tracked. */
const tracking = (s: Scenario): Ready => {
  const c = withMapping(s);
  c.startDirty().succeeds();
  return c;
};

/** The same without the mapping's vaddr. */
const invalidated = (s: Scenario): Ready => {
  const c = withMapping(s);
  c.invalidateVaddr(MAPPED).succeeds();
  return c;
};

/** Only that mapping is charged for. */
const charged = (_c: Ready, s: Scenario): void => void s.main.lockedKb().returns(16);

const MAP_FAULTS: Faults<MapRequest, Ready> = {
  'map/argsz': { errnos: ['EINVAL'], request: { argsz: 31 } },
  'map/unknown-flags': { errnos: ['EINVAL'], request: { flags: 0xb } },
  'map/needs-access': { errnos: ['EINVAL'], request: { flags: 0 } },
  'map/zero-size': { errnos: ['EINVAL'], request: { size: 0n } },
  'map/unaligned': { errnos: ['EINVAL'], request: { vaddr: 0x1234n } },
  'map/iova-wraps': { errnos: ['EINVAL', 'EOVERFLOW'], request: { iova: 0xffff_ffff_ffff_f000n, size: 2n * PAGE } },
  'map/overlap': { errnos: ['EEXIST'], request: { iova: 0x11000n } },
  'map/outside-iova-ranges': { errnos: ['EINVAL'], request: { iova: 0xfee00000n } },
  'map/unreachable-memory': { errnos: ['EFAULT'], before: (c) => void c.memory.hole(PAGE, PAGE).succeeds() },
  'map/locked-memory': {
    errnos: ['ENOMEM'],
    before: (_c, s) => {
      s.main.drops('ipc_lock').succeeds();
      s.main.limits('memlock', 4n * PAGE).succeeds();
    },
  },
};

pairs(MAP_FAULTS, { ready: withMapping, ask: (c, request) => c.map({ ...FREE, ...request }), left: charged });

const UNMAP_FAULTS: Faults<UnmapRequest, Ready> = {
  'unmap/argsz': { errnos: ['EINVAL'], request: { argsz: 23 } },
  'unmap/unknown-flags': { errnos: ['EINVAL'], request: { flags: 8 } },
  'unmap/zero-size': { errnos: ['EINVAL'], request: { size: 0n } },
  'unmap/unaligned': { errnos: ['EINVAL'], request: { iova: 0x10800n } },
  'unmap/wraps': { errnos: ['EINVAL', 'EOVERFLOW'], request: { iova: 0xffff_ffff_ffff_f000n, size: 2n * PAGE } },
  'unmap/v2-bisects': { errnos: ['EINVAL'], request: { iova: 0x11000n } },
  'vaddr/invalidated-twice': {
    errnos: ['EINVAL'],
    request: { flags: uapi.VFIO_DMA_UNMAP_FLAG_VADDR },
    before: (c) => void c.invalidateVaddr(MAPPED).succeeds(),
  },
};

pairs(UNMAP_FAULTS, { ready: withMapping, ask: (c, request) => c.unmap({ ...MAPPED, ...request }), left: charged });

const bitmap = (changes: Partial<BitmapRequest>): { readonly bitmap: BitmapRequest } => ({
  bitmap: { data: 0n, size: 8n, ...changes },
});

/** What UNMAP_DMA says of a bitmap. The address 0 cannot be written, and is the only fault where nothing else is wrong. */
const BITMAP_FAULTS: Faults<UnmapRequest, Ready> = {
  'unmap/bitmap-argsz': { errnos: ['EINVAL'], request: { argsz: 47 } },
  'unmap/bitmap-page-size': { errnos: ['EINVAL'], request: bitmap({ pgsize: 0x2000n }) },
  'unmap/bitmap-too-small': { errnos: ['EINVAL'], request: bitmap({ size: 0n }) },
  'unmap/bitmap-too-large': { errnos: ['EINVAL'], request: bitmap({ size: (1n << 28n) + 8n }) },
  'unmap/bitmap-while-not-tracking': { errnos: ['EINVAL'], before: (c) => void c.stopDirty().succeeds() },
  'unmap/unwritable-bitmap': { errnos: ['EFAULT'] },
};

pairs(BITMAP_FAULTS, {
  ready: tracking,
  ask: (c, request) => c.unmap({ ...MAPPED, ...bitmap({}), ...request }),
  left: charged,
});

const DIRTY_FAULTS: Faults<DirtyRequest, Ready> = {
  'dirty/argsz': { errnos: ['EINVAL'], request: { argsz: 7 } },
  'dirty/one-flag': { errnos: ['EINVAL'], request: { flags: 5 } },
  'dirty/unknown-flags': { errnos: ['EINVAL'], request: { flags: 12 } },
  'dirty/zero-size': { errnos: ['EINVAL'], request: { size: 0n } },
  'dirty/unaligned': { errnos: ['EINVAL'], request: { iova: 0x10001n } },
  'dirty/wraps': { errnos: ['EINVAL', 'EOVERFLOW'], request: { iova: 0xffff_ffff_ffff_f000n, size: 2n * PAGE } },
  'dirty/bisects': { errnos: ['EINVAL'], request: { iova: 0x11000n } },
  'dirty/page-size': { errnos: ['EINVAL'], request: bitmap({ pgsize: 0x2000n }) },
  'dirty/bitmap-too-small': { errnos: ['EINVAL'], request: bitmap({ size: 0n }) },
  'dirty/bitmap-too-large': { errnos: ['EINVAL'], request: bitmap({ size: (1n << 28n) + 8n }) },
  'dirty/not-tracking': { errnos: ['EINVAL'], before: (c) => void c.stopDirty().succeeds() },
  'dirty/unwritable-bitmap': { errnos: ['EFAULT'] },
};

pairs(DIRTY_FAULTS, { ready: tracking, ask: (c, request) => c.getDirty({ ...MAPPED, ...bitmap({}), ...request }) });

const UPDATE_FAULTS: Faults<MapRequest, Ready> = {
  'vaddr/exclusive-flags': { errnos: ['EINVAL'], request: { flags: uapi.VFIO_DMA_MAP_FLAG_VADDR | 1 } },
  'vaddr/no-mapping': { errnos: ['ENOENT'], request: { iova: 0x40000n } },
  'vaddr/other-range': { errnos: ['EINVAL'], request: { size: 0x3000n } },
  'vaddr/not-invalidated': {
    errnos: ['EINVAL'],
    before: (c) => void c.updateVaddr({ ...MAPPED, vaddr: c.memory.at() }).succeeds(),
  },
};

pairs(UPDATE_FAULTS, {
  ready: invalidated,
  ask: (c, request) => c.updateVaddr({ ...MAPPED, ...request }),
  left: charged,
});
