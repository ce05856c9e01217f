import { FAULT_QUEUE_ALLOC_CLAUSES } from './alloc.ts';
import { ENDS_WITH_ATTACHMENT } from './ending.ts';
import { FAULT_READ_CLAUSES } from './read.ts';
import { FAULT_RESPOND_CLAUSES } from './respond.ts';
import { FAULT_TRIGGER_CLAUSES } from './trigger.ts';

/** Queues of page faults. */
export const FAULT_QUEUE_CLAUSES = [
  ...FAULT_QUEUE_ALLOC_CLAUSES,
  ...FAULT_READ_CLAUSES,
  ...FAULT_RESPOND_CLAUSES,
  ...FAULT_TRIGGER_CLAUSES,
  ENDS_WITH_ATTACHMENT,
];
