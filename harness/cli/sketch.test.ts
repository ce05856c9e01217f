import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { cacheFolder } from '../kernels/cache.ts';
import { isToBeBuilt, kernelNamed } from '../kernels/choice.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';
import { findBroken } from './testing-runs.ts';

/** The cases of CHANGE_PROCESS that need no device: with one, the sketch takes the guest down. */
const CASES = [
  'ioas/change-process:',
  'ioas/change-process-reserved',
  'ioas/change-process-files-only',
  'IOMMU_IOAS_CHANGE_PROCESS',
].flatMap((text) => ['--grep', text]);

/** The clauses of what landed that each form of the sketch breaks there. */
const BROKEN: Readonly<Record<string, readonly string[]>> = {
  // It refuses everything.
  'change-process/posted': [
    'ioas/change-process',
    'ioas/change-process-files-only',
    'ioas/change-process-reserved',
    'iommufd/short-struct',
  ],
  // It ends what was mapped, with its IO address space, so that what comes after it breaks.
  'change-process/righted': [
    'ioas/change-process-files-only',
    'ioas/change-process-reserved',
    'ioas/map',
    'ioas/unmap',
    'iommufd/short-struct',
  ],
};

describe('the sketch of CHANGE_PROCESS', () => {
  let folder: string;
  before(async function () {
    for (const name of Object.keys(BROKEN)) {
      if (await isToBeBuilt(await kernelNamed(name), cacheFolder()))
        skipBecause(this, `${name} is not in the cache (vfio-conform kernel build ${name}: minutes)`);
    }
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-sketch-'));
  });
  after(() => folder && rm(folder, { recursive: true, force: true }));

  for (const [name, broken] of Object.entries(BROKEN)) {
    it(`${name} conforms to its own model, and breaks what landed`, async () => {
      const at = (revision: string): string => join(folder, `${name}-${revision}`.replaceAll('/', '-'));
      const own = await findBroken(['--kernel', name, ...CASES], at('own'));
      expect([...own.broken]).to.deep.equal([]);
      expect(own.unsupported).to.deep.equal([]);
      expect(own.exitCode).to.equal(EXIT.conforms);
      const against = await findBroken(['--kernel', name, '--revision', 'linux-7.2', ...CASES], at('landed'));
      expect(against.exitCode).to.equal(EXIT.diverges);
      expect([...against.broken].sort()).to.deep.equal(broken);
    }).timeout(600_000);
  }
});
