import {
  EMULATED_BY_KERNEL_THREAD,
  EMULATED_LOAD,
  EMULATED_PIN,
  EMULATED_PIN_READ,
  EMULATED_PIN_WRITE,
  EMULATED_READ,
  EMULATED_STORE,
  EMULATED_UNPIN,
  EMULATED_UNPIN_ALL,
  EMULATED_WINDOW,
  EMULATED_WRITE,
  emulatedCommand,
  emulatedWords,
} from '../../uapi/emulated-test.ts';
import type { Errno } from '../../uapi/errno.ts';
import { decode, encode, sizeOf } from '../../uapi/struct.ts';
import { VFIO_DEVICE_FEATURE } from '../../uapi/vfio-logging.ts';
import type { Law } from '../law.ts';
import { answerFeature } from '../logging/feature.ts';
import { closeLog, logsWrite } from '../logging/state.ts';
import type { Answer, Outcome } from '../outcome.ts';
import type { Run } from '../world/address-space.ts';
import { EMULATED } from '../world/clauses.ts';
import { contentRules } from '../world/content.ts';
import type { KernelFile } from '../world/kernel-file.ts';
import type { Process } from '../world/process.ts';
import { letGo, letGoOfAll, unpinFrom } from './emulated-device.ts';
import { done, memoryOf } from './emulated-memory.ts';
import { type Asked, type Emulated, type Memory, timesHeld } from './emulated-state.ts';
import type { DeviceFile } from './files.ts';
import { closeDevice } from './membership.ts';
import { PINS } from './pin.ts';

/** How often a device pins at most, and the most pages that a command may speak of (fixtures/modules/emulated). */
const MAX_PINS = 65_536;
const MAX_COUNT = 0x7fff_ffffn;

/** The file of a device of the test module that was opened by its group: fixtures/modules/emulated/README.md. */
export const emulatedFile = (file: DeviceFile, emulated: Emulated): KernelFile => {
  const { vfio, group, device } = file;
  const pageSize = BigInt(vfio.platform.pageSizeBytes);
  const unpin = unpinFrom(vfio.law, () => group.container, pageSize);
  const memory = (): Memory | undefined => {
    const iommu = group.container?.iommu;
    return device.memory ?? (iommu && { unpin, ...memoryOf(file, iommu, emulated) });
  };
  return {
    kind: 'emulated',
    ...emulatedRegion(file, emulated, memory),
    release: () => {
      device.opened--;
      if (device.opened === 0) {
        letGoOfAll(emulated, device.memory?.unpin ?? unpin);
        device.detach?.();
      }
      closeLog(vfio.law, emulated.logger, device.opened);
      closeDevice(vfio, group);
    },
  };
};

type Region = Pick<Required<KernelFile>, 'ioctl' | 'pread' | 'pwrite' | 'backing'>;

/** What a device does whose memory comes from anywhere. */
export const emulatedRegion = (file: DeviceFile, emulated: Emulated, memory: () => Memory | undefined): Region => {
  const words = sizeOf(emulatedWords);
  const { start, size: windowSize } = EMULATED_WINDOW;
  return {
    ioctl: (call) =>
      call.request === VFIO_DEVICE_FEATURE
        ? answerFeature(file, call)
        : { unspecified: 'what the test device says of itself is no business of VFIO' },
    pread: (_, offset, size) => {
      const at = Number(offset);
      if (lies(at, size, 0, words)) {
        const bytes = wordsOf(emulated).subarray(at, at + size);
        return does(size, () => undefined, { out: [{ at: 0, bytes, clause: EMULATED }] });
      }
      if (!lies(at, size, start, windowSize)) return refuses('EBADMSG');
      const out = contentRules(size, (see) => emulated.window.visit(at - start, size, see));
      return does(size, () => undefined, { out });
    },
    pwrite: (caller, offset, data) => {
      const at = Number(offset);
      if (lies(at, data.length, start, windowSize)) {
        return does(data.length, () => emulated.window.write(at - start, data));
      }
      if (at !== 0 || data.length !== sizeOf(emulatedCommand)) return refuses('EBADMSG');
      const found = memory();
      if (found === undefined) return { unspecified: 'a device without a container' };
      return command({ law: file.vfio.law, emulated, memory: found, caller }, data);
    },
    backing: () => ({ kind: 'unspecified', why: 'the test device cannot be mapped' }),
  };
};

const lies = (at: number, size: number, start: number, length: number): boolean =>
  size > 0 && at >= start && at < start + length && size <= start + length - at;

const does = (size: number, commit: () => void, rest: Partial<Outcome> = {}): Answer => ({
  allowed: [done(size, commit, rest)],
});

const refuses = (errno: Errno): Answer => ({
  allowed: [{ ret: { exactly: -1n }, errno, clauses: [EMULATED], commit: () => undefined }],
});

const wordsOf = (emulated: Emulated): Uint8Array => {
  const { held, unmaps } = emulated;
  return encode(emulatedWords, {
    pins: BigInt(timesHeld(emulated)),
    pages: BigInt(held.size),
    unmaps: unmaps.count,
    unmap_iova: unmaps.iova,
    unmap_size: unmaps.size,
    unmap_pins: unmaps.pins,
  });
};

/** A command: whom it is given to, and in whose name. */
interface Given {
  readonly law: Law;
  readonly emulated: Emulated;
  readonly memory: Memory;
  readonly caller: Process;
}

const command = (given: Given, data: Uint8Array): Answer => {
  const { reserved, ...asked } = decode(emulatedCommand, data);
  if (reserved !== 0n) return refuses('EBADMSG');
  switch (asked.op) {
    case EMULATED_PIN:
      return pin(given, asked);
    case EMULATED_UNPIN:
      return letsGo(given, asked);
    case EMULATED_READ:
    case EMULATED_WRITE:
      return readOrWrite(given, asked);
    case EMULATED_LOAD:
    case EMULATED_STORE:
      return loadOrStore(given, asked);
    case EMULATED_UNPIN_ALL: {
      if (asked.flags !== 0 || asked.iova !== 0n || asked.count !== 0n) return refuses('EBADMSG');
      const { memory, emulated } = given;
      return commanded(() => letGoOfAll(emulated, memory.unpin));
    }
    default:
      return refuses('EBADMSG');
  }
};

const commanded = (commit: () => void): Answer => does(sizeOf(emulatedCommand), commit);

/** Whether the pages can be spoken of: they begin at one, and do not go beyond the last. */
const areWholePages = ({ iova, count }: Asked, pageSize: bigint): boolean =>
  iova % pageSize === 0n && count <= MAX_COUNT && iova + count * pageSize <= 1n << 64n;

const pin = ({ emulated, memory, caller }: Given, asked: Asked): Answer => {
  const { flags, count } = asked;
  const pageSize = BigInt(emulated.window.pageSize);
  if ((flags & ~(EMULATED_PIN_READ | EMULATED_PIN_WRITE)) !== 0) return refuses('EBADMSG');
  if (!areWholePages(asked, pageSize)) return refuses('EBADMSG');
  if (count <= mostPages(pageSize) && timesHeld(emulated) + Number(count) > MAX_PINS) return refuses('EDQUOT');
  return memory.pin(caller, asked, (runs) => hold(emulated, asked, runs));
};

/** So many pages can be pinned or let go of at once: as many as a page has room for pointers. */
export const mostPages = (pageSize: bigint): bigint => pageSize / 8n;

const hold = ({ held, window }: Emulated, { iova, flags }: Asked, runs: readonly Run[]): void => {
  const writable = (flags & EMULATED_PIN_WRITE) !== 0;
  for (const [index, run] of runs.entries()) {
    const page = iova / BigInt(window.pageSize) + BigInt(index);
    const known = held.get(page);
    if (known === undefined) held.set(page, { run, times: 1, writable });
    else {
      known.times++;
      known.writable ||= writable;
    }
  }
};

const letsGo = ({ emulated, memory }: Given, asked: Asked): Answer => {
  const pageSize = BigInt(emulated.window.pageSize);
  const { flags, iova, count } = asked;
  if (flags !== 0 || !areWholePages(asked, pageSize) || count === 0n || count > mostPages(pageSize)) {
    return refuses('EBADMSG');
  }
  const pages = Array.from({ length: Number(count) }, (_, index) => iova / pageSize + BigInt(index));
  if (pages.some((page) => !emulated.held.has(page))) return refuses('ENOENT');
  return commanded(() => {
    for (const page of pages) letGo(emulated, memory.unpin, page, 1);
  });
};

const readOrWrite = ({ law, emulated, memory, caller }: Given, asked: Asked): Answer => {
  const { op, flags, iova, count } = asked;
  if (count > BigInt(EMULATED_WINDOW.size) || (flags & ~EMULATED_BY_KERNEL_THREAD) !== 0) return refuses('EBADMSG');
  const answer = memory.readOrWrite(caller, asked);
  return op === EMULATED_WRITE ? logsWrite(law, emulated.logger, iova, count, answer) : answer;
};

/** LOAD and STORE: bytes of pages that the device holds. */
const loadOrStore = ({ law, emulated }: Given, asked: Asked): Answer => {
  const { op, flags, iova, count } = asked;
  if (flags !== 0 || count === 0n || count > BigInt(EMULATED_WINDOW.size) || iova + count > 1n << 64n) {
    return refuses('EBADMSG');
  }
  const answer = copy(emulated, asked);
  return op === EMULATED_STORE ? logsWrite(law, emulated.logger, iova, count, answer) : answer;
};

const copy = (emulated: Emulated, { op, iova, count }: Asked): Answer => {
  const { window, held } = emulated;
  const pageSize = BigInt(window.pageSize);
  const stored = op === EMULATED_STORE;
  const copies: (() => void)[] = [];
  const until = (errno: Errno): Answer => {
    const [outcome] = (refuses(errno) as { allowed: readonly [Outcome] }).allowed;
    return { allowed: [{ ...outcome, commit: () => runAll(copies) }] };
  };
  for (let at = 0n; at < count; ) {
    const from = iova + at;
    const page = held.get(from / pageSize);
    const offset = from % pageSize;
    const size = Number(count - at < pageSize - offset ? count - at : pageSize - offset);
    if (page === undefined) return until('ENOENT');
    if (stored && !page.writable) return until('EROFS');
    const { pages, first } = page.run;
    const [inPage, inWindow] = [first * window.pageSize + Number(offset), Number(at)];
    copies.push(() =>
      stored
        ? pages.copyBytes(inPage, window, inWindow, size, PINS)
        : window.copyBytes(inWindow, pages, inPage, size, PINS),
    );
    at += BigInt(size);
  }
  return commanded(() => runAll(copies));
};

const runAll = (acts: readonly (() => void)[]): void => {
  for (const act of acts) act();
};
