import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Blow, chaos } from './testing-chaos.ts';

/** `VFIO_CONFORM_CHAOS=50 VFIO_CONFORM_SEED=1` has 50 guests panic and kills 50 harnesses, and a few hang; by itself it is one of each. */
const BLOWS = Number(process.env['VFIO_CONFORM_CHAOS'] ?? 1);
const SEED = Number(process.env['VFIO_CONFORM_SEED'] ?? 1);

/** A hang costs half a minute: a tenth as many of those, and of the others. By itself it is one of each other. */
const others = (): Blow[] => {
  const each = Array.from({ length: Math.floor(BLOWS / 10) }, (): Blow[] => ['hang', 'reset', 'both']).flat();
  return each.length === 0 ? ['reset', 'both'] : each;
};

describe('chaos', () => {
  it('loses nothing, counts nothing twice and names what a kernel died of', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-chaos-'));
    const figures = await chaos({
      folder,
      seed: SEED,
      panics: BLOWS,
      kills: BLOWS,
      others: others(),
      perRun: 10,
      asked: ['--suite', 'map', '--suite', 'unmap'],
      say: (line) => console.log(`      ${line}`),
    });
    expect(figures.wrong).to.deep.equal([]);
    expect(figures.panics).to.be.at.least(BLOWS);
    expect(figures.named).to.equal(figures.panics);
    expect(figures.kills).to.be.at.least(BLOWS);
    expect(figures.others).to.equal(others().length);
    await rm(folder, { recursive: true });
  }).timeout(120_000 + BLOWS * 120_000);
});
