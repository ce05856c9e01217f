import { expect } from 'chai';
import type { Machine } from '../model/machine.ts';
import type { Program, Run } from '../program/step.ts';
import { MODES, type Mode, question } from '../spec/five-modes/index.ts';
import type { Errno } from '../uapi/errno.ts';
import type { Case } from './case.ts';
import { checkModel } from './check-model.ts';
import { answerIn, groundIn } from './five-modes.ts';
import { MODEL_PLATFORM } from './model-platform.ts';
import { recordOfCase } from './record-of-case.ts';
import { scenario } from './scenario.ts';
import { createSession, letsOf } from './session.ts';

const CLAUSE = { id: 'a/clause', level: 'must', says: 'It does.', source: 'here' } as const;
const source = 'here';

const ROW = question('row', {
  asks: 'UNMAP of a part',
  valueAt: { name: 'size', at: 16, width: 8 },
  cells: {
    'type1-v1': { returns: 0n, value: 0x4000n, source },
    'type1-v2': { refused: ['EINVAL'], source },
    'compat-v1': { returns: 0n, value: 0x2000n, source },
    'compat-v2': { refused: ['ENOENT'], value: 0n, source },
    iommufd: { refused: ['ENOENT'], source },
  },
});

/** The case of a cell. */
const caseOf = (mode: Mode): Case => {
  const s = scenario();
  answerIn(s, ROW, mode, () => groundIn(s, mode).unmap(0x10000n, 0x2000n));
  return { id: `${ROW.id}: ${mode}`, clause: ROW.id, title: mode, ...s.build() };
};

const programOf = ({ steps }: Case): Program => ({ lets: letsOf(MODEL_PLATFORM), steps });

/** The argument of an UNMAP_DMA or IOAS_UNMAP with a size. */
const withSize = (size: number): Uint8Array => {
  const bytes = new Uint8Array(24);
  new DataView(bytes.buffer).setUint32(16, size, true);
  return bytes;
};

/** A machine that grants everything and answers the last step of a program like this. */
const answering = ({ steps }: Case, errno: Errno | 0, size?: number): Machine => {
  let at = 0;
  return {
    answer: () => {
      const last = ++at === steps.length;
      const ret = !last || errno === 0 ? { exactly: 0n } : { exactly: -1n };
      const out = last && size !== undefined ? [{ at: 16, bytes: withSize(size).subarray(16), clause: CLAUSE }] : [];
      return { allowed: [{ ret, errno: last ? errno : 0, out, clauses: [CLAUSE], commit: () => undefined }] };
    },
    actorDied: () => undefined,
    unwanted: () => [],
  };
};

const disagreement = (mode: Mode, errno: Errno | 0, size?: number): string | undefined => {
  const one = caseOf(mode);
  const asked = one.expectations.filter(({ step }) => step === one.asked?.step);
  return checkModel(answering(one, errno, size), programOf(one), asked).disagreement;
};

describe('a cell of the table of five modes', () => {
  it('is asked by the last call of its case', () => {
    for (const mode of MODES) {
      const one = caseOf(mode);
      expect([one.asked?.step, one.asked?.column], mode).to.deep.equal([one.steps.length - 1, MODES.indexOf(mode)]);
    }
  });

  it('is held against the model: the errno, and what a refused call writes', () => {
    expect(disagreement('compat-v1', 0, 0x2000)).to.equal(undefined);
    expect(disagreement('compat-v1', 0, 0x4000)).to.contain('the case expects 0');
    expect(disagreement('compat-v2', 'ENOENT', 0)).to.equal(undefined);
    expect(disagreement('compat-v2', 'ENOENT', 0x2000)).to.contain('the case expects ENOENT');
    expect(disagreement('compat-v2', 'ENOENT')).to.contain('the case expects ENOENT');
    expect(disagreement('compat-v2', 'EINVAL', 0)).to.contain('the case expects ENOENT');
  });

  const SEEN: Readonly<Record<string, readonly [Mode, Errno | 0, Uint8Array | undefined, string]>> = {
    'a size that is not what was asked for': ['type1-v1', 0, withSize(0x4000), '0, size 0x4000'],
    'a size that stayed, which observations leave out': ['compat-v1', 0, undefined, '0, size 0x2000'],
    'what a refusal wrote, where it is to': ['compat-v2', 'ENOENT', withSize(0), 'ENOENT, size 0'],
    'nothing of a refusal that leaves its argument': ['type1-v2', 'EINVAL', undefined, 'EINVAL'],
    'another answer than expected': ['type1-v2', 0, withSize(0), '0, size 0'],
  };
  for (const [what, [mode, errno, out, told]] of Object.entries(SEEN)) {
    it(`shows ${what}`, () => {
      const one = caseOf(mode);
      const step = one.asked?.step ?? -1;
      const seen = {
        step,
        iteration: 0,
        last: 0,
        ret: errno === 0 ? 0n : -1n,
        errno,
        ...(out === undefined ? {} : { out }),
      };
      const run: Run = { observations: [seen], kernelLog: [], durationUs: 0, ending: { kind: 'done' } };
      const { answer } = recordOfCase(one, programOf(one), { kind: 'conforms' }, run, []);
      expect(answer).to.include({ asks: 'UNMAP of a part', mode, observed: told });
    });
  }

  it('shows nothing where it was not asked', () => {
    const one = caseOf('iommufd');
    const { answer } = recordOfCase(one, programOf(one), { kind: 'unsupported', reason: 'no' }, undefined, []);
    expect(answer).to.include({ expected: 'ENOENT' }).and.not.to.have.property('observed');
  });

  for (const [revision, states, verdict] of [
    ['that does not state IOMMUFD', false, 'unsupported'],
    ['that does', true, 'conforms'],
  ] as const) {
    it(`of /dev/iommu is ${verdict} by a revision ${revision}`, async () => {
      const one = caseOf('compat-v1');
      const session = createSession({
        inForce: (clause) => clause !== 'iommufd/open' || states,
        retakenSince: () => new Set(),
        makeModel: () => answering(one, 0, 0x2000),
        platform: MODEL_PLATFORM,
        hosts: () => [],
        deadlines: { stepMs: 1, programMs: 1 },
        known: [],
      });
      session.add(one);
      expect(await session.run(one)).to.include({ verdict });
    });
  }
});
