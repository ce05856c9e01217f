import { FEATURE_CLAUSES } from './feature.ts';
import { REPORT_CLAUSES } from './report.ts';
import { START_CLAUSES } from './start.ts';
import { LOG_CLAUSES } from './state.ts';
import { STOP_CLAUSES } from './stop.ts';

/** Features of devices, and devices that log what they write. */
export const LOGGING_CLAUSES = [
  ...FEATURE_CLAUSES,
  ...LOG_CLAUSES,
  ...START_CLAUSES,
  ...STOP_CLAUSES,
  ...REPORT_CLAUSES,
];
