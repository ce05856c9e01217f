/** The one request of /dev/iova-bitmap-test, as fixtures/modules/iova-bitmap/README.md describes it. */
import { struct, u32, u64 } from './struct.ts';

export const IOVA_BITMAP_TEST_WALK = 0xb901n;

export const walkArg = struct('walk_arg', {
  argsz: u32,
  flags: u32,
  iova: u64,
  length: u64,
  /** Bytes that one bit stands for. */
  page_size: u64,
  /** Address of the user's bitmap. */
  bitmap: u64,
  nr_ranges: u32,
  /** In: room for windows; out: windows that were seen. */
  nr_windows: u32,
  fail_window: u32,
  /** The callback fails with it for that window; 0: never. */
  fail_errno: u32,
  stage: u32,
  form: u32,
  lost: u64,
});

/** A range that is set; `window` 0xffffffff: in each. */
export const rangeArg = struct('range_arg', { iova: u64, length: u64, window: u32, flags: u32 });

export const EACH_WINDOW = 0xffffffff;
/** Only what lies in the window is set. */
export const RANGE_CLIPPED = 1;

export const windowArg = struct('window_arg', { iova: u64, length: u64 });
