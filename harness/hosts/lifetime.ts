/** What was started and must not outlive this process: one list, and the only place that listens for its end. */

const endings = new Set<() => void>();
let listening = false;

/**
 * Has `end` called when this process ends, however it does (returning, an uncaught error, Ctrl-C, SIGTERM, SIGHUP). It
 * must be synchronous and quick. Returns a function that takes it off the list. (SIGKILL leaves no time for anything:
 * processes that must not survive that are started through setpriv --pdeathsig.)
 */
export const endWithProcess = (end: () => void): (() => void) => {
  listen();
  endings.add(end);
  return () => void endings.delete(end);
};

const endAll = (): void => {
  for (const end of endings) {
    endings.delete(end);
    try {
      end();
    } catch {
      // The others must be ended all the same, and there is nobody left to tell.
    }
  }
};

/** Numbers as in signal(7); a process that a signal ended is known by 128 + number. */
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

const listen = (): void => {
  if (listening) return;
  listening = true;
  process.on('exit', endAll);
  for (const [signal, number] of Object.entries(SIGNALS) as readonly [NodeJS.Signals, number][]) {
    process.on(signal, () => {
      endAll();
      // Whoever else listens has something to finish first (a report to write) and leaves by itself.
      if (process.listenerCount(signal) - politeListeners() === 1) process.exit(128 + number);
    });
  }
};

/**
 * How many of a signal's listeners are those of the package signal-exit, by which execa ends its children. They leave the
 * process to whoever else listens, and so must be told apart from listeners that will end it.
 */
const politeListeners = (): number => {
  const emitter: unknown = Reflect.get(globalThis, Symbol.for('signal-exit emitter'));
  if (typeof emitter !== 'object' || emitter === null || !('count' in emitter)) return 0;
  return Number(emitter.count);
};
