/** The mock device that kernels with CONFIG_IOMMUFD_TEST have (drivers/iommu/iommufd/iommufd_test.h). */
import type { Command } from './iommufd-commands.ts';
import { array, offsetOf, struct, u8, u32, u64 } from './struct.ts';

const HEAD = { size: u32, op: u32, id: u32, __reserved: u32 };
const TAIL = { last: u32, padding: u32 };

/** IOMMU_TEST_CMD, as IOMMU_TEST_OP_MOCK_DOMAIN (without flags) and _FLAGS use it: `id` is what the device is attached to. */
export const iommuTestCmd = struct('iommu_test_cmd', {
  ...HEAD,
  out_stdev_id: u32,
  out_hwpt_id: u32,
  out_idev_id: u32,
  dev_flags: u32,
  others: array(u8, 32),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE uses it: `id` is the mock device. */
export const iommuTestReplace = struct('iommu_test_cmd', { ...HEAD, pt_id: u32, others: array(u8, 44), ...TAIL });

/** The same, as IOMMU_TEST_OP_DIRTY uses it: `id` is the page table; `uptr` points to a bit for each page. */
export const iommuTestDirty = struct('iommu_test_cmd', {
  ...HEAD,
  flags: u32,
  hole: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  uptr: u64,
  out_nr_dirty: u64,
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_MD_CHECK_IOTLB uses it: `id` is a nested page table, `entry` a number in its cache. */
export const iommuTestCheckIotlb = struct('iommu_test_cmd', {
  ...HEAD,
  entry: u32,
  iotlb: u32,
  others: array(u8, 40),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_TRIGGER_IOPF uses it: a page fault of a device. */
export const iommuTestTriggerIopf = struct('iommu_test_cmd', {
  ...HEAD,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  addr: u64,
  others: array(u8, 24),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_ADD_RESERVED uses it: `id` is the IO address space. */
export const iommuTestReserve = struct('iommu_test_cmd', {
  ...HEAD,
  start: u64,
  length: u64,
  others: array(u8, 32),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_MD_CHECK_MAP uses it: `id` is the page table, `uptr` where the memory should be. */
export const iommuTestCheckMap = struct('iommu_test_cmd', {
  ...HEAD,
  iova: u64,
  length: u64,
  uptr: u64,
  others: array(u8, 24),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_DEV_CHECK_CACHE uses it: `id` is a device, `entry` a number in its cache. */
export const iommuTestCheckDevCache = struct('iommu_test_cmd', {
  ...HEAD,
  entry: u32,
  cache: u32,
  others: array(u8, 40),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_MD_CHECK_REFS uses it. */
export const iommuTestCheckRefs = struct('iommu_test_cmd', {
  ...HEAD,
  length: u64,
  uptr: u64,
  refs: u32,
  others: array(u8, 28),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_CREATE_ACCESS uses it: `id` is the IO address space. */
export const iommuTestCreateAccess = struct('iommu_test_cmd', {
  ...HEAD,
  out_access_fd: u32,
  flags: u32,
  others: array(u8, 40),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_TRIGGER_VEVENT uses it. */
export const iommuTestTriggerVevent = struct('iommu_test_cmd', {
  ...HEAD,
  dev_id: u32,
  others: array(u8, 44),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_ACCESS_PAGES uses it: `id` is the descriptor of the access, and `uptr` where the pages should be. */
export const iommuTestAccessPages = struct('iommu_test_cmd', {
  ...HEAD,
  flags: u32,
  out_access_pages_id: u32,
  iova: u64,
  length: u64,
  uptr: u64,
  others: array(u8, 16),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_DESTROY_ACCESS_PAGES uses it: `id` is the descriptor of the access. */
export const iommuTestUnpinPages = struct('iommu_test_cmd', {
  ...HEAD,
  access_pages_id: u32,
  others: array(u8, 44),
  ...TAIL,
});

/** IOMMU_VIOMMU_TYPE_SELFTEST: what is said of a virtual IOMMU of the mock device, and what it tells of its memory. */
export const iommuViommuSelftest = struct('iommu_viommu_selftest', {
  in_data: u32,
  out_data: u32,
  out_mmap_offset: u64,
  out_mmap_length: u64,
});

/** IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST: what is to be invalidated in the caches of mock devices, by their virtual ids. */
export const iommuViommuInvalidateSelftest = struct('iommu_viommu_invalidate_selftest', {
  flags: u32,
  vdev_id: u32,
  cache_id: u32,
});

/** The same, as IOMMU_TEST_OP_PASID_ATTACH, _REPLACE, _DETACH and _CHECK_HWPT use it: `id` is the mock device. */
export const iommuTestPasid = struct('iommu_test_cmd', {
  ...HEAD,
  pasid: u32,
  /** What the PASID is attached to; _DETACH has no such field. */
  pt_id: u32,
  others: array(u8, 40),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_ACCESS_RW uses it: `id` is the descriptor of the access. */
export const iommuTestAccessRw = struct('iommu_test_cmd', {
  ...HEAD,
  iova: u64,
  length: u64,
  uptr: u64,
  flags: u32,
  others: array(u8, 20),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_ACCESS_REPLACE_IOAS uses it: `id` is the descriptor of the access. */
export const iommuTestReplaceIoas = struct('iommu_test_cmd', {
  ...HEAD,
  ioas_id: u32,
  others: array(u8, 44),
  ...TAIL,
});

/** The same, as IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT uses it: how much memory, in bytes, pages are collected in. */
export const iommuTestMemoryLimit = struct('iommu_test_cmd', { ...HEAD, limit: u32, others: array(u8, 44), ...TAIL });

/** IOMMU_HWPT_INVALIDATE_DATA_SELFTEST: what is to be invalidated in the mock device's cache. */
export const iommuHwptInvalidateSelftest = struct('iommu_hwpt_invalidate_selftest', { flags: u32, iotlb_id: u32 });

/** IOMMU_HWPT_DATA_SELFTEST: what is said of a page table of the mock device. */
export const iommuHwptSelftest = struct('iommu_hwpt_selftest', { iotlb: u32, pagetable_type: u32 });

/** What IOMMU_GET_HW_INFO tells of the mock device: a type of its own, and data with a number that never changes. */
export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;
export const iommuTestHwInfo = struct('iommu_test_hw_info', { flags: u32, test_reg: u32 });

export const IOMMU_TEST_CMD = 0x3ba0n;
export const IOMMU_TEST_OP_ADD_RESERVED = 1;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES = 7;
export const IOMMU_TEST_OP_ACCESS_RW = 8;
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
export const IOMMU_TEST_OP_DIRTY = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15;
export const IOMMU_TEST_OP_DEV_CHECK_CACHE = 16;
export const IOMMU_TEST_OP_TRIGGER_VEVENT = 17;
export const IOMMU_TEST_OP_PASID_ATTACH = 18;
export const IOMMU_TEST_OP_PASID_REPLACE = 19;
export const IOMMU_TEST_OP_PASID_DETACH = 20;
export const IOMMU_TEST_OP_PASID_CHECK_HWPT = 21;
/** How many bits the PASIDs of a mock device with MOCK_FLAGS_DEVICE_PASID have. */
export const MOCK_PASID_WIDTH = 20;
/** The second page table that this PASID of a mock device gets is refused. */
export const IOMMU_TEST_PASID_RESERVED = 1024;
export const IOMMU_VIOMMU_TYPE_SELFTEST = 0xdeadbeef;
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeefbeef;
export const IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef;
export const IOMMU_TEST_HW_QUEUE_MAX = 2;
/** What each of the four entries of a mock device's cache holds at first. */
export const IOMMU_TEST_DEV_CACHE_DEFAULT = 0xbaddad;
export const MOCK_DEV_CACHE_NUM = 4;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1 << 0;
export const MOCK_FLAGS_ACCESS_WRITE = 1 << 0;
export const MOCK_ACCESS_RW_WRITE = 1 << 0;
/** Not by the address space of the caller, even where it is the one that mapped the memory. */
export const MOCK_ACCESS_RW_SLOW_PATH = 1 << 2;
/** For programs that generate calls: the IOVA is the number of a mapping and an offset in it. */
export const MOCK_FLAGS_ACCESS_SYZ = 1 << 16;
export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1 << 0;
export const MOCK_FLAGS_DEVICE_NO_DIRTY = 1 << 0;
export const MOCK_FLAGS_DEVICE_PASID = 1 << 2;
export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;

/** What the mock device can translate, both ends inclusive, and its smallest page, in bytes. */
export const MOCK_APERTURE = { start: 1n << 24n, end: (1n << 31n) - 1n };
export const MOCK_PAGE_SIZE = 2048n;

/** The most bytes of one call of an access. */
export const MOST_BYTES_OF_ACCESS = 16n << 20n;

/** Operations of IOMMU_TEST_CMD are requests of their own: the operation stands above the 32 bits of the number. */
export const testOperation = (op: number): bigint => (BigInt(op) << 32n) | IOMMU_TEST_CMD;

export const TEST_COMMAND: Command = {
  name: 'IOMMU_TEST_CMD',
  request: IOMMU_TEST_CMD,
  type: iommuTestCmd,
  least: offsetOf(iommuTestCmd, 'padding'),
};
