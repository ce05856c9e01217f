import { MODEL_PLATFORM } from '../cases/model-platform.ts';
import { scenario } from '../cases/scenario.ts';
import { letsOf } from '../cases/session.ts';
import { type Ready, readyContainer } from '../cases/vfio.ts';
import { createModel } from '../model/create-model.ts';
import type { Machine } from '../model/machine.ts';
import { calls } from '../oracle/expected-path.ts';
import type { Program } from '../program/step.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';

const PAGE = 0x1000n;
/** Above all mappings that stand, and below the MSI range for any number of them. */
const BEYOND = 0x40000000n;

const steps = (write: (c: Ready, repeat: (count: number, body: () => void) => void) => void): Program => {
  const s = scenario();
  write(readyContainer(s), s.repeat);
  return { lets: letsOf(MODEL_PLATFORM), steps: s.build().steps };
};

const walk = (machine: Machine, program: Program, from: number): number => {
  let taken = 0;
  for (const { call, step, iteration } of calls(program)) {
    if (step < from) continue;
    const answer = machine.answer(call, iteration);
    if ('allowed' in answer) answer.allowed[0].commit();
    taken++;
  }
  return taken;
};

/** The model's MAP_DMA and UNMAP_DMA calls per second with that many mappings standing (one fewer, so that one fits). */
export const modelCallsPerSecond = (mappings: number, pairs: number): number => {
  const stand = Math.min(mappings, MODEL_PLATFORM.dmaEntryLimit - 1);
  const setUp = steps((c, repeat) => repeat(stand, () => c.map({ iova: 0n, size: PAGE, stride: { iova: PAGE } })));
  const measured = steps((c, repeat) =>
    repeat(pairs, () => {
      c.map({ iova: BEYOND, size: PAGE, stride: { iova: PAGE } });
      c.unmap({ iova: BEYOND, size: PAGE, stride: { iova: PAGE } });
    }),
  );
  const machine = createModel(LINUX_6_1, MODEL_PLATFORM, setUp.lets);
  walk(machine, setUp, 0);
  // The second program begins with the same set-up as the first; only its pairs are taken.
  const first = measured.steps.length - 1;
  walk(machine, { ...measured, steps: measured.steps }, first);
  const start = performance.now();
  const taken = walk(machine, measured, first);
  return taken / ((performance.now() - start) / 1000);
};
