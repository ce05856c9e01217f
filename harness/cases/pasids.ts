import * as commands from '../uapi/iommufd-commands.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { encode, sizeOf } from '../uapi/struct.ts';
import type { Context } from './iommufd.ts';
import type { Said } from './scenario.ts';
import { inline } from './vfio.ts';

/* Words for the PASIDs of mock device 2. */

export const FOR_PASIDS = commands.IOMMU_HWPT_ALLOC_PASID;

const ask = ({ command }: Context, op: number, id: number, pasid: number, pt_id: number): Said => {
  const type = mock.iommuTestPasid;
  return command(mock.IOMMU_TEST_CMD, inline(encode(type, { size: sizeOf(type), op, id, pasid, pt_id })));
};

export const attachPasid = (c: Context, pasid: number, target: number, device = 2): Said =>
  ask(c, mock.IOMMU_TEST_OP_PASID_ATTACH, device, pasid, target);

export const replacePasid = (c: Context, pasid: number, target: number, device = 2): Said =>
  ask(c, mock.IOMMU_TEST_OP_PASID_REPLACE, device, pasid, target);

export const detachPasid = (c: Context, pasid: number, device = 2): Said =>
  ask(c, mock.IOMMU_TEST_OP_PASID_DETACH, device, pasid, 0);

/** Asks whether a PASID is attached to a page table; 0: to none. */
export const checkPasid = (c: Context, pasid: number, table: number, device = 2): Said =>
  ask(c, mock.IOMMU_TEST_OP_PASID_CHECK_HWPT, device, pasid, table);
