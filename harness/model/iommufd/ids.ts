import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';

/** What has ids: all objects that are there. */
type Taken = Pick<ReadonlySet<number>, 'has'>;

/** The objects of a context, by their ids. */
interface Ids {
  readonly objects: Taken;
  readonly others: Taken;
  readonly spent: Taken;
}

/** The id that the next object gets. */
export const NEXT_ID = rule<(context: Ids) => number>({
  id: 'iommufd/ids',
  level: 'may',
  says: 'Ids are counted from 1 on, and the lowest that is free is given; 0 is none. That of an object that is gone is given again.',
  source: '_iommufd_object_alloc(), drivers/iommu/iommufd/main.c: xa_alloc(), XA_FLAGS_ALLOC1',
  rule: ({ objects, others, spent }) => {
    let id = 1;
    while (objects.has(id) || others.has(id) || spent.has(id)) id++;
    return id;
  },
});

/** The same as it is in force. */
export const newId = (context: Ids & { readonly law: Law }): number => context.law.of(NEXT_ID).rule(context);
