import { expect } from 'chai';
import type { Host } from '../hosts/host.ts';
import type { Program, Run } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import { createExecutor } from './executor.ts';

const DEADLINES = { stepMs: 1000, programMs: 1000 };
const program = (name: string): Program => ({ lets: { name }, steps: [] });
const done: Run = { observations: [], kernelLog: [], durationUs: 1, ending: { kind: 'done' } };

/** A simulated host, for the executor's own logic only: it notes what it was asked and crashes where it is told to. */
const simulatedHost = (crashOn: string, recoverable = true): { host: Host; log: string[] } => {
  const log: string[] = [];
  let crashed = false;
  const host = {
    facts: { name: 'simulated', kernel: '0', description: '', platform: undefined as never },
    boot: () => 'b1',
    livesOn: false,
    run: async ({ lets }: Program): Promise<Run> => {
      if (crashed) throw new HostTrouble('needs recovery');
      log.push(`run ${lets['name']}`);
      if (lets['name'] === crashOn && !log.includes('recover')) crashed = true;
      return crashed ? { ...done, ending: { kind: 'panicked', console: [] } } : done;
    },
    recover: async (): Promise<void> => {
      log.push('recover');
      if (!recoverable) throw new HostTrouble('does not boot');
      crashed = false;
    },
    close: async (): Promise<void> => undefined,
  };
  return { host, log };
};

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
const programs = names.map((name) => () => program(name));

describe('executor', () => {
  it('sends programs ahead and returns runs in order', async () => {
    const { host, log } = simulatedHost('');
    const executor = createExecutor([host], programs, DEADLINES);
    await executor.run(0);
    expect(log.length).to.be.greaterThan(1);
    for (let index = 1; index < names.length; index++) expect(await executor.run(index)).to.equal(done);
    expect(log).to.deep.equal(names.map((name) => `run ${name}`));
  });

  it('runs again, on the recovered host, what had been sent ahead of a crash', async () => {
    const { host, log } = simulatedHost('b');
    const executor = createExecutor([host], programs, DEADLINES);
    await executor.run(0);
    expect((await executor.run(1)).ending.kind).to.equal('panicked');
    executor.distrust(1);
    expect(await executor.run(2)).to.equal(done);
    expect(log.slice(log.indexOf('recover') + 1)[0]).to.equal('run c');
  });

  it('does not try a host again that could not be recovered', async () => {
    const { host, log } = simulatedHost('a', false);
    const executor = createExecutor([host], programs, DEADLINES);
    await executor.run(0);
    executor.distrust(0);
    for (const index of [1, 2]) {
      const trouble = await executor.run(index).catch((error: unknown) => error);
      expect(trouble).to.be.instanceOf(HostTrouble).with.property('message', 'does not boot');
    }
    expect(log.filter((line) => line === 'recover')).to.have.length(1);
  });

  it('shares programs among several hosts', async () => {
    const [one, two] = [simulatedHost(''), simulatedHost('')];
    const executor = createExecutor([one.host, two.host], programs, DEADLINES);
    for (let index = 0; index < names.length; index++) await executor.run(index);
    expect(one.log).to.deep.equal(['a', 'c', 'e', 'g', 'i'].map((name) => `run ${name}`));
    expect(two.log).to.deep.equal(['b', 'd', 'f', 'h'].map((name) => `run ${name}`));
  });
});
