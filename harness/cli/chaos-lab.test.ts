import { expect } from 'chai';
import { type LabMachine, openLabMachine } from '../hosts/testing-lab.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { LAB_BLOWS, type LabBlow, labChaos } from './testing-lab.ts';

/** As for chaos.test.ts: so many times all kinds of blows; by itself it is one run under the quick ones. */
const ROUNDS = Number(process.env['VFIO_CONFORM_CHAOS'] ?? 0);
const SEED = Number(process.env['VFIO_CONFORM_SEED'] ?? 1);
const QUICK: readonly LabBlow[] = ['full', 'both'];

describe('chaos with a machine of a lab', () => {
  let machine: LabMachine;
  before(async () => {
    machine = await openLabMachine([await fetchKernel(await readManifest('6.1'), { cache: cacheFolder() })]);
  });
  after(() => machine.end());

  for (let round = 0; round < Math.max(1, ROUNDS); round++) {
    it(`tells what a calm run tells, and names what the machine went down under: seed ${SEED + round}`, async () => {
      const blows = ROUNDS === 0 ? QUICK : LAB_BLOWS;
      const asked = ROUNDS === 0 ? ['--suite', 'unmap'] : ['--suite', 'map', '--suite', 'unmap'];
      const say = (line: string): void => console.log(`      ${line}`);
      const figures = await labChaos({ machine, seed: SEED + round, blows, asked, say });
      expect(figures.wrong).to.deep.equal([]);
      expect(figures.done).to.deep.equal(blows);
    });
  }
}).timeout(900_000);
