import { expect } from 'chai';
import { HostTrouble } from '../trouble.ts';
import { type Clock, createHeartbeat } from './heartbeat.ts';

const TERM = 400;

/** A clock that is told what time it is. */
const handClock = (): Clock & { to(ms: number): Promise<void> } => {
  let time = 0;
  let waiting: { at: number; act: () => void }[] = [];
  return {
    now: () => time,
    after: (ms, act) => {
      const one = { at: time + ms, act };
      waiting.push(one);
      return () => {
        waiting = waiting.filter((other) => other !== one);
      };
    },
    to: async (ms) => {
      while (time < ms) {
        time += TERM / 4;
        const due = waiting.filter(({ at }) => at <= time);
        waiting = waiting.filter(({ at }) => at > time);
        for (const { act } of due) act();
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
};

type Answer = 'ours' | 'silence' | 'theirs';

describe('heartbeat', () => {
  const start = (answers: (time: number) => Answer) => {
    const clock = handClock();
    let asked = 0;
    const beat = createHeartbeat(
      TERM,
      async () => {
        asked++;
        const answer = answers(clock.now());
        if (answer === 'silence') throw new HostTrouble('cannot reach it');
        return answer === 'ours' ? undefined : 'taken over';
      },
      clock,
    );
    let lost: string | undefined;
    void beat.lost.then((reason) => {
      lost = reason;
    });
    return { clock, beat, asked: () => asked, lost: () => lost };
  };
  const confirmed = (beat: { confirm(): Promise<void> }): Promise<string> =>
    beat.confirm().then(
      () => 'ours',
      (cause: unknown) => (cause instanceof HostTrouble ? cause.message : expect.fail(String(cause))),
    );

  it('refreshes in time, and asks for nothing more', async () => {
    const { clock, beat, asked, lost } = start(() => 'ours');
    await clock.to(2000);
    expect(asked()).to.equal(20);
    expect([await confirmed(beat), asked(), lost()]).to.deep.equal(['ours', 20, undefined]);
  });

  it('ends with what another took over, for ever', async () => {
    const { clock, beat, asked, lost } = start((time) => (time < 300 ? 'ours' : 'theirs'));
    await clock.to(300);
    expect(lost()).to.equal('taken over');
    await clock.to(2000);
    expect([await confirmed(beat), asked()]).to.deep.equal(['taken over', 3]);
  });

  it('bears silence until the time is out, then lets go', async () => {
    const { clock, beat, lost } = start((time) => (time <= 200 ? 'ours' : 'silence'));
    await clock.to(500);
    expect([await confirmed(beat), lost()]).to.deep.equal(['ours', undefined]);
    await clock.to(600);
    expect(lost()).to.equal('the lease could not be refreshed until its time was out');
    expect(await confirmed(beat)).to.equal('cannot reach it');
  });

  it('goes on after that only when it is confirmed', async () => {
    const { clock, beat } = start((time) => (time < 1000 ? 'silence' : 'ours'));
    await clock.to(900);
    expect(await confirmed(beat)).to.equal('cannot reach it');
    await clock.to(1000);
    expect(await confirmed(beat)).to.equal('ours');
  });

  it('tells of each time that it is lost, once, to who asks to be told', async () => {
    const { clock, beat } = start((time) => ((time > 200 && time < 1500) || time > 2000 ? 'silence' : 'ours'));
    await clock.to(900);
    let told = 0;
    beat.onLost(() => told++);
    await clock.to(1400);
    expect(told, 'what was before').to.equal(0);
    await clock.to(2000);
    expect(told).to.equal(0);
    await clock.to(4000);
    expect(told).to.equal(1);
  });

  it('stops when it is told to', async () => {
    const { clock, beat, asked } = start(() => 'ours');
    beat.end();
    await clock.to(2000);
    expect(asked()).to.equal(0);
  });
});
