import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel, isCached } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { RunRecord } from '../report/record.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const KERNEL = '7.2-iommufd';

describe('a kernel that is built from source', () => {
  before(async function () {
    const built = await isCached(await readManifest(KERNEL), cacheFolder());
    if (!built && !process.env['VFIO_CONFORM_BUILD'])
      skipBecause(this, `${KERNEL} is not in the cache (vfio-conform kernel build ${KERNEL}, or VFIO_CONFORM_BUILD=1)`);
  });

  /** Runs suites on it; the report, and how it ended. */
  const run = async (suites: readonly string[]) => {
    const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-built-'));
    try {
      const report = join(folder, 'report');
      const words = ['run', '--kernel', KERNEL, ...suites.flatMap((suite) => ['--suite', suite]), '--report', report];
      const { exitCode, stderr } = await execa('node', [BIN, ...words], { reject: false, stdin: 'ignore' });
      const results = await readFile(join(report, 'results.json'), 'utf8').catch(() => expect.fail(stderr));
      return { exitCode, cases: RunRecord.parse(JSON.parse(results)).cases };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

  it('is built where it is not in the cache, has IOMMUFD, and conforms', async () => {
    // With devices that only pin, where what their module is built with was kept.
    const { headers } = await fetchKernel(await readManifest(KERNEL), { cache: cacheFolder() });
    const pin = headers === undefined ? [] : ['pin', 'pin-refused', 'pin-groups'];
    const { cases, exitCode } = await run(['iommufd', 'ioas', 'ioas-copy', 'ioas-ranges', ...pin]);
    expect(cases.filter(({ verdict }) => verdict !== 'conforms').map(({ id }) => id)).to.deep.equal([]);
    expect(cases.length).to.be.greaterThan(150);
    expect(exitCode).to.equal(EXIT.conforms);
  }).timeout(5_000_000);

  it('answers every question of the table in all five modes, as it is known to', async () => {
    const { cases, exitCode } = await run(['five-modes']);
    expect(cases.filter(({ answer }) => answer?.observed === undefined).map(({ id }) => id)).to.deep.equal([]);
    expect(new Set(cases.map(({ answer }) => answer?.mode)).size).to.equal(5);
    expect(cases.length).to.be.greaterThan(250);
    expect(exitCode).to.equal(EXIT.conforms);
  }).timeout(5_000_000);
});
