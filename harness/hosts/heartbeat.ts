import { HostTrouble } from '../trouble.ts';

export interface Heartbeat {
  /** Returns when what is refreshed is known to be ours still. Throws HostTrouble when it is not. */
  confirm(): Promise<void>;
  /** The same, and refreshes it now. Throws HostTrouble, also when nobody could be asked. */
  renew(): Promise<void>;
  /** Resolves with the reason when it is not ours any more, or that could not be known until its time was out. */
  readonly lost: Promise<string>;
  /** Has `listener` called whenever that happens from now on: once, until it was confirmed again. */
  onLost(listener: () => void): void;
  end(): void;
}

/** Time as the heartbeat sees it, in milliseconds; tests have their own. */
export interface Clock {
  now(): number;
  /** Calls back after a time; returns a function that prevents it. */
  after(ms: number, act: () => void): () => void;
}

/** One that a change of the wall clock does not disturb. */
const CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Beats in the time that something lasts. */
const BEATS = 4;

/**
 * Refreshes something that lasts `termMs` from when it was last asked for. `refresh` returns why it is not ours any more,
 * or `undefined`; when it throws, nothing is known, and it is asked again. Once the time is out without an answer, nothing
 * may be touched until one confirms that it is ours all the same: a machine that boots can be asked by nobody.
 */
export const createHeartbeat = (
  termMs: number,
  refresh: () => Promise<string | undefined>,
  clock: Clock = CLOCK,
): Heartbeat => {
  let sureUntil = clock.now() + termMs;
  let reason: string | undefined;
  let ended = false;
  let isToldLost = false;
  const listeners: (() => void)[] = [];
  let resolveLost: (reason: string) => void = () => undefined;
  const lost = new Promise<string>((resolve) => {
    resolveLost = resolve;
  });
  const tellLost = (why: string): void => {
    if (isToldLost) return;
    isToldLost = true;
    resolveLost(why);
    for (const listener of listeners) listener();
  };

  let asking: Promise<void> | undefined;
  const ask = (): Promise<void> => {
    asking ??= (async () => {
      // It counts from when it was asked for, not from when the answer came.
      const asked = clock.now();
      const answer = await refresh();
      if (answer === undefined) {
        sureUntil = asked + termMs;
        isToldLost = false;
      } else reason ??= answer;
    })().finally(() => {
      asking = undefined;
    });
    return asking;
  };

  let stop: () => void = () => undefined;
  const beat = (): void => {
    stop = clock.after(termMs / BEATS, async () => {
      await ask().catch(() => undefined);
      if (ended) return;
      if (reason !== undefined) tellLost(reason);
      else if (clock.now() >= sureUntil) tellLost('the lease could not be refreshed until its time was out');
      if (reason === undefined) beat();
    });
  };
  beat();

  return {
    lost,
    onLost: (listener) => void listeners.push(listener),
    confirm: async () => {
      if (reason === undefined && clock.now() >= sureUntil) await ask();
      if (reason !== undefined) throw new HostTrouble(reason);
    },
    renew: async () => {
      await ask();
      if (reason !== undefined) throw new HostTrouble(reason);
    },
    end: () => {
      ended = true;
      stop();
    },
  };
};
