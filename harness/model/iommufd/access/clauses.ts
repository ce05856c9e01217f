import { MOCK_CHECK_CLAUSES } from './checks.ts';
import { ACCESS_CREATE_CLAUSES } from './create.ts';
import { LETS_GO } from './items.ts';
import { ACCESS_PIN_CLAUSES } from './pin.ts';
import { ACCESS_RW_CLAUSES } from './rw.ts';
import { ACCESS_UNPIN_CLAUSES } from './unpin.ts';

/** Accesses in the kernel to IO address spaces, and what tests may ask of what they leave. */
export const ACCESS_CLAUSES = [
  ...ACCESS_CREATE_CLAUSES,
  ...ACCESS_PIN_CLAUSES,
  ...ACCESS_UNPIN_CLAUSES,
  LETS_GO,
  ...ACCESS_RW_CLAUSES,
  ...MOCK_CHECK_CLAUSES,
];
