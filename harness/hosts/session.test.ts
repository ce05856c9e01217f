import { PassThrough, Writable } from 'node:stream';
import { expect } from 'chai';
import { OPS_HASH } from '../program/ops.ts';
import type { Ending, Program, Run } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { openSession, type SessionOptions } from './session.ts';

const GREETING = `vfio-conform-helper 1 ${OPS_HASH} 6.1.0 4096 7\n`;
const DEADLINES = { stepMs: 1000, programMs: 60_000 };
const PROGRAM = parseProgram('main exec\nmain shut\n');
const DONE = { observations: [], kernelLog: [], durationUs: 1, ending: { kind: 'done' } };

/** What the fake saw of one frame. */
interface Frame {
  readonly id: string;
  readonly header: string;
  readonly text: string;
}

/**
 * A FAKE helper: it takes frames apart and says what the test tells it to say. It runs nothing and proves nothing about
 * the real helper; helper.test.ts does that.
 */
const fakeHelper = (
  answer: (frame: Frame, say: (text: string) => void, leave: () => void) => void,
  greeting = GREETING,
) => {
  const fromHelper = new PassThrough();
  const frames: Frame[] = [];
  const said: string[] = [];
  let held = '';
  const takeFrames = (): void => {
    for (
      let match = /^(run (\S+) (\d+) \S+ \S+)\n/.exec(held);
      match !== null;
      match = /^(run (\S+) (\d+) \S+ \S+)\n/.exec(held)
    ) {
      const [whole, header = '', id = '', bytes = ''] = match;
      const end = whole.length + Number(bytes);
      if (held.length < end) return;
      const frame = { id, header, text: held.slice(whole.length, end) };
      held = held.slice(end);
      frames.push(frame);
      answer(
        frame,
        (text) => void fromHelper.write(text),
        () => void fromHelper.end(),
      );
    }
    if (held === 'bye\n') {
      said.push('bye');
      fromHelper.end();
    }
  };
  const toHelper = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      held += chunk.toString('latin1');
      takeFrames();
      done();
    },
    final: (done) => {
      if (!fromHelper.writableEnded) fromHelper.end();
      done();
    },
  });
  fromHelper.write(greeting);
  return { toHelper, fromHelper, frames, said };
};

const done = ({ id }: Frame): string => `begin ${id}\nend ${id} 1 done\n`;

/** A session with a fake that answers so, and one run of it. */
const runOnce = async (answer: (id: string) => string, options: SessionOptions = {}, program: Program = PROGRAM) => {
  const fake = fakeHelper((frame, say) => say(answer(frame.id)));
  const session = await openSession(fake, options);
  const run = await session.run(program, DEADLINES);
  return { run, session };
};

describe('hosts/session', () => {
  it('reads the greeting, sends the program as text and gives back what it did', async () => {
    const fake = fakeHelper(({ id }, say) => say(`begin ${id}\n0 0 0\n1 -1 9\nlog 4,1,2;hello\nend ${id} 1234 done\n`));
    const session = await openSession(fake);
    expect(session.greeting).to.deep.equal({ kernelRelease: '6.1.0', pageSizeBytes: 4096, pid: 7 });
    expect(await session.run(PROGRAM, DEADLINES)).to.deep.equal({
      observations: [
        { step: 0, iteration: 0, last: 0, ret: 0n, errno: 0 },
        { step: 1, iteration: 0, last: 0, ret: -1n, errno: 'EBADF' },
      ],
      kernelLog: ['4,1,2;hello'],
      durationUs: 1234,
      ending: { kind: 'done' },
    });
    expect(fake.frames).to.deep.equal([{ id: '1', header: 'run 1 20 1000 60000', text: 'main exec\nmain shut\n' }]);
    await session.close();
    expect(fake.said).to.deep.equal(['bye']);
  });

  it('says that a program was not finished, and that the log cannot be read', async () => {
    const { run, session } = await runOnce((id) => `begin ${id}\n0 0 0\nlog! no permission\nend ${id} 1 unfinished\n`);
    expect(run.ending).to.deep.equal({ kind: 'unfinished' });
    expect(run.kernelLog).to.equal(undefined);
    await session.close();
  });

  it('makes a refused program an observation that blames us', async () => {
    const { run, session } = await runOnce((id) => `error ${id} 2 no such operation\n`);
    expect(run.ending).to.deep.equal({ kind: 'done' });
    expect(run.observations).to.deep.equal([
      {
        step: 0,
        iteration: 0,
        last: 0,
        mishap: 'bad',
        detail: 'the helper refused the program at line 2 (main shut): no such operation',
      },
    ]);
    expect(session.lost).to.equal(undefined);
    await session.close();
  });

  it('keeps runs in order, and sends at most so many programs ahead', async () => {
    const waiting: (() => void)[] = [];
    const fake = fakeHelper((frame, say) => waiting.push(() => say(done(frame))));
    const session = await openSession(fake, { programsAhead: 3 });
    const order: number[] = [];
    const runs = [0, 1, 2, 3, 4].map((n) => session.run(PROGRAM, DEADLINES).finally(() => order.push(n)));
    await new Promise(setImmediate);
    expect(fake.frames.map(({ id }) => id)).to.deep.equal(['1', '2', '3']);
    for (let at = 0; at < 5; at++) {
      waiting[at]?.();
      await runs[at];
    }
    expect(order).to.deep.equal([0, 1, 2, 3, 4]);
    expect(await Promise.all(runs)).to.deep.equal([DONE, DONE, DONE, DONE, DONE]);
    await session.close();
  });

  it('sends at most so many bytes ahead, but always one program', async () => {
    const waiting: (() => void)[] = [];
    const fake = fakeHelper((frame, say) => waiting.push(() => say(done(frame))));
    const session = await openSession(fake, { bytesAhead: 1 });
    const runs = [session.run(PROGRAM, DEADLINES), session.run(PROGRAM, DEADLINES)];
    await new Promise(setImmediate);
    expect(fake.frames).to.have.length(1);
    waiting[0]?.();
    await runs[0];
    expect(fake.frames).to.have.length(2);
    waiting[1]?.();
    await Promise.all(runs);
    await session.close();
  });

  it('waits for a connection that takes no more', async () => {
    const fake = fakeHelper((frame, say) => say(done(frame)));
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, next) => void gate.then(() => fake.toHelper.write(chunk, () => next())),
    });
    const session = await openSession({ toHelper: slow, fromHelper: fake.fromHelper });
    const runs = [session.run(PROGRAM, DEADLINES), session.run(PROGRAM, DEADLINES)];
    expect(slow.writableLength).to.equal('run 1 20 1000 60000\nmain exec\nmain shut\n'.length);
    open();
    expect(await Promise.all(runs)).to.deep.equal([DONE, DONE]);
    await session.close();
  });

  describe('when the connection ends in mid-program', () => {
    const cutAfterFirst = async (options: SessionOptions): Promise<readonly Run[]> => {
      const fake = fakeHelper(({ id }, say, leave) => {
        if (id !== '1') return;
        say('begin 1\n0 0 0\n');
        leave();
      });
      const session = await openSession(fake, options);
      const runs = await Promise.all([session.run(PROGRAM, DEADLINES), session.run(PROGRAM, DEADLINES)]);
      expect(session.lost).to.equal('the helper closed the connection');
      const after = await session.run(PROGRAM, DEADLINES).catch((error: unknown) => error);
      expect(after)
        .to.be.instanceOf(HostTrouble)
        .with.property('message', 'the session with the helper is over: the helper closed the connection');
      return runs;
    };

    it('keeps what was observed, and does not blame the programs behind it', async () => {
      const [first, second] = await cutAfterFirst({});
      expect(first).to.deep.equal({
        observations: [{ step: 0, iteration: 0, last: 0, ret: 0n, errno: 0 }],
        kernelLog: undefined,
        durationUs: 0,
        ending: { kind: 'lost', reason: 'the helper closed the connection' },
      });
      expect(second?.ending).to.deep.equal({
        kind: 'lost',
        reason: 'not run: an earlier program ended the session (the helper closed the connection)',
      });
    });

    it('asks the host how the first one ended', async () => {
      const panicked: Ending = { kind: 'panicked', console: ['Kernel panic'] };
      const reasons: string[] = [];
      const onLost = async (reason: string): Promise<Ending> => {
        reasons.push(reason);
        return panicked;
      };
      const [first, second] = await cutAfterFirst({ onLost });
      expect(first?.ending).to.deep.equal(panicked);
      expect(second?.ending.kind).to.equal('lost');
      expect(reasons).to.deep.equal(['the helper closed the connection']);
    });

    it('survives a host that cannot tell', async () => {
      const [first] = await cutAfterFirst({ onLost: () => Promise.reject(new HostTrouble('no console')) });
      expect(first?.ending).to.deep.equal({ kind: 'lost', reason: 'the helper closed the connection' });
    });
  });

  it('counts a helper that says nothing as lost, after the deadline of the program and a margin', async () => {
    const fake = fakeHelper(() => undefined);
    const session = await openSession(fake, { marginMs: 1 });
    const run = await session.run(PROGRAM, { stepMs: 1, programMs: 2 });
    expect(run.ending).to.deep.equal({ kind: 'lost', reason: 'nothing came from the helper for 3 ms' });
  });

  const lies: readonly [what: string, answer: (id: string) => string, reason: string][] = [
    ['text that is no reply', () => 'Segmentation fault\n', "the helper's answer is malformed"],
    ['the answer to another program', () => 'begin 99\n', 'the helper sent begin 99 where 1 was expected'],
    ['a call that the program does not have', (id) => `begin ${id}\n2 0 0\n`, 'call 2, iteration 0'],
    ['an iteration that the program does not have', (id) => `begin ${id}\n0.0-1 0 0\n`, 'call 0, iteration 1'],
    ['that it does not understand', () => 'error - 0 what?\n', 'did not understand what it was sent: what?'],
    ['more than it was asked', (id) => `begin ${id}\nend ${id} 1 done\nbegin 2\n`, 'without being asked'],
  ];
  for (const [what, answer, reason] of lies) {
    it(`ends the session when the helper says ${what}`, async () => {
      const { session } = await runOnce(answer);
      expect(session.lost).to.contain(reason);
    });
  }

  const bad: readonly [what: string, greeting: string, message: string, handshakeMs?: number][] = [
    ['another program', 'Welcome!\n', 'expected the greeting of vfio-conform-helper'],
    ['another version', GREETING.replace('helper 1', 'helper 9'), 'speaks protocol 9'],
    ['nothing in time', '', 'no greeting within 5 ms', 5],
  ];
  for (const [what, greeting, message, handshakeMs = 60_000] of bad) {
    it(`does not open with ${what}`, async () => {
      const fake = fakeHelper(() => undefined, greeting);
      const error = await openSession(fake, { handshakeMs }).catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(HostTrouble);
      expect((error as HostTrouble).message).to.contain(message);
      expect(fake.fromHelper.destroyed).to.equal(true);
    });
  }

  it('does not open when the helper leaves at once', async () => {
    const fake = fakeHelper(() => undefined, '');
    fake.fromHelper.end();
    const error = await openSession(fake).catch((cause: unknown) => cause);
    expect(error)
      .to.be.instanceOf(HostTrouble)
      .with.property('message', 'the helper did not answer: the helper closed the connection');
  });

  it('ends with an error of the connection', async () => {
    const fake = fakeHelper(() => fake.fromHelper.destroy(new Error('read ECONNRESET')));
    const session = await openSession(fake);
    const run = await session.run(PROGRAM, DEADLINES);
    expect(run.ending).to.deep.equal({ kind: 'lost', reason: 'read ECONNRESET' });
  });

  it('refuses a program that cannot be written, and goes on', async () => {
    const fake = fakeHelper((frame, say) => say(done(frame)));
    const session = await openSession(fake);
    const error = await session
      .run({ lets: {}, steps: [{ actor: 'main', op: 'cat', path: 'a b' }] }, DEADLINES)
      .catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(UsageTrouble);
    expect(await session.run(PROGRAM, DEADLINES)).to.deep.equal(DONE);
    await session.close();
  });

  it('closes in mid-program without asking how it ended, and twice', async () => {
    const fake = fakeHelper(({ id }, say) => say(`begin ${id}\n`));
    const session = await openSession(fake, { onLost: () => Promise.reject(new Error('must not be asked')) });
    const run = session.run(PROGRAM, DEADLINES);
    await session.close();
    await session.close();
    expect((await run).ending.kind).to.equal('lost');
    expect(fake.said).to.deep.equal([]);
  });
});
