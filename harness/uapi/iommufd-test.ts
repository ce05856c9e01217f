/** The mock device that kernels with CONFIG_IOMMUFD_TEST have (drivers/iommu/iommufd/iommufd_test.h). */
import type { Command } from './iommufd-commands.ts';
import { array, offsetOf, struct, u8, u32 } from './struct.ts';

/** IOMMU_TEST_CMD, as IOMMU_TEST_OP_MOCK_DOMAIN uses it. */
export const iommuTestCmd = struct('iommu_test_cmd', {
  size: u32,
  op: u32,
  /** In: the IO address space that the mock device is attached to. */
  id: u32,
  __reserved: u32,
  out_stdev_id: u32,
  out_hwpt_id: u32,
  out_idev_id: u32,
  others: array(u8, 36),
  last: u32,
  padding: u32,
});

export const IOMMU_TEST_CMD = 0x3ba0n;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;

/** What the mock device can translate, both ends inclusive, and its smallest page, in bytes. */
export const MOCK_APERTURE = { start: 1n << 24n, end: (1n << 31n) - 1n };
export const MOCK_PAGE_SIZE = 2048n;

export const TEST_COMMAND: Command = {
  name: 'IOMMU_TEST_CMD',
  request: IOMMU_TEST_CMD,
  type: iommuTestCmd,
  least: offsetOf(iommuTestCmd, 'padding'),
};
