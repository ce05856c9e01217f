import { checkModel } from '../cases/check-model.ts';
import { scenario } from '../cases/scenario.ts';
import { letsOf } from '../cases/session.ts';
import { readyContainer } from '../cases/vfio.ts';
import type { Host } from '../hosts/host.ts';
import { createModel } from '../model/create-model.ts';
import { judge } from '../oracle/judge.ts';
import type { Program } from '../program/step.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import { HostTrouble } from '../trouble.ts';

const PAGE = 0x1000n;
const DEADLINES = { stepMs: 30_000, programMs: 300_000 };

/** MAP_DMA and UNMAP_DMA of one page, as often as asked: in one `repeat`, or every call a line of its own. */
export const pairsProgram = (pairs: number, form: 'repeat' | 'lines'): Program['steps'] => {
  const s = scenario();
  const c = readyContainer(s);
  c.memory.fill(1, 0n, PAGE);
  if (form === 'repeat') {
    s.repeat(pairs, () => {
      c.map({ iova: 0n, size: PAGE, stride: { iova: PAGE } });
      c.unmap({ iova: 0n, size: PAGE, stride: { iova: PAGE } });
    });
  } else {
    for (let index = 0n; index < BigInt(pairs); index++) {
      c.map({ iova: index * PAGE, size: PAGE });
      c.unmap({ iova: index * PAGE, size: PAGE });
    }
  }
  return s.build().steps;
};

/** Calls per second from handing a program over to having its verdict: text, SSH, host, model and comparison. */
export const checkedCallsPerSecond = async (host: Host, steps: Program['steps'], calls: number): Promise<number> => {
  const { platform } = host.facts;
  const program = { lets: letsOf(platform), steps };
  const start = performance.now();
  const running = host.run(program, DEADLINES);
  const makeMachine = () => createModel(LINUX_6_1, platform, program.lets);
  await new Promise((resolve) => void setImmediate(resolve));
  const { wanted = [] } = checkModel(makeMachine(), program, []);
  const verdict = judge(makeMachine, program, await running, { wanted });
  const seconds = (performance.now() - start) / 1000;
  if (verdict.kind !== 'conforms')
    throw new HostTrouble(`the benchmark's program does not conform: ${JSON.stringify(verdict)}`);
  return calls / seconds;
};
