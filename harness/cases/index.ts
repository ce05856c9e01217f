/** The words that suites are written in. */

export { EMULATED_GROUP, IOVA_BITMAP_TEST } from './needs.ts';
export type { Actor, Memory, Said, Scenario } from './scenario.ts';
export { clause, each, inspect, test } from './suite.ts';
export * from './vfio.ts';
