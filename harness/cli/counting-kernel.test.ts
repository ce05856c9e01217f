import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { cacheFolder } from '../kernels/cache.ts';
import { isCached } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { readCode } from '../report/code.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const KERNEL = '7.2-iommufd-gcov';

describe('a kernel that counts what of it runs', () => {
  before(async function () {
    // Building it as well would double the time that a clean checkout takes.
    if (!(await isCached(await readManifest(KERNEL), cacheFolder())))
      skipBecause(this, `${KERNEL} is not in the cache (vfio-conform kernel build ${KERNEL})`);
  });

  it('leaves its counts in the report, and coverage tells of them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-counting-'));
    try {
      const report = join(folder, 'report');
      const words = ['run', '--kernel', KERNEL, '--grep', 'unmap/argsz', '--report', report];
      const { exitCode, stderr } = await execa('node', [BIN, ...words], { reject: false, stdin: 'ignore' });
      expect(exitCode, stderr).to.equal(EXIT.conforms);
      const code = readCode(report);
      expect(code).to.deep.include({ boots: 1, bootsLost: 0 });
      const ran = (name: string) =>
        code?.files.flatMap(({ functions }) => functions).find((one) => one.name === name)?.count;
      expect(ran('vfio_iommu_type1_unmap_dma')).to.be.greaterThan(0);
      expect(ran('vfio_iommu_type1_dirty_pages')).to.equal(0);
      expect(new Set(code?.files.map(({ path }) => path.slice(0, path.lastIndexOf('/'))))).to.deep.equal(
        new Set(['drivers/iommu/iommufd', 'drivers/vfio']),
      );
      const out = join(folder, 'coverage.md');
      await execa('node', [BIN, 'coverage', report, '--part', 'code', '--format', 'md', '--out', out]);
      expect(await readFile(out, 'utf8')).to.match(
        /^\| drivers\/vfio\/vfio\\_iommu\\_type1\.c \| \d+\.\d % \| \d+\/\d+ \|/m,
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
