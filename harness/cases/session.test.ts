import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { buildHelper } from '../helper/build.ts';
import type { Host } from '../hosts/host.ts';
import { openLocalHost } from '../hosts/local.ts';
import { createMachine } from '../model/machine.ts';
import type { Program, Run } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import type { CaseRecord } from '../report/record.ts';
import { HostTrouble } from '../trouble.ts';
import type { Case } from './case.ts';
import { createSession, type SessionOptions } from './session.ts';

const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url));

/** A case that is known by the size of the memory it makes. */
const aCase = (pages: number): Case => ({
  id: `map/sizes: ${pages}`,
  clause: 'map/sizes',
  title: `${pages}`,
  steps: parseProgram(`main mem ram 0x${(pages * 4096).toString(16)}\n`).steps,
  expectations: [],
  needs: [],
});
const CASES = [1, 2, 3].map(aCase);
const idOf = (pages: number): string => aCase(pages).id;

const pagesOf = ({ steps: [first] }: Program): number =>
  first?.op === 'mem' ? Number(BigInt(first.size) / 4096n) : Number.NaN;

/** What goes wrong when a program runs, and what its machine does then. */
interface Mishap {
  readonly on: number;
  /** How often. */
  times: number;
  readonly machine: 'stays up' | 'is booted' | 'is gone';
}

/** This machine as a lab machine that can be cut off: only what goes wrong is made up. */
const labMachine = (local: Host, mishap?: Mishap): { host: Host; ran: number[] } => {
  const ran: number[] = [];
  let boot = 1;
  const host: Host = {
    facts: { ...local.facts, name: 'lab' },
    boot: () => `b${boot}`,
    livesOn: true,
    run: async (program, deadlines): Promise<Run> => {
      ran.push(pagesOf(program));
      const run = { ...(await local.run(program, deadlines)), kernelLog: [] };
      if (mishap === undefined || mishap.on !== pagesOf(program) || mishap.times-- <= 0) return run;
      return { ...run, observations: [], ending: { kind: 'lost', reason: 'the connection was closed' } };
    },
    recover: async () => {
      if (mishap?.machine === 'is booted') boot++;
      if (mishap?.machine === 'is gone') throw new HostTrouble('cannot reach lab');
    },
    close: async () => undefined,
  };
  return { host, ran };
};

describe('session', () => {
  let local: Host;
  before(async () => {
    local = await openLocalHost({ helper: await buildHelper(CACHE), devices: [] });
  });
  after(() => local.close());

  const runAll = async (host: Host, differs: Partial<SessionOptions> = {}) => {
    const session = createSession({
      inForce: () => true,
      retakenSince: () => new Set(),
      makeModel: (platform, lets) => createMachine({ platform, lets, files: () => undefined }),
      platform: local.facts.platform,
      hosts: () => [host],
      deadlines: { stepMs: 10_000, programMs: 10_000 },
      known: [],
      ...differs,
    });
    for (const one of CASES) session.add(one);
    const verdicts: string[] = [];
    for (const one of CASES) {
      const { verdict, reason } = await session.run(one);
      verdicts.push(reason === undefined ? verdict : `${verdict}: ${reason}`);
    }
    return verdicts;
  };

  it('says which program goes to a machine before it does, one at a time', async () => {
    const { host, ran } = labMachine(local);
    const said: unknown[] = [];
    await runAll(host, { intend: (ids, name, boot) => said.push([ids, name, boot, ran.length]) });
    expect(said).to.deep.equal(CASES.map(({ id }, index) => [[id], 'lab', 'b1', index]));
  });

  it('sends programs ahead to a machine that ends with the harness', async () => {
    const host = { ...labMachine(local).host, livesOn: false };
    const said: unknown[] = [];
    await runAll(host, { intend: (ids, _name, boot) => said.push([ids, boot]) });
    expect(said).to.deep.equal([[CASES.map(({ id }) => id), 'b1']]);
  });

  it('says under which program a kernel panics, while it runs', async () => {
    const { host } = labMachine(local);
    let tell: (console: readonly string[]) => void = () => undefined;
    const said: unknown[] = [];
    await runAll(
      {
        ...host,
        livesOn: false,
        onPanic: (listener) => {
          tell = listener;
        },
        run: async (program, deadlines) => {
          const run = await host.run(program, deadlines);
          if (pagesOf(program) === 2) tell(['bang']);
          return run;
        },
      },
      { panicked: (...words) => said.push(words) },
    );
    expect(said).to.deep.equal([[idOf(2), 'lab', ['bang']]]);
  });

  const mishaps: readonly [what: string, mishap: Mishap, ran: readonly number[], verdict: RegExp][] = [
    ['runs a case again whose host was lost', { on: 2, times: 1, machine: 'stays up' }, [1, 2, 2, 3], /^conforms$/],
    ['does so once', { on: 2, times: 9, machine: 'stays up' }, [1, 2, 2, 3], /^host-lost: the connection/],
    [
      'names a case that took its machine down, and does not try it again',
      { on: 2, times: 9, machine: 'is booted' },
      [1, 2, 3],
      /^damaged: the machine went down: .* booted anew while this case ran: the connection was closed$/,
    ],
    [
      'does not blame a case whose machine is gone',
      { on: 2, times: 9, machine: 'is gone' },
      [1, 2],
      /^host-lost: cannot/,
    ],
  ];
  for (const [what, mishap, expected, verdict] of mishaps) {
    it(what, async () => {
      const { host, ran } = labMachine(local, { ...mishap });
      const verdicts = await runAll(host);
      expect(verdicts[0]).to.equal('conforms');
      expect(verdicts[1]).to.match(verdict);
      expect(ran).to.deep.equal(expected);
    });
  }

  it('does not try again when that is not wanted', async () => {
    const { host, ran } = labMachine(local, { on: 2, times: 1, machine: 'stays up' });
    expect((await runAll(host, { retries: 0 }))[1]).to.match(/^host-lost/);
    expect(ran).to.deep.equal([1, 2, 3]);
  });

  it('runs each case so often, and names one only once that took its machine down', async () => {
    const repeat = { times: 2, untilFail: false };
    const sound = labMachine(local);
    expect(await runAll(sound.host, { repeat })).to.deep.equal(['conforms', 'conforms', 'conforms']);
    expect(sound.ran).to.deep.equal([1, 1, 2, 2, 3, 3]);
    const { host, ran } = labMachine(local, { on: 2, times: 9, machine: 'is booted' });
    expect((await runAll(host, { repeat }))[1]).to.match(/^damaged: /);
    expect(ran).to.deep.equal([1, 1, 2, 3, 3]);
  });

  interface Found {
    /** The boot that the machine was in. */
    readonly boot: string;
    readonly livesOn?: false;
    readonly panicked?: readonly string[];
  }
  const resumed: readonly [what: string, found: Found, ran: readonly number[], verdict: RegExp][] = [
    ['runs again what it was at on a machine that stayed up', { boot: 'b1' }, [2, 3], /^conforms$/],
    [
      'runs again what it was at on one that ends with the harness',
      { boot: 'b0', livesOn: false },
      [2, 3],
      /^conforms$/,
    ],
    [
      'names what it was at when machine and harness went down',
      { boot: 'b0' },
      [3],
      /^damaged: the machine went down: .* not tried again$/,
    ],
    [
      'names what a kernel panicked under before the harness was killed',
      { boot: 'b0', livesOn: false, panicked: ['Kernel panic - not syncing: bang'] },
      [3],
      /^damaged: the kernel panicked: Kernel panic - not syncing: bang$/,
    ],
  ];
  for (const [what, { boot, livesOn = true, panicked }, expected, verdict] of resumed) {
    it(`goes on: ${what}`, async () => {
      const { host: machine, ran } = labMachine(local);
      const host = { ...machine, livesOn };
      const kept: CaseRecord = {
        ...{ id: idOf(1), clause: 'map/sizes', area: 'map', title: '1', verdict: 'diverges', reason: 'kept' },
        ...{ broken: [], durationMs: 1, program: '', observed: '' },
      };
      const verdicts = await runAll(host, {
        before: {
          settled: new Map([[kept.id, kept]]),
          inFlight: new Map([[idOf(2), { host: 'lab', boot }]]),
          panicked: new Map(panicked === undefined ? [] : [[idOf(2), panicked]]),
        },
      });
      expect(verdicts[0]).to.equal('diverges: kept');
      expect(verdicts[1]).to.match(verdict);
      expect(ran).to.deep.equal(expected);
    });
  }
});
