import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { KERNEL_SOURCES, skipWithout } from '../kernels/testing.ts';
import { RunRecord } from '../report/record.ts';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const TYPE1 = 'drivers/vfio/vfio_iommu_type1.c';

/** A mail with a patch of type1 that replaces one line between two others. */
const mail = (subject: string, [before, line, after]: readonly string[], instead: string, at: number): string => `\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A Developer <a@example.org>
Date: Mon, 1 Jan 2024 00:00:00 +0000
Subject: [PATCH] ${subject}

---
diff --git a/${TYPE1} b/${TYPE1}
--- a/${TYPE1}
+++ b/${TYPE1}
@@ -${at},3 +${at},3 @@
 ${before}
-${line}
+${instead}
 ${after}
--
2.39

`;

/** Defects that are planted in a kernel, what is run, and the clauses that must come out as broken. */
const DEFECTS: Readonly<
  Record<string, { readonly patch: string; readonly grep: string; readonly broken: readonly string[] }>
> = {
  'an overlap with another errno': {
    patch: mail(
      'overlap',
      ['\t} else if (dma) {', '\t\tret = -EEXIST;', '\t\tgoto out_unlock;'],
      '\t\tret = -EBUSY;',
      1696,
    ),
    grep: 'map/overlap',
    broken: ['map/overlap'],
  },
  'a refund that is a page short': {
    patch: mail(
      'refund',
      ['\tif (do_accounting) {', '\t\tvfio_lock_acct(dma, -unlocked, true);', '\t\treturn 0;'],
      '\t\tvfio_lock_acct(dma, -unlocked + 1, true);',
      1160,
    ),
    grep: 'unmap/unmaps',
    broken: ['accounting/charged-pages', 'accounting/refund'],
  },
};

describe('a run with patches', () => {
  let folder: string;
  before(async function () {
    await skipWithout(this, ...KERNEL_SOURCES);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-defects-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  for (const [what, { patch, grep, broken }] of Object.entries(DEFECTS)) {
    it(`names the clauses that ${what} breaks`, async () => {
      const [series, report] = [join(folder, 'series.mbox'), join(folder, 'report')];
      await writeFile(series, patch);
      const args = ['run', '--patches', series, '--base', '6.1', '--grep', grep, '--report', report];
      const { exitCode, stderr } = await execa('node', [BIN, ...args], { reject: false, stdin: 'ignore' });
      expect(exitCode, stderr).to.equal(EXIT.diverges);
      const run = RunRecord.parse(JSON.parse(await readFile(join(report, 'results.json'), 'utf8')));
      expect(run.kernel).to.contain(` with ${series}`);
      const found = new Set(run.cases.flatMap((one) => one.broken.map(({ clause }) => clause)));
      expect([...found].sort()).to.deep.equal(broken);
    }).timeout(300_000);
  }
});
