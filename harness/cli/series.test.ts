import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { KERNEL_SOURCES, skipWithout } from '../kernels/testing.ts';
import { EXIT } from '../trouble.ts';
import { findBroken } from './testing-runs.ts';

/** What the review of each series objected to: the clauses that the posted kernel breaks, and no others. */
const OBJECTIONS: Readonly<Record<string, readonly string[]>> = {
  // The array, instead of addresses that are staged and stay so; argsz and flags come with it.
  'change-dma-owner': [
    'change-dma-owner/argsz',
    'change-dma-owner/flags',
    'change-dma-owner/nothing-staged',
    'change-dma-owner/pair-for-each',
    'change-dma-owner/pair-iova',
    'change-dma-owner/pair-vaddr',
    'change-dma-owner/pairs',
    'change-dma-owner/unreadable-argument',
    'change-dma-owner/unreadable-pairs',
  ],
  // Bounds, argsz and flags, the exact size, and dirty pages in place of pinned ones. Calls that go beyond 2^64 hang the posted kernel.
  'get-dirty-bitmap': [
    'get-dirty-bitmap/argsz',
    'get-dirty-bitmap/dirty-when-written',
    'get-dirty-bitmap/exact-size',
    'get-dirty-bitmap/flags',
    'get-dirty-bitmap/gets',
    'get-dirty-bitmap/no-pages',
    'get-dirty-bitmap/page-limit',
    'get-dirty-bitmap/unaligned',
    'get-dirty-bitmap/unwritable-bitmap',
    'get-dirty-bitmap/wraps',
  ],
  // Where windows begin and end, that the first one is there at once, that each is pinned while it is offered, and ranges that reach beyond them.
  'iova-bitmap': [
    'iova-bitmap/next-window',
    'iova-bitmap/set-range',
    'iova-bitmap/starts-pinned',
    'iova-bitmap/window-base',
    'iova-bitmap/window-end',
    'iova-bitmap/window-is-pinned',
    'iova-bitmap/window-pages',
  ],
  // Handles as wide as pointers, each mediator once and held while in use, balanced counts, no messages, hooks where they were declared.
  'mediate-ops': [
    'mediate-ops/balanced-counts',
    'mediate-ops/declared-regions',
    'mediate-ops/declined',
    'mediate-ops/handle',
    'mediate-ops/in-use',
    'mediate-ops/mapping-checked',
    'mediate-ops/module-held',
    'mediate-ops/no-dependency',
    'mediate-ops/order',
    'mediate-ops/quiet',
    'mediate-ops/registered-once',
    'mediate-ops/release-hook',
    'mediate-ops/stays-loaded',
    'mediate-ops/unregister',
    'mediate-ops/unregister-unknown',
  ],
  'nesting-cap': [
    'nesting-cap/info-aligned',
    'nesting-cap/nothing-stale',
    'nesting-cap/own-id',
    'nesting-cap/packs-the-struct',
  ],
};

describe('a series', () => {
  let folder: string;
  before(async function () {
    await skipWithout(this, ...KERNEL_SOURCES, 'gdb');
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-series-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs the cases of a series. */
  const run = (series: string, kernel: string, revision: string) =>
    findBroken(
      ['--kernel', `${series}/${kernel}`, '--revision', `${series}/${revision}`, '--suite', `${series}*`],
      join(folder, `${kernel}-${revision}`),
    );

  for (const [series, objections] of Object.entries(OBJECTIONS)) {
    it(`${series}: each kernel conforms to its own model, and the posted one breaks what the review objected to`, async () => {
      for (const revision of ['posted', 'reviewed']) {
        const own = await run(series, revision, revision);
        expect([...own.broken], revision).to.deep.equal([]);
        expect(own.unsupported, revision).to.deep.equal([]);
        expect(own.exitCode, revision).to.equal(EXIT.conforms);
      }
      const against = await run(series, 'posted', 'reviewed');
      expect(against.exitCode).to.equal(EXIT.diverges);
      expect([...against.broken].sort()).to.deep.equal(objections);
    }).timeout(600_000);
  }
});
