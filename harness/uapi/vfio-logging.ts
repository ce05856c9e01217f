/** What include/uapi/linux/vfio.h says of features of devices, and of those that log what devices write by DMA (Linux 6.1). */
import { flexible, struct, u8, u32, u64 } from './struct.ts';

/** Takes a vfio_device_feature: `_IO(';', 100 + 17)`. */
export const VFIO_DEVICE_FEATURE = BigInt((';'.charCodeAt(0) << 8) | 117);

/** Which feature it is, in the lower half of flags. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
/** Gets the feature into data. */
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
/** Sets the feature from data. */
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
/** Asks whether there is such a feature; with GET, SET or both, whether it can be got or set. */
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

export const vfioDeviceFeature = struct('vfio_device_feature', {
  argsz: u32,
  /** The number of a feature, and VFIO_DEVICE_FEATURE_*. */
  flags: u32,
  data: flexible(u8),
});

/** SET: takes a vfio_device_feature_dma_logging_control, and fills its page_size. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
/** SET: no data. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
/** GET: takes a vfio_device_feature_dma_logging_report, which says where the bitmap is. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;

export const vfioDeviceFeatureDmaLoggingControl = struct('vfio_device_feature_dma_logging_control', {
  /** In: a hint, in bytes; out: the granularity that the device logs with. */
  page_size: u64,
  num_ranges: u32,
  __reserved: u32,
  /** Where the vfio_device_feature_dma_logging_range are. */
  ranges: u64,
});

/** Bytes. */
export const vfioDeviceFeatureDmaLoggingRange = struct('vfio_device_feature_dma_logging_range', {
  iova: u64,
  length: u64,
});

export const vfioDeviceFeatureDmaLoggingReport = struct('vfio_device_feature_dma_logging_report', {
  /** What the first bit stands for; bytes. */
  iova: u64,
  length: u64,
  /** Bytes that one bit stands for. */
  page_size: u64,
  /** Where the bitmap is. */
  bitmap: u64,
});
