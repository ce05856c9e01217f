import type { Report } from '../report/index.ts';
import { EXIT, Trouble } from '../trouble.ts';

const EXIT_OF = { signal: EXIT.interrupted, 'time-limit': EXIT.timeLimit } as const;

/** What ends a run early: Ctrl-C, a kill, the time limit. */
export const endings = (timeoutMs: number) => {
  let report: Report | undefined;
  let resolveReached = (): void => undefined;
  let early: Trouble | undefined;
  const reached = new Promise<void>((resolve) => {
    resolveReached = resolve;
  });
  const endNow = (why: 'signal' | 'time-limit', reason: string): void => {
    early = new Trouble(EXIT_OF[why], `${reason} before the host was up`);
    report?.interrupt({ why, reason });
    resolveReached();
  };
  const onSignal = (signal: NodeJS.Signals): void => endNow('signal', `interrupted by ${signal}`);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const timer = setTimeout(() => endNow('time-limit', 'the time limit of the run passed (--timeout)'), timeoutMs);
  return {
    reached,
    /** From now on the report is told. */
    tell: (opened: Report): void => {
      report = opened;
    },
    /** Waits for something, but not beyond the end. */
    unless: async <T>(work: Promise<T>): Promise<T> => {
      const done = await Promise.race([work.then((value) => ({ value })), reached.then(() => undefined)]);
      if (done === undefined) throw early ?? new Trouble(EXIT.interrupted, 'interrupted');
      return done.value;
    },
    clear: (): void => {
      clearTimeout(timer);
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
};
