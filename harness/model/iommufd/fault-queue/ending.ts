import { rule } from '../../clauses.ts';
import { type FaultQueue, spend } from './state.ts';

/** What becomes of the faults of an attachment (that of a device's PASID, or 0 for its own) that ends. */
export const ENDS_WITH_ATTACHMENT = rule<(queue: FaultQueue, device: object, attachment: number) => void>({
  id: 'fault-queue/ends-with-attachment',
  level: 'must',
  says: 'When a device is detached from a page table, or attached to another, the kernel answers its faults that user space did not: they are not read any more, and their cookies stand for nothing. Faults of other attachments stay.',
  source: 'iommufd_auto_response_faults(), drivers/iommu/iommufd/eventq.c',
  rule: (queue, device, attachment) => {
    const isOfIt = (fault: { readonly device: object; readonly attachment: number }): boolean =>
      fault.device === device && fault.attachment === attachment;
    queue.waiting = queue.waiting.filter((fault) => !isOfIt(fault));
    for (const [cookie, fault] of queue.unanswered) if (isOfIt(fault)) spend(queue, cookie);
  },
});
