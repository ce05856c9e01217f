/** The words that suites are written in. */

export {
  doesNotReach,
  HYPERTRANSPORT_RANGE,
  LAST_PAGES,
  lastIova,
  MSI_RANGE,
  mapsPagesOf,
  NOT_ISOLATED,
  PAGE_SIZES,
  reserves,
  reservesOnly,
  translates,
  type Width,
} from './iommus.ts';
export { EMULATED_GROUP, IOVA_BITMAP_TEST } from './needs.ts';
export type { Actor, Memory, Said, Scenario } from './scenario.ts';
export { clause, each, inspect, test } from './suite.ts';
export * from './vfio.ts';
