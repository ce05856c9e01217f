import type { Readable, Writable } from 'node:stream';
import type { Ending, Program, Run } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import { BYE, createDecoder, type Greeting, type Reply } from '../wire/protocol.ts';
import type { Deadlines } from './host.ts';
import { createPending, type Pending } from './pending.ts';

/** The two directions of a connection to a helper; for an ssh2 channel both are the channel. */
export interface HelperStreams {
  readonly toHelper: Writable;
  readonly fromHelper: Readable;
}

export interface SessionOptions {
  /** How long the greeting may take, in milliseconds. */
  readonly handshakeMs?: number;
  /** How long nothing may come beyond a program's own deadline before the host counts as lost, in milliseconds. */
  readonly marginMs?: number;
  /** How many programs, and how many bytes of them, may be sent ahead of the answers. One program always may. */
  readonly programsAhead?: number;
  readonly bytesAhead?: number;
  /**
   * Asked when the connection ended in mid-program: how did that program end? The host looks whether its machine
   * panicked, hangs or is only out of reach. Without it the ending is `lost`.
   */
  readonly onLost?: (reason: string) => Promise<Ending>;
}

const DEFAULTS = { handshakeMs: 15_000, marginMs: 15_000, programsAhead: 8, bytesAhead: 4 << 20 };
/** How long a helper that was told to leave may take until its connection is cut. */
const FAREWELL_MS = 2000;

/** A conversation with one helper that has greeted. */
export interface HelperSession {
  readonly greeting: Greeting;
  /** Why the session is over, once it is. */
  readonly lost: string | undefined;
  /**
   * Runs one program; programs given while one runs are queued and sent ahead, and their runs come back in order. When
   * the connection ends, the program that was running ends as `onLost` says, and those behind it are `lost`.
   * Throws HostTrouble when the session is over, UsageTrouble for a program that cannot be written as text,
   * or deadlines beyond the bounds.
   */
  run(program: Program, deadlines: Deadlines): Promise<Run>;
  /** Takes leave of the helper, breaks off what it is at, and closes the streams. Never throws; may be called twice. */
  close(): Promise<void>;
}

/** Waits for the helper's greeting on these streams. Throws HostTrouble if it does not come, or is not the one expected. */
export const openSession = async (streams: HelperStreams, options: SessionOptions = {}): Promise<HelperSession> => {
  const { handshakeMs } = { ...DEFAULTS, ...options };
  const conversation = createConversation(streams, options);
  const timer = setTimeout(() => conversation.lose(`no greeting within ${handshakeMs} ms`), handshakeMs);
  try {
    return conversation.session(await conversation.greeted);
  } finally {
    clearTimeout(timer);
  }
};

/** A program on its way, and who waits for it. */
interface Asked {
  readonly pending: Pending;
  readonly resolve: (run: Run) => void;
}

/** What was asked of the helper: programs that were sent, and those that wait until they may be. */
const createOutbox = (toHelper: Writable, programsAhead: number, bytesAhead: number) => {
  const waiting: Asked[] = [];
  const sent: Asked[] = [];
  let blocked = false;

  const mayGo = (next: Asked): boolean => {
    if (blocked) return false;
    const bytes = sent.reduce((sum, { pending }) => sum + pending.frame.length, next.pending.frame.length);
    return sent.length === 0 || (sent.length < programsAhead && bytes <= bytesAhead);
  };
  const send = (): void => {
    for (let [next] = waiting; next !== undefined && mayGo(next); [next] = waiting) {
      waiting.shift();
      sent.push(next);
      blocked = !toHelper.write(next.pending.frame, 'latin1');
    }
  };
  return {
    /** The program that the helper is at. */
    head: (): Asked | undefined => sent[0],
    add: (asked: Asked): void => {
      waiting.push(asked);
      send();
    },
    /** The helper has done with the head. */
    next: (): void => {
      sent.shift();
      send();
    },
    /** The connection takes more. */
    unblock: (): void => {
      blocked = false;
      send();
    },
    /** Everything that was asked and not answered, in order; nothing is sent any more. */
    empty: (): readonly Asked[] => {
      blocked = true;
      return [...sent.splice(0), ...waiting.splice(0)];
    },
  };
};

const createConversation = ({ toHelper, fromHelper }: HelperStreams, options: SessionOptions) => {
  const { marginMs, programsAhead, bytesAhead, onLost } = { ...DEFAULTS, ...options };
  const outbox = createOutbox(toHelper, programsAhead, bytesAhead);
  const greeted = deferred<Greeting>();
  let nextId = 1;
  let lost: string | undefined;
  let leaving = false;
  let watch: NodeJS.Timeout | undefined;

  /** The helper keeps the deadlines itself; this one is for a helper, or a connection, that is no more. */
  const watchHead = (): void => {
    clearTimeout(watch);
    const head = outbox.head();
    if (head === undefined) return;
    const patience = head.pending.programMs + marginMs;
    watch = setTimeout(() => lose(`nothing came from the helper for ${patience} ms`), patience);
  };

  /** The end of the conversation; what happens to the streams after that is nobody's concern. */
  const lose = (reason: string): void => {
    if (lost !== undefined) return;
    lost = reason;
    clearTimeout(watch);
    toHelper.destroy();
    fromHelper.destroy();
    greeted.reject(new HostTrouble(`the helper did not answer: ${reason}`));
    void settle(outbox.empty(), reason, leaving ? undefined : onLost);
  };

  const take = (reply: Reply): void => {
    if (lost !== undefined) return;
    if (reply.kind === 'greeting') {
      greeted.resolve(reply.greeting);
      return;
    }
    if (reply.kind === 'error' && reply.id === undefined) {
      throw new HostTrouble(`the helper did not understand what it was sent: ${reply.text}`);
    }
    const head = outbox.head();
    if (head === undefined) throw new HostTrouble(`the helper sent ${reply.kind} without being asked`);
    const run = head.pending.take(reply);
    if (run === undefined) return;
    outbox.next();
    watchHead();
    head.resolve(run);
  };

  const decoder = createDecoder(take);
  const receive = (chunk: Uint8Array): void => {
    watch?.refresh();
    try {
      decoder.push(chunk);
    } catch (cause) {
      if (!(cause instanceof HostTrouble)) throw cause;
      greeted.reject(cause);
      lose(cause.message);
    }
  };
  fromHelper.on('data', receive);
  fromHelper.on('end', () => lose('the helper closed the connection'));
  fromHelper.on('close', () => lose('the connection was closed'));
  fromHelper.on('error', (error) => lose(error.message));
  toHelper.on('error', (error) => lose(error.message));
  toHelper.on('drain', () => {
    watch?.refresh();
    outbox.unblock();
  });

  const session = (greeting: Greeting): HelperSession => ({
    greeting,
    get lost() {
      return lost;
    },
    run: async (program, deadlines) => {
      if (lost !== undefined) throw new HostTrouble(`the session with the helper is over: ${lost}`);
      const pending = createPending(nextId++, program, deadlines);
      return new Promise<Run>((resolve) => {
        outbox.add({ pending, resolve });
        if (outbox.head()?.pending === pending) watchHead();
      });
    },
    close: () => {
      leaving = true;
      if (lost !== undefined) return Promise.resolve();
      // A helper that is told to leave first finishes what it was given; one whose input just ends breaks it off.
      return farewell({ toHelper, fromHelper }, outbox.head() === undefined ? BYE : '', lose);
    },
  });

  return { greeted: greeted.promise, lose, session };
};

/** Ends the runs of a conversation that is over: the first as the host says, those behind it without blame. */
const settle = async (
  [head, ...others]: readonly Asked[],
  reason: string,
  onLost: SessionOptions['onLost'],
): Promise<void> => {
  if (head === undefined) return;
  const unknown: Ending = { kind: 'lost', reason };
  head.resolve(head.pending.cut((await onLost?.(reason).catch(() => unknown)) ?? unknown));
  const notRun: Ending = { kind: 'lost', reason: `not run: an earlier program ended the session (${reason})` };
  for (const { pending, resolve } of others) resolve(pending.cut(notRun));
};

/** A promise that is settled from outside; only the first time counts. */
const deferred = <Value>() => {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (cause: unknown) => void = () => undefined;
  const promise = new Promise<Value>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
};

const farewell = (
  { toHelper, fromHelper }: HelperStreams,
  words: string,
  lose: (reason: string) => void,
): Promise<void> =>
  new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      lose('the session was closed');
      resolve();
    };
    const timer = setTimeout(over, FAREWELL_MS);
    if (fromHelper.destroyed || toHelper.destroyed) {
      over();
      return;
    }
    fromHelper.once('end', over);
    fromHelper.once('close', over);
    toHelper.end(words);
  });
