/** The region of the test module vfio-emulated's devices (fixtures/modules/emulated/README.md). Offsets and sizes in bytes. */
import { struct, u32, u64 } from './struct.ts';

/** What the device is told: written whole at offset 0. */
export const emulatedCommand = struct('emulated_command', {
  op: u32,
  flags: u32,
  iova: u64,
  count: u64,
  reserved: u64,
});

export const EMULATED_PIN = 1;
export const EMULATED_UNPIN = 2;
export const EMULATED_READ = 3;
export const EMULATED_WRITE = 4;
export const EMULATED_LOAD = 5;
export const EMULATED_STORE = 6;
export const EMULATED_UNPIN_ALL = 7;

/** Flags of PIN: what the device is to do with the pages. */
export const EMULATED_PIN_READ = 1;
export const EMULATED_PIN_WRITE = 2;
/** Flag of READ and WRITE: a thread of the kernel makes the request. */
export const EMULATED_BY_KERNEL_THREAD = 1;

/** The words, read from offset 0 on: 64 bits each. */
export const emulatedWords = struct('emulated_words', {
  pins: u64,
  pages: u64,
  unmaps: u64,
  unmap_iova: u64,
  unmap_size: u64,
  unmap_pins: u64,
});

/** Where the window is, and its size. */
export const EMULATED_WINDOW = { start: 0x1000, size: 0x1000 };
