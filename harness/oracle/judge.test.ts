import { expect } from 'chai';
import type { Machine } from '../model/machine.ts';
import type { Answer, Outcome } from '../model/outcome.ts';
import { parseObservation } from '../program/observation-text.ts';
import type { Run } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { ERRNO, type Errno } from '../uapi/errno.ts';
import { wantedOf } from './expected-path.ts';
import { judge } from './judge.ts';

const clause = (id: ClauseId): Clause => ({ id, level: 'must', says: 'It does.', source: 'here' });
const RULE = clause('a/rule');
const OTHER = clause('a/other');
const BYTES = clause('a/bytes');
const KEEPS = clause('a/keeps');

const succeeds = (more: Partial<Outcome> = {}): Outcome => ({
  ret: { exactly: 0n },
  errno: 0,
  clauses: [RULE],
  commit: () => undefined,
  ...more,
});
const fails = (errno: Errno, by = RULE): Outcome => ({
  ret: { exactly: -1n },
  errno,
  clauses: [by],
  commit: () => undefined,
});
const allow = (first: Outcome, ...others: readonly Outcome[]): Answer => ({ allowed: [first, ...others] });

/** Two ioctls with an argument of four bytes; the third call is the clean-up. */
const PROGRAM = parseProgram(
  ['main open c /dev/vfio/vfio', 'main ioctl c 0x3b71 [01020304]', 'main ioctl c 0x3b72 [01020304]', 'main fds'].join(
    '\n',
  ),
);
const CLEANUP = 3;

/** What the model does not want in a kernel's log. */
const UNWANTED = 'found a mediator';

/** A model that gives these answers, one a call: for the two ioctls, then for the clean-up. */
const modelOf = (
  first: Answer,
  second: Answer = allow(succeeds()),
  cleanup: Answer = allow(succeeds()),
): (() => Machine) => {
  const answers = [allow(succeeds({ ret: { atLeast: 0n } })), first, second, cleanup];
  return () => {
    let next = 0;
    return {
      answer: () => answers[next++] ?? { unspecified: 'no more' },
      actorDied: () => undefined,
      unwanted: (log) => log.filter((line) => line.includes(UNWANTED)).map((line) => ({ clause: RULE, line })),
    };
  };
};

interface Seen {
  readonly first?: string;
  readonly second?: string;
  readonly cleanup?: string;
  readonly ending?: Run['ending'];
  readonly log?: readonly string[];
}

/** An observation's line, with errnos by name where the wire has numbers. */
const observation = (line: string) =>
  parseObservation(
    line.replace(/\bE[A-Z]+\b/, (name) => `${ERRNO[name as keyof typeof ERRNO]}`),
    1 << 20,
  );

/** A host that did this; what is not said went as the model wants. */
const runOf = (seen: Seen): Run => {
  const { first = '1 0 0', second = '2 0 0', cleanup = '3 0 0', ending = { kind: 'done' }, log = [] } = seen;
  return {
    observations: ['0 3 0', first, second, cleanup].filter((line) => line !== '').map(observation),
    kernelLog: log,
    durationUs: 1,
    ending,
  };
};

const verdictOf = (makeModel: () => Machine, seen: Seen = {}) =>
  judge(makeModel, PROGRAM, runOf(seen), { cleanupFrom: CLEANUP, about: RULE.id });

/** A verdict in a line: its kind, and which clauses each divergence breaks at which call. */
const inShort = (verdict: ReturnType<typeof verdictOf>): string => {
  const divergences = 'divergences' in verdict ? verdict.divergences : [];
  const broken = divergences.map(({ step, clauses }) => `${step}:${clauses.map(({ id }) => id).join('+')}`);
  const damage = verdict.kind === 'damaged' ? [verdict.damage.kind] : [];
  return [verdict.kind, ...damage, ...broken].join(' ');
};

const ANY = { unspecified: 'nobody says' };
const NEITHER = allow(fails('EINVAL'), fails('EFAULT', OTHER));
const SHOWS = allow(succeeds({ out: [{ at: 1, bytes: Uint8Array.of(7), clause: BYTES }], untouched: KEEPS }));
const FOLLOWED = allow(fails('EINVAL'), { ...succeeds(), breaks: [OTHER] as const });

const TABLE: Readonly<Record<string, readonly [model: () => Machine, seen: Seen, verdict: string]>> = {
  'what the model wants': [modelOf(allow(succeeds())), {}, 'conforms'],
  'another errno': [modelOf(allow(fails('EINVAL'))), { first: '1 -1 EBUSY' }, 'diverges 1:a/rule'],
  'an errno that the list does not know': [modelOf(allow(fails('EINVAL'))), { first: '1 -1 524' }, 'diverges 1:a/rule'],
  'the first of two errnos': [modelOf(NEITHER), { first: '1 -1 EINVAL' }, 'conforms'],
  'the second of two errnos': [modelOf(NEITHER), { first: '1 -1 EFAULT' }, 'conforms'],
  'neither of two errnos': [modelOf(NEITHER), { first: '1 -1 EBUSY' }, 'diverges 1:a/rule+a/other'],
  'success where failure is due, and nothing after it': [
    modelOf(allow(fails('EINVAL')), allow(fails('EINVAL'))),
    {},
    'diverges 1:a/rule',
  ],
  'failure where success is due, and nothing after it': [
    modelOf(allow(succeeds()), allow(fails('EINVAL'))),
    { first: '1 -1 EINVAL' },
    'diverges 1:a/rule',
  ],
  'another errno, and what comes after it': [
    modelOf(allow(fails('EINVAL')), allow(fails('EINVAL'))),
    { first: '1 -1 EBUSY', second: '2 -1 EPERM' },
    'diverges 1:a/rule 2:a/rule',
  ],
  'bytes as they should be': [modelOf(SHOWS), { first: '1 0 0 out=01070304' }, 'conforms'],
  'other bytes': [modelOf(SHOWS), { first: '1 0 0 out=01080304' }, 'diverges 1:a/bytes'],
  'bytes that were not written': [modelOf(SHOWS), {}, 'diverges 1:a/bytes'],
  'bytes that nobody may write': [modelOf(SHOWS), { first: '1 0 0 out=01070309' }, 'diverges 1:a/keeps'],
  'bytes written by a call that fails': [
    modelOf(allow(fails('EINVAL'))),
    { first: '1 -1 EINVAL out=ff020304' },
    'diverges 1:a/rule',
  ],
  'anything where nothing is said': [modelOf(ANY), { first: '1 -1 EXDEV out=ffffffff' }, 'conforms'],
  'a deviation that can be followed': [modelOf(FOLLOWED, FOLLOWED), {}, 'diverges 1:a/other'],
  'a deviation that fits but for a byte': [
    modelOf(
      allow(
        succeeds({ out: [{ at: 0, bytes: Uint8Array.of(9, 9, 9, 5), clause: BYTES }] }),
        succeeds({ out: [{ at: 0, bytes: Uint8Array.of(1, 2, 3, 5), clause: BYTES }], breaks: [OTHER] }),
      ),
    ),
    { first: '1 0 0 out=01020306' },
    'diverges 1:a/other 1:a/bytes',
  ],
  'guard bytes that changed': [
    modelOf(allow(succeeds())),
    { first: '1 0 0 trampled=-1' },
    'diverges 1:world/within-argument',
  ],
  'bytes behind an argument that says it is larger than it is': [
    modelOf(allow(succeeds())),
    { first: '1 0 0 trampled=4,5' },
    'conforms',
  ],
  'guard bytes before it as well': [
    modelOf(allow(succeeds())),
    { first: '1 0 0 trampled=-1,4' },
    'diverges 1:world/within-argument',
  ],
  'a leak': [
    modelOf(allow(succeeds()), allow(succeeds()), allow(succeeds({ clauses: [OTHER] }))),
    { cleanup: '3 1 0' },
    'damaged leak 3:a/other',
  ],
  'a finding and a leak': [
    modelOf(allow(fails('EINVAL'))),
    { first: '1 -1 EBUSY', cleanup: '3 1 0' },
    'diverges 1:a/rule 3:a/rule',
  ],
  'a splat': [modelOf(allow(succeeds())), { log: ['WARNING: CPU: 0 PID: 1'] }, 'damaged kernel-log'],
  'a finding and a splat': [
    modelOf(allow(fails('EINVAL'))),
    { first: '1 -1 EBUSY', log: ['BUG: KASAN: use-after-free'] },
    'damaged kernel-log 1:a/rule',
  ],
  'a line that a clause does not want': [
    modelOf(allow(succeeds())),
    { log: ['6,1,2,-;vfio_pci: found a mediator'] },
    'diverges 0:a/rule',
  ],
  'a blocked DMA in the log': [modelOf(allow(succeeds())), { log: ['DMAR: [DMA Write NO_PASID] fault'] }, 'conforms'],
  'a panic': [
    modelOf(allow(succeeds())),
    { first: '', second: '', cleanup: '', ending: { kind: 'panicked', console: ['Kernel panic'] } },
    'damaged panic',
  ],
  'a host that hangs': [
    modelOf(allow(succeeds())),
    { second: '', cleanup: '', ending: { kind: 'hung', console: [] } },
    'damaged hang',
  ],
  'a process that was ended for want of memory': [
    modelOf(allow(succeeds())),
    { first: '1 !died SIGKILL', log: ['3,9,1,-;Out of memory: Killed process 9 (helper)'] },
    'host-lost',
  ],
  'a finding before that': [
    modelOf(allow(fails('EINVAL'))),
    { first: '1 -1 EBUSY', second: '2 !died SIGKILL', log: ['3,9,1,-;Out of memory: Killed process 9 (helper)'] },
    'damaged hang 1:a/rule',
  ],
  'a call that hangs': [modelOf(allow(succeeds())), { first: '1 !stuck' }, 'damaged hang'],
  'a program that does not end': [
    modelOf(allow(succeeds())),
    { second: '', cleanup: '', ending: { kind: 'unfinished' } },
    'damaged hang',
  ],
  'a host that was lost': [
    modelOf(allow(succeeds())),
    { second: '', cleanup: '', ending: { kind: 'lost', reason: 'no network' } },
    'host-lost',
  ],
  'a finding before the host was lost': [
    modelOf(allow(fails('EINVAL'))),
    { first: '1 -1 EBUSY', second: '', cleanup: '', ending: { kind: 'lost', reason: 'no network' } },
    'diverges 1:a/rule',
  ],
  'an observation that is missing': [modelOf(allow(succeeds())), { first: '' }, 'harness-error'],
  'a call that cannot be carried out': [modelOf(allow(succeeds())), { first: '1 !bad no such name' }, 'harness-error'],
};

describe('oracle/judge', () => {
  for (const [what, [makeModel, seen, verdict]] of Object.entries(TABLE)) {
    it(`says ${verdict} of ${what}`, () => expect(inShort(verdictOf(makeModel, seen))).to.equal(verdict));
  }

  it('says what was expected and what was observed', () => {
    const verdict = verdictOf(modelOf(NEITHER), { first: '1 -1 EBUSY' });
    if (verdict.kind !== 'diverges') throw new Error(`found ${verdict.kind}`);
    expect(verdict.divergences[0]).to.include({ expected: 'EINVAL or EFAULT', observed: 'EBUSY' });
  });

  it('comes to the same verdict when the expected answers are at hand', () => {
    const answers = [allow(succeeds({ ret: { atLeast: 0n } })), SHOWS, allow(succeeds()), allow(succeeds())];
    const wanted = answers.map((answer) => wantedOf(answer, undefined));
    for (const first of ['1 0 0 out=01070304', '1 0 0 out=01080304', '1 -1 EINVAL', '1 0 0 out=01070304 trampled=4']) {
      const seen = { first };
      const fast = judge(modelOf(SHOWS), PROGRAM, runOf(seen), { cleanupFrom: CLEANUP, wanted });
      expect(inShort(fast), first).to.equal(inShort(verdictOf(modelOf(SHOWS), seen)));
    }
  });
});
