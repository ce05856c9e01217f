import { IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommuTestUnpinPages, testOperation } from '../../../uapi/iommufd-test.ts';
import { objection, request } from '../../clauses.ts';
import { readStruct } from '../../type1/argument.ts';
import { settle } from '../pinned.ts';
import type { Context } from '../state.ts';
import { type AccessCall, accessIn, notAnAccess, whyVague } from './file.ts';

/* Pages that an access lets go of. */

const SOURCE = 'iommufd_test_access_item_destroy(), drivers/iommu/iommufd/selftest.c';

interface UnpinCall extends AccessCall {
  readonly number: number;
}

const indexOf = ({ opened, number }: UnpinCall): number =>
  opened?.access.items.findIndex((item) => item.number === number) ?? -1;

const UNPIN = request<Context, UnpinCall>({
  id: 'access/unpin',
  level: 'must',
  says: 'An access lets go of what it pinned under a number, and returns 0; pages that are pinned by others, by another number of its own or for a page table, stay pinned and charged.',
  source: `iommufd_access_unpin_pages(), drivers/iommu/iommufd/device.c: Return the struct page's; ${SOURCE}`,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES),
  situation: (_, { argument }) => {
    const asked = readStruct(argument, iommuTestUnpinPages);
    return { ...accessIn(argument, asked.id), number: asked.access_pages_id };
  },
  leavesOpen: whyVague,
  stages: ['descriptor', 'item'],
  effect: (call) => {
    if (call.opened === undefined) return;
    const { context, access } = call.opened;
    access.items.splice(indexOf(call), 1);
    settle(context);
  },
});

const UNKNOWN = objection(UNPIN, {
  id: 'access/unpin-unknown',
  level: 'must',
  says: 'A number under which the access has nothing pinned (any more) is refused with ENOENT.',
  source: SOURCE,
  stage: 'item',
  errnos: ['ENOENT'],
  when: (call) => indexOf(call) < 0,
});

export const ACCESS_UNPIN_CLAUSES = [UNPIN, notAnAccess(UNPIN), UNKNOWN];
