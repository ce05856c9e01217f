/** The words that suites are written in. */
export { clause, each, test } from './suite.ts';
export { type Actor, type Memory, PAGE, type Said, type Scenario } from './scenario.ts';
export * from './vfio.ts';
