import { createServer } from 'node:net';
import { expect } from 'chai';
import { createConsole } from './console.ts';
import { howItEnded } from './post-mortem.ts';
import type { Guest } from './qemu.ts';
import type { SshTarget } from './ssh.ts';

/** Nothing listens there: a connection is refused at once. */
const TARGET: SshTarget = {
  name: 'vm',
  host: '127.0.0.1',
  port: 1,
  user: 'root',
  keys: [],
  objection: () => undefined,
};

/** A FAKE guest: what its kernel has said, and how QEMU ended, if it did. */
const guestThatSaid = (lines: readonly string[], ended: string | undefined): Guest => {
  const console = createConsole();
  console.push(Buffer.from(lines.map((line) => `${line}\n`).join('')));
  return {
    pid: undefined,
    console,
    sshPort: 1,
    ended: () => ended,
    end: ended === undefined ? new Promise(() => undefined) : Promise.resolve(),
    stop: async () => undefined,
  };
};

const PANIC = 'Kernel panic - not syncing: Fatal exception';
const OOPS = 'Oops: 0000 [#1] PREEMPT SMP';
const LOCKUP = 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!';

const PATIENCE = { dyingMs: 10, answerMs: 50 };

describe('hosts/post-mortem', () => {
  const cases: readonly [what: string, said: readonly string[], ended: string | undefined, ending: object][] = [
    [
      'blames the kernel for a panic, from its first complaint on',
      ['ready', OOPS, 'Call Trace:', PANIC],
      'QEMU exited with 0',
      { kind: 'panicked', console: [OOPS, 'Call Trace:', PANIC] },
    ],
    [
      'blames the kernel for a panic that QEMU survives',
      ['ready', PANIC],
      undefined,
      { kind: 'panicked', console: [PANIC] },
    ],
    [
      'blames nobody for a QEMU that ended',
      ['ready'],
      'QEMU was ended by SIGKILL',
      { kind: 'lost', reason: 'no greeting; QEMU was ended by SIGKILL' },
    ],
    [
      'blames the kernel for a lockup',
      ['ready', LOCKUP, 'more'],
      undefined,
      { kind: 'hung', console: [LOCKUP, 'more'] },
    ],
  ];
  for (const [what, said, ended, ending] of cases) {
    it(what, async () => {
      expect(await howItEnded(guestThatSaid(said, ended), TARGET, 'no greeting', PATIENCE)).to.deep.equal(ending);
    });
  }

  it('blames nobody for a guest that refuses connections', async () => {
    const ending = await howItEnded(guestThatSaid(['ready'], undefined), TARGET, 'no greeting', PATIENCE);
    expect(ending).to.have.property('kind', 'lost');
    expect(ending)
      .to.have.property('reason')
      .that.matches(/^no greeting; cannot reach vm .*nothing listens there.*$/);
  });

  it('blames the kernel for a guest that says nothing at all', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    try {
      const ending = await howItEnded(
        guestThatSaid(['ready'], undefined),
        { ...TARGET, port },
        'no greeting',
        PATIENCE,
      );
      expect(ending).to.deep.equal({ kind: 'hung', console: ['ready'] });
    } finally {
      server.close();
    }
  });
});
