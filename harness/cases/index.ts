/** The words that suites are written in. */

export { type Actor, type Memory, PAGE, type Said, type Scenario } from './scenario.ts';
export { clause, each, test } from './suite.ts';
export * from './vfio.ts';
