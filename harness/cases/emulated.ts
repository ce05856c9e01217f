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
} from '../uapi/emulated-test.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import { EMULATED_GROUP } from './needs.ts';
import type { Actor, Said, Scenario } from './scenario.ts';
import { type Device, type Ready, type ReadyOptions, readyContainer, u64 } from './vfio.ts';

export const PIN_READ = EMULATED_PIN_READ;
export const PIN_WRITE = EMULATED_PIN_WRITE;

/** What the device tells: how often it holds pages, how many, and of mappings that ended (how many, the last one, pages let go). */
type Words = Partial<Record<keyof typeof emulatedWords.fields, bigint>>;

/** A device of the test module vfio-emulated as one actor speaks to it. IOVAs and sizes in bytes, counts in pages. */
export interface EmulatedDevice {
  readonly device: Pick<Device, 'fd'>;
  /** For reading and writing unless a case says otherwise. */
  pins(iova: bigint, pages?: number, access?: number): Said;
  unpins(iova: bigint, pages?: number): Said;
  unpinsAll(): Said;
  /** Has memory read into the window, or written from it, without pinning. */
  reads(iova: bigint, size: number): Said;
  writes(iova: bigint, size: number): Said;
  /** The same in the name of a thread of the kernel. */
  readsByThread(iova: bigint, size: number): Said;
  writesByThread(iova: bigint, size: number): Said;
  /** Copies between the window and pages that it holds. */
  loads(iova: bigint, size: number): Said;
  stores(iova: bigint, size: number): Said;
  /** Fills its window with one byte. */
  fills(byte: number): Said;
  /** Its window from the first byte on. */
  holds(...bytes: readonly number[]): Said;
  tells(words: Words): Said;
  close(): Said;
  of(actor: Actor): EmulatedDevice;
}

/** A ready container of groups without an IOMMU (unless others are asked for), and the device of the first of them. */
export const emulated = (
  s: Scenario,
  { groups = ['emulated0'], ...options }: ReadyOptions = {},
): { readonly c: Ready; readonly d: EmulatedDevice } => {
  s.needs(EMULATED_GROUP);
  const c = readyContainer(s, { groups, ...options });
  return { c, d: emulatedOf(c, groups, options.actor ?? s.main) };
};

/** The device of a container's group without an IOMMU: of the first of those, unless another name is given. */
export const emulatedOf = (
  c: Ready,
  groups: readonly string[],
  actor: Actor,
  name = groups.find((group) => group.startsWith('emulated')) ?? 'emulated0',
): EmulatedDevice => {
  const device = c.groups[groups.indexOf(name)]?.device(`${name}-device`);
  if (device === undefined) throw new Error(`the container has no group ${name}`);
  device.opened.succeeds();
  return deviceOf(device, actor);
};

/** The words of a device for a descriptor. */
export const deviceOf = (device: Pick<Device, 'fd'>, actor: Actor): EmulatedDevice => {
  const { fd } = device;
  const tell = (op: number, iova = 0n, count = 0, flags = 0): Said => {
    const data = encode(emulatedCommand, { op, flags, iova, count: BigInt(count), reserved: 0n });
    return actor.does({ op: 'pwrite', fd, offset: 0n, data });
  };
  const start = BigInt(EMULATED_WINDOW.start);
  const region = (offset: bigint, size: number): Said => actor.does({ op: 'pread', fd, offset, size: BigInt(size) });
  return {
    device,
    pins: (iova, pages = 1, access = PIN_READ | PIN_WRITE) => tell(EMULATED_PIN, iova, pages, access),
    unpins: (iova, pages = 1) => tell(EMULATED_UNPIN, iova, pages),
    unpinsAll: () => tell(EMULATED_UNPIN_ALL),
    reads: (iova, size) => tell(EMULATED_READ, iova, size),
    writes: (iova, size) => tell(EMULATED_WRITE, iova, size),
    readsByThread: (iova, size) => tell(EMULATED_READ, iova, size, EMULATED_BY_KERNEL_THREAD),
    writesByThread: (iova, size) => tell(EMULATED_WRITE, iova, size, EMULATED_BY_KERNEL_THREAD),
    loads: (iova, size) => tell(EMULATED_LOAD, iova, size),
    stores: (iova, size) => tell(EMULATED_STORE, iova, size),
    fills: (byte) =>
      actor.does({ op: 'pwrite', fd, offset: start, data: new Uint8Array(EMULATED_WINDOW.size).fill(byte) }),
    holds: (...bytes) => region(start, bytes.length).shows(0, Uint8Array.from(bytes)),
    tells: (words) => {
      const said = region(0n, sizeOf(emulatedWords));
      for (const [name, word] of Object.entries(words)) {
        said.shows(offsetOf(emulatedWords, name as keyof typeof emulatedWords.fields), u64(word));
      }
      return said;
    },
    close: () => actor.does({ op: 'close', fd }),
    of: (other) => deviceOf(device, other),
  };
};
